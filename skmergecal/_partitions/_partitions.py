"""Partitions: rows that lie in one or several parts, perhaps in other processes."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np

__all__ = ["InMemory", "Partitions", "Reduction", "combine", "combine_all", "has_no_rows"]

Part = TypeVar("Part")
Made = TypeVar("Made")

#: How the results of the parts become one: the same for all of a tuple, or one for each.
Reduction: TypeAlias = Literal["sum", "min", "max", "join"] | tuple["Reduction", ...]

_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": np.add,
    "min": np.minimum,
    "max": np.maximum,
    "join": operator.add,
}


class Partitions(ABC, Generic[Part]):
    """Rows in parts, each an object with the rows' labels in its attribute ``y``.

    Functions that it gets are pure in the part and small arguments. They can be pickled, and are
    not called for a part without rows. All that a learner sees of the rows goes through `reduce`.
    """

    @abstractmethod
    def map(self, function: Callable[..., Made], *arguments: Any) -> Partitions[Made]:
        """Partitions of what a function makes of each part."""

    @abstractmethod
    def map_with(
        self, other: Partitions[Any], function: Callable[..., Made], *arguments: Any
    ) -> Partitions[Made]:
        """The same of each part and the part of the same rows in other partitions."""

    @abstractmethod
    def reduce(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        how: Reduction = "sum",
        what: str = "",
    ) -> Any:
        """What a function makes of each part, combined.

        Parameters
        ----------
        function : callable
            Gives a number, an array, or a tuple of such; of the same shapes for all parts.
        *arguments : Any
            Passed to the function after the part.
        how : {"sum", "min", "max", "join"} or tuple of such, default="sum"
            "join" is for short lists: those of all parts, one after the other.
        what : str, default=""
            What is computed, for those who watch.
        """

    def stored(self, what: str = "") -> Partitions[Part]:
        """The same, where the partitions are made now, if there is a place for them."""
        return self


class InMemory(Partitions[Part]):
    """One part, in this process."""

    def __init__(self, part: Part) -> None:
        self.part = part

    def map(self, function: Callable[..., Made], *arguments: Any) -> InMemory[Made]:
        """One part: what the function makes of this one, at once."""
        return InMemory(function(self.part, *arguments))

    def map_with(
        self, other: Partitions[Any], function: Callable[..., Made], *arguments: Any
    ) -> InMemory[Made]:
        """One part: what the function makes of both, at once."""
        assert isinstance(other, InMemory)
        return InMemory(function(self.part, other.part, *arguments))

    def reduce(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        how: Reduction = "sum",
        what: str = "",
    ) -> Any:
        """What the function makes of the part."""
        return function(self.part, *arguments)


def combine(how: Reduction, a: Any, b: Any) -> Any:
    """Results of two parts as one; None stands for parts without rows."""
    if a is None or b is None:
        return b if a is None else a
    if isinstance(a, tuple):
        each = how if isinstance(how, tuple) else (how,) * len(a)
        return tuple(combine(*three) for three in zip(each, a, b, strict=True))
    assert isinstance(how, str)
    return _OPERATIONS[how](a, b)


def combine_all(how: Reduction, results: Sequence[Any]) -> Any:
    """Results of several parts as one, in their order."""
    return reduce(lambda a, b: combine(how, a, b), results)


def has_no_rows(part: Any) -> bool:
    """Whether a part is empty, so that no function is to see it."""
    return len(getattr(part, "y", (0,))) == 0 and not getattr(part, "may_be_empty", False)
