"""From the method's name to a fitted combination of members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from skmergecal._numerics import mean_loss
from skmergecal._typing import Array
from skmergecal.members import FitRows, HeldOutMembers, Member
from skmergecal.merging._barrier import guard_barrier
from skmergecal.merging._merge_report import MergeReport
from skmergecal.merging._settings import Settings
from skmergecal.merging.fitted._base import FittedMerge
from skmergecal.merging.fitted._linear_pool import LinearPoolMerge
from skmergecal.merging.fitted._log_pool import LogPoolMerge
from skmergecal.merging.fitted._one_model_merge import OneModelMerge
from skmergecal.merging.fitted._stacked_pools import StackedPoolsMerge

__all__ = ["LearnedMerge", "learn_merge", "learn_merge_without_rows"]


@dataclass(frozen=True)
class LearnedMerge:
    """A fitted combination.

    Attributes
    ----------
    combination : FittedMerge
    held_out_scores : callable
        Gives the scores of the held-out rows; not kept with the combination.
    barrier : float or None
        Of the averaged parameters, also where they are not used.
    report : MergeReport or None
        The same.
    """

    combination: FittedMerge
    held_out_scores: Callable[[], Array]
    barrier: float | None = None
    report: MergeReport | None = None


def learn_merge(found: HeldOutMembers, settings: Settings, rows: FitRows) -> LearnedMerge:
    """Learn from held-out opinions how to combine the members."""
    if settings.method != "parameters":
        return _pool(_LEARN[settings.method](found, settings), found, None)
    merged, held_out = OneModelMerge.learn(found, settings, rows)
    if guard_barrier(merged, settings):
        return LearnedMerge(merged, lambda: held_out, merged.barrier, merged.report)
    pooled = _pool(_learn_logarithmic(found, settings), found, merged.barrier)
    return replace(pooled, report=merged.report)


def _pool(combination: FittedMerge, found: HeldOutMembers, barrier: float | None) -> LearnedMerge:
    return LearnedMerge(combination, lambda: combination.held_out_scores(found), barrier)


def _learn_logarithmic(found: HeldOutMembers, settings: Settings) -> FittedMerge:
    if isinstance(settings.weights, str) and settings.weights == "classwise":
        return StackedPoolsMerge.learn(found, settings, with_linear=False)
    return LogPoolMerge.learn(found, settings)


def _learn_best(found: HeldOutMembers, settings: Settings) -> FittedMerge:
    """All pools at once; of two greedy selections the better; given weights average logits."""
    if not isinstance(settings.weights, str):
        return LogPoolMerge.learn(found, settings)
    if settings.weights != "greedy":
        return StackedPoolsMerge.learn(found, settings, with_linear=True)
    learners = (LogPoolMerge.learn, _learn_linear)
    # Compared without a temperature of the merged logits: one that is fitted afterwards, by another
    # step, changes no choice either.
    before = settings.without_merged_temperature()
    pools = [learn(found, before) for learn in learners]
    losses = [
        mean_loss(pool.log_proba(pool.held_out_scores(found)), found.y, found.sample_weight)
        for pool in pools
    ]
    best = int(np.argmin(losses))
    return learners[best](found, settings) if settings.calibrates_merged else pools[best]


def _learn_linear(found: HeldOutMembers, settings: Settings) -> FittedMerge:
    return LinearPoolMerge.learn(found, settings)


_LEARN: dict[str, Callable[[HeldOutMembers, Settings], FittedMerge]] = {
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
