"""Losses of rows in partitions where members are merged again without each fifth of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skmergecal._memory import Memo
from skmergecal._numerics import log_softmax, row_losses
from skmergecal._partitions import Partitions, Rows, together
from skmergecal._typing import Array, IntArray
from skmergecal._warnings import Gathered
from skmergecal.members import HeldOutMembers, HeldOutPart, PartitionedMembers
from skmergecal.merging.fitted._base import FittedMerge, scores_of_part
from skmergecal.merging.fitted._row_losses import RowLosses

__all__ = ["FOLDS", "losses_in_partitions"]

#: Also of rows in memory.
FOLDS = 5
#: Odd, with bits in no order.
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


class _Contents(NamedTuple):
    """What decides which fold a row is in: what it is, wherever it lies.

    Attributes
    ----------
    y : ndarray of shape (n_rows,)
        Column numbers of the true classes.
    number : ndarray of shape (n_rows,)
        The same for equal rows.
    """

    y: IntArray
    number: NDArray[np.uint64]

    @classmethod
    def of(cls, part: HeldOutPart) -> _Contents:
        """Numbers of labels and opinions, which may differ in the last digits of float64."""
        found = part.y.astype(np.uint64)
        for opinion in part.opinions:
            for column in opinion.values.T:
                with np.errstate(over="ignore"):
                    single = column.astype(np.float32) + np.float32(0)  # -0.0 becomes 0.0
                found = (found ^ single.view(np.uint32)) * _FACTOR
                found ^= found >> np.uint64(29)
        return cls(part.y, found)

    @property
    def fold(self) -> IntArray:
        """Number of the fold of each row."""
        return (self.number >> np.uint64(11)).astype(np.intp) % FOLDS

    def ends(self, n_classes: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Smallest and largest number of each class."""
        low = np.full(n_classes, np.iinfo(np.uint64).max, dtype=np.uint64)
        high = np.zeros(n_classes, dtype=np.uint64)
        np.minimum.at(low, self.y, self.number)
        np.maximum.at(high, self.y, self.number)
        return low, high

    def to_learn_from(self, fold: int, alone: np.ndarray) -> np.ndarray:
        """Which rows are not in a fold, or are the only one of their class, repeated perhaps."""
        return (self.fold != fold) | alone[self.y]


def losses_in_partitions(
    held_out: PartitionedMembers, merge: Callable[[HeldOutMembers], FittedMerge]
) -> Partitions[RowLosses]:
    """Losses of the rows of each fold after a merge that learned from the other folds.

    Equal rows are in one fold. The five merges share their rounds, and their warnings are dropped.
    """
    contents = held_out.parts.map(_Contents.of)
    n_classes = len(held_out.classes)
    ends = contents.reduce(_Contents.ends, n_classes, how=("min", "max"), what="kinds of rows")
    alone = np.equal(*ends)
    totals = held_out.parts.map_with(contents, _totals, alone).reduce(_Totals.of_folds)

    def learn(fold: int) -> FittedMerge | None:
        total, tested = totals[fold]
        if tested == 0:
            return None
        how = (fold, alone, total == 0)
        part = replace(
            held_out,
            partitions=held_out.parts.map_with(contents, _part_to_learn_from, *how),
            logs=held_out.log_rows.map_with(contents, _rows_to_learn_from, *how),
            total=float(total or tested),
            n_rows=None,
            of_classes=None,
        )
        return merge(part).light()

    with Gathered():
        merges = together(held_out.parts, [partial(learn, fold) for fold in range(FOLDS)])
    return held_out.parts.map_with(contents, _losses, merges)


class _Totals(NamedTuple):
    y: IntArray
    totals: Array

    def of_folds(self) -> Array:
        """Weights of the rows to learn from and of those to measure, for each fold."""
        return self.totals


def _totals(part: HeldOutPart, contents: _Contents, alone: np.ndarray) -> _Totals:
    weight = np.ones(len(part.y)) if part.weight is None else part.weight
    kept = [contents.to_learn_from(fold, alone) for fold in range(FOLDS)]
    tested = [contents.fold == fold for fold in range(FOLDS)]
    sums = [[weight[a].sum(), weight[b].sum()] for a, b in zip(kept, tested, strict=True)]
    return _Totals(part.y, np.array(sums))


def _kept(contents: _Contents, fold: int, alone: np.ndarray, everything: bool) -> IntArray:
    """Rows to learn from; those of the fold, if there are no others."""
    return np.flatnonzero(everything | contents.to_learn_from(fold, alone))


def _part_to_learn_from(
    part: HeldOutPart, contents: _Contents, fold: int, alone: np.ndarray, everything: bool
) -> HeldOutPart:
    return _take(part, _kept(contents, fold, alone, everything))


def _rows_to_learn_from(
    rows: Rows, contents: _Contents, fold: int, alone: np.ndarray, everything: bool
) -> Rows:
    return rows.take(_kept(contents, fold, alone, everything))


def _take(part: HeldOutPart, rows: IntArray) -> HeldOutPart:
    opinions = [opinion.take(rows, Memo.none()) for opinion in part.opinions]
    return HeldOutPart(opinions, part.y[rows], None if part.weight is None else part.weight[rows])


def _losses(
    part: HeldOutPart, contents: _Contents, merges: Sequence[FittedMerge | None]
) -> RowLosses:
    merged = np.empty(len(part.y))
    members = [np.empty(len(part.y)) for _ in part.opinions]
    for fold, learned in enumerate(merges):
        rows = np.flatnonzero(contents.fold == fold)
        if learned is None or not len(rows):
            continue
        own = _take(part, rows)
        merged[rows] = row_losses(learned.log_proba(scores_of_part(own, learned)), own.y)
        for k, (member, opinion) in enumerate(zip(learned.members, own.opinions, strict=True)):
            z = member.log_proba(opinion) / learned.member_temperatures[k]
            members[k][rows] = row_losses(log_softmax(z), own.y)
    return RowLosses(merged, members, part.weight)
