"""Stream: rows in blocks that an iterator gives, again for each pass over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self

from skmergecal._partitions._lazy import (
    Expression,
    LazyPartitions,
    Mark,
    evaluate,
    refuse_other_rows,
)
from skmergecal._partitions._partitions import Part, combine
from skmergecal._partitions._rounds import Request
from skmergecal._partitions._rows import Rows

__all__ = ["Stream"]


class Stream(LazyPartitions[Part]):
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
        self._expression = Expression()
        self._marks: list[Mark] = []

    without_rows = "the blocks have no rows of positive weight: at least one is needed"

    @property
    def source(self) -> Any:
        """The function that gives blocks."""
        return self._blocks

    def _with(self, expression: Expression) -> Self:
        more = type(self)(self._blocks, self._check)
        more._expression, more._marks = expression, self._marks
        return more

    def _joined(self, other: Self) -> tuple[Self, Expression]:
        assert other._blocks is self._blocks
        return self, other._expression

    def reduce_all(self, requests: Sequence[Request]) -> list[Any]:
        """One pass over the blocks."""
        results: list[Any] = [None] * len(requests)
        for rows in self._rows():
            known: dict[int, Any] = {}
            for number, request in enumerate(requests):
                part = evaluate(request.partitions._expression, [rows], known)
                if part is not None:
                    made = request.function(part, *request.arguments)
                    results[number] = combine(request.how, results[number], made)
        return results

    def _rows(self) -> Iterator[Rows]:
        """Blocks in this pass, compared with those of the first."""
        known, seen = list(self._marks), []
        for number, block in enumerate(self._blocks()):
            rows = self._check(block, number)
            mark = rows.mark()
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
