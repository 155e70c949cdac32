"""Stream: rows in blocks that an iterator gives, again for each pass over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from skmergecal._partitions._partitions import (
    Made,
    Part,
    Partitions,
    Reduction,
    combine,
    has_no_rows,
)
from skmergecal._partitions._rows import Rows

__all__ = ["Chain", "Mark", "Stream", "mark_of", "refuse_other_rows"]

#: What tells whether a partition has come back with other rows: how many, the sum of their labels,
#: and a sum of opinions and weights, which is the same up to rounding.
Mark = tuple[int, int, float]

#: Functions, each with its further arguments, that are applied to a part one after the other.
Chain = tuple[tuple[Callable[..., Any], tuple[Any, ...]], ...]

_ROUNDING = 1e-6


def mark_of(rows: Rows) -> Mark:
    """The mark of some rows."""
    first = np.asarray(rows.opinions[0])
    total = float(np.add.reduce(first[:, 0], dtype=np.float64)) if len(rows.y) else 0.0
    if rows.weight is not None:
        total += float(rows.weight.sum())
    return len(rows.y), int(rows.y.sum()), total


def refuse_other_rows(what: str, mark: Mark, before: Mark) -> None:
    """Raise ValueError if the rows are others than they were."""
    near = abs(mark[2] - before[2]) <= _ROUNDING * max(abs(before[2]), 1.0)
    if mark[:2] == before[:2] and near:
        return
    msg = (
        f"{what} came back different: {mark[0]} rows with labels that add up to {mark[1]}, and "
        f"{before[0]} rows with {before[1]} at first. Each pass over the data should give the same "
        "rows: give a source that draws at random a seed for each partition, or store its rows"
    )
    raise ValueError(msg)


def apply_chain(part: Any, chain: Chain) -> Any:
    """What functions make of a part, one after the other; None where no row is left."""
    for function, arguments in chain:
        if has_no_rows(part):
            return None
        part = function(part, *arguments)
    return None if has_no_rows(part) else part


class Stream(Partitions[Part]):
    """Rows in blocks, which are read again for each pass, so that one is in memory at a time.

    Parameters
    ----------
    blocks : callable
        Returns a new iterable of blocks.
    check : callable
        Makes `Rows` of a block and its number.
    """

    def __init__(
        self, blocks: Callable[[], Iterable[Any]], check: Callable[[Any, int], Rows]
    ) -> None:
        self._blocks, self._check = blocks, check
        self._chain: Chain = ()
        self._marks: list[Mark] = []

    def map(self, function: Callable[..., Made], *arguments: Any) -> Stream[Made]:
        """The function is called again in each pass."""
        more: Stream[Made] = Stream(self._blocks, self._check)
        more._chain, more._marks = (*self._chain, (function, arguments)), self._marks
        return more

    def reduce(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        how: Reduction = "sum",
        what: str = "",
    ) -> Any:
        """One pass over the blocks.

        Raises
        ------
        ValueError
            If there are no rows, or others than in the first pass.
        """
        result = None
        for rows in self._rows():
            part = apply_chain(rows, self._chain)
            if part is not None:
                result = combine(how, result, function(part, *arguments))
        if result is None:
            msg = "the blocks have no rows of positive weight: at least one is needed"
            raise ValueError(msg)
        return result

    def _rows(self) -> Iterator[Rows]:
        """Blocks in this pass, compared with those of the first."""
        known, seen = list(self._marks), []
        for number, block in enumerate(self._blocks()):
            rows = self._check(block, number)
            mark = mark_of(rows)
            if number < len(known):
                refuse_other_rows(f"block {number}", mark, known[number])
            seen.append(mark)
            yield rows
        if not known:
            self._marks.extend(seen)
        elif len(seen) != len(known):
            msg = (
                f"the function gave {len(seen)} blocks, and {len(known)} at first: it should "
                "return a new iterator of the same blocks each time it is called, not one that is "
                "used up"
            )
            raise ValueError(msg)
