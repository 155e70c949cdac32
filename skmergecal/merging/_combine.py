"""From the method's name to a fitted combination of members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from skmergecal._typing import Array
from skmergecal.members import Collected, Member, Rows
from skmergecal.merging._combination import (
    Combination,
    LinearCombination,
    LogarithmicCombination,
)
from skmergecal.merging._parameters import ParameterCombination, guard_barrier
from skmergecal.merging._report import MergeReport
from skmergecal.merging._settings import Settings

__all__ = ["Learned", "combine", "combine_without_rows"]

_POOLS: dict[str, type[LogarithmicCombination] | type[LinearCombination]] = {
    "logits": LogarithmicCombination,
    "probabilities": LinearCombination,
}


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
    if method in _POOLS:
        return _pool(_POOLS[method], found, settings, None)
    merged, held_out = ParameterCombination.learn(found, settings, rows)
    if guard_barrier(merged, settings):
        return Learned(merged, lambda: held_out, merged.barrier, merged.report)
    pooled = _pool(LogarithmicCombination, found, settings, merged.barrier)
    return replace(pooled, report=merged.report)


def _pool(
    pool: type[LogarithmicCombination] | type[LinearCombination],
    found: Collected,
    settings: Settings,
    barrier: float | None,
) -> Learned:
    combination = pool.learn(found, settings)
    return Learned(combination, lambda: combination.held_out_scores(found), barrier)


def combine_without_rows(
    method: str, members: Sequence[Member], classes: np.ndarray, settings: Settings
) -> Combination:
    """Combine frozen members with given weights, nothing learned."""
    weights = np.asarray(settings.weights)
    if method in _POOLS:
        return _POOLS[method].without_rows(members, classes, weights)
    return ParameterCombination.without_rows(members, weights, settings)
