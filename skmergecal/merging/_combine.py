"""From the method's name to a fitted combination of members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from skmergecal._numerics import mean_loss
from skmergecal._typing import Array
from skmergecal.members import Collected, Member, Rows
from skmergecal.merging._combination import (
    Combination,
    LinearCombination,
    LogarithmicCombination,
)
from skmergecal.merging._combined import CombinedCombination
from skmergecal.merging._parameters import ParameterCombination, guard_barrier
from skmergecal.merging._report import MergeReport
from skmergecal.merging._settings import Settings

__all__ = ["Learned", "combine", "combine_without_rows"]


@dataclass(frozen=True)
class Learned:
    """A fitted combination.

    Attributes
    ----------
    combination : Combination
    held_out_scores : callable
        Gives the scores of the held-out rows; not kept with the combination.
    barrier : float or None
        Of the averaged parameters, also where they are not used.
    report : MergeReport or None
        The same.
    """

    combination: Combination
    held_out_scores: Callable[[], Array]
    barrier: float | None = None
    report: MergeReport | None = None


def combine(method: str, found: Collected, settings: Settings, rows: Rows) -> Learned:
    """Learn from held-out opinions how to combine the members."""
    if method != "parameters":
        return _pool(_LEARN[method](found, settings), found, None)
    merged, held_out = ParameterCombination.learn(found, settings, rows)
    if guard_barrier(merged, settings):
        return Learned(merged, lambda: held_out, merged.barrier, merged.report)
    pooled = _pool(_learn_logarithmic(found, settings), found, merged.barrier)
    return replace(pooled, report=merged.report)


def _pool(combination: Combination, found: Collected, barrier: float | None) -> Learned:
    return Learned(combination, lambda: combination.held_out_scores(found), barrier)


def _learn_logarithmic(found: Collected, settings: Settings) -> Combination:
    if isinstance(settings.weights, str) and settings.weights == "classwise":
        return CombinedCombination.learn(found, settings, with_linear=False)
    return LogarithmicCombination.learn(found, settings)


def _learn_best(found: Collected, settings: Settings) -> Combination:
    """All pools at once; of two greedy selections the better; given weights average logits."""
    if not isinstance(settings.weights, str):
        return LogarithmicCombination.learn(found, settings)
    if settings.weights != "greedy":
        return CombinedCombination.learn(found, settings, with_linear=True)
    learners = (LogarithmicCombination.learn, _learn_linear)
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


def _learn_linear(found: Collected, settings: Settings) -> Combination:
    return LinearCombination.learn(found, settings)


_LEARN: dict[str, Callable[[Collected, Settings], Combination]] = {
    "auto": _learn_best,
    "logits": _learn_logarithmic,
    "probabilities": _learn_linear,
}


def combine_without_rows(
    method: str, members: Sequence[Member], classes: np.ndarray, settings: Settings
) -> Combination:
    """Combine frozen members with given weights, nothing learned."""
    weights = np.asarray(settings.weights)
    if method == "parameters":
        return ParameterCombination.without_rows(members, weights, settings)
    if method == "probabilities":
        return LinearCombination.without_rows(members, classes, weights)
    return LogarithmicCombination.without_rows(members, classes, weights)
