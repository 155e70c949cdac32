"""Spaces of hidden units: the parts of arrays and values that belong to the same units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skmergecal._networks._nodes import Arrays
from skmergecal._typing import Array

__all__ = ["AxisSlice", "ScaleGroup", "UnitSpace", "UnitValue"]


@dataclass(frozen=True)
class AxisSlice:
    """Part of an array's axis that the units of a space index.

    Attributes
    ----------
    name : str
    axis : int
    offset : int
    size : int
        Number of units.
    power : int
        1: the numbers are multiplied by a unit's scale; -1: divided; 0: unchanged.
    compared : bool
        Whether units are matched by these numbers (not so for stored variances).
    inner : int
        Places along the axis that each unit has, one after the other.
    """

    name: str
    axis: int
    offset: int
    size: int
    power: int = 0
    compared: bool = True
    inner: int = 1

    def view(self, arrays: Arrays) -> Array:
        """The numbers, units first; a view that can be written to."""
        moved = np.moveaxis(arrays[self.name], self.axis, 0)
        part = moved[self.offset : self.offset + self.size * self.inner]
        if self.inner == 1:
            return part
        return part.reshape(self.size, self.inner, *part.shape[1:])  # splits an axis: still a view

    def table(self, arrays: Arrays) -> Array:
        """The numbers as a matrix, one row per unit."""
        return self.view(arrays).reshape(self.size, -1)


class UnitValue(NamedTuple):
    """Where the value of a node has the units of a space.

    Attributes
    ----------
    node : int
    offset : int
        Of the first unit along the axis.
    axis : int
        Counted from the rows.
    inner : int
        As in `AxisSlice`.
    """

    node: int
    offset: int
    axis: int = 1
    inner: int = 1

    def units(self, value: Array, size: int) -> Array:
        """The part of the node's value, with the units along the last axis; a view."""
        if self.inner == 1 and self.axis == value.ndim - 1:
            return value[..., self.offset : self.offset + size]
        moved = np.moveaxis(value, self.axis, -1)
        part = moved[..., self.offset : self.offset + size * self.inner]
        return part.reshape(*part.shape[:-1], size, self.inner).swapaxes(-1, -2)


@dataclass(frozen=True)
class ScaleGroup:
    """Slots whose units can be scaled (or flipped) together.

    Attributes
    ----------
    slots : tuple of AxisSlice
        Those of power 1 and -1.
    odd, homogeneous : bool
        Whether a flip, and whether any positive scale, leaves the network's function unchanged.
    """

    slots: tuple[AxisSlice, ...]
    odd: bool
    homogeneous: bool


@dataclass(frozen=True)
class UnitSpace:
    """Units that can be permuted.

    Attributes
    ----------
    size : int
    slots : tuple of AxisSlice
        All parts of arrays that the units index.
    groups : tuple of ScaleGroup
    values : tuple of UnitValue
        Blocks of the space that layers take as input.
    places : tuple of UnitValue
        Its blocks in the values of all nodes.
    """

    size: int
    slots: tuple[AxisSlice, ...]
    groups: tuple[ScaleGroup, ...] = ()
    values: tuple[UnitValue, ...] = ()
    places: tuple[UnitValue, ...] = ()
