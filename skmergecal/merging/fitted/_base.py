"""FittedMerge: members with what was learned about them, applied to any rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from skmergecal._numerics import log_softmax, row_losses, softmax
from skmergecal._typing import Array, Estimator
from skmergecal._warnings import warns_once
from skmergecal.members import Cache, HeldOutMembers, HeldOutPart, Member, Opinion

__all__ = ["FittedMerge", "OpinionReader", "scores_of_part"]

#: Reads a member's opinion of the rows at hand.
OpinionReader = Callable[[Member], Opinion]


@dataclass(frozen=True)
class FittedMerge(ABC):
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
    def scores(self, read: OpinionReader) -> Array:
        """Merged scores before the temperature; members are read one after the other."""

    @warns_once
    def read_scores(self, X: Any, owner: Estimator) -> Array:
        """Merged scores of any rows, kept in the ``memory`` of the estimator that owns the merge.

        Nothing is kept where the owner was not fitted in this process.
        """
        return self.scores(Cache.for_prediction(owner, X).reader(X))

    def members_pool(self) -> FittedMerge:
        """The pool of all members."""
        return self

    def scaled(self, scores: Array) -> Array:
        """Merged log-probabilities after the temperature."""
        return log_softmax(scores / self.temperature)

    def proba(self, scores: Array) -> Array:
        """Merged probabilities."""
        return softmax(scores / self.temperature)

    def log_proba(self, scores: Array) -> Array:
        """Log of the merged probabilities."""
        return self.scaled(scores)

    def held_out_scores(self, held_out: HeldOutMembers) -> Array:
        """Merged scores of the held-out rows."""
        opinions = {m.name: o for m, o in zip(held_out.members, held_out.opinions, strict=True)}
        return self.scores(lambda member: opinions[member.name])

    def light(self) -> Self:
        """The same without the estimators, which partitions need not know."""
        return replace(self, members=[member.without_estimator() for member in self.members])

    def held_out_loss(self, held_out: HeldOutMembers) -> float:
        """Mean log loss of the held-out rows, which the merge has learned from."""
        loss, total = held_out.parts.reduce(_loss_of_part, self.light(), what="loss of the merge")
        return float(loss / total)


def scores_of_part(part: HeldOutPart, merge: FittedMerge) -> Array:
    """Merged scores of a part of the held-out rows."""
    opinions = {m.name: o for m, o in zip(merge.members, part.opinions, strict=True)}
    return merge.scores(lambda member: opinions[member.name])


def _loss_of_part(part: HeldOutPart, merge: FittedMerge) -> tuple[float, float]:
    losses = row_losses(merge.log_proba(scores_of_part(part, merge)), part.y)
    if part.weight is None:
        return float(losses.sum()), float(len(losses))
    return float(np.multiply(losses, part.weight).sum()), float(part.weight.sum())
