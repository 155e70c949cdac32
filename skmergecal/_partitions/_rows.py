"""Rows: the opinions of members on some rows, with labels and weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from skmergecal._partitions._gaps import GapOpinions
from skmergecal._partitions._partitions import InMemory, Partitions, Reduction
from skmergecal._typing import Array, IntArray

__all__ = ["SIZES", "Rows", "Sizes", "gathered", "share_of"]

#: So many numbers of a share of the rows come into this process, 16 MB.
_MOST_GATHERED = 1 << 21


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

    @property
    def gaps(self) -> list[Any] | None:
        """Those of `GapOpinions`; None where the opinions are matrices."""
        return self.opinions.gaps if isinstance(self.opinions, GapOpinions) else None

    @property
    def n_classes(self) -> int:
        """Number of columns of an opinion."""
        return 2 if self.gaps is not None else int(self.opinions[0].shape[1])

    def sizes(self) -> tuple[int, float, int]:
        """What `Sizes` has."""
        total = float(len(self.y) if self.weight is None else self.weight.sum())
        return len(self.y), total, self.n_classes

    def weight_of_classes(self, n_classes: int) -> Array:
        """Weight of the rows of each class."""
        return np.bincount(self.y, self.weight, n_classes).astype(np.float64)

    def mark(self) -> tuple[int, int, float]:
        """What shows whether the rows have come back as they were."""
        if not len(self.y):
            return 0, 0, 0.0
        first = self.opinions[0][:, 0] if self.gaps is None else self.gaps[0]
        total = float(np.add.reduce(first, dtype=np.float64))
        if self.weight is not None:
            total += float(self.weight.sum())
        return len(self.y), int(self.y.sum()), total

    def every(self, stride: int) -> Rows:
        """A share of the rows, evenly spaced."""
        return self.take(slice(None, None, stride))

    def take(self, rows: Any) -> Rows:
        """Some of the rows, by numbers, a mask or a slice."""
        weight = None if self.weight is None else self.weight[rows]
        if isinstance(self.opinions, GapOpinions):
            return Rows(self.opinions.take(rows), self.y[rows], weight)
        return Rows([z[rows] for z in self.opinions], self.y[rows], weight)

    def of_members(self, members: Sequence[int]) -> Rows:
        """The same rows with the opinions of some members."""
        if isinstance(self.opinions, GapOpinions):
            return self._replace(opinions=self.opinions.some(members))
        return self._replace(opinions=[self.opinions[k] for k in members])

    def largest(self) -> list[float]:
        """Of each member, the largest absolute value."""
        if isinstance(self.opinions, GapOpinions):
            return self.opinions.largest()
        return [max(float(m.max()), -float(m.min())) for m in self.opinions]

    def losses(self) -> list[Array]:
        """-log p of the true class of each row, for each member."""
        if isinstance(self.opinions, GapOpinions):
            return self.opinions.losses(self.y)
        return [np.asarray(-own[np.arange(len(self.y)), self.y]) for own in self.opinions]

    def without_weightless(self) -> Rows:
        """The rows of positive weight."""
        if self.weight is None or self.weight.all():
            return self
        return self.take(self.weight > 0)


def gathered(rows: Partitions[Rows], stride: int) -> Rows:
    """Every so many rows of each partition, in this process."""
    parts: list[Rows] = rows.reduce(_share_of_part, stride, how="join", what="sample of the rows")
    opinions = [np.concatenate(own) for own in zip(*(p.opinions for p in parts), strict=True)]
    weighted = any(part.weight is not None for part in parts)
    weight = np.concatenate([part.counts for part in parts]) if weighted else None
    return Rows(opinions, np.concatenate([part.y for part in parts]), weight)


def _share_of_part(rows: Rows, stride: int) -> list[Rows]:
    return [rows.every(stride)]


def share_of(
    rows: Partitions[Rows], n_rows: int, n_numbers: int, stride: int
) -> tuple[InMemory[Rows], int]:
    """A share of the rows in this process, from which a search for all rows can start.

    Parameters
    ----------
    rows : Partitions of Rows
    n_rows : int
    n_numbers : int
        In the opinions of a row.
    stride : int
        Every so many rows are taken in memory; of partitions fewer, where these are too many.

    Returns
    -------
    InMemory of Rows, int
        The share, and its stride.
    """
    if isinstance(rows, InMemory):
        return rows.map(Rows.every, stride), stride
    stride = max(stride, -(-n_rows * n_numbers // _MOST_GATHERED))
    return InMemory(gathered(rows, stride)), stride
