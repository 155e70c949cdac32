"""The columns of a common front: numbers, categories with all their known values, and flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from skmergecal.parameters.fronts._column_uses import is_missing
from skmergecal.parameters.fronts._rows import as_objects

__all__ = [
    "UNKNOWN",
    "Categories",
    "Flags",
    "Numbers",
    "key_of",
    "new_text",
    "sorted_levels",
    "unknown_value",
]


def key_of(value: Any) -> Any:
    """A value as a key: NaN is one key, whatever object it is."""
    return ("missing", type(value).__name__) if is_missing(value) else value


class _Unknown:
    def __repr__(self) -> str:
        return "a category that no member knows"


#: Stands for any category that no member knows.
UNKNOWN = _Unknown()


@dataclass(frozen=True)
class Numbers:
    """A column of numbers.

    Attributes
    ----------
    column : int
    centre, scale : float
        Of the values of the front, (x - centre) / scale; so they are of order 1 for all members.
    missing : bool
        Whether all members take NaN.
    closed : bool
        Whether the steps of some member raise an error for NaN.
    """

    column: int
    centre: float = 0.0
    scale: float = 1.0
    missing: bool = False
    closed: bool = False

    @property
    def base(self) -> Any:
        """The value that the values of the front are 0 for."""
        return self.centre

    def values(self, given: Sequence[Any]) -> np.ndarray:
        """Values as an array for rows."""
        return np.array(given, dtype=np.float64)


@dataclass(frozen=True)
class Categories:
    """A column of categories.

    Attributes
    ----------
    column : int
    levels : tuple of object
        All values that some member treats in a way of their own; missing ones last.
    numeric : bool
        Whether all are numbers.
    boxed : bool
        Whether an encoder of some member knows them as Python objects.
    strict : bool
        Whether members refuse all other values.
    filled : bool
        Whether all members treat None, NaN and pd.NA as one; then pd.NA stands for these.
    exact : str
        The type of whole numbers above 2**53, which float64 would run together; "" if none are.
    """

    column: int
    levels: tuple[Any, ...]
    numeric: bool
    boxed: bool = False
    strict: bool = False
    filled: bool = False
    exact: str = ""

    @property
    def base(self) -> Any:
        """The value that the values of the front are 0 for."""
        return self.levels[0] if self.strict else UNKNOWN

    def values(self, given: Sequence[Any]) -> np.ndarray:
        """Values as an array for rows of members."""
        other = unknown_value(self.levels, numeric=self.numeric)
        found = [other if value is UNKNOWN else value for value in given]
        whole = not self.numeric or self.boxed or bool(self.exact)
        return as_objects(found) if whole else np.array(found, dtype=np.float64)


@dataclass(frozen=True)
class Flags(Categories):
    """A column of which members use only whether it is missing, be it of numbers or of text.

    The levels are what counts as missing; ``filled`` if None counts as NaN.
    """

    def values(self, given: Sequence[Any]) -> np.ndarray:
        """Values as an array for rows of members."""
        other = unknown_value(self.levels, numeric=self.numeric)
        found = [other if value is UNKNOWN else value for value in given]
        figures = all(isinstance(value, Real) for value in (other, *self.levels))
        return np.array(found, dtype=np.float64) if figures else as_objects(found)


def unknown_value(levels: Sequence[Any], *, numeric: bool) -> Any:
    """A value that is none of these."""
    if numeric:
        return max((abs(float(v)) for v in levels if not is_missing(v)), default=0.0) * 2 + 1.5
    return new_text("unknown", levels)


def new_text(text: str, levels: Sequence[Any]) -> str:
    """A text that is none of these values."""
    while text in [v for v in levels if isinstance(v, str)]:
        text += "_"
    return text


def sorted_levels(levels: Sequence[Any]) -> tuple[Any, ...]:
    """Values in one order, whatever order they come in; None, pd.NA and NaN last."""
    present = [v for v in levels if not is_missing(v)]
    try:
        present = sorted(present)
    except TypeError:
        present = sorted(present, key=lambda v: (type(v).__name__, str(v)))
    order = {"NoneType": 0, "NAType": 1}
    missing = [v for v in levels if is_missing(v)]
    return (*present, *sorted(missing, key=lambda v: order.get(type(v).__name__, 2)))
