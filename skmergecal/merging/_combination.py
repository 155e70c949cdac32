"""How the opinions of members become one: learned once, then applied to any rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from skmergecal._numerics import log_softmax, soften, softmax
from skmergecal._temperature import warn_at_bound
from skmergecal._typing import Array
from skmergecal.members import Collected, Member, Opinion
from skmergecal.merging._scoring import held_out_loss
from skmergecal.merging._settings import Settings, calibrated_opinions, fit_scale
from skmergecal.pooling import (
    fit_linear_pool,
    fit_logarithmic_pool,
    greedy_selection,
    linear_pool,
)
from skmergecal.pooling._logarithmic import add_weighted

__all__ = [
    "Combination",
    "LinearCombination",
    "LogarithmicCombination",
    "Reader",
    "refuse_missing_classes",
]

#: Reads a member's opinion of the rows at hand.
Reader = Callable[[Member], Opinion]


@dataclass(frozen=True)
class Combination(ABC):
    """Fitted members with what was learned about them.

    Attributes
    ----------
    members : list of Member
    weights : ndarray of shape (n_members,)
        Adding up to 1.
    member_temperatures : ndarray of shape (n_members,)
    temperature : float
    """

    members: Sequence[Member]
    weights: Array
    member_temperatures: Array
    temperature: float

    def active(self) -> Iterator[tuple[Member, float, float]]:
        """Members of positive weight, with weight and temperature."""
        for member, w, t in zip(self.members, self.weights, self.member_temperatures, strict=True):
            if w > 0:
                yield member, float(w), float(t)

    @abstractmethod
    def scores(self, read: Reader) -> Array:
        """Merged scores before the temperature; members are read one after the other."""

    def scaled(self, scores: Array) -> Array:
        """Merged log-probabilities after the temperature."""
        return log_softmax(scores / self.temperature)

    def proba(self, scores: Array) -> Array:
        """Merged probabilities."""
        return softmax(scores / self.temperature)

    def log_proba(self, scores: Array) -> Array:
        """Log of the merged probabilities."""
        return self.scaled(scores)

    def held_out_scores(self, found: Collected) -> Array:
        """Merged scores of the held-out rows."""
        opinions = {m.name: o for m, o in zip(found.members, found.opinions, strict=True)}
        return self.scores(lambda member: opinions[member.name])


def greedy_weights(
    opinions: Sequence[Array],
    found: Collected,
    settings: Settings,
    to_log_proba: Callable[[Array], Array],
) -> Array:
    """Greedy selection by the chosen score of the averaged opinions."""
    loss = held_out_loss(found, settings.scoring)
    return greedy_selection(opinions, lambda mean: loss(to_log_proba(mean)))


class LogarithmicCombination(Combination):
    """Logarithmic opinion pool: weighted average of (calibrated) log-probabilities."""

    @classmethod
    def learn(cls, found: Collected, settings: Settings) -> Self:
        """Learn weights and temperatures from held-out opinions."""
        refuse_missing_classes(found.members, found.classes)
        if not settings.needs_held_out():
            ones = np.ones(len(found.members))
            return cls(found.members, np.asarray(settings.weights), ones, 1.0)
        y, weight = found.y, found.sample_weight
        z, temperatures = calibrated_opinions(found, settings)
        temperature = 1.0

        def by_log_loss() -> Array:
            nonlocal temperature
            fit = found.memo.result(
                ("logarithmic pool", settings.alpha, settings.calibrates_members),
                lambda: fit_logarithmic_pool(z, y, weight, alpha=settings.alpha),
            )
            warn_at_bound(fit.bound, fit.temperature, "the logit pool: ")
            temperature = fit.temperature
            return fit.weights

        weights = settings.learn_weights(
            {
                "log_loss": by_log_loss,
                "greedy": lambda: greedy_weights(z, found, settings, log_softmax),
            }
        )
        if settings.calibrates_merged:
            pooled = add_weighted(z, weights) / temperature
            temperature *= fit_scale(pooled, y, weight)
        return cls(found.members, weights, temperatures, temperature)

    def scores(self, read: Reader) -> Array:
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


def refuse_missing_classes(members: Sequence[Member], classes: np.ndarray) -> None:
    """Raise ValueError if a member has no logits for a class."""
    for member in members:
        if len(member.missing):
            unseen = classes[member.missing].tolist()
            msg = (
                f"estimator {member.name!r} never saw the classes {unseen}, so that it has no "
                "logits for them: leave it out, train it on all classes, or use "
                "method='probabilities', where it gives them probability 0"
            )
            raise ValueError(msg)


@dataclass(frozen=True)
class LinearCombination(Combination):
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
    def learn(cls, found: Collected, settings: Settings) -> Self:
        """Learn weights and temperatures from held-out opinions."""
        y, weight = found.y, found.sample_weight
        temperatures = np.ones(len(found.members))
        if settings.calibrates_members:
            _, temperatures = calibrated_opinions(found, settings)
        calibrates = (settings.calibrates_members, settings.calibrates_merged)
        draft = cls(found.members, np.empty(0), temperatures, 1.0, calibrates=calibrates)
        p = [
            draft.member_proba(member, opinion, t)
            for member, opinion, t in zip(found.members, found.opinions, temperatures, strict=True)
        ]
        weights = settings.learn_weights(
            {
                "log_loss": lambda: found.memo.result(
                    ("linear pool", settings.calibrates_members),
                    lambda: fit_linear_pool(p, y, weight).weights,
                ),
                "greedy": lambda: greedy_weights(p, found, settings, lambda q: soften(q, 0.0)),
            }
        )
        pooled = linear_pool(p, weights)
        softening = 1 / (found.total_weight + 1) if (pooled == 0).any() else 0.0
        fitted = replace(draft, weights=weights, softening=softening)
        if not settings.calibrates_merged:
            return fitted
        scale = fit_scale(soften(pooled, softening), y, weight)
        return replace(fitted, temperature=scale)

    @classmethod
    def without_rows(cls, members: Sequence[Member], classes: np.ndarray, weights: Array) -> Self:
        """Merge with given weights, nothing learned; zeros are softened by default."""
        softening = max(member.softening for member in members)
        return cls(members, weights, np.ones(len(members)), 1.0, softening=softening)

    def member_proba(self, member: Member, opinion: Opinion, temperature: float) -> Array:
        """A member's probabilities: its own, or after its temperature."""
        if self.calibrates[0]:
            return member.scaled_proba(opinion, temperature)
        return opinion.proba()

    def scores(self, read: Reader) -> Array:
        """Weighted sum of probabilities."""
        return linear_pool(
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
        """Log of the merged probabilities, -inf where all members say 0."""
        if self.calibrates[1]:
            return self.scaled(scores)
        positive = scores > 0
        return np.log(scores, out=np.full(scores.shape, -np.inf), where=positive)
