"""Blocks of rows of logits, small enough for the processor's cache, and sums over their softmax.

Everything is computed on the gaps z - max(z) <= 0, so that no exponential overflows and shifts of
rows change nothing. Three layouts make each operation run along contiguous memory: one gap a row
for two classes, class by class for few of them, row by row for many.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from skmergecal._typing import Array, IntArray

__all__ = ["Block", "Rows", "cut", "numbers", "rows_of_block"]

#: Numbers a block.
SIZE = 32_768
#: Up to this many classes a block is stored class by class, beyond it row by row.
FEW_CLASSES = 32
_SIGN = np.array([-1.0, 1.0])


class Rows(NamedTuple):
    """What the limits of a temperature need to know of each row of a block."""

    gap: Array
    """Mean gap over the classes."""
    ties: Array
    """Number of classes that share the largest logit."""


class Block(ABC):
    """The gaps of some rows.

    Attributes
    ----------
    gaps : ndarray
        In the layout of the class.
    true_gap : float
        Weighted sum of the true classes' gaps.
    weight : ndarray of shape (n_rows,) or None
    """

    gaps: Array
    true_gap: float
    weight: Array | None

    @abstractmethod
    def sums(self, beta: float, scratch: Array) -> tuple[float, float, float]:
        """Weighted sums of log sum exp(beta * gaps), and of the mean and variance of the gaps.

        Mean and variance are those under softmax(beta * gaps); ``scratch`` is a flat buffer.
        """

    @abstractmethod
    def loss(self, beta: float, scratch: Array) -> float:
        """The first of these sums alone."""

    @abstractmethod
    def rows(self) -> Rows:
        """What is known of each row without a temperature."""

    def _total(self, values: Array) -> float:
        return float(np.add.reduce(values) if self.weight is None else values.dot(self.weight))


class _Binary(Block):
    """One gap a row, that of the smaller logit."""

    def __init__(self, z: np.ndarray, y: IntArray, weight: Array | None, out: Array) -> None:
        self.weight = weight
        margin = np.subtract(z[:, 1], z[:, 0], dtype=np.float64)
        self.gaps = np.abs(margin, out=out)
        np.negative(self.gaps, out=self.gaps)
        margin *= _SIGN.take(y)
        self.true_gap = self._total(np.minimum(margin, 0.0, out=margin))

    def sums(self, beta: float, scratch: Array) -> tuple[float, float, float]:
        e = np.multiply(self.gaps, beta, out=scratch[: len(self.gaps)])
        np.exp(e, out=e)
        total = e + 1.0
        e /= total
        e *= self.gaps
        loss = self._total(np.log(total, out=total))
        if self.weight is None:
            mean = float(np.add.reduce(e))
            return loss, mean, float(e.dot(self.gaps) - e.dot(e))
        weighted = e * self.weight
        mean = float(np.add.reduce(weighted))
        return loss, mean, float(weighted.dot(self.gaps) - weighted.dot(e))

    def loss(self, beta: float, scratch: Array) -> float:
        e = np.multiply(self.gaps, beta, out=scratch[: len(self.gaps)])
        np.exp(e, out=e)
        e += 1.0
        return self._total(np.log(e, out=e))

    def rows(self) -> Rows:
        return Rows(self.gaps / 2, np.where(self.gaps == 0, 2, 1))


class _Many(Block):
    """Gaps of shape (n_classes, n_rows) for few classes, (n_rows, n_classes) for many."""

    def __init__(self, z: np.ndarray, y: IntArray, weight: Array | None, out: Array) -> None:
        n, k = z.shape
        self.weight = weight
        self.axis = 0 if k <= FEW_CLASSES else 1
        if self.axis == 0:
            self.gaps = out.reshape(k, n)
            np.copyto(self.gaps, z.T)
            self.gaps -= np.maximum.reduce(self.gaps, axis=0)
            true = out.take(y * n + np.arange(n))
        else:
            self.gaps = out.reshape(n, k)
            np.subtract(z, z.max(axis=1, keepdims=True), out=self.gaps, dtype=np.float64)
            true = out.take(y + np.arange(0, n * k, k))
        self.true_gap = self._total(true)

    def _exp(self, beta: float, scratch: Array) -> Array:
        e = scratch[: self.gaps.size].reshape(self.gaps.shape)
        np.multiply(self.gaps, beta, out=e)
        return np.exp(e, out=e)

    def sums(self, beta: float, scratch: Array) -> tuple[float, float, float]:
        e = self._exp(beta, scratch)
        total = np.add.reduce(e, axis=self.axis)
        e *= self.gaps
        mean = np.add.reduce(e, axis=self.axis)
        square = np.einsum("kn,kn->n" if self.axis == 0 else "nk,nk->n", e, self.gaps)
        loss = self._total(np.log(total))
        mean /= total
        weighted = mean if self.weight is None else mean * self.weight
        share = np.reciprocal(total, out=total)
        if self.weight is not None:
            share *= self.weight
        variance = float(square.dot(share) - mean.dot(weighted))
        return loss, float(np.add.reduce(weighted)), variance

    def loss(self, beta: float, scratch: Array) -> float:
        total = np.add.reduce(self._exp(beta, scratch), axis=self.axis)
        return self._total(np.log(total, out=total))

    def rows(self) -> Rows:
        return Rows(self.gaps.mean(axis=self.axis), (self.gaps == 0).sum(axis=self.axis))


def cut(
    logits: np.ndarray, y: IntArray, sample_weight: Array | None, store: Array
) -> Iterator[Block]:
    """The blocks of logits of shape (n_samples, n_classes), float32 or float64, one at a time.

    The gaps are written to ``store``: one after the other, or, where they do not all have room
    there, each in place of the one before.
    """
    n, k = logits.shape
    kind, width = (_Binary, 1) if k == 2 else (_Many, k)
    rows = rows_of_block(k)
    for start in range(0, n, rows):
        part = slice(start, min(start + rows, n))
        first = start * width if len(store) >= n * width else 0
        out = store[first : first + (part.stop - start) * width]
        weight = None if sample_weight is None else sample_weight[part]
        yield kind(logits[part], y[part], weight, out)


def numbers(n_rows: int, n_classes: int) -> int:
    """How many gaps are stored for so many rows."""
    return n_rows * (1 if n_classes == 2 else n_classes)


def rows_of_block(n_classes: int) -> int:
    """Number of rows of a block."""
    return max(SIZE // numbers(1, n_classes), 1)
