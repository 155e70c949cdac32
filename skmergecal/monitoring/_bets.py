"""Bets on the difference of two models' Brier scores, in one direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmergecal._typing import Array, IntArray

__all__ = ["Bets", "half_brier_difference"]

#: The largest share of the wealth that is bet.
_LARGEST = 0.5


def half_brier_difference(one: Array, other: Array, y: IntArray) -> Array:
    """Half of how much larger the Brier score of one is than that of the other, in [-1, 1]."""
    target = np.zeros(one.shape)
    target[np.arange(len(y)), y] = 1
    return np.asarray((((one - target) ** 2).sum(axis=1) - ((other - target) ** 2).sum(axis=1)) / 2)


@dataclass(frozen=True)
class Bets:
    """Wealth of bets on x > 0, each a share lambda of it that past rows suggest.

    If the mean of x given the past is at most 0 on each row, wealth is a supermartingale.

    Attributes
    ----------
    total, square : float
        Sums of x and of x^2.
    log_wealth, largest : float
        Log of the wealth, and its largest value so far.
    """

    total: float = 0.0
    square: float = 0.0
    log_wealth: float = 0.0
    largest: float = 0.0

    def after(self, x: Array) -> Bets:
        """After more rows; x in [-1, 1]."""
        total = np.cumsum(np.append(self.total, x))
        square = np.cumsum(np.append(self.square, x**2))
        share = np.clip(total[:-1] / (square[:-1] + 1), 0, _LARGEST)
        wealth = np.cumsum(np.append(self.log_wealth, np.log1p(share * x)))
        return Bets(
            float(total[-1]),
            float(square[-1]),
            float(wealth[-1]),
            max(self.largest, float(wealth.max())),
        )
