"""Convolutions and pooling: operations of a network on windows of the last axes of a value.

A value has shape (n_rows, n_channels, length), or more lengths; the channels are its units.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from skmergecal._networks._nodes import Arrays, Gradients, Node
from skmergecal._typing import Array

__all__ = ["Convolution", "Pool"]


@dataclass(frozen=True)
class Frame:
    """Size and steps of windows along each of the last axes."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    def padded(self, x: Array, fill: float = 0.0) -> Array:
        """With the padding around."""
        if not any(self.padding):
            return x
        return np.pad(x, [(0, 0), (0, 0), *((p, p) for p in self.padding)], constant_values=fill)

    def parts(self, padded: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
        """For each place in a window, the numbers that windows have there; views."""
        steps = list(zip(self.size, self.stride, self.dilation, strict=True))
        lengths = [
            (n - d * (k - 1) - 1) // s + 1
            for n, (k, s, d) in zip(padded.shape[2:], steps, strict=True)
        ]
        for place in product(*map(range, self.size)):
            cut = tuple(
                slice(i * d, i * d + s * (n - 1) + 1, s)
                for i, n, (_, s, d) in zip(place, lengths, steps, strict=True)
            )
            yield place, padded[self.index(cut)]

    @staticmethod
    def index(last: Iterable[Any]) -> Any:
        """Of the last axes, for all rows and channels."""
        return (slice(None), slice(None), *last)

    def cropped(self, padded: Array) -> Array:
        """Without the padding around."""
        cut = (slice(p, n - p) for p, n in zip(self.padding, padded.shape[2:], strict=True))
        return padded[self.index(cut)]


@dataclass(frozen=True)
class Convolution(Node):
    """Sum over the windows of a value, with a weight of shape (outputs, inputs, *window).

    Attributes
    ----------
    weight : str
    bias : str or None
    frame : Frame
    apart : bool
        Whether each channel has a window of its own (a depthwise convolution).
    """

    weight: str = ""
    bias: str | None = None
    frame: Frame = Frame((), (), (), ())
    apart: bool = False

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """The sum over all places in the windows, one at a time."""
        weight = arrays[self.weight]
        total = None
        for place, part in self.frame.parts(self.frame.padded(values[0])):
            at = weight[self.frame.index(place)]
            x = np.moveaxis(part, 1, -1)
            term = x * at[:, 0] if self.apart else x @ at.T
            total = term if total is None else total + term
        assert total is not None
        if self.bias is not None:
            total = total + arrays[self.bias]
        return np.moveaxis(total, -1, 1)

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Gradients, place by place."""
        weight, g = arrays[self.weight], np.moveaxis(gradient, 1, -1)
        rows = g.reshape(-1, g.shape[-1])
        padded = self.frame.padded(values[0])
        inner, found = np.zeros_like(padded), np.zeros_like(weight)
        places = zip(self.frame.parts(padded), self.frame.parts(inner), strict=True)
        for (place, part), (_, below) in places:
            index = self.frame.index(place)
            x = np.moveaxis(part, 1, -1).reshape(len(rows), -1)
            at = weight[index]
            found[index] = (rows * x).sum(axis=0)[:, None] if self.apart else rows.T @ x
            below += np.moveaxis(g * at[:, 0] if self.apart else g @ at, -1, 1)
        grads = {self.weight: found}
        if self.bias is not None:
            grads[self.bias] = rows.sum(axis=0)
        return [self.frame.cropped(inner)], grads


@dataclass(frozen=True)
class Pool(Node):
    """Mean or maximum of each window, channel by channel."""

    frame: Frame = Frame((), (), (), ())
    kind: str = "max"

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """The mean (padding counts as 0) or the maximum."""
        largest = self.kind == "max"
        padded = self.frame.padded(values[0], -np.inf if largest else 0.0)
        parts = [part for _, part in self.frame.parts(padded)]
        found: Array = np.max(parts, axis=0) if largest else np.mean(parts, axis=0)
        return found

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """To the first of the largest numbers, or to all in equal shares."""
        padded = self.frame.padded(values[0], -np.inf if self.kind == "max" else 0.0)
        inner = np.zeros_like(padded)
        left = np.ones(gradient.shape, dtype=bool)
        places = zip(self.frame.parts(padded), self.frame.parts(inner), strict=True)
        for (_, part), (_, below) in places:
            if self.kind == "mean":
                below += gradient / np.prod(self.frame.size).astype(gradient.dtype)
            else:
                first = left & (part == out)
                below += gradient * first
                left &= ~first
        return [self.frame.cropped(inner)], {}
