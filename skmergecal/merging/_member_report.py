"""Report of the members: which complement each other, and which could be left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

from skmergecal._compat import _safe_indexing
from skmergecal._memory import Memo, RecentArrays
from skmergecal._numerics import mean_and_error, row_losses
from skmergecal._optional import as_frame
from skmergecal._typing import Array, IntArray
from skmergecal._validation import encode_labels
from skmergecal._warnings import Gathered, warn_user, warns_once
from skmergecal.members import (
    FitRows,
    Fold,
    HeldOutMembers,
    Member,
    Opinion,
    rows_for_columns,
    warn_of_names,
)
from skmergecal.merging._fitted_rows import FittedRows
from skmergecal.merging._learn import learn_merge
from skmergecal.merging._loss_estimate import LossEstimate
from skmergecal.merging._settings import Settings
from skmergecal.merging.fitted import FittedMerge, OpinionReader
from skmergecal.metrics import check_share, disagreement
from skmergecal.pooling import bootstrap_intervals

__all__ = ["Merged", "member_report", "weight_intervals"]

_FOLDS = 5
#: Bytes of what is remembered for the rows of a fold.
_CAPACITY = 1 << 28


@dataclass(frozen=True)
class Merged:
    """A fitted merge, as far as a report needs it.

    Attributes
    ----------
    merge : FittedMerge
    settings : Settings
        Those of the fit.
    classes : ndarray of shape (n_classes,)
    fitted_rows : FittedRows or None
        Those of members that were fitted with the merge.
    """

    merge: FittedMerge
    settings: Settings
    classes: np.ndarray
    fitted_rows: FittedRows | None


@warns_once
def member_report(
    merged: Merged,
    rows: tuple[Any, Any, Any],
    estimate: LossEstimate | None,
    *,
    level: float | None,
    n_resamples: int,
    random_state: Any,
) -> Any:
    """The table of ``MergedClassifier.member_report``.

    Parameters
    ----------
    merged : Merged
    rows : tuple of (X, y, sample_weight)
    estimate : LossEstimate or None
        Of the fit.
    level, n_resamples, random_state
        As documented there.
    """
    if level is not None:
        check_share("level", level)
    work = _ReMerge.of(merged, *rows)
    with Gathered():  # of what merges of fewer members or rows warn, the fit has warned
        table = work.table(merged.merge, estimate)
    if level is not None:
        ends = work.weight_intervals(level, n_resamples, random_state)
        table["weight_low"], table["weight_high"] = ends
    return as_frame(table, index="member")


@warns_once
def weight_intervals(
    merged: Merged,
    rows: tuple[Any, Any, Any],
    *,
    level: float,
    n_resamples: int,
    random_state: Any,
) -> Array:
    """Lower and upper ends of the intervals of `member_report`, shape (2, n_members)."""
    check_share("level", level)
    work = _ReMerge.of(merged, *rows)
    return work.weight_intervals(level, n_resamples, random_state)


@dataclass(frozen=True)
class _ReportRows:
    """Some rows: the members' opinions, with what is remembered for these rows, and the rows."""

    opinions: list[Opinion]
    data: FitRows
    codes: IntArray
    labels_key: str | None = None


