"""Convolutions and pooling: operations of a network on windows of the last axes of a value.

A value has shape (n_rows, n_channels, length), or more lengths; the channels are its units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from skmergecal._networks._nodes import Arrays, Gradients, Node, as_rows
from skmergecal._typing import Array

__all__ = ["Convolution", "WindowPool"]

#: Maximum number of numbers in the windows of some rows, which are copied next to each other.
_NUMBERS = 1_000_000


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

    def parts(self, padded: Array) -> Iterator[Array]:
        """For each place in a window, the numbers that windows have there; views."""
        steps = list(zip(padded.shape[2:], self.size, self.stride, self.dilation, strict=True))
        cuts = [[slice(i * d, n - d * (k - 1 - i), s) for i in range(k)] for n, k, s, d in steps]
        for cut in product(*cuts):
            yield padded[(slice(None), slice(None), *cut)]

    def blocks(self, padded: Array) -> Iterator[Array]:
        """Copies of the windows of some rows, shape (n_rows, *lengths, n_channels, places)."""
        n = len(self.size)
        reach = [d * (k - 1) + 1 for k, d in zip(self.size, self.dilation, strict=True)]
        windows = sliding_window_view(padded, reach, axis=tuple(range(2, 2 + n)))
        every = [slice(None, None, s) for s in (*self.stride, *self.dilation)]
        windows = np.moveaxis(windows[(slice(None), slice(None), *every)], 1, 1 + n)
        n_rows = max(1, _NUMBERS // max(1, int(np.prod(windows.shape[1:]))))
        for start in range(0, len(windows), n_rows):
            few = windows[start : start + n_rows]
            yield few.reshape(*few.shape[: 2 + n], -1)

    def cropped(self, padded: Array) -> Array:
        """Without the padding around."""
        cut = (slice(p, n - p) for p, n in zip(self.padding, padded.shape[2:], strict=True))
        return padded[(slice(None), slice(None), *cut)]


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
        """One product of matrices for some rows: their windows, and the weight."""
        weight = arrays[self.weight]
        weight = weight.reshape(len(weight), -1)
        found: Array = np.concatenate(
            [
                (windows * weight).sum(axis=-1) if self.apart else as_lines(windows) @ weight.T
                for windows in self.frame.blocks(self.frame.padded(values[0]))
            ]
        )
        if self.bias is not None:
            found = found + arrays[self.bias]
        return np.moveaxis(found, -1, 1)

    def backward(
        self, arrays: Arrays, gradient: Array, values: Sequence[Array], out: Array
    ) -> tuple[list[Array | None], Gradients]:
        """Gradients of the same product; those of windows are added up where they overlap."""
        weight, g = arrays[self.weight], np.moveaxis(gradient, 1, -1)
        flat = weight.reshape(len(weight), -1)
        padded = self.frame.padded(values[0])
        found, inner, start = np.zeros_like(flat), np.zeros_like(padded), 0
        for windows in self.frame.blocks(padded):
            few = slice(start, start + len(windows))
            start += len(windows)
            rows = as_rows(g[few])
            if self.apart:
                found += np.einsum("rc,rck->ck", rows, windows.reshape(len(rows), *flat.shape))
                below = g[few][..., None] * flat
            else:
                found += rows.T @ windows.reshape(len(rows), -1)
                below = (g[few] @ flat).reshape(windows.shape)
            below = np.moveaxis(below, -2, 1)
            for place, part in enumerate(self.frame.parts(inner[few])):
                part += below[..., place]
        grads = {self.weight: found.reshape(weight.shape)}
        if self.bias is not None:
            grads[self.bias] = as_rows(g).sum(axis=0)
        return [self.frame.cropped(inner)], grads


def as_lines(windows: Array) -> Array:
    """All numbers of a window in one axis."""
    return windows.reshape(*windows.shape[:-2], -1)


@dataclass(frozen=True)
class WindowPool(Node):
    """Mean or maximum of each window, channel by channel."""

    frame: Frame = Frame((), (), (), ())
    kind: str = "max"

    def forward(self, arrays: Arrays, *values: Array) -> Array:
        """The mean (padding counts as 0) or the maximum."""
        largest = self.kind == "max"
        padded = self.frame.padded(values[0], -np.inf if largest else 0.0)
        parts = list(self.frame.parts(padded))
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
        for part, below in places:
            if self.kind == "mean":
                below += gradient / np.prod(self.frame.size).astype(gradient.dtype)
            else:
                first = left & (part == out)
                below += gradient * first
                left &= ~first
        return [self.frame.cropped(inner)], {}
