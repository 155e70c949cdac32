"""Opinions of two classes as one number per row: the gap between their log-probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from skmergecal._typing import Array, IntArray

__all__ = ["GapOpinions", "softplus"]


class GapOpinions(Sequence[Array]):
    """Log-probabilities of two classes, made of gaps where they are asked for.

    Parameters
    ----------
    gaps : iterable of ndarray of shape (n_rows,)
        log p_1 - log p_0 of each member, perhaps in float32: a quarter of the bytes.
    """

    def __init__(self, gaps: Iterable[Any]) -> None:
        self.gaps = list(gaps)

    def __len__(self) -> int:
        return len(self.gaps)

    def __getitem__(self, number: Any) -> Any:
        """The matrix of a member, shape (n_rows, 2)."""
        gap = self.gaps[number]  # IndexError ends an iteration
        return -np.column_stack([softplus(gap), softplus(-gap)])

    def some(self, members: Sequence[int]) -> GapOpinions:
        """Those of some members."""
        return GapOpinions(self.gaps[k] for k in members)

    def take(self, rows: Any) -> GapOpinions:
        """Those of some rows."""
        return GapOpinions(gap[rows] for gap in self.gaps)

    def losses(self, y: IntArray) -> list[Array]:
        """-log p of the true class of each row, for each member."""
        sign = np.where(y == 1, -1.0, 1.0)
        return [softplus(sign * gap) for gap in self.gaps]

    def largest(self) -> list[float]:
        """Of each member, the largest absolute log-probability."""
        ends = [max(float(gap.max()), -float(gap.min())) for gap in self.gaps]
        return softplus(np.array(ends)).tolist()


def softplus(x: Any) -> Array:
    """log(1 + exp(x)), in float64."""
    x = np.asarray(x, dtype=np.float64)
    found = np.abs(x)
    np.negative(found, out=found)
    np.exp(found, out=found)
    np.log1p(found, out=found)
    found += np.maximum(x, 0.0)
    return found
