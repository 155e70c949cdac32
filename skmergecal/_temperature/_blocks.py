"""Blocks of rows of logits, small enough for the processor's cache, and sums over their softmax.

Everything is computed from the gaps z - max(z) <= 0, so that no exponential overflows and adding a
constant to a row changes nothing. Three layouts make each operation run along contiguous memory:
one gap per row for two classes, class by class for a few, row by row for many.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from skmergecal._typing import Array, IntArray

__all__ = ["Block", "RowFacts", "Sums", "cut", "numbers", "rows_of_block"]

#: Numbers per block. In smaller blocks, calls cost more than access to memory does in larger ones.
SIZE = 131_072
#: Up to this many classes, blocks are stored class by class; with more, row by row.
FEW_CLASSES = 32
#: So many numbers, each at most the number of classes, have a product within the range of floats.
FACTORS = 32
#: Below this many rows, one logarithm per row is as fast.
FEW_ROWS = 4096


class RowFacts(NamedTuple):
    """Numbers per row of a block that the limits of a temperature need."""

    gap: Array
    """Mean gap over the classes."""
    ties: Array
    """Number of classes that share the largest logit."""


class Sums(NamedTuple):
    """Weighted sums over rows of the softmax of x = beta * gaps.

    Attributes
    ----------
    loss : float
        Sum of log sum exp x; nan where it is not computed.
    mean, variance, third : float
        Sums of the mean, the variance and the third central moment of x under softmax(x).
    """

    loss: float
    mean: float
    variance: float
    third: float


class Block(ABC):
    """The gaps of some rows.

    Attributes
    ----------
    gaps : ndarray
        Differences to the largest logit of the row, in the layout of the subclass.
    true_gap : float
        Weighted sum of the true classes' gaps.
    weight : ndarray of shape (n_rows,) or None

    Notes
    -----
    A ``scratch`` is an array of shape (2, at least the number of gaps). Its dtype is that of the
    computation: an exponential in float32 costs at most a third of one in float64.
    """

    gaps: Array
    true_gap: float
    weight: Array | None

    @abstractmethod
    def sums(self, beta: float, scratch: np.ndarray) -> Sums:
        """The sums at beta; in float32 without the loss, for searches that do not need it."""

    @abstractmethod
    def loss(self, beta: float, scratch: np.ndarray) -> float:
        """Weighted sum of log sum exp x alone."""

    @abstractmethod
    def rows(self) -> RowFacts:
        """Numbers per row that do not depend on the temperature."""

    def _softmax(self, beta: float, scratch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Beta * gaps and their exponentials."""
        x, e = (flat[: self.gaps.size].reshape(self.gaps.shape) for flat in scratch)
        if x.dtype == np.float64:
            np.multiply(self.gaps, beta, out=x)
        else:
            np.copyto(x, self.gaps, casting="same_kind")
            x *= beta
        return x, np.exp(x, out=e)

    def _total(self, values: np.ndarray) -> float:
        return float(np.add.reduce(values) if self.weight is None else values.dot(self.weight))

    def _total_log(self, values: np.ndarray) -> float:
        """Sum of the logarithms of numbers from 1 to the number of classes.

        A product of FACTORS of them needs one logarithm and is as exact.
        """
        if values.dtype != np.float64:
            return math.nan
        if self.weight is not None or len(values) < FEW_ROWS:
            return self._total(np.log(values))
        whole = len(values) // FACTORS * FACTORS
        products = np.multiply.reduce(values[:whole].reshape(FACTORS, -1), axis=0)
        rest = float(np.multiply.reduce(values[whole:]))
        return float(np.add.reduce(np.log(products, out=products))) + math.log(rest)


class _Binary(Block):
    """One gap per row, that of the smaller logit."""

    def __init__(self, z: np.ndarray, y: IntArray, weight: Array | None, out: Array) -> None:
        self.weight = weight
        margin = np.subtract(z[:, 1], z[:, 0], dtype=np.float64)
        self.gaps = np.abs(margin, out=out)
        np.negative(self.gaps, out=self.gaps)
        wrong = (margin > 0) != y
        self.true_gap = self._total(np.multiply(self.gaps, wrong, out=margin))

    def sums(self, beta: float, scratch: np.ndarray) -> Sums:
        x, e = self._softmax(beta, scratch)
        total = e + 1
        e /= total
        e *= x
        weighted = e if self.weight is None else e * self.weight
        mean = float(np.add.reduce(weighted))
        # With p the probability of the smaller logit, x has mean p x, variance p (1 - p) x^2 and
        # third central moment p (1 - p) (1 - 2 p) x^3; here e is p x, and x becomes (1 - p) x.
        x -= e
        variance = float(weighted.dot(x))
        weighted = weighted * x
        third = float(weighted.dot(x) - weighted.dot(e))
        return Sums(self._total_log(total), mean, variance, third)

    def loss(self, beta: float, scratch: np.ndarray) -> float:
        _, e = self._softmax(beta, scratch)
        e += 1.0
        return self._total_log(e)

    def rows(self) -> RowFacts:
        return RowFacts(self.gaps / 2, np.where(self.gaps == 0, 2, 1))


class _Many(Block):
    """Gaps of shape (n_classes, n_rows) for a few classes, (n_rows, n_classes) for many."""

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

    def sums(self, beta: float, scratch: np.ndarray) -> Sums:
        x, e = self._softmax(beta, scratch)
        total = np.add.reduce(e, axis=self.axis)
        moments = np.empty((3, len(total)), dtype=e.dtype)
        for moment in moments[:2]:
            e *= x
            np.add.reduce(e, axis=self.axis, out=moment)
        np.einsum("kn,kn->n" if self.axis == 0 else "nk,nk->n", e, x, out=moments[2])
        moments /= total
        first, second, _ = moments
        if self.weight is None:
            weighted, sums = first, np.add.reduce(moments, axis=1)
        else:
            weighted, sums = first * self.weight, moments.dot(self.weight)
        mean, variance, third = sums.tolist()
        # Central from raw moments: m2 - m1^2 and m3 - 3 m1 m2 + 2 m1^3.
        variance -= float(weighted.dot(first))
        third += float((weighted * first).dot(2 * first)) - 3 * float(weighted.dot(second))
        return Sums(self._total_log(total), mean, variance, third)

    def loss(self, beta: float, scratch: np.ndarray) -> float:
        _, e = self._softmax(beta, scratch)
        return self._total_log(np.add.reduce(e, axis=self.axis))

    def rows(self) -> RowFacts:
        return RowFacts(self.gaps.mean(axis=self.axis), (self.gaps == 0).sum(axis=self.axis))


def cut(
    logits: np.ndarray, y: IntArray, sample_weight: Array | None, store: Array
) -> Iterator[Block]:
    """The blocks of logits of shape (n_samples, n_classes), float32 or float64, one at a time.

    The gaps are written to ``store``: one block after the other or, where they do not all fit,
    each block over the one before.
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
    """Number of gaps stored for this many rows."""
    return n_rows * (1 if n_classes == 2 else n_classes)


def rows_of_block(n_classes: int) -> int:
    """Number of rows of a block."""
    return max(SIZE // numbers(1, n_classes), 1)
