"""Expressions over the parts of partitions, evaluated where and when a part is at hand."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from skmergecal._partitions._partitions import (
    Made,
    Part,
    Partitions,
    Reduction,
    has_no_rows,
)
from skmergecal._partitions._rounds import Request, answer

__all__ = ["Expression", "LazyPartitions", "Mark", "evaluate", "refuse_other_rows"]

#: What shows whether a partition has come back with other rows: how many, the sum of their labels,
#: and a sum of opinions and weights, which is the same up to rounding.
Mark = tuple[int, int, float]

_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Expression:
    """What functions make of a part.

    Attributes
    ----------
    function : callable or None
        None: the part with the number ``base``.
    sources : tuple of Expression
        What the function gets.
    arguments : tuple
        What it gets after them.
    base : int
        Number among several parts of the same rows.
    """

    function: Callable[..., Any] | None = None
    sources: tuple[Expression, ...] = ()
    arguments: tuple[Any, ...] = ()
    base: int = 0

    def moved(self, places: Sequence[int], done: dict[int, Expression] | None = None) -> Expression:
        """The same over parts at other places; what was moved before is in ``done``."""
        done = {} if done is None else done
        if id(self) not in done:
            if self.function is None:
                done[id(self)] = Expression(base=places[self.base])
            else:
                sources = tuple(source.moved(places, done) for source in self.sources)
                done[id(self)] = Expression(self.function, sources, self.arguments)
        return done[id(self)]


def evaluate(
    expression: Expression, parts: Sequence[Any], known: dict[int, Any] | None = None
) -> Any:
    """The value for the parts of a partition; None where there is no row.

    ``known`` holds what other expressions found for these parts.
    """
    known = {} if known is None else known
    # An inner function that calls itself would keep all values until a garbage collection.
    if id(expression) not in known:
        if expression.function is None:
            found = parts[expression.base]
        else:
            given = [evaluate(source, parts, known) for source in expression.sources]
            empty = any(one is None for one in given)
            found = None if empty else expression.function(*given, *expression.arguments)
        known[id(expression)] = None if found is None or has_no_rows(found) else found
    return known[id(expression)]


def refuse_other_rows(what: str, mark: Mark, before: Mark) -> None:
    """Raise ValueError if the rows are others than they were."""
    near = abs(mark[2] - before[2]) <= _ROUNDING * max(abs(before[2]), 1.0)
    if tuple(mark[:2]) == tuple(before[:2]) and near:
        return
    msg = (
        f"{what} came back different: {mark[0]} rows with labels that add up to {mark[1]}, and "
        f"{before[0]} rows with {before[1]} at first. Each pass over the data should give the same "
        "rows: give a source that draws at random a seed for each partition, or store its rows"
    )
    raise ValueError(msg)


class LazyPartitions(Partitions[Part]):
    """Partitions whose functions are called when something is reduced, and again each time."""

    _expression: Expression
    #: What is wrong where a sum has no rows.
    without_rows: str

    @property
    @abstractmethod
    def source(self) -> Any:
        """What is read: partitions of one source share their rounds."""

    @abstractmethod
    def reduce_all(self, requests: Sequence[Request]) -> list[Any]:
        """Results of requests to partitions of this source, in one round; None without rows."""

    @abstractmethod
    def _with(self, expression: Expression) -> LazyPartitions[Any]:
        """The same source with another expression."""

    @abstractmethod
    def _joined(self, other: Self) -> tuple[Self, Expression]:
        """A source of the parts of both, and the other's expression over it."""

    def reduce(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        how: Reduction = "sum",
        what: str = "",
    ) -> Any:
        """One round, or a part of one that other problems share: see `together`.

        Raises
        ------
        ValueError
            If there are no rows, or others than in the first round.
        """
        return answer(Request(self, function, arguments, how, what))

    def map(self, function: Callable[..., Made], *arguments: Any) -> Partitions[Made]:
        """The function is called again in each pass."""
        return self._with(Expression(function, (self._expression,), arguments))

    def map_with(
        self, other: Partitions[Any], function: Callable[..., Made], *arguments: Any
    ) -> Partitions[Made]:
        """The function is called again in each pass."""
        assert isinstance(other, type(self))
        both, theirs = self._joined(other)
        return both._with(Expression(function, (self._expression, theirs), arguments))
