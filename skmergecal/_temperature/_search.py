"""Minimum of a function of one variable whose value and first three derivatives are known.

The slope near a point is modelled by its own Taylor series, to which an earlier point adds the
twist: the polynomial of degree four that has the slope and its first two derivatives at the last
point and the slope and its derivative at the earlier one (Hermite). Its error at a distance s from
the last point, h from the earlier one, is that of the fifth derivative times
s^3 (s + h)^2 / 120.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = [
    "ROUNDING",
    "UNKNOWN",
    "Objective",
    "Point",
    "SlopeModel",
    "Twist",
    "find_root",
    "minimise",
]

#: Error of a root that counts as rounding.
ROUNDING = 1e-15
#: Error that the slope of a rough point may have, as a share of the curvature.
NOISE = 1e-7
#: Points nearer to each other than this say little about the twist.
APART = 2e-2
#: A high derivative of the slope, over its factorial, as a multiple of the first: that of a loss
#: in the logarithm of the temperature, where each row is a smooth function on the scale of 1.
ROUGHNESS = 0.5
_STEPS = 30


class Point(NamedTuple):
    """A function at t.

    Attributes
    ----------
    t, value, slope, curvature, bend : float
        The function and its first three derivatives.
    convex : float
        A curvature that is never negative, for steps where the other one is small or negative.
    """

    t: float
    value: float
    slope: float
    curvature: float
    bend: float
    convex: float

    @property
    def safe_curvature(self) -> float:
        """The curvature for a Newton step."""
        if self.slope >= 0 or 2 * self.curvature > self.convex:
            return self.curvature
        return self.convex


Objective = Callable[[float], Point]


#: A twist and the distance of the points that tell it.
Twist = tuple[float, float]
UNKNOWN: Twist = (0.0, math.inf)


class SlopeModel(NamedTuple):
    """The slope around its root, from the points of a search.

    Attributes
    ----------
    at : Point
        The last point.
    twist : float
        Third derivative of the slope there.
    spread : float
        Distance of the points that tell the twist, infinite where it is unknown.
    """

    at: Point
    twist: float
    spread: float

    @classmethod
    def of(cls, a: Point | None, b: Point, twist: Twist = UNKNOWN) -> SlopeModel:
        """Model with the last point b and, if it is far enough from it, the point a before it."""
        if a is None or abs(b.t - a.t) < APART:
            return cls(b, *twist)
        h = b.t - a.t
        by_slope = 6 * (b.slope - a.slope - h * (b.curvature - h * b.bend / 2)) / h**3
        by_curvature = 2 * (a.curvature - b.curvature + h * b.bend) / h**2
        return cls(b, 4 * by_slope - 3 * by_curvature, abs(h))

    def slope(self, s: float) -> float:
        """Slope at a distance s from the last point."""
        at = self.at
        return at.slope + s * (at.curvature + s * (at.bend / 2 + s * self.twist / 6))

    def curvature(self, s: float) -> float:
        """Its derivative."""
        return self.at.curvature + s * (self.at.bend + s * self.twist / 2)

    def value(self, t: float) -> float:
        """Value of the function at t."""
        return self.at.value + self.rise(t - self.at.t)

    def rise(self, s: float) -> float:
        """Value at a distance s, minus that at the last point."""
        inner = self.at.curvature / 2 + s * (self.at.bend / 6 + s * self.twist / 24)
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
        """Estimate of the error of the slope at a distance s, as a share of it."""
        s, h = abs(s), self.spread
        return s * s * (ROUGHNESS * min((s + h) ** 2, 1.0) + 4 * NOISE / h**3)

    def error(self, s: float) -> float:
        """Estimate of the error of the model's root at a distance s from the last point."""
        return abs(s) * self.share_of_error(s)


def minimise(
    objective: Objective,
    start: float,
    before: Point | None = None,
    twist: Twist = UNKNOWN,
    accuracy: float = ROUNDING,
) -> tuple[float, SlopeModel] | None:
    """Minimiser by Newton steps of third and higher order, and the model around it.

    Parameters
    ----------
    objective : Objective
    start : float
    before : Point, optional
        A point that was met, perhaps a rough one.
    twist : tuple of float
        A guess of the twist, and the distance of the points that told it.
    accuracy : float
        Error of the minimiser at which the search may stop.

    Returns
    -------
    tuple of float and SlopeModel, or None
        None where the search does not settle soon: the minimum may be far, or none may exist.
    """
    point = objective(start)
    low, high = -math.inf, math.inf
    for _ in range(_STEPS):
        if not math.isfinite(point.slope) or point.slope == 0.0 == point.curvature:
            return None
        low, high = (low, point.t) if point.slope > 0 else (point.t, high)
        model = SlopeModel.of(before, point, twist)
        step = model.step()
        if model.error(step) <= accuracy:
            return point.t + step, model
        target = point.t + min(max(step, -2.0), 2.0)
        if not low < target < high:
            target = (low + high) / 2
        if not math.isfinite(target):
            return None
        if before is None or abs(target - point.t) >= APART:
            before = point  # else the older one tells more about the twist than rounding does
        twist = model.twist, model.spread
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
