"""Folds: stratified folds of rows in partitions, those of scikit-learn for all rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedKFold

from skmergecal._partitions import Partitions
from skmergecal._typing import IntArray
from skmergecal._warnings import warn_user
from skmergecal.metrics._scored import Scored

__all__ = ["Folds"]


class Folds(NamedTuple):
    """Which fold each row is in: those of StratifiedKFold for the partitions one after another.

    Attributes
    ----------
    ends : ndarray of shape (n_folds, n_classes)
        Of the rows of each class, in order, the first that is in a later fold.
    before : dict of int to ndarray of shape (n_classes,)
        For each partition the numbers of rows in those before it.
    """

    ends: IntArray
    before: dict[int, IntArray]

    @classmethod
    def of(cls, rows: Partitions[Scored], n_folds: int) -> Folds:
        """Folds of these rows.

        Raises
        ------
        ValueError
            If there are fewer than two folds, or more than rows of the largest class.
        """
        StratifiedKFold(n_folds)  # raises for fewer than two
        found = rows.reduce(_classes, how="join", what="rows of each class")
        before, counts = {}, np.zeros_like(found[0][1])
        seen: dict[int, None] = {}
        for number, own, order in found:
            before[number] = counts
            counts = counts + own
            seen.update(dict.fromkeys(order))
        _check(counts[counts > 0], n_folds)
        # Sorted by class, in the order in which classes appear, rows take turns.
        first, share = 0, np.zeros((n_folds, len(counts)), dtype=np.intp)
        for c in seen:
            turns = (np.arange(n_folds) - first) % n_folds
            share[:, c] = np.maximum(-(-(counts[c] - turns) // n_folds), 0)
            first += counts[c]
        return cls(share.cumsum(axis=0), before)

    def of_rows(self, rows: Scored) -> IntArray:
        """Number of the fold of each row of a partition."""
        found = np.empty(len(rows.y), dtype=np.intp)
        for c in np.unique(rows.y).tolist():
            own = np.flatnonzero(rows.y == c)
            places = self.before[rows.number][c] + np.arange(len(own))
            found[own] = np.searchsorted(self.ends[:, c], places, side="right")
        return found


def _classes(rows: Scored) -> list[tuple[int, IntArray, list[int]]]:
    """Of the partition the number, the rows of each class, and classes in order of appearance."""
    classes, first = np.unique(rows.y, return_index=True)
    counts = np.bincount(rows.y, minlength=rows.p.shape[1])
    return [(rows.number, counts, classes[np.argsort(first)].tolist())]


def _check(counts: IntArray, n_folds: int) -> None:
    """What scikit-learn says of classes with few rows."""
    if counts.max() < n_folds:
        msg = f"n_splits={n_folds} cannot be greater than the number of members in each class."
        raise ValueError(msg)
    if counts.min() < n_folds:
        warn_user(
            f"The least populated class in y has only {counts.min()} members, which is less than "
            f"n_splits={n_folds}."
        )
