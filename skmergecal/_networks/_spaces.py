"""Spaces of hidden units: units that may be permuted, flipped or scaled, and arrays they index.

Each axis of a node's value is cut into blocks, and each block belongs to a *space* of units: an
affine layer, an embedding, a convolution or an array begins a new space, element-wise functions
keep it, sums and products of values join two spaces, a concatenation puts blocks side by side. The
units of a space can be permuted if all arrays that they index are permuted in the same way. Within
a space, values that only pass through functions f with f(s x) = s f(x) can also be scaled by s:
s > 0 (ReLU) or s = -1 (tanh). In a product, one factor passes its scale on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import Any

import numpy as np

from skmergecal._networks._axes import Columns, Concat, Einsum, Permute, Reduce, Reshape, Softmax
from skmergecal._networks._layouts import (
    Axis,
    Layout,
    UnitBlock,
    boundaries,
    offsets,
    reshaped,
    width,
)
from skmergecal._networks._network import Network
from skmergecal._networks._nodes import (
    Activation,
    Add,
    AffineLayer,
    Arrays,
    BatchNorm,
    Constant,
    Embedding,
    InputNode,
    LayerNorm,
    LearnedSlope,
    Literal,
    Multiply,
    Node,
)
from skmergecal._networks._units import AxisSlice, ScaleGroup, UnitSpace, UnitValue
from skmergecal._networks._windows import Convolution, WindowPool
from skmergecal.exceptions import IncompatibleEstimatorsError

__all__ = ["find_spaces"]


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


class _CutError(Exception):
    """Units of one axis are in two spaces, or move together: begin again, with what is known."""


@dataclass
class _Parts:
    """How the axes that are made consist of units, by their numbers."""

    cuts: dict[int, set[int]] = field(default_factory=dict)  # first units of more blocks
    inner: dict[int, int] = field(default_factory=dict)  # places of each unit, where more than one


@dataclass
class _Finder:
    """Goes through the nodes once, and finds the layout of every value.

    An affine layer makes a unit u = f(w x + b), and another one takes v u from it. With a scale s,
    (v / s) f(s w x + s b) = v f(w x + b) if f(s x) = s f(x): w and b have power 1, v has power -1.
    """

    network: Network
    arrays: Arrays
    parts: _Parts
    spaces: _Union = field(default_factory=_Union)
    scales: _Union = field(default_factory=_Union)
    slots: list[tuple[int, int, AxisSlice]] = field(default_factory=list)  # space, scale
    inputs: list[tuple[int, UnitValue]] = field(default_factory=list)  # space
    locked: list[int] = field(default_factory=list)  # scales
    uneven: list[int] = field(default_factory=list)  # scales without positive scaling
    oriented: list[int] = field(default_factory=list)  # scales without flips
    fixed: list[int] = field(default_factory=list)  # spaces
    marked: dict[tuple[str, int], tuple[Axis, int]] = field(default_factory=dict)  # array, axis
    layouts: list[Layout] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    made: list[int] = field(default_factory=list)  # places along each axis that was made

    def find(self) -> None:
        # Only the shapes of the values matter; zeros are also valid numbers for an embedding.
        with np.errstate(all="ignore"):
            probe = self.network.values(self.arrays, np.zeros((1, self.network.n_features)))
        self.shapes = [value.shape for value in probe]
        for place, node in enumerate(self.network.nodes):
            self.layouts.append(_layout(node, self, place))
        # The columns of the logits are the classes, in a fixed order.
        self.freeze(*self.layouts[-1])

    def below(self, place: int) -> list[Layout]:
        return [self.layouts[i] for i in self.network.nodes[place].inputs]

    def new(self, size: int) -> tuple[UnitBlock, ...]:
        number = len(self.made)
        self.made.append(size)
        inner = self.parts.inner.get(number, 1)
        starts = sorted({0, *self.parts.cuts.get(number, ())})
        return tuple(
            UnitBlock(self.spaces.new(), self.scales.new(), stop - start, (number, start), inner)
            for start, stop in zip(starts, [*starts[1:], size // inner], strict=True)
        )

    def rescaled(self, axis: Axis) -> Axis:
        if axis is None:
            return None
        return tuple(replace(block, scale=self.scales.new()) for block in axis)

    def freeze(self, *axes: Axis) -> None:
        for axis in axes:
            self.fixed.extend(b.space for b in axis or ())
        self.lock(*axes)

    def lock(self, *axes: Axis) -> None:
        self.locked.extend(b.scale for axis in axes for b in axis or ())

    def orient(self, *axes: Axis) -> None:
        """Rule out flips."""
        self.oriented.extend(b.scale for axis in axes for b in axis or ())

    def is_limited(self, axis: tuple[UnitBlock, ...]) -> bool:
        """Whether some scale here is known to be locked."""
        return any(
            b.scale in self.locked or (b.scale in self.uneven and b.scale in self.oriented)
            for b in axis
        )

    def mark(self, axis: Axis, name: str, along: int, power: int, compared: bool = True) -> None:
        """Note that units index an array. Layers that share an array share its units."""
        first, before = self.marked.setdefault((name, along), (axis, power))
        if first is not axis or before != power:
            # Tied weights may be the input side of one layer and the output side of another. Powers
            # 1 and -1 do not cancel within one array, so these units keep their scale.
            self.join(first, axis)
            self.lock(axis)
        for offset, block in offsets(axis):
            slot = AxisSlice(name, along, offset, block.size, power, compared, block.inner)
            self.slots.append((block.space, block.scale, slot))

    def note_input(self, place: int, axis: int) -> None:
        """Note that the units along an axis of a value are the input of a layer."""
        for offset, b in offsets(self.layouts[place][axis - 1]):
            self.inputs.append((b.space, UnitValue(place, offset, axis, b.inner)))

    def join(self, a: Axis, b: Axis) -> None:
        """Make two axes have the same units, with the same scales."""
        if self.tie(a, b):
            for x, y in zip(a or (), b or (), strict=True):
                self.scales.join(x.scale, y.scale)

    def tie(self, a: Axis, b: Axis) -> bool:
        """Make two axes have the same units; return whether they can."""
        if a is None or b is None:
            self.freeze(a, b)
            return False
        places = boundaries(a) | boundaries(b)
        fits = self.cut(a, places) and self.cut(b, places)
        if not fits or [x.inner for x in a] != [y.inner for y in b]:
            self.freeze(a, b)
            return False
        for x, y in zip(a, b, strict=True):
            self.spaces.join(x.space, y.space)
        return True

    def cut(self, axis: tuple[UnitBlock, ...], places: Collection[int]) -> bool:
        """Whether blocks begin at these places; False if one is inside of a unit."""
        missing = sorted(set(places) - boundaries(axis) - {width(axis)})
        for place in missing:
            offset, block = max(
                ((o, b) for o, b in offsets(axis) if o < place), key=lambda found: found[0]
            )
            if (place - offset) % block.inner:
                return False
            number, start = block.origin
            first = start + (place - offset) // block.inner
            self.parts.cuts.setdefault(number, set()).add(first)
        if missing:
            raise _CutError
        return True

    def gather(self, axis: Axis, together: int) -> None:
        """Let units move so many together, where they cannot move one by one."""
        if axis is None or len(axis) > 1 or axis[0].inner > 1 or together == 1:
            return
        number, _ = axis[0].origin
        cuts = self.parts.cuts.get(number, set())
        if not any(place % together for place in (self.made[number], *cuts)):
            self.parts.inner[number] = together
            self.parts.cuts[number] = {place // together for place in cuts}
            raise _CutError

    def combine(self, place: int, product: bool) -> Layout:
        """Layout of a sum or a product of two values; axes of length 1 are repeated."""
        a, b = self.below(place)
        one, two = (self.shapes[i][1:] for i in self.network.nodes[place].inputs)
        found: list[Axis] = []
        for k in range(-max(len(a), len(b)), 0):
            x, n = (a[k], one[k]) if -k <= len(a) else (None, 1)
            y, m = (b[k], two[k]) if -k <= len(b) else (None, 1)
            found.append(self.pair(x, y, product) if n == m else self.spread(x, y, n, product))
        return tuple(found)

    def spread(self, x: Axis, y: Axis, n: int, product: bool) -> Axis:
        """Units along an axis, where the other value has one number for all."""
        single, whole = (x, y) if n == 1 else (y, x)
        self.freeze(single)
        if not product:
            self.lock(whole)
        return whole

    def pair(self, x: Axis, y: Axis, product: bool) -> Axis:
        """Units along an axis that both values have."""
        if not product:
            self.join(x, y)
            return x
        if not self.tie(x, y) or x is None or y is None:
            return x if y is None else y
        kept, other = (y, x) if self.is_limited(x) else (x, y)
        self.lock(other)
        return kept

    def collect(self) -> Iterator[UnitSpace]:
        fixed = {self.spaces.find(i) for i in self.fixed}
        by_space: dict[int, list[tuple[int, AxisSlice]]] = {}
        for space, scale, slot in self.slots:
            by_space.setdefault(self.spaces.find(space), []).append((self.scales.find(scale), slot))
        for space, found in by_space.items():
            if space not in fixed:
                yield self.space(space, found)

    def space(self, number: int, found: list[tuple[int, AxisSlice]]) -> UnitSpace:
        values = {value for s, value in self.inputs if self.spaces.find(s) == number}
        places = {
            UnitValue(node, offset, axis, block.inner)
            for node, layout in enumerate(self.layouts)
            for axis, blocks in enumerate(layout, 1)
            for offset, block in offsets(blocks)
            if self.spaces.find(block.space) == number
        }
        groups = []
        for scale in dict.fromkeys(scale for scale, _ in found):
            odd, homogeneous = self.symmetries(scale)
            slots = tuple(dict.fromkeys(s for g, s in found if g == scale and s.power))
            if odd or homogeneous:
                groups.append(ScaleGroup(slots, odd, homogeneous))
        # A matrix that is used in both directions has the same part of an axis twice.
        parts = {replace(slot, power=0): slot for _, slot in reversed(found)}
        slots = tuple(dict.fromkeys(parts[replace(slot, power=0)] for _, slot in found))
        size = found[0][1].size
        return UnitSpace(size, slots, tuple(groups), tuple(sorted(values)), tuple(sorted(places)))

    def symmetries(self, scale: int) -> tuple[bool, bool]:
        def among(scales: list[int]) -> bool:
            return any(self.scales.find(i) == scale for i in scales)

        # Joined scales share their limits: one layer that does not allow a scale rules it out.
        free = not among(self.locked)
        return free and not among(self.oriented), free and not among(self.uneven)


@singledispatch
def _layout(node: Node, finder: _Finder, place: int) -> Layout:
    """Layout of a node's value, from the layouts of its inputs."""
    msg = f"alignment of hidden units does not support the layer {type(node).__name__}"
    raise IncompatibleEstimatorsError(msg)


