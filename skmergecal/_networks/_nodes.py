"""Layers of a network as operations on arrays: values, and gradients of a loss.

A value has shape (n_rows, width), or (n_rows, n_columns, width) after an embedding of several
columns. The arrays of a layer are looked up by name, so that one description is valid for all
members of the same architecture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit, ndtr

from skmergecal._typing import Array

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Add",
    "AffineLayer",
    "BatchNorm",
    "Columns",
    "Concat",
    "Embedding",
    "Flatten",
    "Input",
    "LayerNorm",
    "Node",
    "as_rows",
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


def as_rows(value: Array) -> Array:
    """A value as a matrix: one row per row of the data, or per row and embedded column."""
    return value.reshape(-1, value.shape[-1])


@dataclass(frozen=True)
class Input(Node):
    """The rows themselves."""

    inputs: tuple[int, ...] = ()

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """Never called: `Network` uses the rows themselves."""
        raise NotImplementedError

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """The input has no inputs of its own."""
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
        out: Array = values[0] @ self.matrix(arrays)
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
        return [gradient @ self.matrix(arrays).T], grads


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
    """(x - mean) / sqrt(var + eps) * weight + bias, with stored mean and variance."""

    weight: str | None = None
    bias: str | None = None
    mean: str = ""
    var: str = ""
    eps: float = 1e-5

    def _scale(self, arrays: Arrays) -> Array:
        return 1 / np.sqrt(arrays[self.var] + self.eps)

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """Normalised with the stored statistics."""
        return _gain(self, arrays, (values[0] - arrays[self.mean]) * self._scale(arrays))

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """The stored statistics are constants."""
        scale = self._scale(arrays)
        normalised = (values[0] - arrays[self.mean]) * scale
        inner, grads = _gain_backward(self, arrays, gradient, normalised)
        return [inner * scale], grads


@dataclass(frozen=True)
class LayerNorm(Node):
    """Each row's last axis with mean 0 and deviation 1, times weight plus bias."""

    weight: str | None = None
    bias: str | None = None
    eps: float = 1e-5

    def _normalised(self, x: Array) -> tuple[Array, Array]:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = 1 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.eps)
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
        inner = inner - inner.mean(axis=-1, keepdims=True)
        return [scale * (inner - x * (inner * x).mean(axis=-1, keepdims=True))], grads


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


class ActivationFunction(NamedTuple):
    """An element-wise function, its slope, and the symmetries that it has."""

    value: Callable[[Array, float], Array]
    slope: Callable[[Array, Array, float], Array]
    odd: bool = False
    homogeneous: bool = False


def _gelu_slope(x: Array, y: Array, _: float) -> Array:
    return ndtr(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


def _gelu_tanh(x: Array, _: float) -> Array:
    return x * expit(np.sqrt(8 / np.pi) * (x + 0.044715 * x**3))


def _gelu_tanh_slope(x: Array, y: Array, _: float) -> Array:
    s = expit(np.sqrt(8 / np.pi) * (x + 0.044715 * x**3))
    return s + x * s * (1 - s) * np.sqrt(8 / np.pi) * (1 + 3 * 0.044715 * x**2)


def _silu_slope(x: Array, y: Array, _: float) -> Array:
    s = expit(x)
    return s + y * (1 - s)


#: By name: value of (x, parameter), slope of (x, value, parameter).
ACTIVATIONS = {
    "identity": ActivationFunction(lambda x, _: x, lambda x, y, _: np.ones_like(x), True, True),
    "relu": ActivationFunction(
        lambda x, _: np.maximum(x, 0.0), lambda x, y, _: (x > 0).astype(x.dtype), homogeneous=True
    ),
    "leaky_relu": ActivationFunction(
        lambda x, a: np.where(x > 0, x, a * x),
        lambda x, y, a: np.where(x > 0, x.dtype.type(1), x.dtype.type(a)),
        homogeneous=True,
    ),
    "tanh": ActivationFunction(lambda x, _: np.tanh(x), lambda x, y, _: 1 - y**2, odd=True),
    "logistic": ActivationFunction(lambda x, _: expit(x), lambda x, y, _: y * (1 - y)),
    "elu": ActivationFunction(
        lambda x, a: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0.0))),
        lambda x, y, a: np.where(x > 0, 1.0, a * np.exp(np.minimum(x, 0.0))),
    ),
    "gelu": ActivationFunction(lambda x, _: x * ndtr(x), _gelu_slope),
    "gelu_tanh": ActivationFunction(_gelu_tanh, _gelu_tanh_slope),
    "silu": ActivationFunction(lambda x, _: x * expit(x), _silu_slope),
}


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
class Add(Node):
    """The sum of two values of one shape (a residual connection)."""

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """The sum."""
        return values[0] + values[1]

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """The same for both."""
        return [gradient, gradient], {}


@dataclass(frozen=True)
class Concat(Node):
    """Values next to each other."""

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """Joined along the last axis."""
        return np.concatenate(values, axis=-1)

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Cut where they were joined."""
        ends = np.cumsum([value.shape[-1] for value in values])[:-1]
        return list(np.split(gradient, ends, axis=-1)), {}


@dataclass(frozen=True)
class Columns(Node):
    """Some columns of the input; one number instead of a tuple drops the axis."""

    columns: tuple[int, ...] | int = ()

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """The columns."""
        chosen = list(self.columns) if isinstance(self.columns, tuple) else self.columns
        return values[0][:, chosen]

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Only the input is cut into columns."""
        return [None], {}


@dataclass(frozen=True)
class Flatten(Node):
    """(n_rows, n_columns, width) as (n_rows, n_columns * width)."""

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """One axis for all."""
        return values[0].reshape(len(values[0]), -1)

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Back to the old shape."""
        return [gradient.reshape(values[0].shape)], {}
