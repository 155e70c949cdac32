"""Layers of a network as operations on arrays: values, and gradients of a loss.

A value has shape (n_rows, width), or more axes after an embedding of several columns or a
convolution. The arrays of a layer are looked up by name, so that one description is valid for all
members of the same architecture. Operations on axes are in `_axes`, convolutions in `_windows`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from skmergecal._networks._activations import ACTIVATIONS, ActivationFunction
from skmergecal._typing import Array

__all__ = [
    "Activation",
    "Add",
    "AffineLayer",
    "Arrays",
    "BatchNorm",
    "Constant",
    "Embedding",
    "Gradients",
    "InputNode",
    "LayerNorm",
    "LearnedSlope",
    "Literal",
    "Multiply",
    "Node",
    "as_rows",
    "sum_product",
    "summed_to",
]

Arrays = Mapping[str, Array]
Gradients = dict[str, Array]


@dataclass(frozen=True)
class Node(ABC):
    """One operation; ``inputs`` are the places of the nodes whose values it uses."""

    inputs: tuple[int, ...]

    @abstractmethod
    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """The node's value, from the values of its inputs."""

    @abstractmethod
    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Gradients for the inputs (None: not needed) and for the arrays."""


def sum_product(axis: int, a: Array, b: Array | None = None) -> Array:
    """Sum of a, or of a * b, along an axis, which stays with length 1.

    On short axes this takes a fifth of the time of `numpy.sum`.
    """
    a = np.moveaxis(a, axis, -1)
    if b is None:
        found: Array = np.einsum("...i->...", a)
    else:
        found = np.einsum("...i,...i->...", a, np.moveaxis(b, axis, -1))
    return np.expand_dims(found, axis)


def as_rows(value: Array) -> Array:
    """A value as a matrix: one row per row of the data, or per row and embedded column."""
    return value.reshape(-1, value.shape[-1])


@dataclass(frozen=True)
class InputNode(Node):
    """The rows themselves."""

    inputs: tuple[int, ...] = ()

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """The rows, which take the place of the values of inputs."""
        return values[0]

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """The input has no inputs of its own."""
        return [], {}


@dataclass(frozen=True)
class Constant(Node):
    """An array outside of a layer, as a value with one row.

    Attributes
    ----------
    name : str
    trained : bool
        Whether gradients move it.
    """

    inputs: tuple[int, ...] = ()
    name: str = ""
    trained: bool = True

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """The array."""
        return arrays[self.name][None]

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """The gradient itself."""
        return [], {self.name: gradient[0]} if self.trained else {}


@dataclass(frozen=True)
class Literal(Node):
    """Fixed numbers that are not in the state of a module, as a value with one row."""

    inputs: tuple[int, ...] = ()
    numbers: tuple[float, ...] = ()
    shape: tuple[int, ...] = ()

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """The numbers, in the type of the arrays."""
        kinds = (a.dtype for a in arrays.values() if np.issubdtype(a.dtype, np.floating))
        return np.array(self.numbers, dtype=next(kinds, np.float64)).reshape(1, *self.shape)

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Nothing to move."""
        return [], {}


@dataclass(frozen=True)
class AffineLayer(Node):
    """x W + b, or x W' + b where the outputs come first.

    Attributes
    ----------
    weight : str
    bias : str or None
    out_axis : int
        Axis of the weight along which the outputs run.
    """

    weight: str = ""
    bias: str | None = None
    out_axis: int = 1

    def matrix(self, arrays: Arrays) -> Array:
        """The weight with shape (inputs, outputs)."""
        weight = arrays[self.weight]
        return weight if self.out_axis == 1 else weight.T

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """The affine map of the last axis."""
        matrix = self.matrix(arrays)
        # One product of matrices: one for each row of the data takes up to twice as long.
        out: Array = (as_rows(values[0]) @ matrix).reshape(*values[0].shape[:-1], matrix.shape[1])
        return out if self.bias is None else out + arrays[self.bias]

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Gradients of a matrix product."""
        g = as_rows(gradient)
        weight = as_rows(values[0]).T @ g
        grads = {self.weight: weight if self.out_axis == 1 else weight.T}
        if self.bias is not None:
            grads[self.bias] = g.sum(axis=0)
        return [(g @ self.matrix(arrays).T).reshape(values[0].shape)], grads


@dataclass(frozen=True)
class Embedding(Node):
    """For each whole number, a row of a table."""

    weight: str = ""

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """Rows of the table."""
        return arrays[self.weight][values[0].astype(np.intp)]

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Gradients added up for each row of the table."""
        table = np.zeros_like(arrays[self.weight])
        np.add.at(table, values[0].astype(np.intp).ravel(), as_rows(gradient))
        return [None], {self.weight: table}


