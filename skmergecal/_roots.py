"""Minimum of a function of one variable whose value, slope and curvature are known at points.

The slope between and near two points is modelled by the cubic that has its value and its
derivative at both (Hermite); its error at x is that of the fourth derivative times
(x - a)^2 (x - b)^2 / 24. With the two last points of a Newton search this gives the root to
rounding level one evaluation earlier than Newton steps alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["ROUGHNESS", "ROUNDING", "Objective", "Point", "SlopeModel", "find_root", "minimise"]

#: Error of a root that counts as rounding.
ROUNDING = 1e-15
#: Points nearer to each other than this say little about derivatives beyond the second.
APART = 1e-3
#: The fourth derivative of the slope, over 24, as a multiple of its first: that of a loss in the
#: logarithm of the temperature, where each row is a smooth function on the scale of 1.
ROUGHNESS = 0.5
_STEPS = 30


class Point(NamedTuple):
    """A function at t.

    Attributes
    ----------
    t, value, slope, curvature : float
    convex : float
        A curvature that is never negative, for steps where the other one is small or negative.
    """

    t: float
    value: float
    slope: float
    curvature: float
    convex: float

    @property
    def safe_curvature(self) -> float:
        """The curvature for a Newton step."""
        if self.slope >= 0 or 2 * self.curvature > self.convex:
            return self.curvature
        return self.convex


Objective = Callable[[float], Point]


class SlopeModel(NamedTuple):
    """The slope around its root, from the points of a search.

    Attributes
    ----------
    at : Point
        The last point.
    bend, twist : float
        Second and third derivative of the slope there.
    spread : float
        Distance of the point before.
    """

    at: Point
    bend: float
    twist: float
    spread: float

    @classmethod
    def of(cls, a: Point | None, b: Point, bend: float = 0.0) -> SlopeModel:
        """Model with the last point b and, if there is one, the point a before it."""
        if a is None or a.t == b.t:
            return cls(b, bend, 0.0, math.inf)
        h = b.t - a.t
        secant = (b.slope - a.slope) / h
        bend = (2 * a.curvature + 4 * b.curvature - 6 * secant) / h
        twist = (6 * (a.curvature + b.curvature) - 12 * secant) / (h * h)
        return cls(b, bend, twist, abs(h))

    def slope(self, s: float) -> float:
        """Slope at a distance s from the last point."""
        return self.at.slope + s * (self.at.curvature + s * (self.bend / 2 + s * self.twist / 6))

    def curvature(self, s: float) -> float:
        """Its derivative."""
        return self.at.curvature + s * (self.bend + s * self.twist / 2)

    def value(self, t: float) -> float:
        """Value of the function at t."""
        return self.at.value + self.rise(t - self.at.t)

    def rise(self, s: float) -> float:
        """Value at a distance s, minus that at the last point."""
        inner = self.at.curvature / 2 + s * (self.bend / 6 + s * self.twist / 24)
        return s * (self.at.slope + s * inner)

    def step(self) -> float:
        """Distance to the root; a plain Newton step where the model is not to be trusted."""
        newton = -self.at.slope / self.at.safe_curvature if self.at.safe_curvature > 0 else math.nan
        s = newton
        for _ in range(8):
            curvature = self.curvature(s)
            if not (0 < curvature < math.inf and abs(s - newton) <= 0.5 * abs(newton)):
                return newton
            change = self.slope(s) / curvature
            s -= change
            if abs(change) <= 1e-8 * abs(s):
                return s
        return newton

    def share_of_error(self, s: float) -> float:
        """Estimate of the error of the slope at a distance s, as a share of it.

        The second term is what rounding leaves of differences between near points.
        """
        s, h = abs(s), self.spread
        return s * (ROUGHNESS * (s + h) ** 2 + ROUNDING * (1 + s / h) / (h * h))

    def error(self, s: float) -> float:
        """Estimate of the error of the model's root at a distance s from the last point."""
        return ROUGHNESS * s * s * min((abs(s) + self.spread) ** 2, 1.0)


def minimise(
    objective: Objective, start: float, bend: float = 0.0, accuracy: float = ROUNDING
) -> tuple[float, SlopeModel] | None:
    """Minimiser by Newton steps with the bend of the slope, and the model around it.

    Parameters
    ----------
    objective : Objective
    start : float
    bend : float, default=0.0
        A guess of the second derivative of the slope at the start.
    accuracy : float
        Error of the minimiser at which the search may stop.

    Returns
    -------
    tuple of float and SlopeModel, or None
        None where the search does not settle soon: the minimum may be far, or none may exist.
    """
    before, point = None, objective(start)
    low, high = -math.inf, math.inf
    for _ in range(_STEPS):
        if not math.isfinite(point.slope) or point.slope == 0.0 == point.curvature:
            return None
        low, high = (low, point.t) if point.slope > 0 else (point.t, high)
        model = SlopeModel.of(before, point, bend)
        step = model.step()
        if model.error(step) <= accuracy:
            return point.t + step, model
        target = point.t + min(max(step, -2.0), 2.0)
        if not low < target < high:
            target = (low + high) / 2
        if not math.isfinite(target):
            return None
        if before is None or abs(target - point.t) >= APART:
            before = point  # else the older one tells more about the bend than rounding does
        point = objective(target)
    return None


def find_root(
    function: Callable[[float], tuple[float, float]],
    low: float,
    high: float,
    start: float,
    accuracy: float = 1e-14,
) -> float:
    """Root of an increasing function in [low, high], by Newton steps inside a bracket.

    ``function`` gives its value and a slope. The search ends where the error that a Newton step
    leaves, about its square, is below the accuracy.
    """
    x = min(max(start, low), high)
    for _ in range(200):
        value, slope = function(x)
        if value == 0.0:
            return x
        low, high = (low, x) if value > 0 else (x, high)
        step = -value / slope if slope > 0 else np.nan
        proposal = x + step
        if step * step <= accuracy:
            return min(max(proposal, low), high)
        if not low < proposal < high:
            proposal = (low + high) / 2
        if high - low <= 4 * np.finfo(float).eps * max(abs(low), abs(high), 1.0):
            return proposal
        x = proposal
    return x
