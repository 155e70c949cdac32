"""Layouts of values: which units each axis of a value has, and what changes of shape do to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

__all__ = ["Axis", "Layout", "UnitBlock", "boundaries", "offsets", "reshaped", "width"]


@dataclass(frozen=True)
class UnitBlock:
    """Units of one space that are next to each other along an axis.

    Attributes
    ----------
    space, scale : int
        The space that they belong to, and the scale that they have.
    size : int
        Number of units.
    origin : tuple of int
        The axis that was made first with these units, and the number of the first unit in it.
    inner : int
        Places along the axis that each unit has.
    """

    space: int
    scale: int
    size: int
    origin: tuple[int, int]
    inner: int = 1


#: The blocks along an axis; None: places in a fixed order, such as features, classes and positions.
Axis = tuple[UnitBlock, ...] | None
#: One for each axis of a value after that of the rows.
Layout = tuple[Axis, ...]


def offsets(axis: Axis) -> Iterator[tuple[int, UnitBlock]]:
    """The blocks of an axis, each with its first place."""
    offset = 0
    for block in axis or ():
        yield offset, block
        offset += block.size * block.inner


def width(axis: tuple[UnitBlock, ...]) -> int:
    """Places along an axis."""
    return sum(b.size * b.inner for b in axis)


def boundaries(axis: tuple[UnitBlock, ...]) -> set[int]:
    """Places at which blocks begin."""
    return {offset for offset, _ in offsets(axis)}


def reshaped(
    layout: Layout, before: Sequence[int], after: Sequence[int]
) -> tuple[Layout, list[tuple[Axis, int]]]:
    """The layout of a value in another shape, and axes whose units have to keep their places.

    Each of these comes with the number of places that stay next to each other, such as those of a
    head where an axis is split into heads: so many can move together.

    Parameters
    ----------
    layout : Layout
    before, after : sequence of int
        Lengths of the axes.
    """
    new: list[Axis] = [None] * len(after)
    lost: list[tuple[Axis, int]] = []
    for inside, outside in _groups(before, after):
        filled = [i for i in inside if layout[i] is not None]
        found = None
        if len(filled) == 1:
            found = _moved(layout, before, after, inside, outside, filled[0])
        if found is None:
            lengths = [after[j] for j in outside if after[j] > 1]
            together = prod(lengths[1:]) if len(inside) == 1 else 1
            lost.extend((layout[i], together) for i in filled)
        else:
            new[found[0]] = found[1]
    return tuple(new), lost


def _groups(before: Sequence[int], after: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    """The smallest runs of axes, before and after, that hold the same numbers."""
    i = j = 0
    while i < len(before) or j < len(after):
        inside, outside = [*range(i, min(i + 1, len(before)))], [*range(j, min(j + 1, len(after)))]
        i, j = i + len(inside), j + len(outside)
        while True:
            a, b = (prod(n[k] for k in run) for n, run in ((before, inside), (after, outside)))
            if a == b:
                break
            if a < b:
                inside.append(i)
                i += 1
            else:
                outside.append(j)
                j += 1
        yield inside, outside


def _moved(
    layout: Layout,
    before: Sequence[int],
    after: Sequence[int],
    inside: list[int],
    outside: list[int],
    unit: int,
) -> tuple[int, Axis] | None:
    """Where the units of one axis are afterwards; None if they are not along one axis."""
    axis = layout[unit]
    assert axis is not None
    first = prod(before[i] for i in inside if i < unit)
    last = prod(before[i] for i in inside if i > unit)
    wide = tuple(replace(block, inner=block.inner * last) for block in axis) * first
    for k in outside:
        # The same units once per place of the axes in front, each with the places of those behind.
        times = prod(after[j] for j in outside if j < k)
        inner = prod(after[j] for j in outside if j > k)
        n = len(wide) // times
        same = wide == wide[:n] * times and not any(b.inner % inner for b in wide)
        if same and sum(b.size * b.inner for b in wide[:n]) == after[k] * inner:
            return k, tuple(replace(b, inner=b.inner // inner) for b in wide[:n])
    return None
