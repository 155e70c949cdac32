"""Learning of a merge: from the name of the method to a fitted merge of members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.frozen import FrozenEstimator

from skmergecal._typing import Array
from skmergecal._warnings import warn_user
from skmergecal.members import (
    FitRows,
    HeldOutMembers,
    Member,
    Opinion,
    PartitionedMembers,
    all_frozen,
    find_members_that_saw_rows,
    find_seen_rows,
    warn_of_seen_rows,
)
from skmergecal.merging._barrier import guard_barrier
from skmergecal.merging._loss_estimate import (
    NO_ROWS,
    LossEstimate,
    find_estimate,
    summarise,
)
from skmergecal.merging._merge_report import MergeReport
from skmergecal.merging._settings import Settings
from skmergecal.merging.fitted import (
    FittedMerge,
    LinearPoolMerge,
    LogPoolMerge,
    LossesOfRows,
    OneModelMerge,
    StackedPoolsMerge,
    losses_in_folds,
)

__all__ = ["LearnedMerge", "learn_merge", "learn_merge_without_rows", "learn_pool", "warn_of_rows"]


@dataclass(frozen=True)
class LearnedMerge:
    """A fitted merge.

    Attributes
    ----------
    merge : FittedMerge
    settings : Settings
        What it was learned with: those of the logit pool where that was the way out.
    losses : callable
        Returns the `RowLosses` of the held-out rows, where their opinions were read.
    held_out_scores : ndarray of shape (n_held_out, n_classes) or None
        Scores of the held-out rows, where learning had to compute them.
    barrier : float or None
        Of the averaged parameters, also where they are not used.
    report : MergeReport or None
        The same.
    """

    merge: FittedMerge
    settings: Settings
    losses: LossesOfRows
    held_out_scores: Array | None = None
    barrier: float | None = None
    report: MergeReport | None = None

    def scores(self, held_out: HeldOutMembers) -> Array:
        """Scores of the held-out rows before the temperature."""
        if self.held_out_scores is not None:
            return self.held_out_scores
        return self.merge.held_out_scores(held_out)

    def class_counts(self, held_out: HeldOutMembers) -> list[float] | None:
        """Weight of the held-out rows of each class, if anything was learned from them."""
        return held_out.weight_of_classes.tolist() if self.settings.needs_held_out() else None

    def loss_estimate(
        self, held_out: HeldOutMembers
    ) -> LossEstimate | Callable[[], LossEstimate | str] | str:
        """The loss to expect on new rows, or why it is not known.

        Where it takes longer than learning, a function that finds it.
        """
        frozen = all_frozen([(m.name, m.estimator) for m in held_out.members])
        if not held_out.read or not (frozen or held_out.cross_fitted):
            return NO_ROWS
        names = [member.name for member in held_out.members]
        if isinstance(held_out, PartitionedMembers):
            return summarise(names, self.losses())  # now, as the rows are there during fit only
        if self.settings.selects:
            return partial(find_estimate, names, self.losses)
        return summarise(names, self.losses())


def learn_pool(held_out: HeldOutMembers, settings: Settings) -> LearnedMerge:
    """Learn from held-out opinions how to pool those of the members."""
    pool, losses = _learn_pool(held_out, settings)
    return LearnedMerge(pool, settings, losses)


def learn_merge(held_out: HeldOutMembers, settings: Settings, rows: FitRows) -> LearnedMerge:
    """Learn from held-out opinions how to combine the members."""
    if settings.method != "parameters":
        return learn_pool(held_out, settings)
    merged, scores, losses = OneModelMerge.learn(held_out, settings, rows)
    if guard_barrier(merged, settings):
        return LearnedMerge(merged, settings, losses, scores, merged.barrier, merged.report)
    instead = settings.of_logit_pool()
    pool, losses = _learn_pool(held_out, instead)
    return LearnedMerge(pool, instead, losses, None, merged.barrier, merged.report)


def _learn_pool(held_out: HeldOutMembers, settings: Settings) -> tuple[FittedMerge, LossesOfRows]:
    learn = _LEARN[settings.method]
    merge, losses = learn(held_out, settings)
    if settings.selects:
        # A selection is no smooth function of its rows: it is made again without each fifth.
        return merge, lambda: losses_in_folds(held_out, lambda part: learn(part, settings)[0])
    return merge, losses


def _learn_logarithmic(
    held_out: HeldOutMembers, settings: Settings
) -> tuple[FittedMerge, LossesOfRows]:
    if isinstance(settings.weights, str) and settings.weights == "classwise":
        return StackedPoolsMerge.learn(held_out, settings, with_linear=False)
    return LogPoolMerge.learn(held_out, settings)


def _learn_best(held_out: HeldOutMembers, settings: Settings) -> tuple[FittedMerge, LossesOfRows]:
    """All pools at once; of two greedy selections the better; given weights average logits."""
    if not isinstance(settings.weights, str):
        return LogPoolMerge.learn(held_out, settings)
    if settings.weights != "greedy":
        return StackedPoolsMerge.learn(held_out, settings, with_linear=True)
    learners = (LogPoolMerge.learn, _learn_linear)
    # Compared without a temperature of the merged logits: one that is fitted afterwards, by another
    # step, changes no choice either.
    before = settings.without_merged_temperature()
    pools = [learn(held_out, before) for learn in learners]
    losses = [pool.held_out_loss(held_out) for pool, _ in pools]
    best = int(np.argmin(losses))
    return learners[best](held_out, settings) if settings.calibrates_merged else pools[best]


def _learn_linear(held_out: HeldOutMembers, settings: Settings) -> tuple[FittedMerge, LossesOfRows]:
    return LinearPoolMerge.learn(held_out, settings)


_LEARN: dict[str, Callable[[HeldOutMembers, Settings], tuple[FittedMerge, LossesOfRows]]] = {
    "auto": _learn_best,
    "logits": _learn_logarithmic,
    "probabilities": _learn_linear,
}


def learn_merge_without_rows(
    members: Sequence[Member], classes: np.ndarray, settings: Settings
) -> FittedMerge:
    """Combine frozen members with given weights, nothing learned."""
    weights = np.asarray(settings.weights)
    if settings.method == "parameters":
        return OneModelMerge.without_rows(members, weights, settings)
    if settings.method == "probabilities":
        return LinearPoolMerge.without_rows(members, classes, weights)
    return LogPoolMerge.without_rows(members, classes, weights)


def warn_of_rows(held_out: HeldOutMembers, settings: Settings, merge: FittedMerge) -> None:
    """Warn of what the held-out rows cannot teach.

    No row has a class that the members know; or frozen members seem to have been trained on them.
    """
    if not settings.needs_held_out():
        return
    lost = np.flatnonzero(held_out.weight_of_classes == 0)
    if len(lost) and isinstance(merge, StackedPoolsMerge):
        warn_user(
            f"no held-out row has the classes {held_out.classes[lost].tolist()}, which the members "
            "know: these get the mean of the other classes' weights, and no intercept. Add rows of "
            "them, or use method='logits' with weights='log_loss', which learns nothing per class."
        )
    seen = held_out.memo.result(("rows seen in training",), lambda: _have_seen(held_out))
    warn_of_seen_rows([held_out.members[k].name for k in seen])


def _have_seen(held_out: HeldOutMembers) -> list[int]:
    """Numbers of frozen members that may have been trained on the held-out rows."""
    frozen = [k for k, m in enumerate(held_out.members) if isinstance(m.estimator, FrozenEstimator)]
    if isinstance(held_out, PartitionedMembers):
        return find_seen_rows(held_out.log_rows, held_out.n_rows)
    pairs = list(zip(held_out.members, held_out.opinions, strict=True))

    def log_proba(number: int, part: slice) -> Array:
        member, opinion = pairs[frozen[number]]
        values = opinion.values[part]
        return member.log_proba(Opinion(values, opinion.logarithmic, fill=opinion.fill))

    scores = [pairs[k][1].values for k in frozen]
    found = find_members_that_saw_rows(scores, held_out.y, held_out.sample_weight, log_proba)
    return [frozen[i] for i in found]
