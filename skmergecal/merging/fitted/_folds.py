"""Losses of held-out rows where the members are merged again without each fifth of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from skmergecal._memory import Memo
from skmergecal._numerics import log_softmax, row_losses
from skmergecal._partitions import InMemory, Partitions
from skmergecal._typing import IntArray
from skmergecal._warnings import Gathered
from skmergecal.members import Fold, HeldOutMembers, PartitionedMembers
from skmergecal.merging.fitted._base import FittedMerge
from skmergecal.merging.fitted._folds_in_partitions import FOLDS, losses_in_partitions
from skmergecal.merging.fitted._row_losses import RowLosses

__all__ = ["losses_in_folds"]


def losses_in_folds(
    held_out: HeldOutMembers, merge: Callable[[HeldOutMembers], FittedMerge]
) -> Partitions[RowLosses]:
    """Losses of the rows of each fold after a merge that learned from the other folds.

    No member is read again: their opinions are cut. Warnings of these merges are dropped.
    """
    if isinstance(held_out, PartitionedMembers):
        return losses_in_partitions(held_out, merge)
    y = held_out.y
    merged = np.empty(len(y))
    members = [np.empty(len(y)) for _ in held_out.members]
    with Gathered():
        for train, test in _folds(held_out):
            learned = merge(_only(held_out, train))
            part = _only(held_out, test)
            log_proba = learned.log_proba(learned.held_out_scores(part))
            merged[test] = row_losses(log_proba, part.y)
            for k, (member, opinion) in enumerate(zip(part.members, part.opinions, strict=True)):
                z = member.log_proba(opinion) / learned.member_temperatures[k]
                members[k][test] = row_losses(log_softmax(z), part.y)
    return InMemory(RowLosses(merged, members, held_out.sample_weight))


def _only(held_out: HeldOutMembers, rows: IntArray) -> HeldOutMembers:
    """The same members with some of the held-out rows."""
    weight = held_out.sample_weight
    opinions = [whole.take(rows, Memo.none()) for whole in held_out.opinions]
    return HeldOutMembers(
        held_out.members,
        held_out.classes,
        opinions,
        held_out.rows[rows],
        held_out.y[rows],
        None if weight is None else weight[rows],
        [Fold(held_out.members, slice(0, len(rows)))],
    )


def _folds(held_out: HeldOutMembers) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows to learn from and rows to measure, five times; each row is measured once.

    The folds hold about the same share of each class. Which rows are in one depends on what they
    are, not on their places: equal rows are together, so that a row of weight 2 is a row twice.
    A row that is the only one of its class is learned from in every fold.
    """
    y = held_out.y
    content = np.column_stack([y, *(opinion.values for opinion in held_out.opinions)])
    distinct, number = np.unique(content, axis=0, return_inverse=True)
    label = distinct[:, 0].astype(np.intp)
    # Sorted by content: in this order, neighbours are alike. Shuffled, classes one after another,
    # the folds take turns.
    order = np.random.default_rng(0).permutation(len(label))
    order = order[np.argsort(label[order], kind="stable")]
    fold = np.empty(len(label), dtype=np.intp)
    fold[order] = np.arange(len(label)) % FOLDS
    alone = (np.bincount(label)[label] == 1)[number.ravel()]
    of_row = fold[number.ravel()]
    for k in range(FOLDS):
        test, train = of_row == k, (of_row != k) | alone
        if test.any():
            yield np.flatnonzero(train if train.any() else test), np.flatnonzero(test)
