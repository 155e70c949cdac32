"""Rows: the opinions of members on some rows, with labels and weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from skmergecal._partitions._partitions import Partitions, Reduction
from skmergecal._typing import Array, IntArray

__all__ = ["SIZES", "Rows", "Sizes"]


#: How those of partitions become one.
SIZES: Reduction = ("sum", "sum", "max")


class Sizes(NamedTuple):
    """How many rows there are."""

    rows: int
    total: float
    """Sum of their weights."""
    classes: int
    """Number of columns."""

    @classmethod
    def of(cls, rows: Partitions[Rows]) -> Sizes:
        """Those of all partitions."""
        return cls(*rows.reduce(Rows.sizes, how=SIZES, what="number of rows"))


class Rows(NamedTuple):
    """Some rows, all of positive weight where there are weights.

    Attributes
    ----------
    opinions : sequence of ndarray of shape (n_rows, n_classes)
        Of each member; or logits alone.
    y : ndarray of shape (n_rows,)
        Column numbers of the true classes.
    weight : ndarray of shape (n_rows,) or None
    """

    opinions: Sequence[Any]
    y: IntArray
    weight: Array | None

    @property
    def counts(self) -> Array:
        """Weights, 1 where there are none."""
        return np.ones(len(self.y)) if self.weight is None else self.weight

    def sizes(self) -> tuple[int, float, int]:
        """What `Sizes` has."""
        total = float(len(self.y) if self.weight is None else self.weight.sum())
        return len(self.y), total, self.opinions[0].shape[1]

    def weight_of_classes(self, n_classes: int) -> Array:
        """Weight of the rows of each class."""
        return np.bincount(self.y, self.weight, n_classes).astype(np.float64)

    def mark(self) -> tuple[int, int, float]:
        """What tells whether the rows have come back as they were."""
        if not len(self.y):
            return 0, 0, 0.0
        total = float(np.add.reduce(self.opinions[0][:, 0], dtype=np.float64))
        if self.weight is not None:
            total += float(self.weight.sum())
        return len(self.y), int(self.y.sum()), total

    def every(self, stride: int) -> Rows:
        """A share of the rows, evenly spaced."""
        return self.take(slice(None, None, stride))

    def take(self, rows: Any) -> Rows:
        """Some of the rows, by numbers, a mask or a slice."""
        weight = None if self.weight is None else self.weight[rows]
        return Rows([z[rows] for z in self.opinions], self.y[rows], weight)

    def without_weightless(self) -> Rows:
        """The rows of positive weight."""
        if self.weight is None or self.weight.all():
            return self
        return self.take(self.weight > 0)
