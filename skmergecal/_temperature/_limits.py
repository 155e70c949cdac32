"""Limits of a temperature: whether a finite one is best, and where it stops if none is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from skmergecal._temperature._search import Objective, find_root

__all__ = ["LIMIT", "Bound", "Limits"]

#: Where T would grow without bound, it is set to the scale of the logits times this.
LIMIT = 1e3
#: Where T would fall to 0, it stops where the summed loss, less that of ties, is that of one row
#: undecided between two classes.
UNDECIDED_ROW = float(np.log(2))
#: A finite optimum is sought within this factor of the gaps of the logits.
RANGE = 1e8

Bound = Literal["lower", "upper"] | None


@dataclass(frozen=True)
class Limits:
    """Sums over rows, and what follows from them for the temperature; parts can be added.

    Attributes
    ----------
    total : float
        Sum of the weights.
    true_gap, gap : float
        Sums of the gaps to the row's largest logit (at most 0): that of the true class, and the
        mean over the classes.
    log_gap, informed : float
        Sums of log(-mean gap) and of the weights over the rows that are not uniform.
    ties : float
        Sum of log(number of classes that share the largest logit): the limit of the loss as T
        goes to 0, if the true class is always among them.
    smallest, largest : float
        Smallest and largest mean gap, as positive numbers, of the rows that are not uniform.
    """

    total: float
    true_gap: float
    gap: float
    log_gap: float
    informed: float
    ties: float
    smallest: float
    largest: float

    def __add__(self, other: Limits) -> Limits:
        sums = [getattr(self, f.name) + getattr(other, f.name) for f in fields(self)[:-2]]
        ends = min(self.smallest, other.smallest), max(self.largest, other.largest)
        return Limits(*[*sums, *ends])

    @property
    def scale(self) -> float:
        """Geometric mean of the rows' mean gaps, robust to heavy tails; 0 if all are uniform."""
        return float(np.exp(self.log_gap / self.informed)) if self.informed else 0.0

    @property
    def separable(self) -> bool:
        """Whether the largest logit is the true one in every row, so that T falls to 0."""
        return self.true_gap == 0.0

    @property
    def uninformative(self) -> bool:
        """Whether no positive beta gives a lower loss than 0, so that T grows without bound."""
        # The loss is convex in beta, and its slope at 0, where p is uniform, is gap - true_gap.
        return self.true_gap <= self.gap

    def temperature(
        self,
        alpha: float,
        objective: Objective,
        start: float,
        reach: tuple[float, float] = (-np.inf, np.inf),
    ) -> tuple[float, Bound]:
        """The temperature that minimises an objective, and the bound at which it stopped.

        Parameters
        ----------
        alpha : float
            Strength of the penalty in the objective.
        objective : Objective
        start : float
            A first guess of t = log(1 / T).
        reach : tuple of float
            The smallest and the largest t at which the objective is known.
        """
        if self.scale == 0.0:  # every row uniform: any temperature gives the same probabilities
            return 1.0, None
        low = max(-np.log(self.largest * RANGE), reach[0])
        high = min(-np.log(self.smallest / RANGE), reach[1])
        if alpha > 0.0:  # its minimum is between T = 1 and that of the loss alone
            low, high = min(low, -1.0), max(high, 1.0)
        if alpha == 0.0 and self.uninformative:
            return float(np.exp(-max(-np.log(self.scale * LIMIT), low))), "upper"
        if alpha == 0.0 and self.separable:

            def loss_left(t: float) -> tuple[float, float]:
                point = objective(t)
                left = self.total * point.value - self.ties
                return UNDECIDED_ROW - left, -self.total * point.slope

            t = find_root(loss_left, low, high, 0.0)
            return float(np.exp(-max(t, 0.0))), "lower"

        def slope_and_curvature(t: float) -> tuple[float, float]:
            point = objective(t)
            return point.slope, point.safe_curvature

        t = find_root(slope_and_curvature, low, high, start)
        return float(np.exp(-t)), "lower" if t >= high else "upper" if t <= low else None
