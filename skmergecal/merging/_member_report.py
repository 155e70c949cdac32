"""Report of the members: which complement each other, and which could be left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.utils import check_random_state

from skmergecal._compat import _safe_indexing
from skmergecal._numerics import mean_loss
from skmergecal._optional import as_frame
from skmergecal._typing import Array, IntArray
from skmergecal._validation import encode_labels
from skmergecal._warnings import Gathered, warns_once
from skmergecal.members import FitRows, Fold, HeldOutMembers, Member, Opinion, warn_of_names
from skmergecal.merging._learn import learn_merge
from skmergecal.merging._settings import Settings
from skmergecal.merging.fitted._base import FittedMerge, OpinionReader
from skmergecal.metrics import disagreement

__all__ = ["member_report"]

_FOLDS = 5


@warns_once
def member_report(
    merge: FittedMerge,
    settings: Settings,
    classes: np.ndarray,
    rows: tuple[Any, Any, Any],
    *,
    level: float | None,
    n_resamples: int,
    random_state: Any,
) -> Any:
    """The table of ``MergedClassifier.member_report``.

    Parameters
    ----------
    merge : FittedMerge
    settings : Settings
        Those of the fit.
    classes : ndarray of shape (n_classes,)
    rows : tuple of (X, y, sample_weight)
    level, n_resamples, random_state
        As documented there.
    """
    if level is not None and not 0 < level < 1:
        msg = f"level should lie between 0 and 1, .95 for instance; got {level}"
        raise ValueError(msg)
    work = _ReMerge(settings, *_read(merge, classes, *rows))
    with Gathered():  # of what merges of fewer members or rows warn, the fit has warned
        table = work.table(merge)
        if level is not None:
            draws = work.resampled_weights(n_resamples, check_random_state(random_state))
    if level is not None:
        ends = [(1 - level) / 2, (1 + level) / 2]
        table["weight_low"], table["weight_high"] = np.quantile(draws, ends, axis=0)
    return as_frame(table, index="member")


def _read(
    merge: FittedMerge, classes: np.ndarray, X: Any, y: Any, sample_weight: Any
) -> tuple[HeldOutMembers, Any]:
    """Opinions of the fitted members on the rows that count, and these rows of X."""
    rows = FitRows.check(X, y, sample_weight)
    columns = encode_labels(
        rows.labels[rows.kept], classes, remedy="Pass rows of the classes that were merged."
    )
    members = list(merge.members)
    warn_of_names([(member.name, member.estimator) for member in members], X)
    opinions = [member.align(member.read(rows.kept_X)) for member in members]
    weight = None if rows.sample_weight is None else rows.sample_weight[rows.kept]
    n = len(columns)
    folds = [Fold(members, slice(0, n))]
    return HeldOutMembers(
        members, classes, opinions, np.arange(n), columns, weight, folds
    ), rows.kept_X


@dataclass(frozen=True)
class _ReMerge:
    """Merges some members again, from opinions that were read once."""

    settings: Settings
    held_out: HeldOutMembers
    X: Any

    def table(self, merge: FittedMerge) -> dict[str, Any]:
        """The columns of the report."""
        held_out = self.held_out
        everyone = list(range(len(held_out.members)))
        loss = self.loss_of(everyone)
        without = [self.loss_of([k for k in everyone if k != left]) for left in everyone]
        proba = [opinion.proba() for opinion in held_out.opinions]
        own = [
            mean_loss(member.log_proba(opinion), held_out.y, held_out.sample_weight)
            for member, opinion in zip(held_out.members, held_out.opinions, strict=True)
        ]
        names = [member.name for member in held_out.members]
        disagrees = disagreement(proba, sample_weight=held_out.sample_weight)
        return {
            "member": np.array(names, dtype=object),
            "weight": merge.weights.copy(),
            "temperature": merge.member_temperatures.copy(),
            "log_loss": np.array(own),
            "log_loss_without": np.array(without),
            "gain": np.array(without) - loss,
        } | {
            f"disagrees_with_{name}": column for name, column in zip(names, disagrees, strict=True)
        }

    def loss_of(self, kept: Sequence[int]) -> float:
        """Cross-validated log loss of the merge of some members; NaN for none."""
        if not kept:
            return np.nan
        y, weight = self.held_out.y, self.held_out.sample_weight
        log_proba = np.empty((len(y), len(self.held_out.classes)))
        for train, test in _folds(y):
            merged = self.merge(kept, train)
            log_proba[test] = merged.log_proba(merged.scores(self.reader(test)))
        return mean_loss(log_proba, y, weight)

    def merge(
        self, kept: Sequence[int], rows: IntArray, counts: Array | None = None
    ) -> FittedMerge:
        """Merge some members, learning from some rows, which may count several times."""
        held_out, weight = self.held_out, self.held_out.sample_weight
        members = [held_out.members[k] for k in kept]
        if counts is not None:
            weight = counts if weight is None else counts * weight
        part = HeldOutMembers(
            members,
            held_out.classes,
            [self.opinion(k, rows) for k in kept],
            np.arange(len(rows)),
            held_out.y[rows],
            None if weight is None else weight[rows],
            [Fold(members, slice(0, len(rows)))],
        )
        settings = self.settings
        if not isinstance(settings.weights, str):
            weights = settings.weights[list(kept)]
            total = weights.sum()
            weights = weights / total if total else np.full(len(kept), 1 / len(kept))
            settings = replace(settings, weights=weights)
        labels = held_out.classes[part.y]
        data = FitRows.check(_safe_indexing(self.X, rows), labels, part.sample_weight)
        # A member that goes may leave a merge of parameters that fails; that is what is reported.
        tolerant = replace(settings, barrier_tolerance=np.inf)
        return learn_merge(part, tolerant, data).merge

    def opinion(self, member: int, rows: IntArray) -> Opinion:
        """The opinion of a member on some rows."""
        whole = self.held_out.opinions[member]
        return Opinion(np.ascontiguousarray(whole.values[rows]), whole.logarithmic)

    def reader(self, rows: IntArray) -> OpinionReader:
        """Reads members from the table, and models that were merged just now from X."""
        number = {id(member.estimator): k for k, member in enumerate(self.held_out.members)}

        def read(member: Member) -> Opinion:
            known = number.get(id(member.estimator))
            if known is not None:
                return self.opinion(known, rows)
            return member.align(member.read(_safe_indexing(self.X, rows)))

        return read

    def resampled_weights(self, n_resamples: int, random: np.random.RandomState) -> Array:
        """Weights learned on bootstrap samples, shape (n_resamples, n_members)."""
        n = len(self.held_out.y)
        draws = []
        for _ in range(n_resamples):
            counts = random.multinomial(n, np.full(n, 1 / n)).astype(np.float64)
            rows = np.flatnonzero(counts)
            everyone = range(len(self.held_out.members))
            draws.append(self.merge(everyone, rows, counts).weights)
        return np.array(draws)


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
