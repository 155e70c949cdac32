"""The log loss of scaled logits, its derivatives, and where they lead.

With beta = 1 / T the loss is convex in beta,

    NLL(beta) = mean_w[logsumexp(beta z) - beta z_y],
    g = NLL' = mean_w[E_p z - z_y],    h = NLL'' = mean_w[Var_p z],

and its statistics of blocks of rows add up. Everything is computed on the gaps z - max(z) <= 0,
so that no exponential overflows and shifts of rows change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from skmergecal._typing import Array

__all__ = ["LIMIT", "Bound", "Limits", "Objective", "ScalingLoss", "find_root"]

#: Where T would grow without bound, it is this factor above the scale of the logits.
LIMIT = 1e3
#: Where T would fall to 0, it stops where all rows together lose what one undecided row loses.
UNDECIDED_ROW = float(np.log(2))
#: A finite optimum is looked for within this factor of the gaps of the logits.
RANGE = 1e8
#: Numbers a block: what one pass touches stays in the processor's cache.
BLOCK = 16_384
#: Up to this many classes a block is stored class by class, beyond it row by row.
FEW_CLASSES = 32

Bound = Literal["lower", "upper"] | None
#: Mean loss, its slope, and a curvature for Newton steps, at t = log(1 / T).
Objective = Callable[[float], tuple[float, float, float]]


@dataclass(frozen=True)
class Limits:
    """Sums over rows, which add up, and what follows from them for the temperature.

    Attributes
    ----------
    total : float
        Sum of the weights.
    true_gap, gap : float
        Sums of the gaps to the row's largest logit (at most 0): of the true class, and mean.
    log_gap, informed : float
        Sum of log(-mean gap), and of the weights, over rows that are not uniform.
    ties : float
        Sum of log(number of classes that share the largest logit): what the loss falls to as T
        goes to 0, if the true class is always among them.
    smallest, largest : float
        Mean gap, as a positive number, of the row that is nearest to uniform but is not, and of
        the row that is farthest from it.
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
        """Geometric mean of the rows' mean gaps, which no heavy tail drags along; 0 if uniform."""
        return float(np.exp(self.log_gap / self.informed)) if self.informed else 0.0

    @property
    def separable(self) -> bool:
        """Whether the largest logit is the true one in every row, so that T falls to 0."""
        return self.true_gap == 0.0

    @property
    def uninformative(self) -> bool:
        """Whether no positive beta beats beta = 0, so that T grows without bound."""
        return self.true_gap <= self.gap

    def temperature(
        self,
        alpha: float,
        objective: Objective,
        start: Callable[[], float],
        reach: tuple[float, float] = (-np.inf, np.inf),
    ) -> tuple[float, Bound]:
        """The temperature that minimises an objective, and the bound it stopped at.

        Parameters
        ----------
        alpha : float
            Strength of the penalty in the objective.
        objective : Objective
        start : callable
            Gives a first t.
        reach : tuple of float
            Where the objective is known.
        """
        if self.scale == 0.0:  # every row uniform: any temperature gives the same probabilities
            return 1.0, None
        low = max(-np.log(self.largest * RANGE), reach[0])
        high = min(-np.log(self.smallest / RANGE), reach[1])
        if alpha == 0.0 and self.uninformative:
            return float(np.exp(-max(-np.log(self.scale * LIMIT), low))), "upper"
        if alpha == 0.0 and self.separable:

            def loss_left(t: float) -> tuple[float, float]:
                value, slope, _ = objective(t)
                left = self.total * value - self.ties
                return UNDECIDED_ROW - left, -self.total * slope

            t = find_root(loss_left, low, high, 0.0)
            return float(np.exp(-max(t, 0.0))), "lower"
        t = find_root(lambda t: objective(t)[1:], low, high, start())
        return float(np.exp(-t)), "lower" if t >= high else "upper" if t <= low else None


class ScalingLoss:
    """The log loss of softmax(beta * logits) and its derivatives, accumulated over blocks.

    Parameters
    ----------
    logits : ndarray of shape (n_samples, n_classes)
        Float32 or float64, finite.
    y : ndarray of shape (n_samples,)
        Column numbers of the true classes.
    sample_weight : ndarray of shape (n_samples,) or None
        Frequency weights; rows of weight 0 count as removed.
    """

    def __init__(self, logits: np.ndarray, y: np.ndarray, sample_weight: Array | None) -> None:
        if sample_weight is not None and not sample_weight.all():
            kept = sample_weight > 0
            logits, y, sample_weight = logits[kept], y[kept], sample_weight[kept]
        n, k = logits.shape
        self.total = float(n if sample_weight is None else sample_weight.sum())
        self._axis = 0 if k <= FEW_CLASSES else 1
        self._blocks = []
        rows = max(BLOCK // k, 1)
        for start in range(0, n, rows):
            part = slice(start, start + rows)
            z = np.asarray(logits[part], dtype=np.float64)
            places = np.arange(len(z))
            z = np.ascontiguousarray(z.T) if self._axis == 0 else z
            gaps = z - z.max(axis=self._axis, keepdims=True)
            true = gaps[y[part], places] if self._axis == 0 else gaps[places, y[part]]
            weight = None if sample_weight is None else sample_weight[part]
            self._blocks.append((gaps, true, weight))
        self.limits = self._limits()

    def _limits(self) -> Limits:
        """What tells whether a finite temperature is best, and near which value."""
        sums = np.zeros(5)
        smallest, largest = np.inf, 0.0
        for gaps, true, weight in self._blocks:
            mean = gaps.mean(axis=self._axis)
            informed = mean < 0
            log_gap = np.log(-mean, out=np.zeros_like(mean), where=informed)
            ties = np.log((gaps == 0).sum(axis=self._axis))
            rows = np.array([true, mean, log_gap, informed, ties])
            sums += rows.sum(axis=1) if weight is None else rows @ weight
            if informed.any():
                smallest = min(smallest, -float(mean[informed].max()))
                largest = max(largest, -float(mean.min()))
        return Limits(*[self.total, *sums.tolist(), smallest, largest])

    def __call__(self, beta: float) -> tuple[float, float, float]:
        """Mean loss at beta, its first and its second derivative."""
        sums = np.zeros(3)
        for gaps, true, weight in self._blocks:
            e = np.exp(beta * gaps)
            total = e.sum(axis=self._axis)
            e *= gaps
            first = e.sum(axis=self._axis) / total
            e *= gaps
            second = e.sum(axis=self._axis) / total
            second -= first * first
            rows = (np.log(total) - beta * true, first - true, second)
            sums += [float(r.sum() if weight is None else r @ weight) for r in rows]
        loss, g, h = sums / self.total
        return float(loss), float(g), max(float(h), 0.0)


def find_root(
    function: Callable[[float], tuple[float, float]], low: float, high: float, start: float
) -> float:
    """Root of an increasing function in [low, high], by Newton steps inside a bracket.

    ``function`` gives its value and a slope. The search ends where the next step would move the
    root by less than rounding (a Newton step of 1e-7 leaves an error of about 1e-14).
    """
    x = min(max(start, low), high)
    for _ in range(200):
        value, slope = function(x)
        if value == 0.0:
            return x
        low, high = (low, x) if value > 0 else (x, high)
        step = -value / slope if slope > 0 else np.nan
        proposal = x + step
        if abs(step) <= 1e-7:
            return min(max(proposal, low), high)
        if not low < proposal < high:
            proposal = (low + high) / 2
        if high - low <= 4 * np.finfo(float).eps * max(abs(low), abs(high), 1.0):
            return proposal
        x = proposal
    return x
