"""Spaces of hidden units: units that may be permuted, flipped or scaled, and arrays they index.

The value of a node is cut into blocks, and each block belongs to a *space* of units: an affine
layer or an embedding begins a new space, element-wise layers keep it, a sum joins two spaces, a
concatenation puts blocks side by side. The units of a space can be permuted if all arrays that they
index are permuted in the same way. Within a space, values that only pass through functions f with
f(s x) = s f(x) can also be scaled by s: s > 0 (ReLU) or s = -1 (tanh).
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
    """Part of an array's axis that the units of a space index.

    Attributes
    ----------
    name : str
    axis : int
    offset : int
    size : int
    power : int
        1: the numbers are multiplied by a unit's scale; -1: divided; 0: unchanged.
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
        """The numbers as a matrix, one row per unit."""
        return self.view(arrays).reshape(self.size, -1)


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
    values : tuple of (int, int)
        Node and offset of each block of the space that an affine layer takes as input.
    """

    size: int
    slots: tuple[AxisSlice, ...]
    groups: tuple[ScaleGroup, ...] = ()
    values: tuple[tuple[int, int], ...] = ()


class _Union:
    """Disjoint sets of numbers that can be joined (union-find)."""

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
        # A parent is never larger than its child, so that `find` ends.
        low, high = sorted((self.find(i), self.find(j)))
        self.parent[high] = low


@dataclass(frozen=True)
class _Block:
    """Part of a value: the space and the scale of its units."""

    space: int
    scale: int
    size: int


_Layout = tuple[_Block, ...]


@dataclass
class _Finder:
    """Goes through the nodes once, and finds the layout of every value.

    An affine layer makes a unit u = f(w x + b), and another one takes v u from it. With a scale s,
    (v / s) f(s w x + s b) = v f(w x + b) if f(s x) = s f(x): w and b have power 1, v has power -1.
    """

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
        # Only the shapes of the values matter; zeros are also valid numbers for an embedding.
        probe = self.network.values(self.arrays, np.zeros((1, self.network.n_features)))
        layouts: list[_Layout] = []
        for node, value in zip(self.network.nodes, probe, strict=True):
            before = [layouts[i] for i in node.inputs]
            layouts.append(self.layout(node, before, value.shape))
        # The columns of the logits are the classes, in a fixed order.
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
        """Note that units index an axis. Layers that share an array share its units."""
        first = self.marked.setdefault((name, axis), layout)
        if first is not layout:
            # Tied weights may be the input side of one layer and the output side of another. Powers
            # 1 and -1 do not cancel within one array, so these units keep their scale.
            self.join(first, layout)
            self.lock(layout)
        for offset, block in _offsets(layout):
            slot = AxisSlice(name, axis, offset, block.size, power, compared)
            self.slots.append((block.space, block.scale, slot))

    def layout(self, node: Node, before: list[_Layout], shape: tuple[int, ...]) -> _Layout:
        """Layout of a node's value, from the layouts of its inputs."""
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
            # The same units once per embedded column: one space at several offsets.
            return before[0] * (shape[-1] // sum(b.size for b in before[0]))
        if isinstance(node, Input | Columns):
            # Features have a meaning of their own: their order and scale are given.
            out = self.new(shape[-1])
            self.freeze(out)
            return out
        msg = f"alignment of hidden units does not support the layer {type(node).__name__}"
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
        # LayerNorm's deviation mixes the units, and BatchNorm's variance would need s^2, so the
        # scale before a norm is locked. A gain g and a bias b after it begin a new scale, as
        # s (g x + b) = (s g) x + s b.
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
            # Blocks that overlap only in part have no permutation in common.
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

        # Joined scales share their limits: one layer that does not allow a scale rules it out.
        free = not among(self.locked)
        return free and not among(self.oriented), free and not among(self.uneven)


def _offsets(layout: _Layout) -> Iterator[tuple[int, _Block]]:
    offset = 0
    for block in layout:
        yield offset, block
        offset += block.size


def find_spaces(network: Network, arrays: Arrays) -> list[UnitSpace]:
    """Find the spaces of permutable units, in the order in which layers first use them.

    Parameters
    ----------
    network : Network
    arrays : dict of str to ndarray
        Of any member: only the shapes matter.

    Returns
    -------
    list of UnitSpace
    """
    finder = _Finder(network, arrays)
    finder.run()
    return list(finder.collect())
