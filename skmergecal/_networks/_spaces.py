"""Which hidden units of a network may be permuted, flipped or scaled, and where they stand.

Values of nodes are cut into blocks, and each block belongs to a *space* of units: an affine layer
or an embedding opens a new space, element-wise layers keep it, a sum makes two spaces one, a
concatenation puts blocks side by side. The units of a space can be permuted if all arrays that they
index are permuted alike. Within a space, values that only pass through functions f with
f(s x) = s f(x) can be scaled by s, too: s > 0 (ReLU) or s = -1 (tanh).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from skmergecal._networks._network import Network
from skmergecal._networks._nodes import (
    Activation,
    Add,
    AffineLayer,
    Arrays,
    BatchNorm,
    Columns,
    Concat,
    Embedding,
    Flatten,
    Input,
    LayerNorm,
    Node,
)
from skmergecal._typing import Array
from skmergecal.exceptions import IncompatibleEstimatorsError

__all__ = ["AxisSlice", "ScaleGroup", "UnitSpace", "find_spaces"]


@dataclass(frozen=True)
class AxisSlice:
    """A stretch of an array's axis along which the units of a space run.

    Attributes
    ----------
    name : str
    axis : int
    offset : int
    size : int
    power : int
        1: the numbers are multiplied by a unit's scale; -1: divided; 0: neither.
    compared : bool
        Whether units are matched by these numbers (not so for stored variances).
    """

    name: str
    axis: int
    offset: int
    size: int
    power: int = 0
    compared: bool = True

    def view(self, arrays: Arrays) -> Array:
        """The numbers, units first; a view that can be written to."""
        moved = np.moveaxis(arrays[self.name], self.axis, 0)
        return moved[self.offset : self.offset + self.size]

    def table(self, arrays: Arrays) -> Array:
        """The numbers of each unit in a row."""
        return self.view(arrays).reshape(self.size, -1)


@dataclass(frozen=True)
class ScaleGroup:
    """Slots whose units can be scaled (or flipped) together.

    Attributes
    ----------
    slots : tuple of AxisSlice
        Those of power 1 and -1.
    odd, homogeneous : bool
        Whether -1, and whether any positive scale, changes nothing.
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
        Everything that the units index.
    groups : tuple of ScaleGroup
    values : tuple of (int, int)
        Node and offset of the blocks of values that layers outside of the space take in.
    """

    size: int
    slots: tuple[AxisSlice, ...]
    groups: tuple[ScaleGroup, ...] = ()
    values: tuple[tuple[int, int], ...] = ()


class _Union:
    """Sets that are joined, known by number."""

    def __init__(self) -> None:
        self.parent: list[int] = []

    def new(self) -> int:
        self.parent.append(len(self.parent))
        return len(self.parent) - 1

    def find(self, i: int) -> int:
        while self.parent[i] != i:
            i = self.parent[i]
        return i

    def join(self, i: int, j: int) -> None:
        low, high = sorted((self.find(i), self.find(j)))
        self.parent[high] = low


@dataclass(frozen=True)
class _Block:
    """A stretch of a value: the space and the scale of its units."""

    space: int
    scale: int
    size: int


_Layout = tuple[_Block, ...]


@dataclass
class _Finder:
    """Goes through the nodes once, with the layout of every value."""

    network: Network
    arrays: Arrays
    spaces: _Union = field(default_factory=_Union)
    scales: _Union = field(default_factory=_Union)
    slots: list[tuple[int, int, AxisSlice]] = field(default_factory=list)  # space, scale
    inputs: list[tuple[int, int, int]] = field(default_factory=list)  # space, node, offset
    locked: list[int] = field(default_factory=list)  # scales
    uneven: list[int] = field(default_factory=list)  # scales without positive scaling
    oriented: list[int] = field(default_factory=list)  # scales without flips
    fixed: list[int] = field(default_factory=list)  # spaces
    marked: dict[tuple[str, int], _Layout] = field(default_factory=dict)  # array, axis

    def run(self) -> None:
        probe = self.network.values(self.arrays, np.zeros((1, self.network.n_features)))
        layouts: list[_Layout] = []
        for node, value in zip(self.network.nodes, probe, strict=True):
            before = [layouts[i] for i in node.inputs]
            layouts.append(self.layout(node, before, value.shape))
        self.freeze(layouts[-1])

    def new(self, size: int) -> _Layout:
        return (_Block(self.spaces.new(), self.scales.new(), size),)

    def rescaled(self, layout: _Layout) -> _Layout:
        return tuple(_Block(b.space, self.scales.new(), b.size) for b in layout)

    def freeze(self, layout: _Layout) -> None:
        self.fixed.extend(b.space for b in layout)
        self.lock(layout)

    def lock(self, layout: _Layout) -> None:
        self.locked.extend(b.scale for b in layout)

    def mark(self, layout: _Layout, name: str, axis: int, power: int, compared: bool) -> None:
        """Units run along an axis. Where several layers use it, their units are the same ones."""
        first = self.marked.setdefault((name, axis), layout)
        if first is not layout:
            self.join(first, layout)
            self.lock(layout)  # and keep their scale
        for offset, block in _offsets(layout):
            slot = AxisSlice(name, axis, offset, block.size, power, compared)
            self.slots.append((block.space, block.scale, slot))

    def layout(self, node: Node, before: list[_Layout], shape: tuple[int, ...]) -> _Layout:
        """The layout of a node's value, from those of its inputs."""
        if isinstance(node, AffineLayer):
            return self.affine(node, before[0], shape[-1])
        if isinstance(node, Embedding):
            out = self.new(shape[-1])
            self.mark(out, node.weight, 1, 1, True)
            return out
        if isinstance(node, BatchNorm | LayerNorm):
            return self.norm(node, before[0])
        if isinstance(node, Activation):
            scales = [b.scale for b in before[0]]
            self.uneven.extend([] if node.shape.homogeneous else scales)
            self.oriented.extend([] if node.shape.odd else scales)
            return before[0]
        if isinstance(node, Add):
            return self.sum(*before)
        if isinstance(node, Concat):
            return tuple(block for layout in before for block in layout)
        if isinstance(node, Flatten):
            return before[0] * (shape[-1] // sum(b.size for b in before[0]))
        if isinstance(node, Input | Columns):
            out = self.new(shape[-1])
            self.freeze(out)
            return out
        msg = f"{type(node).__name__} is not known to the alignment of hidden units"
        raise IncompatibleEstimatorsError(msg)

    def affine(self, node: AffineLayer, before: _Layout, width: int) -> _Layout:
        out = self.new(width)
        self.mark(before, node.weight, 1 - node.out_axis, -1, True)
        self.mark(out, node.weight, node.out_axis, 1, True)
        if node.bias is not None:
            self.mark(out, node.bias, 0, 1, True)
        source = node.inputs[0]
        self.inputs.extend((b.space, source, offset) for offset, b in _offsets(before))
        return out

    def norm(self, node: BatchNorm | LayerNorm, before: _Layout) -> _Layout:
        self.lock(before)
        out = self.rescaled(before)
        self.mark_gain(node, out)
        if isinstance(node, BatchNorm):
            self.mark(out, node.mean, 0, 0, False)
            self.mark(out, node.var, 0, 0, False)
        return out

    def mark_gain(self, node: BatchNorm | LayerNorm, out: _Layout) -> None:
        if node.weight is None or node.bias is None:
            self.lock(out)
        for name in (node.weight, node.bias):
            if name is not None:
                self.mark(out, name, 0, 1, True)

    def sum(self, a: _Layout, b: _Layout) -> _Layout:
        self.join(a, b)
        return a

    def join(self, a: _Layout, b: _Layout) -> None:
        if [x.size for x in a] != [x.size for x in b]:
            self.freeze(a)
            self.freeze(b)
            return
        for x, y in zip(a, b, strict=True):
            self.spaces.join(x.space, y.space)
            self.scales.join(x.scale, y.scale)

    def collect(self) -> Iterator[UnitSpace]:
        fixed = {self.spaces.find(i) for i in self.fixed}
        by_space: dict[int, list[tuple[int, AxisSlice]]] = {}
        for space, scale, slot in self.slots:
            by_space.setdefault(self.spaces.find(space), []).append((self.scales.find(scale), slot))
        for space, found in by_space.items():
            if space not in fixed:
                yield self.space(space, found)

    def space(self, number: int, found: list[tuple[int, AxisSlice]]) -> UnitSpace:
        values = {
            (node, offset) for s, node, offset in self.inputs if self.spaces.find(s) == number
        }
        groups = []
        for scale in dict.fromkeys(scale for scale, _ in found):
            odd, homogeneous = self.symmetries(scale)
            slots = tuple(dict.fromkeys(s for g, s in found if g == scale and s.power))
            if odd or homogeneous:
                groups.append(ScaleGroup(slots, odd, homogeneous))
        slots = tuple(dict.fromkeys(slot for _, slot in found))
        return UnitSpace(found[0][1].size, slots, tuple(groups), tuple(sorted(values)))

    def symmetries(self, scale: int) -> tuple[bool, bool]:
        def among(scales: list[int]) -> bool:
            return any(self.scales.find(i) == scale for i in scales)

        free = not among(self.locked)
        return free and not among(self.oriented), free and not among(self.uneven)


def _offsets(layout: _Layout) -> Iterator[tuple[int, _Block]]:
    offset = 0
    for block in layout:
        yield offset, block
        offset += block.size


def find_spaces(network: Network, arrays: Arrays) -> list[UnitSpace]:
    """The spaces of permutable units, in the order in which they begin.

    Parameters
    ----------
    network : Network
    arrays : dict of str to ndarray
        Of any member: only the shapes count.

    Returns
    -------
    list of Space
    """
    finder = _Finder(network, arrays)
    finder.run()
    return list(finder.collect())
