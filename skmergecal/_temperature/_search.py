"""Minimiser of a function of one variable with three derivatives, a slope model, a root finder.

The slope near the last point of a search is modelled by a cubic: its Taylor series to second order,
and a third derivative, the twist, that takes an earlier point into account. The twist is that of
the Hermite polynomial of degree four, which matches the slope and its first two derivatives at the
last point and the slope and its first derivative at the earlier one. At a distance s from the last
point, which is h from the earlier one, the error of that polynomial is the fifth derivative of the
slope times s^3 (s + h)^2 / 120. The cubic leaves out its term in s^4, which is no larger than the
error estimated here as long as s is at most about h^2.
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

#: Error of a root below which it is rounding.
ROUNDING = 1e-15
#: Error of the slope at a rough point, as a share of the curvature.
NOISE = 1e-7
#: Points closer together than this do not determine the twist, a difference over their distance^3.
APART = 2e-2
#: A higher derivative of the slope over its factorial, as a multiple of the first derivative: for a
#: loss as a function of log T, where the loss of each row varies smoothly on the scale of 1.
ROUGHNESS = 0.5
_STEPS = 30
#: Distance from the start at which a search checks whether it goes on for ever.
_FAR = 4.0


class Point(NamedTuple):
    """Value and derivatives of a function at t.

    Attributes
    ----------
    t, value, slope, curvature, bend : float
        The function and its first three derivatives.
    convex : float
        A curvature that is never negative, for steps where the true one is small or negative.
    """

    t: float
    value: float
    slope: float
    curvature: float
    bend: float
    convex: float

    @property
    def safe_curvature(self) -> float:
        """Curvature for a Newton step."""
        # For a loss F, convex in beta = exp(t), the chain rule gives
        #     slope = beta F',    curvature = beta F' + beta^2 F'' = slope + convex.
        # Above the minimum (slope > 0) the curvature exceeds convex. Far below it the curvature is
        # negative, while -slope / convex = -F' / (beta F'') is the relative Newton step in beta.
        if self.slope >= 0 or 2 * self.curvature > self.convex:
            return self.curvature
        return self.convex


Objective = Callable[[float], Point]


#: A twist and the distance between the points that it was computed from.
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
        Distance between the points that the twist was computed from; infinite if it is unknown.
    """

    at: Point
    twist: float
    spread: float

    @classmethod
    def of(cls, a: Point | None, b: Point, twist: Twist = UNKNOWN) -> SlopeModel:
        """Model at the last point b; an earlier point a, if far enough away, gives the twist."""
        if a is None or abs(b.t - a.t) < APART:
            return cls(b, *twist)
        # With slope g, curvature c and bend d at b, twist w and fourth derivative q, at a = b - h
        #     slope     = g - h c + h^2 d / 2 - h^3 w / 6 + h^4 q / 24,
        #     curvature = c - h d + h^2 w / 2 - h^3 q / 6.
        # Solved for w alone, these give w - h q / 4 and w - h q / 3: 4 and -3 times cancel q.
        h = b.t - a.t
        by_slope = 6 * (b.slope - a.slope - h * (b.curvature - h * b.bend / 2)) / h**3
        by_curvature = 2 * (a.curvature - b.curvature + h * b.bend) / h**2
        return cls(b, 4 * by_slope - 3 * by_curvature, abs(h))

    def slope(self, s: float) -> float:
        """Slope at a distance s from the last point: g + s c + s^2 d / 2 + s^3 twist / 6."""
        at = self.at
        return at.slope + s * (at.curvature + s * (at.bend / 2 + s * self.twist / 6))

    def curvature(self, s: float) -> float:
        """Derivative of the modelled slope at a distance s from the last point."""
        return self.at.curvature + s * (self.at.bend + s * self.twist / 2)

    def value(self, t: float) -> float:
        """Value of the function at t."""
        return self.at.value + self.rise(t - self.at.t)

    def rise(self, s: float) -> float:
        """Value at a distance s minus the value at the last point: the integral of the slope."""
        inner = self.at.curvature / 2 + s * (self.at.bend / 6 + s * self.twist / 24)
        return s * (self.at.slope + s * inner)

    def step(self) -> float:
        """Distance to the root of the model, or a plain Newton step if the model is unreliable."""
        newton = -self.at.slope / self.at.safe_curvature if self.at.safe_curvature > 0 else math.nan
        s = newton
        # A root that differs from the plain step by over half of it rests on estimates alone.
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
        """Estimated error of the slope at a distance s, as a share of curvature * s."""
        # The Hermite error ROUGHNESS * c * s^3 (s + h)^2 over c * s. With an unknown twist (h
        # infinite) the cubic term is missing, ROUGHNESS * c * s^3. An error NOISE * c of a slope
        # changes the twist by 24 * NOISE * c / h^3, and the modelled slope by s^3 / 6 times that.
        s, h = abs(s), self.spread
        return s * s * (ROUGHNESS * min((s + h) ** 2, 1.0) + 4 * NOISE / h**3)

    def error(self, s: float) -> float:
        """Estimated error of the model's root at a distance s from the last point."""
        return abs(s) * self.share_of_error(s)


def minimise(
    objective: Objective,
    start: float,
    before: Point | None = None,
    twist: Twist = UNKNOWN,
    accuracy: float = ROUNDING,
    hopeless: Callable[[], bool] | None = None,
) -> tuple[float, SlopeModel] | None:
    """Minimiser by Newton steps of third or higher order, and the model of the slope around it.

    Parameters
    ----------
    objective : Objective
    start : float
    before : Point, optional
        A point evaluated earlier, perhaps a rough one.
    twist : tuple of float
        A guess of the twist, and the distance between the points that it was computed from.
    accuracy : float
        Error of the minimiser at which the search may stop.
    hopeless : callable, default=None
        Whether the search would go on for ever; called once, where it has gone far towards
        smaller t.

    Returns
    -------
    tuple of float and SlopeModel, or None
        None where the search does not converge soon: the minimum may be far, or none may exist.
    """
    point = objective(start)
    low, high = -math.inf, math.inf
    for _ in range(_STEPS):
        if hopeless is not None and point.t <= start - _FAR:
            if hopeless():
                return None
            hopeless = None
        if not math.isfinite(point.slope) or point.slope == 0.0 == point.curvature:
            return None
        low, high = (low, point.t) if point.slope > 0 else (point.t, high)
        model = SlopeModel.of(before, point, twist)
        step = model.step()
        if model.error(step) <= accuracy:
            return point.t + step, model
        # A step changes T by a factor of exp(2) at most: beyond that the model is a guess.
        target = point.t + min(max(step, -2.0), 2.0)
        if not low < target < high:
            target = (low + high) / 2
        if not math.isfinite(target):  # no Newton step, and no bracket to bisect
            return None
        # Of two points that nearly coincide, the older one stays: it gives a better twist.
        if before is None or abs(target - point.t) >= APART:
            before = point
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

    ``function`` returns its value and its slope, exact or approximate. The search ends where the
    error that a Newton step leaves, about its square, is below the accuracy.
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