@dataclass(frozen=True)
class BatchNorm(Node):
    """(x - mean) / sqrt(var + eps) * weight + bias, with stored mean and variance.

    The units are on the first axis after the rows, as in torch.
    """

    weight: str | None = None
    bias: str | None = None
    mean: str = ""
    var: str = ""
    eps: float = 1e-5

    def _scale(self, arrays: Arrays) -> Array:
        return 1 / np.sqrt(arrays[self.var] + self.eps)

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """Normalised with the stored statistics."""
        x = np.moveaxis(values[0], 1, -1)
        found = _gain(self, arrays, (x - arrays[self.mean]) * self._scale(arrays))
        return np.moveaxis(found, -1, 1)

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """The stored statistics are constants."""
        scale = self._scale(arrays)
        normalised = (np.moveaxis(values[0], 1, -1) - arrays[self.mean]) * scale
        inner, grads = _gain_backward(self, arrays, np.moveaxis(gradient, 1, -1), normalised)
        return [np.moveaxis(inner * scale, -1, 1)], grads


@dataclass(frozen=True)
class LayerNorm(Node):
    """Each row's last axis with mean 0 and deviation 1, times weight plus bias.

    Attributes
    ----------
    weight, bias : str or None
    eps : float
    centred : bool
        If False, the mean stays and the mean square becomes 1 (RMSNorm).
    """

    weight: str | None = None
    bias: str | None = None
    eps: float = 1e-5
    centred: bool = True

    def _normalised(self, x: Array) -> tuple[Array, Array]:
        size = x.shape[-1]
        centred = x - sum_product(-1, x) / size if self.centred else x
        scale = 1 / np.sqrt(sum_product(-1, centred, centred) / size + self.eps)
        return centred * scale, scale

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """Normalised row by row."""
        return _gain(self, arrays, self._normalised(values[0])[0])

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Gradient of the normalisation, whose mean and deviation depend on the row."""
        # A shift of the row changes nothing, and a scale only through eps: both parts cancel.
        x, scale = self._normalised(values[0])
        inner, grads = _gain_backward(self, arrays, gradient, x)
        size = x.shape[-1]
        if self.centred:
            inner = inner - sum_product(-1, inner) / size
        return [scale * (inner - x * (sum_product(-1, inner, x) / size))], grads


def _gain(node: BatchNorm | LayerNorm, arrays: Arrays, x: Array) -> Array:
    if node.weight is not None:
        x = x * arrays[node.weight]
    return x if node.bias is None else x + arrays[node.bias]


def _gain_backward(
    node: BatchNorm | LayerNorm, arrays: Arrays, gradient: Array, x: Array
) -> tuple[Array, Gradients]:
    grads = {}
    if node.bias is not None:
        grads[node.bias] = as_rows(gradient).sum(axis=0)
    if node.weight is not None:
        grads[node.weight] = as_rows(gradient * x).sum(axis=0)
        gradient = gradient * arrays[node.weight]
    return gradient, grads


@dataclass(frozen=True)
class Activation(Node):
    """An element-wise function, by its name in `ACTIVATIONS`."""

    name: str = "identity"
    parameter: float = 0.0

    @property
    def shape(self) -> ActivationFunction:
        """The function, its slope and its symmetries."""
        return ACTIVATIONS[self.name]

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """The function of each number."""
        return self.shape.value(values[0], self.parameter)

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Times the slope."""
        return [gradient * self.shape.slope(values[0], out, self.parameter)], {}


@dataclass(frozen=True)
class LearnedSlope(Node):
    """x where it is positive, else x times a learned slope: one for all, or one per unit."""

    weight: str = ""

    def _slopes(self, arrays: Arrays, x: Array) -> Array:
        slopes = arrays[self.weight]
        return slopes.reshape(-1, *[1] * (x.ndim - 2)) if slopes.size > 1 else slopes

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """Units are on the first axis after the rows."""
        x = values[0]
        return np.where(x > 0, x, self._slopes(arrays, x) * x)

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Gradients for the values and the slopes."""
        x, slopes = values[0], self._slopes(arrays, values[0])
        found = as_rows(np.moveaxis(gradient * np.minimum(x, 0), 1, -1)).sum(axis=0)
        weight = found if slopes.size > 1 else found.sum(keepdims=True)
        return [gradient * np.where(x > 0, x.dtype.type(1), slopes)], {self.weight: weight}


@dataclass(frozen=True)
class Add(Node):
    """The sum of two values (a residual connection); axes of length 1 are repeated."""

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """The sum."""
        return values[0] + values[1]

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """The same for both."""
        return [summed_to(gradient, value.shape) for value in values], {}


@dataclass(frozen=True)
class Multiply(Node):
    """The product of two values, number by number; axes of length 1 are repeated."""

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """The product."""
        return values[0] * values[1]

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Each times the other factor."""
        a, b = values
        return [summed_to(gradient * b, a.shape), summed_to(gradient * a, b.shape)], {}


def summed_to(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Gradient of a value whose axes of length 1 were repeated."""
    if gradient.shape == shape:
        return gradient
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    repeated = [i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] > 1]
    return gradient.sum(axis=tuple(repeated), keepdims=True)
