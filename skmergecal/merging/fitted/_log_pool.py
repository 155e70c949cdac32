"""LogPoolMerge: the logarithmic opinion pool of fitted members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from skmergecal._numerics import add_weighted, log_softmax
from skmergecal._temperature import warn_at_bound
from skmergecal._typing import Array, IntArray
from skmergecal.members import HeldOutMembers, Member, unlike_members
from skmergecal.merging._greedy_loss import greedy_weights
from skmergecal.merging._settings import Settings
from skmergecal.merging.fitted._base import FittedMerge, OpinionReader
from skmergecal.merging.fitted._temperatures import calibrated_opinions, fit_scale
from skmergecal.pooling import fit_logarithmic_pool

__all__ = ["LogPoolMerge", "refuse_missing_classes"]


class LogPoolMerge(FittedMerge):
    """Logarithmic opinion pool: weighted average of (calibrated) log-probabilities."""

    @classmethod
    def learn(cls, held_out: HeldOutMembers, settings: Settings) -> Self:
        """Learn weights and temperatures from held-out opinions."""
        refuse_missing_classes(held_out.members, held_out.classes, held_out.y)
        if not settings.needs_held_out():
            ones = np.ones(len(held_out.members))
            return cls(held_out.members, np.asarray(settings.weights), ones, 1.0)
        z, temperatures = calibrated_opinions(held_out, settings)
        weights, temperature = _weights_and_temperature(z, held_out, settings)
        if settings.calibrates_merged:
            pooled = add_weighted(z, weights) / temperature
            temperature *= fit_scale(pooled, held_out.y, held_out.sample_weight)
        return cls(held_out.members, weights, temperatures, temperature)

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


def _weights_and_temperature(
    z: list[Array], held_out: HeldOutMembers, settings: Settings
) -> tuple[Array, float]:
    """Given weights, or those learned in the way that the settings name."""
    if not isinstance(settings.weights, str):
        return settings.weights, 1.0
    if settings.weights == "greedy":
        return greedy_weights(z, held_out, settings, log_softmax), 1.0
    y, weight = held_out.y, held_out.sample_weight
    fit = held_out.memo.result(
        ("logarithmic pool", settings.alpha, settings.calibrates_members),
        lambda: fit_logarithmic_pool(z, y, weight, alpha=settings.alpha),
    )
    warn_at_bound(fit.bound, "the logit pool")
    return fit.weights, fit.temperature


def refuse_missing_classes(
    members: Sequence[Member], classes: np.ndarray, y: IntArray | None = None
) -> None:
    """Raise ValueError if a member has no logits for a class."""
    for member in members:
        if len(member.missing):
            unseen = classes[member.missing].tolist()
            msg = (
                f"estimator {member.name!r} never saw the classes {unseen}, so that it has no "
                "logits for them: leave it out, train it on all classes, or use "
                "method='probabilities', where it gives them probability 0"
            )
            raise ValueError(". Or ".join([msg, *unlike_members(members, classes, y)[:1]]))
