"""Operations of a network on the axes of values: cut, join, reshape, sum over.

Axes are counted from the rows, which are axis 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skmergecal._networks._nodes import Arrays, Gradients, Node, sum_product
from skmergecal._typing import Array

__all__ = ["Columns", "Concat", "Einsum", "Permute", "Reduce", "Reshape", "Softmax"]


@dataclass(frozen=True)
class Concat(Node):
    """Values next to each other."""

    axis: int = -1

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """Joined along an axis; a value with one row is repeated."""
        n_rows = max(map(len, values))
        whole = [np.broadcast_to(v, (n_rows, *v.shape[1:])) for v in values]
        return np.concatenate(whole, axis=self.axis)

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Cut where they were joined."""
        ends = np.cumsum([value.shape[self.axis] for value in values])[:-1]
        parts = np.split(gradient, ends, axis=self.axis)
        return [
            part if len(value) == len(part) else part.sum(axis=0, keepdims=True)
            for part, value in zip(parts, values, strict=True)
        ], {}


@dataclass(frozen=True)
class Columns(Node):
    """Some columns along an axis; one number instead of a tuple drops the axis."""

    columns: tuple[int, ...] | int = ()
    axis: int = 1

    @property
    def _index(self) -> Any:
        chosen = list(self.columns) if isinstance(self.columns, tuple) else self.columns
        return (*[slice(None)] * self.axis, chosen)

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """The columns."""
        return values[0][self._index]

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Added up where the columns came from."""
        if not np.issubdtype(values[0].dtype, np.floating):
            return [None], {}
        whole = np.zeros(values[0].shape, dtype=gradient.dtype)
        np.add.at(whole, self._index, gradient)
        return [whole], {}


@dataclass(frozen=True)
class Reshape(Node):
    """The numbers of each row in another shape.

    Attributes
    ----------
    shape : tuple of int
        Without the axis of the rows; -1 is what is left.
    """

    shape: tuple[int, ...] = (-1,)

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """In the new shape."""
        return values[0].reshape(len(values[0]), *self.shape)

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Back to the old shape."""
        return [gradient.reshape(values[0].shape)], {}


@dataclass(frozen=True)
class Permute(Node):
    """The axes in another order; that of the rows stays the first."""

    order: tuple[int, ...] = ()

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """In the new order."""
        return values[0].transpose(self.order)

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Back to the old order."""
        return [gradient.transpose(np.argsort(self.order))], {}


@dataclass(frozen=True)
class Reduce(Node):
    """Mean or maximum over some axes, which stay with length 1 or are dropped."""

    axes: tuple[int, ...] = (1,)
    kind: str = "mean"
    keep: bool = False

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """The mean or the maximum."""
        how = np.mean if self.kind == "mean" else np.max
        found: Array = how(values[0], axis=self.axes, keepdims=self.keep)
        return found

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """An equal share for each, or for the largest ones."""
        x = values[0]
        if not self.keep:
            gradient, out = (np.expand_dims(a, self.axes) for a in (gradient, out))
        if self.kind == "mean":
            return [np.broadcast_to(gradient * (out.size / x.size), x.shape)], {}
        largest = (x == out).astype(gradient.dtype)
        return [gradient * largest / largest.sum(axis=self.axes, keepdims=True)], {}


@dataclass(frozen=True)
class Softmax(Node):
    """exp(x) / sum exp(x) along an axis, or its logarithm."""

    axis: int = -1
    log: bool = False

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """Shifted by the maximum first, so that nothing overflows."""
        x = values[0] - values[0].max(axis=self.axis, keepdims=True)
        if self.log:
            return x - np.log(sum_product(self.axis, np.exp(x)))
        np.exp(x, out=x)
        x /= sum_product(self.axis, x)
        return x

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Gradient of the normalisation."""
        if self.log:
            return [gradient - np.exp(out) * sum_product(self.axis, gradient)], {}
        inner: Array = gradient - sum_product(self.axis, out, gradient)
        inner *= out
        return [inner], {}


@dataclass(frozen=True)
class Einsum(Node):
    """Sum of products of two values, in Einstein's notation.

    Attributes
    ----------
    terms : tuple of str
        Letters of the axes of both values and of the result. The first letter of the result stands
        for the rows; a value without it is a constant.
    """

    terms: tuple[str, str, str] = ("", "", "")

    def _operands(self, values: Sequence[Array]) -> list[Array]:
        rows = self.terms[2][0]
        return [v if rows in term else v[0] for term, v in zip(self.terms, values, strict=False)]

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """The sum."""
        a, b, out = self.terms
        found: Array = np.einsum(f"{a},{b}->{out}", *self._operands(values), optimize=True)
        return found

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """The same sum, with the gradient in place of one value."""
        a, b, result = self.terms
        one, two = self._operands(values)
        first = np.einsum(f"{result},{b}->{a}", gradient, two, optimize=True)
        second = np.einsum(f"{result},{a}->{b}", gradient, one, optimize=True)
        return [first.reshape(values[0].shape), second.reshape(values[1].shape)], {}
