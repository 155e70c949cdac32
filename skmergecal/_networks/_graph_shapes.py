"""Functions and methods of torch that change the shape of values, as nodes of a network."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch

from skmergecal._networks._axes import Columns, Concat, Permute
from skmergecal._networks._graph import GraphReader, Place, operation
from skmergecal._networks._graph_layers import flattened
from skmergecal._networks._nodes import InputNode

__all__ = ["transposed"]


@operation(getattr)
def _getattr(r: GraphReader, input: Place, name: str) -> Any:
    if name == "shape":
        return r.shape(input)
    if name == "ndim":
        return r.rank(input)
    if name in ("dtype", "device"):
        return None
    if name in ("T", "mT"):
        return transposed(r, input, -2, -1)
    return r.fail(f"the attribute {name!r} of a tensor")


@operation("size")
def _size(r: GraphReader, input: Place, dim: int | None = None) -> Any:
    return r.shape(input) if dim is None else r.shape(input)[dim]


@operation("dim", "ndimension")
def _dim(r: GraphReader, input: Place) -> int:
    return r.rank(input)


@operation(len)
def _len(r: GraphReader, input: Place) -> int:
    return r.shape(input)[0]


@operation("long", "int", "float", "double", "contiguous", "to", "type_as", "detach")
def _same(r: GraphReader, input: Place, *how: Any, **named: Any) -> Place:
    return input


@operation("clone", torch.clone)
def _clone(r: GraphReader, input: Place, **named: Any) -> Place:
    return r.activation(input, "identity")


@operation("flatten", torch.flatten)
def _flatten(r: GraphReader, input: Place, start_dim: int = 0, end_dim: int = -1) -> Place:
    return flattened(r, input, start_dim, end_dim)


@operation("view", "reshape", torch.reshape)
def _reshape(r: GraphReader, input: Place, *shape: Any) -> Any:
    if len(shape) == 1 and isinstance(shape[0], list | tuple):
        shape = tuple(shape[0])
    sizes = [int(n) for n in shape]
    whole = r.shape(input)
    if -1 in sizes:
        left = int(np.prod([n for n in sizes if n != -1]))
        sizes[sizes.index(-1)] = int(np.prod(whole)) // left
    if input in r.constant:
        return r.reshaped(input, tuple(sizes))
    if sizes[:1] != [whole[0]]:
        return r.fail(f"the change of shape {r.name!r} across rows")
    if len(sizes) == 2:
        return input if len(whole) == 2 else r.reshaped(input, (-1,))
    return r.reshaped(input, tuple(sizes[1:]))


@operation("unflatten", torch.unflatten)
def _unflatten(r: GraphReader, input: Place, dim: int, sizes: Any) -> Any:
    whole = list(r.shape(input))
    dim = dim % len(whole)
    return _reshape(r, input, *whole[:dim], *sizes, *whole[dim + 1 :])


@operation("unsqueeze", torch.unsqueeze)
def _unsqueeze(r: GraphReader, input: Place, dim: int) -> Place:
    dim = dim + r.rank(input) + 1 if dim < 0 else dim
    shape = list(r.shape(input))
    if dim == 0 and input not in r.constant:
        r.fail(f"the operation {r.name!r} across rows")
    shape.insert(dim, 1)
    return r.reshaped(input, tuple(shape if input in r.constant else shape[1:]))


@operation("squeeze", torch.squeeze)
def _squeeze(r: GraphReader, input: Place, dim: Any = None) -> Place:
    shape = r.shape(input)
    at = range(len(shape)) if dim is None else [dim % len(shape)]
    kept = [n for i, n in enumerate(shape) if i not in at or n != 1]
    return r.reshaped(input, tuple(kept if input in r.constant else kept[1:]))


@operation("transpose", torch.transpose, "swapaxes", torch.swapaxes)
def transposed(r: GraphReader, input: Place, dim0: int, dim1: int) -> Place:
    """With two axes exchanged."""
    a, b = r.axis(input, dim0), r.axis(input, dim1)
    order = list(range(r.probe[input].ndim))
    order[a], order[b] = b, a
    return r.on(input, Permute((input,), tuple(order)))


@operation("t", torch.t)
def _t(r: GraphReader, input: Place) -> Place:
    return transposed(r, input, 0, 1)


@operation("permute", torch.permute)
def _permute(r: GraphReader, input: Place, *dims: Any) -> Place:
    if len(dims) == 1 and isinstance(dims[0], list | tuple):
        dims = tuple(dims[0])
    if input not in r.constant and dims[0] != 0:
        r.fail(f"the operation {r.name!r} across rows")
    order = [0] if input in r.constant else []
    order += [0 if d == 0 and not order else r.axis(input, d) for d in dims]
    return r.on(input, Permute((input,), tuple(order)))


@operation("expand", "expand_as", "repeat")
def _expand(r: GraphReader, input: Place, *sizes: Any) -> Any:
    if len(sizes) == 1 and isinstance(sizes[0], list | tuple):
        sizes = tuple(sizes[0])
    whole = r.shape(input)
    n_rows = len(r.probe[0])
    same = len(sizes) == len(whole) and all(
        s in (-1, n) for s, n in zip(sizes[1:], whole[1:], strict=True)
    )
    if r.name == "expand" and same and input in r.constant and whole[0] == 1 and sizes[0] == n_rows:
        return r.with_rows(input)
    return r.fail(f"the operation {r.name!r}, which repeats values")


@operation(torch.cat, torch.concat, torch.concatenate)
def _concat(r: GraphReader, tensors: Any, dim: int = 0) -> Any:
    places = [r.place(t) for t in tensors]
    if all(p in r.constant for p in places):
        return r.add(Concat(tuple(places), r.axis(places[0], dim)), constant=True)
    data = next(p for p in places if p not in r.constant)
    axis = r.axis(data, dim)
    last = axis == r.probe[data].ndim - 1
    return r.add(Concat(tuple(r.with_rows(p) for p in places), -1 if last else axis))


@operation(torch.stack)
def _stack(r: GraphReader, tensors: Any, dim: int = 0) -> Any:
    dim = dim + r.rank(r.place(tensors[0])) + 1 if dim < 0 else dim
    return _concat(r, [_unsqueeze(r, r.place(t), dim) for t in tensors], dim)


@operation(torch.chunk, "chunk")
def _chunk(r: GraphReader, input: Place, chunks: int, dim: int = 0) -> Any:
    return _split(r, input, -(-r.shape(input)[dim] // chunks), dim)


@operation(torch.split, "split")
def _split(r: GraphReader, input: Place, split_size: Any, dim: int = 0) -> Any:
    axis = r.axis(input, dim)
    n = r.probe[input].shape[axis]
    sizes = split_size
    if isinstance(sizes, int):
        sizes = [min(sizes, n - start) for start in range(0, n, sizes)]
    ends = np.cumsum(sizes).tolist()
    return tuple(
        _cut(r, input, axis, tuple(range(stop - size, stop)))
        for stop, size in zip(ends, sizes, strict=True)
    )


@operation(torch.unbind, "unbind")
def _unbind(r: GraphReader, input: Place, dim: int = 0) -> Any:
    axis = r.axis(input, dim)
    return tuple(_cut(r, input, axis, i) for i in range(r.probe[input].shape[axis]))


@operation(operator.getitem)
def _getitem(r: GraphReader, input: Any, index: Any) -> Any:
    if not isinstance(input, Place):  # one of several results
        return input[index]
    entries = list(index) if isinstance(index, tuple) else [index]
    rank = r.rank(input)
    if Ellipsis in entries:
        at = entries.index(Ellipsis)
        n_given = sum(e is not None for e in entries) - 1
        entries[at : at + 1] = [slice(None)] * (rank - n_given)
    if input not in r.constant and (not entries or entries[0] != slice(None)):
        return r.fail(f"the rows {r.name!r} of a value")
    axis = 0 if input not in r.constant else 1
    place = input
    for entry in entries:
        if entry is None:
            shape = list(r.probe[place].shape[1:])
            shape.insert(axis - 1, 1)
            place = r.reshaped(place, tuple(shape))
        elif not (isinstance(entry, slice) and entry == slice(None)):
            place = _chosen(r, place, axis, entry)
            axis -= isinstance(entry, int)
        axis += 1
    return place


def _chosen(r: GraphReader, place: Place, axis: int, entry: Any) -> Place:
    """The columns that an index takes along an axis."""
    if isinstance(entry, torch.Tensor):
        entry = entry.tolist()
    try:
        chosen = np.arange(r.probe[place].shape[axis])[entry]
        if chosen.ndim > 1:
            raise IndexError
    except (IndexError, TypeError, ValueError):
        return r.fail(f"the columns {r.current.name!r} of a value")
    columns = int(chosen) if np.ndim(chosen) == 0 else tuple(int(c) for c in chosen)
    return _cut(r, place, axis, columns)


def _cut(r: GraphReader, place: Place, axis: int, columns: Any) -> Place:
    before = r.nodes[place]
    if isinstance(before, Columns) and isinstance(before.columns, tuple) and before.axis == axis:
        there = before.columns
        if isinstance(r.nodes[before.inputs[0]], InputNode):
            one = isinstance(columns, int)
            columns = there[columns] if one else tuple(there[c] for c in columns)
            place = Place(before.inputs[0])
    return r.on(place, Columns((place,), columns, axis))


@operation(torch.index_select, "index_select")
def _index_select(r: GraphReader, input: Place, dim: int, index: Any) -> Place:
    return _chosen(r, input, r.axis(input, dim), index)
