"""LinearPoolMerge: the linear opinion pool of fitted members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Self

import numpy as np

from skmergecal._numerics import (
    SMALLEST,
    add_weighted,
    log_of,
    log_softmax,
    soften,
)
from skmergecal._partitions import Partitions, Rows, softenings
from skmergecal._typing import Array, IntArray
from skmergecal.members import HeldOutMembers, HeldOutPart, Member, Opinion, warn_of_unlike
from skmergecal.merging._greedy_loss import greedy_weights
from skmergecal.merging._settings import Settings
from skmergecal.merging.fitted._base import FittedMerge, OpinionReader
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
    divided,
    fit_scale,
    loo_opinions,
)
from skmergecal.pooling import LooOfLinearPool, fit_linear_weights

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
        if any(len(member.missing) for member in held_out.members):
            warn_of_unlike(held_out.members, held_out.classes, held_out.seen_classes)
        temperatures = np.ones(len(held_out.members))
        if settings.calibrates_members:
            _, temperatures = calibrated_rows(held_out, settings)
        calibrates = (settings.calibrates_members, settings.calibrates_merged)
        draft = cls(held_out.members, np.empty(0), temperatures, 1.0, calibrates=calibrates)
        rows = held_out.parts.map(_probabilities, draft.light())
        weights = _weights(rows, held_out, settings)
        pooled = rows.map(_pooled, weights)
        (softening,) = softenings(pooled)
        fitted = replace(draft, weights=weights, softening=softening)
        if settings.calibrates_merged:
            scale = fit_scale(pooled.map(_softened, fitted.softening))
            fitted = replace(fitted, temperature=scale)
        return fitted, lambda: fitted._losses(rows, pooled, held_out, settings)

    @classmethod
    def without_rows(cls, members: Sequence[Member], classes: np.ndarray, weights: Array) -> Self:
        """Merge with given weights, nothing learned; zeros are softened by default."""
        warn_of_unlike(members, classes)
        softening = max(member.softening for member in members)
        return cls(members, weights, np.ones(len(members)), 1.0, softening=softening)

    def _losses(
        self,
        rows: Partitions[Rows],
        pooled: Partitions[Rows],
        held_out: HeldOutMembers,
        settings: Settings,
    ) -> Partitions[RowLosses]:
        """Losses of the held-out rows, weights and temperatures learned without each row."""
        logs = held_out.log_rows
        calibrated = logs.map(divided, self.member_temperatures)
        members = loo_opinions(calibrated, self.member_temperatures, settings)
        both = members.map_with(rows, _without_rows, self.calibrates[0])
        loo = None
        if isinstance(settings.weights, str):
            loo = LooOfLinearPool.of(rows, self.weights)
        light = self.light()
        if self.calibrates[1]:
            unscaled = both.map_with(pooled, _unscaled, loo, light)
            merged = scaled_losses(unscaled, self.temperature)
        else:
            merged = both.map(_merged_losses, loo, light)
        return members.map_with(merged, join_losses)

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
        return self.scaled(scores) if self.calibrates[1] else log_of(scores)


def _weights(rows: Partitions[Rows], held_out: HeldOutMembers, settings: Settings) -> Array:
    """Given weights, or those learned in the way that the settings name."""
    if not isinstance(settings.weights, str):
        return settings.weights
    if settings.weights == "greedy":
        return greedy_weights(rows, held_out, settings, partial(soften, amount=0.0))
    return held_out.memo.result(
        ("linear pool", settings.calibrates_members), lambda: fit_linear_weights(rows)[0]
    )


def _probabilities(part: HeldOutPart, merge: LinearPoolMerge) -> Rows:
    """The members' probabilities, as they are pooled."""
    known = zip(merge.members, part.opinions, merge.member_temperatures, strict=True)
    proba = [merge.member_proba(member, opinion, t) for member, opinion, t in known]
    return Rows(proba, part.y, part.weight)


def _pooled(rows: Rows, weights: Array) -> Rows:
    return Rows([add_weighted(rows.opinions, weights)], rows.y, rows.weight)


def _softened(rows: Rows, softening: float) -> Rows:
    return Rows([soften(rows.opinions[0], softening)], rows.y, rows.weight)


class _WithoutRows(NamedTuple):
    """The members' probabilities, and those after temperatures without the row."""

    rows: Rows
    at: Sequence[Array]
    steps: Sequence[Array]

    @property
    def y(self) -> IntArray:
        """Column numbers of the true classes."""
        return self.rows.y

    def pooled(self, loo: LooOfLinearPool | None, weights: Array) -> Array:
        """Pooled by weights that were learned without the row, where they are learned."""
        return add_weighted(self.at, weights) if loo is None else loo.proba(self.rows, self.at)


def _without_rows(members: LooOpinions, rows: Rows, calibrated: bool) -> _WithoutRows:
    p, at = rows.opinions, rows.opinions
    if calibrated:  # a class that a member does not know keeps probability 0
        pairs = zip(p, members.opinions, strict=True)
        at = [np.where(own > 0, np.exp(z), 0.0) for own, z in pairs]
        at = [known / known.sum(axis=1, keepdims=True) for known in at]
    return _WithoutRows(rows, at, members.steps)


def _merged_losses(
    both: _WithoutRows, loo: LooOfLinearPool | None, merge: LinearPoolMerge
) -> MergedLosses:
    log_proba = merge.log_proba(both.pooled(loo, merge.weights))
    return MergedLosses.of(Rows([log_proba], both.rows.y, both.rows.weight))


def _unscaled(
    both: _WithoutRows, pooled: Rows, loo: LooOfLinearPool | None, merge: LinearPoolMerge
) -> Unscaled:
    scores = soften(pooled.opinions[0], merge.softening)
    soft = soften(both.pooled(loo, merge.weights), merge.softening)
    # A member's p changes by p (z - E_p z) with log(1 / T), the log of the pool by the weighted sum
    # of that over the pooled p.
    moves = []
    share = np.maximum(pooled.opinions[0], np.exp(scores))
    for step, w, own in zip(both.steps, merge.weights, both.rows.opinions, strict=False):
        logs = np.log(np.maximum(own, SMALLEST))
        change = own * (logs - (own * logs).sum(axis=1, keepdims=True))
        moves.append((step, w * change / share))
    return Unscaled(soft, scores, both.rows.y, both.rows.weight, moves)
