"""LogPoolMerge: the logarithmic opinion pool of fitted members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import numpy as np

from skmergecal._numerics import add_weighted, log_softmax, row_losses
from skmergecal._partitions import InMemory, Rows
from skmergecal._temperature import Bound, warn_at_bound
from skmergecal._typing import Array, IntArray
from skmergecal.members import HeldOutMembers, Member, refuse_lacking, warn_of_unlike
from skmergecal.merging._greedy_loss import greedy_weights
from skmergecal.merging._settings import Settings
from skmergecal.merging.fitted._base import FittedMerge, OpinionReader
from skmergecal.merging.fitted._folds import losses_in_folds
from skmergecal.merging.fitted._row_losses import LossesOfRows, RowLosses, scaled_losses
from skmergecal.merging.fitted._temperatures import (
    calibrated_opinions,
    fit_scale,
    loo_opinions,
)
from skmergecal.pooling import (
    LooOfLogPool,
    PoolFit,
    auto_log_pool_with_loo,
    fit_logarithmic_pool,
)

__all__ = ["LogPoolMerge", "refuse_missing_classes"]


class LogPoolMerge(FittedMerge):
    """Logarithmic opinion pool: weighted average of (calibrated) log-probabilities."""

    @classmethod
    def learn(cls, held_out: HeldOutMembers, settings: Settings) -> tuple[Self, LossesOfRows]:
        """Learn weights and temperatures from held-out opinions."""
        refuse_missing_classes(held_out.members, held_out.classes, held_out.y)
        y, weight = held_out.y, held_out.sample_weight
        if settings.needs_held_out():
            z, temperatures = calibrated_opinions(held_out, settings)
            weights, temperature, loo, bound = _weights_and_temperature(z, held_out, settings)
        else:  # opinions may not have been read
            z, temperatures = [], np.ones(len(held_out.members))
            weights, temperature, loo, bound = _Weights(np.asarray(settings.weights))
        scale, pooled = 1.0, None
        if settings.calibrates_merged:
            pooled = add_weighted(z, weights) / temperature
            scale = fit_scale(pooled, y, weight)

        def losses() -> RowLosses:
            if bound is not None:  # not at a minimum: what a row changes is not known
                return losses_in_folds(held_out, lambda part: cls.learn(part, settings)[0])
            own = z or calibrated_opinions(held_out, settings)[0]
            opinions, steps = loo_opinions(own, temperatures, held_out, settings)
            without = log_softmax(add_weighted(opinions, weights)) if loo is None else loo()
            if pooled is None:
                merged = row_losses(without, y)
            else:
                # Learned weights make up for temperatures of members that change.
                given = [] if loo is not None else zip(steps, weights, z, strict=False)
                moves = [(step, w * own) for step, w, own in given]
                learned = loo is not None and settings.alpha == "auto"
                fit = (without, pooled, y, weight, scale, moves)
                merged = scaled_losses(*fit, scale_learned=learned)
            return RowLosses(merged, [row_losses(own, y) for own in opinions])

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


class _Weights(NamedTuple):
    weights: Array
    temperature: float = 1.0
    loo: Callable[[], Array] | None = None
    """Predicts each row by weights that were learned without it, where they are learned."""
    bound: Bound = None


def _weights_and_temperature(
    z: list[Array], held_out: HeldOutMembers, settings: Settings
) -> _Weights:
    """Given weights, or those learned in the way that the settings name."""
    if not isinstance(settings.weights, str):
        return _Weights(settings.weights)
    if settings.weights == "greedy":
        return _Weights(greedy_weights(z, held_out, settings, log_softmax))
    y, weight = held_out.y, held_out.sample_weight
    alpha = settings.alpha

    def learn() -> tuple[PoolFit, Array | None]:
        if alpha == "auto":  # it needs the predictions anyway
            found, predictions = auto_log_pool_with_loo(InMemory(Rows(z, y, weight)))
            assert isinstance(predictions, InMemory)
            return found, predictions.part.opinions[0]
        return fit_logarithmic_pool(z, y, weight, alpha=alpha), None

    fit, loo = held_out.memo.result(("logarithmic pool", alpha, settings.calibrates_members), learn)
    warn_at_bound(fit.bound, "the logit pool")

    def without_rows() -> Array:
        if loo is not None:
            return loo
        rows, beta = Rows(z, y, weight), fit.weights / fit.temperature
        return LooOfLogPool.of(InMemory(rows), beta, alpha).log_proba(rows)

    return _Weights(fit.weights, fit.temperature, without_rows, fit.bound)


def refuse_missing_classes(
    members: Sequence[Member], classes: np.ndarray, y: IntArray | None = None
) -> None:
    """Raise ValueError if a member has no logits for a class; warn if names may be mistaken."""
    refuse_lacking(members, classes, y, for_logits=True)
    warn_of_unlike(members, classes, y)