@dataclass(frozen=True)
class _ReMerge:
    """Merges some members again, from opinions that were read once."""

    settings: Settings
    held_out: HeldOutMembers
    X: Any
    own: Sequence[Opinion]
    """What the members themselves are measured by."""

    @classmethod
    def of(cls, merged: Merged, X: Any, y: Any, sample_weight: Any) -> Self:
        """With the opinions of the fitted members on the rows that count."""
        members = list(merged.merge.members)
        X = rows_for_columns(X, [(m.name, m.estimator) for m in members])
        rows = FitRows.check(X, y, sample_weight)
        classes = merged.classes
        columns = encode_labels(
            rows.labels[rows.kept], classes, remedy="Pass rows of the classes that were merged."
        )
        warn_of_names([(member.name, member.estimator) for member in members], X)
        if merged.settings.had_unlabeled:
            warn_user(
                "the X_unlabeled of fit is not saved with a model, so that members are merged "
                "again with these rows alone: gain and intervals may differ from those of the "
                "model that was fitted. Ask that one, or fit again with X_unlabeled."
            )
        opinions = own = _opinions(members, merged, rows.kept_X, columns)
        if merged.settings.method == "parameters":  # it merges the members themselves
            opinions = [member.opinion(rows.kept_X) for member in members]
        weight = None if rows.sample_weight is None else rows.sample_weight[rows.kept]
        n = len(columns)
        folds = [Fold(members, slice(0, n))]
        held_out = HeldOutMembers(members, classes, opinions, np.arange(n), columns, weight, folds)
        return cls(merged.settings, held_out, rows.kept_X, own)

    def table(self, merge: FittedMerge, estimate: LossEstimate | None) -> dict[str, Any]:
        """The columns of the report."""
        held_out = self.held_out
        y, weight = held_out.y, held_out.sample_weight
        everyone = list(range(len(held_out.members)))
        without_one = [[k for k in everyone if k != left] for left in everyone]
        loss, *without = self.losses([everyone, *without_one])
        proba = [opinion.proba() for opinion in self.own]
        own = [
            row_losses(member.log_proba(opinion), y)
            for member, opinion in zip(held_out.members, self.own, strict=True)
        ]
        names = [member.name for member in held_out.members]
        disagrees = disagreement(proba, sample_weight=weight)
        log_loss, log_loss_error = _means(own, weight)
        log_loss_without, _ = _means(without, weight)
        gain, gain_error = _means([left_out - loss for left_out in without], weight)
        expected = {}
        if estimate is not None:
            expected["loss_estimate"] = np.array([estimate.by_member[name] for name in names])
        return {
            "member": np.array(names, dtype=object),
            "weight": merge.weights.copy(),
            "temperature": merge.member_temperatures.copy(),
            "log_loss": log_loss,
            "log_loss_standard_error": log_loss_error,
            "log_loss_without": log_loss_without,
            "gain": gain,
            "gain_standard_error": gain_error,
            **expected,
        } | {
            f"disagrees_with_{name}": column for name, column in zip(names, disagrees, strict=True)
        }

    def losses(self, sets: Sequence[Sequence[int]]) -> list[Array]:
        """Cross-validated log losses of the rows, for the merge of each set; NaN for no members.

        Fold by fold, so that what the sets share (temperatures, logarithms) is computed once.
        """
        y = self.held_out.y
        of_true = np.full((len(sets), len(y)), np.nan)
        for number, (train, test) in enumerate(_folds(y)):
            arrays = RecentArrays(_CAPACITY)
            learning = self.part(train, arrays, f"training rows of fold {number}")
            scoring = self.part(test, arrays, f"test rows of fold {number}")
            for place, kept in enumerate(sets):
                if kept:
                    merged = self.merge(kept, learning)
                    log_proba = merged.log_proba(merged.scores(self.reader(scoring)))
                    of_true[place, test] = log_proba[np.arange(len(test)), scoring.codes]
        return [-log_proba for log_proba in of_true]

    def part(
        self, rows: IntArray, arrays: RecentArrays | None = None, name: str = "", counts: Any = None
    ) -> _ReportRows:
        """Some rows, ``counts`` in place of their weights; ``arrays`` remembers under a name."""
        held_out = self.held_out
        weight = held_out.sample_weight if counts is None else counts
        memos = [Memo.none()] * len(held_out.members)
        if arrays is not None:
            memos = [Memo((name, k), arrays) for k in range(len(memos))]
        opinions = [
            whole.take(rows, memo) for whole, memo in zip(held_out.opinions, memos, strict=True)
        ]
        codes = held_out.y[rows]
        weight = None if weight is None else weight[rows]
        # Pools learn from opinions alone.
        needed = self.settings.method == "parameters"
        X = _safe_indexing(self.X, rows) if needed else np.empty((len(rows), 0))
        data = FitRows.check(X, held_out.classes[codes], weight)
        return _ReportRows(opinions, data, codes, name or None)

    def merge(self, kept: Sequence[int], part: _ReportRows) -> FittedMerge:
        """Merge some members, learning from some rows."""
        members = [self.held_out.members[k] for k in kept]
        n_rows = len(part.codes)
        held_out = HeldOutMembers(
            members,
            self.held_out.classes,
            [part.opinions[k] for k in kept],
            np.arange(n_rows),
            part.codes,
            part.data.sample_weight,
            [Fold(members, slice(0, n_rows))],
            part.labels_key,
        )
        settings = self.settings
        if not isinstance(settings.weights, str):
            weights = settings.weights[list(kept)]
            total = weights.sum()
            weights = weights / total if total else np.full(len(kept), 1 / len(kept))
            settings = replace(settings, weights=weights)
        # A member that goes may leave a merge of parameters that fails; that is what is reported.
        tolerant = replace(settings, barrier_tolerance=np.inf)
        return learn_merge(held_out, tolerant, part.data).merge

    def reader(self, part: _ReportRows) -> OpinionReader:
        """Reads members from their opinions, and models that were merged just now from X."""
        number = {id(member.estimator): k for k, member in enumerate(self.held_out.members)}

        def read(member: Member) -> Opinion:
            known = number.get(id(member.estimator))
            if known is not None:
                return part.opinions[known]
            return member.opinion(part.data.X)

        return read

    def weight_intervals(self, level: float, n_resamples: int, random_state: Any) -> Array:
        """The middle share ``level`` of weights learned on bootstrap samples: both ends."""
        held_out = self.held_out
        everyone = range(len(held_out.members))
        weight = held_out.sample_weight
        weight = np.ones(len(held_out.y)) if weight is None else weight

        def learn(counts: Array) -> Array:
            part = self.part(np.flatnonzero(counts), counts=counts)
            return self.merge(everyone, part).weights

        with Gathered():
            return bootstrap_intervals(learn, weight, level, n_resamples, random_state)


def _opinions(members: Sequence[Member], merged: Merged, X: Any, labels: IntArray) -> list[Opinion]:
    """Opinions of the members on some rows, out of fold where they were fitted to these."""
    if merged.fitted_rows is None:
        return [member.opinion(X) for member in members]
    opinions, fitted = merged.fitted_rows.read(members, X, labels)
    if fitted and merged.settings.method == "parameters":
        warn_user(
            "some of these rows are those of fit, which the models have seen whose parameters are "
            "merged for log_loss_without and gain: pass rows that they have not seen. log_loss is "
            "that of models that have not, as far as there are such."
        )
    return opinions


def _means(losses: Sequence[Array], weight: Array | None) -> tuple[Array, Array]:
    """Means of losses of rows, and their standard errors."""
    found = [mean_and_error(own, weight) for own in losses]
    return np.array([mean for mean, _ in found]), np.array([error for _, error in found])


def _folds(y: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Five folds, stratified where each class has enough rows."""
    counts = np.bincount(y)
    n_folds = min(_FOLDS, len(y))
    if n_folds < 2:
        msg = f"member_report needs at least 2 rows; got {len(y)}"
        raise ValueError(msg)
    stratified = counts[counts > 0].min() >= n_folds
    splitter = (StratifiedKFold if stratified else KFold)(n_folds, shuffle=True, random_state=0)
    yield from splitter.split(np.zeros((len(y), 1)), y)
