"""Every ratio against its peer, measured in one run with the rounds interleaved, in one table."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy counts the processors

import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

ROWS = pytest.StashKey[list]()


class Row(NamedTuple):
    work: str
    peer: str
    ratio: float
    bound: float | None
    at_least: bool

    @property
    def verdict(self) -> str:
        if self.bound is None:
            return "for information"
        met = self.ratio >= self.bound if self.at_least else self.ratio <= self.bound
        return "met" if met else "MISSED"

    def __str__(self) -> str:
        sign = "at least" if self.at_least else "at most"
        wanted = "" if self.bound is None else f"{sign} {self.bound:g}"
        return f"{self.work:52s} {self.peer:34s} {self.ratio:8.2f}  {wanted:14s} {self.verdict}"


def repeated(function: Callable[[], object], calls: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(calls):
            function()

    return run


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


class Comparison:
    """Times one function and its peers in turn, and adds a row for each peer to the table.

    In each round every function is called ``calls`` times in a row: more than once where a call is
    so short that what ran before it would tell.
    """

    def __init__(self, benchmark, rows):
        self.benchmark, self.rows = benchmark, rows

    def __call__(self, work, ours, peers, rounds=5, calls=1):
        """``peers`` maps a name to (function, bound of peer's time over ours, or None)."""
        self._run(work, ours, peers, rounds, calls, at_least=True)

    def cost(self, work, ours, peers, rounds=5, calls=1):
        """``peers`` maps a name to (function, bound of our time over the peer's, or None)."""
        self._run(work, ours, peers, rounds, calls, at_least=False)

    def _run(self, work, ours, peers, rounds, calls, at_least):
        seconds = {name: [] for name in peers}

        def peers_first():
            for name, (function, _) in peers.items():
                seconds[name].append(timed(repeated(function, calls)))

        self.benchmark.pedantic(repeated(ours, calls), setup=peers_first, rounds=rounds)
        own = self.benchmark.stats.stats.min
        for name, (_, bound) in peers.items():
            theirs = min(seconds[name])
            ratio = theirs / own if at_least else own / theirs
            self.add(work, name, ratio, bound, at_least)

    def add(self, work, peer, ratio, bound, at_least):
        self.rows.append(Row(work, peer, ratio, bound, at_least))


@pytest.fixture
def compare(benchmark, request):
    return Comparison(benchmark, request.config.stash.setdefault(ROWS, []))


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash.get(ROWS, [])
    if rows:
        terminalreporter.section("ratios to peers, measured in this run")
        head = f"{'work':52s} {'peer':34s} {'ratio':>8s}  {'wanted':14s} verdict"
        terminalreporter.write_line(head)
        for row in rows:
            terminalreporter.write_line(str(row), red=row.verdict == "MISSED")