def _register(*kinds: type[Node]) -> Callable[[Any], Any]:
    def registered(function: Any) -> Any:
        for kind in kinds:
            _layout.register(kind, function)
        return function

    return registered


@_register(InputNode, Literal)
def _fixed(node: Node, finder: _Finder, place: int) -> Layout:
    # Features have a meaning of their own: their order and scale are given.
    return (None,) * (len(finder.shapes[place]) - 1)


@_register(Constant)
def _constant(node: Constant, finder: _Finder, place: int) -> Layout:
    found = []
    for along, size in enumerate(finder.shapes[place][1:]):
        axis = finder.new(size) if size > 1 else None
        if axis is not None:
            finder.mark(axis, node.name, along, 1)
            if not np.issubdtype(finder.arrays[node.name].dtype, np.floating):
                finder.freeze(axis)
        found.append(axis)
    return tuple(found)


@_register(AffineLayer)
def _affine(node: AffineLayer, finder: _Finder, place: int) -> Layout:
    (before,) = finder.below(place)
    finder.lock(*before[:-1])
    out = finder.new(finder.shapes[place][-1])
    finder.mark(before[-1], node.weight, 1 - node.out_axis, -1)
    finder.mark(out, node.weight, node.out_axis, 1)
    if node.bias is not None:
        finder.mark(out, node.bias, 0, 1)
    finder.note_input(node.inputs[0], len(before))
    return (*before[:-1], out)


