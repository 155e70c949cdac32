"""Soft labels: what a teacher gives rows that it has not been trained on, and their true labels."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import PredefinedSplit

from skmergecal._compat import _num_samples, _safe_indexing
from skmergecal._numerics import softmax
from skmergecal._training import can_be_mixed, combined_rows, stacked
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal._validation import encode_labels
from skmergecal.members import (
    Cache,
    FitRows,
    FittedWithHeldOut,
    Member,
    collect_one,
    cut_params,
    frozen_members,
    unfrozen,
    warn_of_names,
)

__all__ = ["SoftLabels", "TeacherFit", "fit_teacher", "inner_cv", "read_frozen", "seconds_per_row"]

#: Rows on which the speed of a prediction is measured.
_TIMED_ROWS = 1000


@dataclass(frozen=True)
class SoftLabels:
    """Rows, and what there is to learn of them.

    Attributes
    ----------
    X : array-like
    proba : ndarray of shape (n_samples, n_classes)
        The teacher's probabilities; of a row that it was trained on in every fold, the label.
    codes : ndarray of shape (n_samples,)
        Column numbers of the labels; -1 where there is none.
    weight : ndarray of shape (n_samples,) or None
        Positive.
    params : dict
        Parameters of the student's ``fit``.
    n_synthetic : int
        How many rows, the last ones, are synthetic.
    """

    X: Any
    proba: Array
    codes: IntArray
    weight: Array | None
    params: dict[str, Any] = field(default_factory=dict)
    n_synthetic: int = 0

    @property
    def best_codes(self) -> IntArray:
        """The labels, and the most probable classes where there are none."""
        return np.where(self.codes >= 0, self.codes, self.proba.argmax(axis=1))

    def take(self, rows: IntArray) -> SoftLabels:
        """Some of the rows."""
        return SoftLabels(
            _safe_indexing(self.X, rows),
            self.proba[rows],
            self.codes[rows],
            None if self.weight is None else self.weight[rows],
            cut_params(self.X, self.params, rows),
        )

    def labelled(self) -> SoftLabels:
        """Those rows that have a label."""
        known = np.flatnonzero(self.codes >= 0)
        return self if len(known) == len(self.codes) else self.take(known)

    def with_unlabelled(self, X: Any, proba: Array, each: float = 1.0) -> SoftLabels:
        """These rows and further ones without labels, all of one weight."""
        n_rows, weight = len(proba), self.weight
        if weight is None and each != 1.0:
            weight = np.ones(len(self.codes))
        return replace(
            self,
            X=stacked(self.X, X),
            proba=np.concatenate([self.proba, proba]),
            codes=np.concatenate([self.codes, np.full(n_rows, -1, dtype=np.intp)]),
            weight=None if weight is None else np.concatenate([weight, np.full(n_rows, each)]),
        )

    def with_synthetic(self, teacher: TeacherFit, times: float) -> SoftLabels:
        """These rows and synthetic ones, so many times as many, where rows can be combined."""
        rows = np.arange(len(self.codes))
        cut = cut_params(self.X, self.params, rows)
        whole = all(cut[name] is value for name, value in self.params.items())
        if not times or not whole or not can_be_mixed(self.X):
            return self
        X, each = combined_rows(self.X, self.weight, times, seed=0)
        widened = self.with_unlabelled(X, teacher.read(X), each)
        return replace(widened, n_synthetic=len(widened.codes) - len(rows))


@dataclass(frozen=True)
class TeacherFit:
    """A fitted teacher, and its probabilities of rows that did not train it.

    Attributes
    ----------
    estimator : classifier
    member : Member
        How it is read.
    classes : ndarray of shape (n_classes,)
    proba : ndarray of shape (n_samples, n_classes)
        Of the rows that count. The label where a row was in no fold held out.
    seconds_per_row : float
        How long the prediction of a row takes, in a batch.
    """

    estimator: Estimator
    member: Member
    classes: np.ndarray
    proba: Array
    seconds_per_row: float

    def read(self, X: Any) -> Array:
        """Probabilities of other rows."""
        return softmax(self.member.read_log_proba(X))

    def aligned(self, classes: np.ndarray) -> TeacherFit:
        """The same with columns for more classes, which it does not know."""
        if np.array_equal(self.classes, classes):
            return self
        columns = encode_labels(self.classes, classes, remedy="They are classes of a fold.")
        proba = np.zeros((len(self.proba), len(classes)))
        proba[:, columns] = self.proba
        member = replace(self.member, columns=columns[self.member.columns], n_classes=len(classes))
        return replace(self, member=member, classes=classes, proba=proba)


def read_frozen(teacher: FrozenEstimator, X: Any, weight: Array | None) -> TeacherFit:
    """A frozen teacher, asked about all rows, each of which has a positive weight."""
    warn_of_names([("teacher", teacher)], X)
    (member,), classes = frozen_members([("teacher", teacher)], Cache(None))
    opinion = member.opinion(X)
    member = member.with_softening(opinion, weight)
    proba = softmax(member.log_proba(opinion))
    return TeacherFit(teacher.estimator, member, classes, proba, seconds_per_row(member, X))


def seconds_per_row(member: Member, X: Any) -> float:
    """How long the prediction of a row takes, in a batch."""
    some = _safe_indexing(X, np.arange(min(_TIMED_ROWS, _num_samples(X))))
    # What keeps its predictions in a folder does so for itself only, not for a copy.
    fresh = replace(member, estimator=FrozenEstimator(copy(unfrozen(member.estimator))))
    start = perf_counter()
    fresh.opinion(some)
    return (perf_counter() - start) / _num_samples(some)


def fit_teacher(
    teacher: Estimator,
    rows: FitRows,
    *,
    cv: Any,
    params: dict[str, Any],
    split_params: dict[str, Any],
    n_jobs: int | None = None,
) -> TeacherFit:
    """Fit a teacher, and cross-fit it for probabilities of rows that did not train it.

    Parameters
    ----------
    teacher : classifier
        Unfitted. One of this package cross-fits by itself.
    rows : FitRows
    cv : int, splitter or iterable of (train, test)
        For any other teacher.
    params, split_params : dict
        Parameters of its ``fit``, and of the splitter.
    n_jobs : int or None
    """
    routed = ({"teacher": params}, split_params)
    found = collect_one("teacher", teacher, rows, cv=cv, routed=routed, n_jobs=n_jobs)
    codes = encode_labels(rows.labels[rows.kept], found.classes, remedy="")
    proba = _mean_of_repeats(found, rows, codes)
    some = _safe_indexing(rows.X, rows.kept[:_TIMED_ROWS])
    seconds = seconds_per_row(found.member, some)
    return TeacherFit(found.member.estimator, found.member, found.classes, proba, seconds)


def _mean_of_repeats(found: FittedWithHeldOut, rows: FitRows, codes: IntArray) -> Array:
    """Held-out probabilities of each row that counts: their mean, or the label if there is none."""
    place = np.searchsorted(rows.kept, found.held.rows)
    total = np.zeros((len(rows.kept), len(found.classes)))
    np.add.at(total, place, softmax(found.held.log_proba))
    times = np.bincount(place, minlength=len(rows.kept))
    never = np.flatnonzero(times == 0)
    total[never, codes[never]] = 1.0
    return total / np.maximum(times, 1)[:, None]


def inner_cv(cv: Any, folds: Sequence[tuple[IntArray, IntArray]], left_out: int) -> Any:
    """How the training rows of a fold are split once more: as all rows are, or as other folds do.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test)
        As the user passed it.
    folds : sequence of (train, test)
        What it gave.
    left_out : int
        Number of the fold.

    Returns
    -------
    int, splitter, or list of (train, test) as numbers of the training rows of the fold.

    Raises
    ------
    ValueError
        If the folds are given as rows, and without one of them nothing is left to train on.
    """
    makes_splits = hasattr(cv, "split") and not isinstance(cv, PredefinedSplit)
    if makes_splits or cv is None or isinstance(cv, int | np.integer):
        return cv
    train, _ = folds[left_out]
    splits = []
    for number, (_, test) in enumerate(folds):
        inside = np.isin(train, test)
        if number != left_out and inside.any() and not inside.all():
            splits.append((np.flatnonzero(~inside), np.flatnonzero(inside)))
    if not splits:
        msg = (
            "where a student is compared on held-out rows, the teacher is fitted again without "
            "each fold, and cross-fitted there over the other folds: cv should have three folds or "
            f"more; it has {len(folds)}. Pass a number of folds, cv=5 for instance, or freeze the "
            "teacher"
        )
        raise ValueError(msg)
    return splits
