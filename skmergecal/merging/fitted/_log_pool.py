"""LogPoolMerge: the logarithmic opinion pool of fitted members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import numpy as np

from skmergecal._numerics import add_weighted, log_softmax
from skmergecal._partitions import Partitions, Rows
from skmergecal._temperature import Bound, warn_at_bound
from skmergecal._typing import Array
from skmergecal.members import HeldOutMembers, Member, refuse_lacking, warn_of_unlike
from skmergecal.merging._greedy_loss import greedy_weights
from skmergecal.merging._settings import Settings
from skmergecal.merging.fitted._base import FittedMerge, OpinionReader
from skmergecal.merging.fitted._folds import losses_in_folds
from skmergecal.merging.fitted._row_losses import (
    LossesOfRows,
    MergedLosses,
    RowLosses,
    Unscaled,
    join_losses,
    scaled_losses,
)
from skmergecal.merging.fitted._temperatures import (
    LooOpinions,
    calibrated_rows,
    fit_scale,
    loo_opinions,
)
from skmergecal.pooling import (
    PoolFit,
    auto_log_pool_with_loo,
    fit_log_pool,
    loo_log_pool,
)

__all__ = ["LogPoolMerge", "refuse_missing_classes"]


class LogPoolMerge(FittedMerge):
    """Logarithmic opinion pool: weighted average of (calibrated) log-probabilities."""

    @classmethod
    def learn(cls, held_out: HeldOutMembers, settings: Settings) -> tuple[Self, LossesOfRows]:
        """Learn weights and temperatures from held-out opinions."""
        refuse_missing_classes(held_out.members, held_out.classes, held_out)
        if settings.needs_held_out():
            rows, temperatures = calibrated_rows(held_out, settings)
            weights, temperature, loo, bound = _weights_and_temperature(rows, held_out, settings)
        else:  # opinions may not have been read
            rows, temperatures = None, np.ones(len(held_out.members))
            weights, temperature, loo, bound = _Weights(np.asarray(settings.weights))
        scale = 1.0
        if settings.calibrates_merged:
            assert rows is not None
            scale = fit_scale(rows.map(_merged, weights, temperature))

        def losses() -> Partitions[RowLosses]:
            if bound is not None:  # not at a minimum: what a row changes is not known
                return losses_in_folds(held_out, lambda part: cls.learn(part, settings)[0])
            own = rows or calibrated_rows(held_out, settings)[0]
            members = loo_opinions(own, temperatures, settings)
            without = members.map(_by_weights, weights) if loo is None else loo()
            if settings.calibrates_merged:
                # Learned weights make up for temperatures of members that change.
                given = weights if loo is None else None
                unscaled = members.map_with(without, _unscaled, weights, temperature, given)
                learned = loo is not None and settings.alpha == "auto"
                merged = scaled_losses(unscaled, scale, scale_learned=learned)
            else:
                merged = without.map(MergedLosses.of)
            return members.map_with(merged, join_losses)

        return cls(held_out.members, weights, temperatures, temperature * scale), losses

    def scores(self, read: OpinionReader) -> Array:
        """Weighted sum of log-probabilities."""
        return add_weighted(
            (member.log_proba(read(member)) for member, _, _ in self.active()),
            [w / t for _, w, t in self.active()],
        )

    @classmethod
    def without_rows(cls, members: Sequence[Member], classes: np.ndarray, weights: Array) -> Self:
        """Merge with given weights, nothing learned."""
        refuse_missing_classes(members, classes)
        return cls(members, weights, np.ones(len(members)), 1.0)


def _merged(rows: Rows, weights: Array, temperature: float) -> Rows:
    """Scores of the merge as the only opinion."""
    return Rows([add_weighted(rows.opinions, weights) / temperature], rows.y, rows.weight)


def _by_weights(members: LooOpinions, weights: Array) -> Rows:
    pooled = log_softmax(add_weighted(members.opinions, weights))
    return Rows([pooled], members.rows.y, members.rows.weight)


def _unscaled(
    members: LooOpinions, without: Rows, weights: Array, temperature: float, given: Array | None
) -> Unscaled:
    """What a temperature of the merge scales, where weights are given or were learned."""
    rows = members.rows
    (scores,) = _merged(rows, weights, temperature).opinions
    moving = [] if given is None else zip(members.steps, given, rows.opinions, strict=False)
    moves = [(step, w * own) for step, w, own in moving]
    return Unscaled(without.opinions[0], scores, rows.y, rows.weight, moves)


class _Weights(NamedTuple):
    weights: Array
    temperature: float = 1.0
    loo: Callable[[], Partitions[Rows]] | None = None
    """Predicts each row by weights that were learned without it, where they are learned."""
    bound: Bound = None


def _weights_and_temperature(
    rows: Partitions[Rows], held_out: HeldOutMembers, settings: Settings
) -> _Weights:
    """Given weights, or those learned in the way that the settings name."""
    if not isinstance(settings.weights, str):
        return _Weights(settings.weights)
    if settings.weights == "greedy":
        return _Weights(greedy_weights(rows, held_out, settings, log_softmax))
    alpha = settings.alpha

    def learn() -> tuple[PoolFit, Partitions[Rows] | None]:
        if alpha == "auto":  # it needs the predictions anyway
            return auto_log_pool_with_loo(rows)
        return fit_log_pool(rows, alpha), None

    fit, loo = held_out.memo.result(("logarithmic pool", alpha, settings.calibrates_members), learn)
    warn_at_bound(fit.bound, "the logit pool")

    def without_rows() -> Partitions[Rows]:
        if loo is not None:
            return loo
        return loo_log_pool(rows, fit.weights / fit.temperature, alpha)

    return _Weights(fit.weights, fit.temperature, without_rows, fit.bound)


def refuse_missing_classes(
    members: Sequence[Member], classes: np.ndarray, held_out: HeldOutMembers | None = None
) -> None:
    """Raise ValueError if a member has no logits for a class; warn if names may be mistaken."""
    if not any(len(member.missing) for member in members):
        return
    seen = None if held_out is None else held_out.seen_classes
    refuse_lacking(members, classes, seen, for_logits=True)
    warn_of_unlike(members, classes, seen)