@_register(Convolution)
def _convolution(node: Convolution, finder: _Finder, place: int) -> Layout:
    ((channels, *others),) = finder.below(place)
    finder.freeze(*others)
    if node.apart:
        # Units stay the same, each with a window of its own: as behind a norm, the scale before it
        # is locked, and s (w x + b) = (s w) x + s b begins a new one.
        finder.lock(channels)
        out = finder.rescaled(channels)
    else:
        out = finder.new(finder.shapes[place][1])
        finder.mark(channels, node.weight, 1, -1)
    finder.mark(out, node.weight, 0, 1)
    if node.bias is not None:
        finder.mark(out, node.bias, 0, 1)
    finder.note_input(node.inputs[0], 1)
    return (out, *[None for _ in others])


@_register(WindowPool)
def _pool(node: WindowPool, finder: _Finder, place: int) -> Layout:
    ((channels, *others),) = finder.below(place)
    finder.freeze(*others)
    if node.kind == "max":
        finder.orient(channels)
    return (channels, *[None for _ in others])


@_register(Embedding)
def _embedding(node: Embedding, finder: _Finder, place: int) -> Layout:
    out = finder.new(finder.shapes[place][-1])
    finder.mark(out, node.weight, 1, 1)
    return (*finder.below(place)[0], out)


@_register(BatchNorm, LayerNorm)
def _norm(node: BatchNorm | LayerNorm, finder: _Finder, place: int) -> Layout:
    # LayerNorm's deviation mixes the units, and BatchNorm's variance would need s^2, so the
    # scale before a norm is locked. A gain g and a bias b after it begin a new scale, as
    # s (g x + b) = (s g) x + s b.
    (before,) = finder.below(place)
    finder.lock(*before)
    at = 0 if isinstance(node, BatchNorm) else len(before) - 1
    out = finder.rescaled(before[at])
    if node.weight is None or node.bias is None:
        finder.lock(out)
    for name in (node.weight, node.bias):
        if name is not None:
            finder.mark(out, name, 0, 1)
    if isinstance(node, BatchNorm):
        finder.mark(out, node.mean, 0, 0, False)
        finder.mark(out, node.var, 0, 0, False)
    return (*before[:at], out, *before[at + 1 :])


