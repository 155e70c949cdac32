"""LinearPoolMerge: the linear opinion pool of fitted members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from skmergecal._numerics import (
    SMALLEST,
    add_weighted,
    log_softmax,
    row_losses,
    soften,
    softening_of,
)
from skmergecal._partitions import InMemory, Rows
from skmergecal._typing import Array
from skmergecal.members import HeldOutMembers, Member, Opinion, warn_of_unlike
from skmergecal.merging._greedy_loss import greedy_weights
from skmergecal.merging._settings import Settings
from skmergecal.merging.fitted._base import FittedMerge, OpinionReader
from skmergecal.merging.fitted._row_losses import LossesOfRows, RowLosses, scaled_losses
from skmergecal.merging.fitted._temperatures import (
    calibrated_opinions,
    fit_scale,
    loo_opinions,
)
from skmergecal.pooling import LooOfLinearPool, fit_linear_pool

__all__ = ["LinearPoolMerge"]


@dataclass(frozen=True)
class LinearPoolMerge(FittedMerge):
    """Linear opinion pool: weighted average of probabilities.

    Attributes
    ----------
    softening : float
        Mixed into the pooled probabilities before a temperature scales their log.
    calibrates : tuple of bool
        Whether members, and whether the merged probabilities, were calibrated.
    """

    softening: float = 0.0
    calibrates: tuple[bool, bool] = (False, False)

    @classmethod
    def learn(cls, held_out: HeldOutMembers, settings: Settings) -> tuple[Self, LossesOfRows]:
        """Learn weights and temperatures from held-out opinions."""
        warn_of_unlike(held_out.members, held_out.classes, held_out.y)
        temperatures = np.ones(len(held_out.members))
        if settings.calibrates_members:
            _, temperatures = calibrated_opinions(held_out, settings)
        calibrates = (settings.calibrates_members, settings.calibrates_merged)
        draft = cls(held_out.members, np.empty(0), temperatures, 1.0, calibrates=calibrates)
        p = [
            draft.member_proba(member, opinion, t)
            for member, opinion, t in zip(
                held_out.members, held_out.opinions, temperatures, strict=True
            )
        ]
        weights = _weights(p, held_out, settings)
        pooled = add_weighted(p, weights)
        softening = softening_of(pooled, held_out.sample_weight)
        fitted = replace(draft, weights=weights, softening=softening)
        if settings.calibrates_merged:
            scale = fit_scale(soften(pooled, softening), held_out.y, held_out.sample_weight)
            fitted = replace(fitted, temperature=scale)
        return fitted, lambda: fitted._losses(p, pooled, held_out, settings)

    @classmethod
    def without_rows(cls, members: Sequence[Member], classes: np.ndarray, weights: Array) -> Self:
        """Merge with given weights, nothing learned; zeros are softened by default."""
        warn_of_unlike(members, classes)
        softening = max(member.softening for member in members)
        return cls(members, weights, np.ones(len(members)), 1.0, softening=softening)

    def _losses(
        self, p: list[Array], pooled: Array, held_out: HeldOutMembers, settings: Settings
    ) -> RowLosses:
        """Losses of the held-out rows, weights and temperatures learned without each row."""
        y, weight = held_out.y, held_out.sample_weight
        known = zip(held_out.members, held_out.opinions, self.member_temperatures, strict=True)
        z = [member.log_proba(opinion) / t for member, opinion, t in known]
        opinions, steps = loo_opinions(z, self.member_temperatures, held_out, settings)
        at = p
        if self.calibrates[0]:  # a class that a member does not know keeps probability 0
            at = [np.where(own > 0, np.exp(z), 0.0) for own, z in zip(p, opinions, strict=True)]
            at = [known / known.sum(axis=1, keepdims=True) for known in at]
        if isinstance(settings.weights, str):
            rows = Rows(p, y, weight)
            without = LooOfLinearPool.of(InMemory(rows), self.weights).proba(rows, at)
        else:
            without = add_weighted(at, self.weights)
        if self.calibrates[1]:
            scores = soften(pooled, self.softening)
            soft = soften(without, self.softening)
            # A member's p changes by p (z - E_p z) with log(1 / T), the log of the pool by the
            # weighted sum of that over the pooled p.
            moves = []
            share = np.maximum(pooled, np.exp(scores))
            for step, w, own in zip(steps, self.weights, p, strict=False):
                logs = np.log(np.maximum(own, SMALLEST))
                change = own * (logs - (own * logs).sum(axis=1, keepdims=True))
                moves.append((step, w * change / share))
            merged = scaled_losses(soft, scores, y, weight, self.temperature, moves)
        else:
            merged = row_losses(self.log_proba(without), y)
        return RowLosses(merged, [row_losses(own, y) for own in opinions])

    def member_proba(self, member: Member, opinion: Opinion, temperature: float) -> Array:
        """A member's probabilities: its own, or after its temperature."""
        if self.calibrates[0]:
            return member.scaled_proba(opinion, temperature)
        return opinion.proba()

    def scores(self, read: OpinionReader) -> Array:
        """Weighted sum of probabilities."""
        return add_weighted(
            (self.member_proba(member, read(member), t) for member, _, t in self.active()),
            [w for _, w, _ in self.active()],
        )

    def scaled(self, scores: Array) -> Array:
        """Log of the softened average, divided by the temperature."""
        return log_softmax(soften(scores, self.softening) / self.temperature)

    def proba(self, scores: Array) -> Array:
        """The average itself, or its scaled form where it was calibrated."""
        return np.exp(self.scaled(scores)) if self.calibrates[1] else scores

    def log_proba(self, scores: Array) -> Array:
        """Log of the merged probabilities, -inf where all members give 0."""
        if self.calibrates[1]:
            return self.scaled(scores)
        positive = scores > 0
        return np.log(scores, out=np.full(scores.shape, -np.inf), where=positive)


def _weights(p: list[Array], held_out: HeldOutMembers, settings: Settings) -> Array:
    """Given weights, or those learned in the way that the settings name."""
    if not isinstance(settings.weights, str):
        return settings.weights
    if settings.weights == "greedy":
        return greedy_weights(p, held_out, settings, lambda mean: soften(mean, 0.0))
    y, weight = held_out.y, held_out.sample_weight
    return held_out.memo.result(
        ("linear pool", settings.calibrates_members), lambda: fit_linear_pool(p, y, weight).weights
    )
