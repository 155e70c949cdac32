"""HeldOutPart: opinions of all members on some held-out rows, with labels and weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from skmergecal._partitions import Rows
from skmergecal._typing import Array, IntArray
from skmergecal.members._member import Opinion

__all__ = ["HeldOutPart"]


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

    def counts_of_classes(self, n_classes: int) -> IntArray:
        """Number of rows of each class."""
        return np.bincount(self.y, minlength=n_classes)