@_register(Activation)
def _activation(node: Activation, finder: _Finder, place: int) -> Layout:
    (before,) = finder.below(place)
    if not node.shape.homogeneous:
        finder.uneven.extend(b.scale for axis in before for b in axis or ())
    if not node.shape.odd:
        finder.orient(*before)
    return before


@_register(LearnedSlope)
def _learned_slope(node: LearnedSlope, finder: _Finder, place: int) -> Layout:
    (before,) = finder.below(place)
    finder.orient(*before)
    if finder.arrays[node.weight].size > 1:
        finder.mark(before[0], node.weight, 0, 0)
    return before


@_register(Add, Multiply)
def _combined(node: Add | Multiply, finder: _Finder, place: int) -> Layout:
    return finder.combine(place, product=isinstance(node, Multiply))


@_register(Concat)
def _concat(node: Concat, finder: _Finder, place: int) -> Layout:
    parts = finder.below(place)
    along = range(len(parts[0]))[node.axis if node.axis < 0 else node.axis - 1]
    found = list(parts[0])
    for other in parts[1:]:
        for k, axis in enumerate(other):
            if k != along:
                finder.join(found[k], axis)
    blocks: list[UnitBlock] = []
    for i, part in zip(node.inputs, parts, strict=True):
        axis = part[along]
        if axis is None:
            axis = finder.new(finder.shapes[i][along + 1])
            finder.freeze(axis)
        blocks.extend(axis)
    found[along] = tuple(blocks)
    return tuple(found)


@_register(Columns)
def _columns(node: Columns, finder: _Finder, place: int) -> Layout:
    (before,) = finder.below(place)
    at, chosen = node.axis - 1, node.columns
    axis = before[at]
    if isinstance(chosen, int):
        finder.freeze(axis)
        return (*before[:at], *before[at + 1 :])
    found: Axis = None
    if axis is not None:
        run = chosen == tuple(range(chosen[0], chosen[0] + len(chosen)))
        if run and finder.cut(axis, {chosen[0], chosen[-1] + 1}):
            found = tuple(b for o, b in offsets(axis) if chosen[0] <= o <= chosen[-1])
        else:
            finder.freeze(axis)
    return (*before[:at], found, *before[at + 1 :])


@_register(Reshape)
def _reshape(node: Reshape, finder: _Finder, place: int) -> Layout:
    (before,) = finder.below(place)
    shape, source = finder.shapes[place], finder.shapes[node.inputs[0]]
    found, lost = reshaped(before, source[1:], shape[1:])
    for axis, together in lost:
        finder.gather(axis, together)
        finder.freeze(axis)
    return found


@_register(Permute)
def _permute(node: Permute, finder: _Finder, place: int) -> Layout:
    (before,) = finder.below(place)
    return tuple(before[k - 1] for k in node.order[1:])


@_register(Reduce)
def _reduce(node: Reduce, finder: _Finder, place: int) -> Layout:
    (before,) = finder.below(place)
    for k in node.axes:
        finder.lock(before[k - 1])
        finder.note_input(node.inputs[0], k)
    if node.kind == "max":
        finder.orient(*before)
    gone = None if node.keep else ...
    found = [gone if k in node.axes else axis for k, axis in enumerate(before, 1)]
    return tuple(axis for axis in found if axis is not ...)


@_register(Softmax)
def _softmax(node: Softmax, finder: _Finder, place: int) -> Layout:
    (before,) = finder.below(place)
    finder.lock(*before)
    return before


@_register(Einsum)
def _einsum(node: Einsum, finder: _Finder, place: int) -> Layout:
    result = node.terms[2]
    named: dict[str, Axis] = {}
    for term, layout, source in zip(node.terms, finder.below(place), node.inputs, strict=False):
        letters = term.removeprefix(result[0])
        for k, (letter, axis) in enumerate(zip(letters, layout, strict=True), 1):
            if letter in named:
                named[letter] = finder.pair(named[letter], axis, product=True)
            else:
                named[letter] = axis
            if letter not in result:
                finder.lock(axis, named[letter])
                finder.note_input(source, k)
    return tuple(named[letter] for letter in result[1:])


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
    parts = _Parts()
    while True:
        finder = _Finder(network, arrays, parts)
        try:
            finder.find()
        except _CutError:  # at most one for each unit, and one for each axis
            continue
        return list(finder.collect())
