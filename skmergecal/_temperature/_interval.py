"""Profile-likelihood interval of a temperature, with as few evaluations as its ends need."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.stats import chi2

from skmergecal._temperature._search import Objective, SlopeModel, find_root

__all__ = ["profile_interval"]

_HALF_CHI2_95 = float(chi2.ppf(0.95, 1)) / 2
#: Relative error of the modelled slope at an end up to which the end is that of the model.
_MODELLED = 1e-5
#: Error of an end corrected by values of the loss, as a share of the half-width of the interval.
_CORRECTED = 3e-9
#: An end farther than this from the centre, in log T, is taken for infinite. Steps double, and the
#: smallest one that changes the centre is reached from there in fewer than _MOST_STEPS.
_FAR = 50.0
_MOST_STEPS = 100


def profile_interval(
    objective: Objective,
    value: Callable[[float], float],
    total: float,
    centre: float,
    model: SlopeModel,
    reach: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[float, float]:
    """95 % interval of T: where 2 n (NLL(T) - min NLL) is below the 95 % quantile of chi2_1.

    An end is 0 or infinite where the loss never rises so far, or not within ``reach``.

    Parameters
    ----------
    objective : Objective
        Mean loss as a function of t = log(1 / T), with its derivatives.
    value : callable
        The mean loss alone.
    total : float
        Sum n of the weights.
    centre : float
        The t of the fit.
    model : SlopeModel
        The slope near the centre. If it is exact enough, nothing is evaluated; if it is nearly
        so, values of the loss alone correct the ends.
    reach : tuple of float
        The smallest and the largest t at which the objective is known.
    """
    profile = _Profile(objective, value, total, centre, model)
    # T = exp(-t) falls in t: the lower end of T is the upper end of t.
    low, high = (profile.end(direction, reach) for direction in (+1, -1))
    return math.exp(-low), math.exp(-high)


class _Profile:
    def __init__(
        self,
        objective: Objective,
        value: Callable[[float], float],
        total: float,
        centre: float,
        model: SlopeModel,
    ) -> None:
        self.objective, self.value = objective, value
        self.total, self.centre, self.model = total, centre, model
        self.best = model.value(centre)
        # Half-width for a quadratic loss of curvature c: n c width^2 / 2 = chi2 / 2. The lower
        # limit of n c is for losses that are flat at the last point.
        self.width = math.sqrt(2 * _HALF_CHI2_95 / max(total * model.at.curvature, 1e-2))

    def end(self, direction: int, reach: tuple[float, float]) -> float:
        """The end on one side: from the model, or corrected by values, or from a bracket."""
        t = self._modelled(direction)
        if t is None or not reach[0] <= t <= reach[1]:
            return self._bracketed(direction, reach)
        error = self.model.share_of_error(t - self.model.at.t)
        if error <= _MODELLED:
            return t
        for _ in range(3):
            # Newton's method with the true loss and the modelled slope.
            excess = self.total * (self.value(t) - self.best) - _HALF_CHI2_95
            step = -excess / (self.total * self.model.slope(t - self.model.at.t))
            if direction * step <= -self.width:
                break
            t += step
            # A step along a slope with relative error e is wrong by e times its length. The step
            # shows the error of the modelled value, and from it, that of the modelled slope.
            left = abs(step) * min(error, 10 * abs(step) / self.width)
            if left <= _CORRECTED * self.width:
                return t
        return self._bracketed(direction, reach)

    def _modelled(self, direction: int) -> float | None:
        """The end according to the model, if that is near the end for a quadratic loss."""
        start = self.centre - self.model.at.t
        first = s = start + direction * self.width
        target = self.model.rise(start) + _HALF_CHI2_95 / self.total
        for _ in range(8):
            slope = self.model.slope(s)
            if direction * slope <= 0 or abs(s - first) > 0.5 * self.width:
                return None
            change = (self.model.rise(s) - target) / slope
            s -= change
            if abs(change) <= 1e-5 * self.width:
                return self.model.at.t + s
        return None

    def _bracketed(self, direction: int, reach: tuple[float, float]) -> float:
        # Times direction, the excess increases in t on either side, as `find_root` requires.
        def excess(t: float) -> tuple[float, float]:
            point = self.objective(t)
            rise = self.total * (point.value - self.best) - _HALF_CHI2_95
            return direction * rise, direction * self.total * point.slope

        near, step = self.centre, self.width
        for _ in range(_MOST_STEPS):
            far = min(max(near + direction * step, reach[0]), reach[1])
            if direction * excess(far)[0] >= 0:
                return find_root(excess, min(near, far), max(near, far), far)
            if far in reach or abs(far - self.centre) > _FAR:
                break
            near, step = far, 2 * step
        return direction * math.inf
