"""HeldOutMembers: fitted members with their opinions of held-out rows, in parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from skmergecal._memory import Memo
from skmergecal._partitions import InMemory, Partitions, Rows, remembered
from skmergecal._typing import Array, IntArray
from skmergecal.members._member import Member, Opinion

__all__ = ["Fold", "HeldOutMembers", "HeldOutPart"]


class _OnDemand(Sequence[Array]):
    """Matrices that are made when they are asked for, and kept."""

    def __init__(self, n_matrices: int, make: Callable[[int], Array]) -> None:
        self._made: list[Array | None] = [None] * n_matrices
        self._make = make

    def __len__(self) -> int:
        return len(self._made)

    def __getitem__(self, number: Any) -> Any:
        made = self._made[number]  # IndexError ends an iteration
        if made is None:
            made = self._made[number] = self._make(number)
        return made


class HeldOutPart(NamedTuple):
    """Opinions of all members on some held-out rows, with labels and weights.

    Attributes
    ----------
    opinions : sequence of Opinion
        One per member.
    y : ndarray of shape (n_rows,)
        Column numbers of the true classes.
    weight : ndarray of shape (n_rows,) or None
        Positive frequency weights.
    """

    opinions: Sequence[Opinion]
    y: IntArray
    weight: Array | None

    def log_rows(self, softenings: Sequence[float]) -> Rows:
        """Log-probabilities, softened by so much for each member."""

        def make(k: int) -> Array:
            return self.opinions[k].log_proba(softenings[k])

        return Rows(_OnDemand(len(self.opinions), make), self.y, self.weight)

    def proba_rows(self) -> Rows:
        """The members' own probabilities."""
        made = _OnDemand(len(self.opinions), lambda k: self.opinions[k].proba())
        return Rows(made, self.y, self.weight)

    def weight_of_classes(self, n_classes: int) -> Array:
        """Weight of the rows of each class."""
        return np.bincount(self.y, self.weight, n_classes).astype(np.float64)


@dataclass(frozen=True)
class Fold:
    """The members as fitted without the rows of one fold."""

    members: list[Member]
    places: slice
    """Where the fold's rows are among the held-out rows."""

    def filled(self, fill: float) -> Fold:
        """The fold with members that give a probability to each class that they do not know."""
        return replace(self, members=[member.filled(fill) for member in self.members])


@dataclass(frozen=True)
class HeldOutMembers:
    """Fitted members, and their opinions of held-out rows.

    Attributes
    ----------
    members : list of Member
        Frozen ones as they are, the others refitted on all rows, or averages of the models of the
        folds.
    classes : ndarray of shape (n_classes,)
        Union of the labels of the members and of y.
    opinions : list of Opinion
        One per member, on the held-out rows; empty where none was needed.
    rows : ndarray of shape (n_held_out,)
        The row of X that each line of the opinions belongs to.
    y : ndarray of shape (n_held_out,)
        Column numbers of the true classes.
    sample_weight : ndarray of shape (n_held_out,) or None
    folds : list of Fold
        The members of each fold; one fold with the final members where nothing is cross-fitted.
    labels_key : str or None
        Identifies y and the weights; None: nothing that follows from them is remembered.
    """

    members: list[Member]
    classes: np.ndarray
    opinions: list[Opinion]
    rows: IntArray
    y: IntArray
    sample_weight: Array | None
    folds: list[Fold]
    labels_key: str | None = None

    @property
    def parts(self) -> Partitions[HeldOutPart]:
        """The opinions, y and weights, all that pools and temperatures learn from."""
        return InMemory(HeldOutPart(self.opinions, self.y, self.sample_weight))

    @property
    def read(self) -> bool:
        """Whether the members' opinions are there."""
        return len(self.opinions) > 0

    @property
    def log_rows(self) -> Partitions[Rows]:
        """The members' log-probabilities, softened."""
        return self.parts.map(HeldOutPart.log_rows, self.softenings)

    @property
    def softenings(self) -> list[float]:
        """Softening of each member."""
        return [member.softening for member in self.members]

    @remembered
    def weight_of_classes(self) -> Array:
        """Weight of the held-out rows of each class."""
        return self.counted_classes()

    def counted_classes(self) -> Array:
        """The same, counted now."""
        n_classes = len(self.classes)
        found = self.parts.reduce(
            HeldOutPart.weight_of_classes, n_classes, what="rows of each class"
        )
        return np.asarray(found)

    @property
    def seen_classes(self) -> IntArray:
        """Column numbers of the classes that held-out rows have."""
        return np.flatnonzero(self.weight_of_classes)

    @property
    def memo(self) -> Memo:
        """Remembers what follows from opinions, y and weights."""
        return Memo.of_all([opinion.memo for opinion in self.opinions], self.labels_key)

    def memo_of(self, member: int) -> Memo:
        """Remembers what follows from the opinion of one member, y and weights."""
        return Memo.of_all([self.opinions[member].memo], self.labels_key)

    @property
    def total_weight(self) -> float:
        """Number of held-out rows, counted by their weights."""
        return float(len(self.y) if self.sample_weight is None else self.sample_weight.sum())

    @property
    def cross_fitted(self) -> bool:
        """Whether the opinions are those of other models than the members."""
        final = [member.estimator for member in self.members]
        return any(
            member.estimator is not estimator
            for fold in self.folds
            for member, estimator in zip(fold.members, final, strict=True)
        )
