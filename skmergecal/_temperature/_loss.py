"""Log loss of scaled logits, its derivatives, and the limits of its temperature.

With beta = 1 / T the loss is convex in beta,

    NLL(beta) = mean_w[logsumexp(beta z) - beta z_y],
    NLL' = mean_w[E_p z - z_y],    NLL'' = mean_w[Var_p z],

and is a sum over partitions, and in these over blocks of rows. Each pass over the rows computes
their gaps block by block, so that no copy of the logits is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter

import numpy as np

from skmergecal._partitions import InMemory, Partitions, Rows, remembered
from skmergecal._temperature._blocks import Block, Sums, cut, numbers, rows_of_block
from skmergecal._temperature._limits import Limits
from skmergecal._typing import Array, IntArray

__all__ = ["ScalingLoss"]

#: Up to this many gaps are kept between evaluations; more are computed again, block by block.
KEPT = 1 << 20


class ScalingLoss:
    """The mean log loss of softmax(beta * logits) and its derivatives.

    Parameters
    ----------
    logits : ndarray of shape (n_samples, n_classes)
        Float32 or float64, finite.
    y : ndarray of shape (n_samples,)
        Column numbers of the true classes.
    sample_weight : ndarray of shape (n_samples,) or None
        Frequency weights; rows of weight 0 are removed.

    Attributes
    ----------
    total : float
        Sum of the weights.
    """

    total: float

    def __init__(self, logits: np.ndarray, y: IntArray, sample_weight: Array | None) -> None:
        self._take(InMemory(Rows([logits], y, sample_weight)))

    @classmethod
    def of(cls, rows: Partitions[Rows]) -> ScalingLoss:
        """The loss of logits in partitions."""
        self = cls.__new__(cls)
        self._take(rows)
        return self

    def _take(self, rows: Partitions[Rows]) -> None:
        self._parts = rows.map(ScalingLossOfPart)
        self.total = self._parts.reduce(_total, what="sum of the weights")

    @remembered
    def true_gap(self) -> float:
        """Sum of the true classes' gaps to the largest logit; 0 if each is the largest."""
        return float(self._parts.reduce(ScalingLossOfPart.true_gap, what="temperature"))

    @remembered
    def limits(self) -> Limits:
        """Sums that show whether a finite temperature is best, and its order of magnitude."""
        sums, smallest, largest = self._parts.reduce(
            ScalingLossOfPart.limits, how=("sum", "min", "max"), what="temperature"
        )
        return Limits(*[self.total, *sums.tolist(), float(smallest), float(largest)])

    def __call__(self, beta: float) -> tuple[float, float, float]:
        """Mean loss at beta, its first and second derivatives."""
        mean = self.sums(beta)
        return mean.loss, mean.mean / beta, mean.variance / beta / beta

    def sums(self, beta: float) -> Sums:
        """Mean loss at beta, and its derivatives times powers of beta.

        These are the first three cumulants of beta * (z - z_y), averaged over the rows.
        """
        return self._mean_sums(beta, False)

    def rough_sums(self, beta: float) -> Sums:
        """The same sums to about 1e-7, without the loss, from exponentials in float32.

        Not finite, with a warning by NumPy, where gaps are beyond the range of float32.
        """
        return self._mean_sums(beta, True)

    def _mean_sums(self, beta: float, rough: bool) -> Sums:
        loss, mean, variance, third, true = self._parts.reduce(
            ScalingLossOfPart.sums, beta, rough, what="temperature"
        )
        n, self.true_gap = self.total, true
        true *= beta
        return Sums((loss - true) / n, (mean - true) / n, max(variance / n, 0.0), third / n)

    def value(self, beta: float) -> float:
        """Mean loss at beta, without derivatives."""
        loss, true = self._parts.reduce(ScalingLossOfPart.loss, beta, what="temperature")
        return (loss - beta * true) / self.total


class ScalingLossOfPart:
    """The summed log loss of the rows of a partition, accumulated over blocks."""

    def __init__(self, rows: Rows) -> None:
        rows = rows.without_weightless()
        (logits,), self.y, sample_weight = rows
        n, k = logits.shape
        self.total = float(n if sample_weight is None else sample_weight.sum())
        self._data = logits, self.y, sample_weight
        store, block = numbers(n, k), numbers(min(n, rows_of_block(k)), k)
        self._scratch = np.empty((2, block))
        self._rough_scratch = self._scratch.view(np.float32)
        self._store = np.empty(store if store <= KEPT else block)
        self._keeps = store <= KEPT
        self._kept: list[Block] = []

    def _blocks(self) -> Iterable[Block]:
        return self._kept or self._cut()

    def _cut(self) -> Iterator[Block]:
        """The blocks, each while it is still in the cache; kept once all have been cut."""
        blocks = []
        for block in cut(*self._data, self._store):
            yield block
            blocks.append(block)
        if self._keeps:
            self._kept = blocks

    def true_gap(self) -> float:
        """Sum of the true classes' gaps to the largest logit."""
        return sum(block.true_gap for block in self._blocks())

    def limits(self) -> tuple[Array, float, float]:
        """The fields of `Limits` from the second on, the last two by themselves."""
        sums = np.zeros(5)
        smallest, largest = np.inf, 0.0
        for block in self._blocks():
            mean, ties = block.rows()
            informed = mean < 0
            log_gap = np.log(-mean, out=np.zeros_like(mean), where=informed)
            rows = np.array([mean, log_gap, informed, np.log(ties)])
            sums[0] += block.true_gap
            sums[1:] += rows.sum(axis=1) if block.weight is None else rows @ block.weight
            if informed.any():
                smallest = min(smallest, -float(mean[informed].max()))
                largest = max(largest, -float(mean.min()))
        return sums, smallest, largest

    def sums(self, beta: float, rough: bool) -> tuple[float, float, float, float, float]:
        """What `Sums` has, before the true classes are subtracted, and their gaps."""
        scratch = self._rough_scratch if rough else self._scratch
        loss = mean = variance = third = true = 0.0
        for block in self._blocks():
            a, b, c, d = block.sums(beta, scratch)
            loss, mean, variance, third = loss + a, mean + b, variance + c, third + d
            true += block.true_gap
        return loss, mean, variance, third, true

    def loss(self, beta: float) -> tuple[float, float]:
        """The loss before the true classes are subtracted, and their gaps."""
        loss = true = 0.0
        for block in self._blocks():
            loss += block.loss(beta, self._scratch)
            true += block.true_gap
        return loss, true


_total = attrgetter("total")
