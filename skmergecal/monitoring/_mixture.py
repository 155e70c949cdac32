"""Evidence over time: alternatives that may start at any row, their mean, and when they began.

With e_t the e-values of row t: A <- (A + w_t) e_t for an alarm that is false at most once in
1 / alpha streams, where w_t is what starts at row t; M <- (M + 1) e_t for one that comes falsely
once in so many rows. All in logarithms.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from skmergecal._typing import Array, IntArray

__all__ = ["Evidence"]

#: Sum over t = 0, 1, ... of 1 / ((t + 1) log(t + 2)^2), rounded up.
_SUM_OF_STARTS = 3.38773553195201


def _starts(first: int, n: int) -> Array:
    """The mass that starts at each of n rows, from the given one."""
    t = np.arange(first, first + n, dtype=np.float64)
    return np.asarray(1 / ((t + 1) * np.log(t + 2) ** 2 * _SUM_OF_STARTS))


@dataclass(frozen=True)
class Evidence:
    """Evidence after some rows.

    Attributes
    ----------
    mass : ndarray of shape (n_alternatives,)
        Prior mass of the alternatives, adding up to 1.
    run_length : bool
        Whether a whole unit starts at each row.
    n_rows : int
    started : float
        Mass that has started, of 1.
    log_wealth : ndarray of shape (n_alternatives,)
        Log of the wealth from all starts.
    log_from_first : ndarray of shape (n_alternatives,)
        Log of the wealth from the first row.
    lowest, since : ndarray of shape (n_alternatives,)
        Its smallest value so far, and the number of rows until then: what has come since is the
        CUSUM.
    peak, began : ndarray of shape (n_alternatives,)
        The largest CUSUM so far, and the number of rows before it began.
    log_e, largest : float
        Log of the evidence, and its largest value so far.
    """

    mass: Array
    run_length: bool = False
    n_rows: int = 0
    started: float = 0.0
    log_wealth: Array = field(default_factory=lambda: np.empty(0))
    log_from_first: Array = field(default_factory=lambda: np.empty(0))
    lowest: Array = field(default_factory=lambda: np.empty(0))
    since: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    peak: Array = field(default_factory=lambda: np.empty(0))
    began: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    log_e: float = 0.0
    largest: float = 0.0

    @classmethod
    def none_yet(cls, mass: Array, *, run_length: bool = False) -> Evidence:
        """Before the first row."""
        zeros = np.zeros(len(mass))
        start = -np.inf if run_length else 0.0
        return cls(
            mass=mass,
            run_length=run_length,
            log_wealth=np.full(len(mass), -np.inf),
            log_from_first=zeros,
            lowest=zeros,
            since=np.zeros(len(mass), dtype=np.intp),
            peak=zeros,
            began=np.zeros(len(mass), dtype=np.intp),
            log_e=start,
            largest=start,
        )

    def after(self, log_e: Array) -> tuple[Evidence, Array]:
        """Evidence after more rows, and the log of the evidence after each of them.

        Parameters
        ----------
        log_e : ndarray of shape (n_samples, n_alternatives)
            Logs of the e-values.
        """
        n = len(log_e)
        total = np.cumsum(np.vstack([self.log_from_first, log_e]), axis=0)
        gain = total[1:] - self.log_from_first
        if self.run_length:
            starts, started = np.ones(n), np.zeros(n + 1)
        else:
            starts = _starts(self.n_rows, n)
            started = np.cumsum(np.append(self.started, starts))
        before = np.vstack([np.zeros(len(self.mass)), gain[:-1]])
        wealth = np.vstack([self.log_wealth, np.log(starts)[:, None] - before])
        wealth = np.logaddexp.accumulate(wealth, axis=0)[1:] + gain
        path = np.logaddexp.reduce(wealth + np.log(self.mass), axis=1)
        if not self.run_length:
            path = np.logaddexp(path, np.log(np.maximum(1 - started[1:], 0)))
        now = replace(
            self,
            n_rows=self.n_rows + n,
            started=float(started[-1]),
            log_wealth=wealth[-1],
            log_from_first=total[-1],
            **self._cusum(total[1:]),
            log_e=float(path[-1]),
            largest=max(self.largest, float(path.max())),
        )
        return now, path

    def _cusum(self, total: Array) -> dict[str, Any]:
        """CUSUM after more rows, whose wealth from the first row is given."""
        n, columns = len(total), np.arange(total.shape[1])
        lowest = np.minimum.accumulate(np.vstack([self.lowest, total]), axis=0)
        rows = np.arange(self.n_rows + 1, self.n_rows + 1 + n)[:, None]
        since = np.where(lowest[1:] < lowest[:-1], rows, self.since)
        since = np.maximum.accumulate(since, axis=0)
        cusum = total - lowest[1:]
        best = cusum.argmax(axis=0)
        higher = cusum[best, columns] > self.peak
        return {
            "lowest": lowest[-1],
            "since": since[-1],
            "peak": np.where(higher, cusum[best, columns], self.peak),
            "began": np.where(higher, since[best, columns], self.began),
        }

    @property
    def onset(self) -> int:
        """The row, from 0, from which on the best alternative gained most."""
        return int(self.began[np.argmax(self.peak)])
