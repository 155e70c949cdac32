"""The profile-likelihood interval of a temperature, from as few evaluations as its ends need."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.stats import chi2

from skmergecal._temperature._search import Objective, SlopeModel, find_root

__all__ = ["profile_interval"]

_HALF_CHI2_95 = float(chi2.ppf(0.95, 1)) / 2
#: Error of an end, as a share of its distance to the centre, from the model alone.
_MODELLED = 1e-5
#: And with the loss evaluated.
_MENDED = 3e-9


def profile_interval(
    objective: Objective,
    value: Callable[[float], float],
    total: float,
    centre: float,
    model: SlopeModel,
    reach: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[float, float]:
    """95 % interval of T: where 2 n (NLL(T) - min NLL) stays below chi2_1's quantile.

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
        The slope near the centre. Where it is exact enough, nothing is evaluated; where it is
        nearly so, values alone mend it.
    reach : tuple of float
        The values of t at which the objective is known.
    """
    profile = _Profile(objective, value, total, centre, model)
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
        self.width = math.sqrt(2 * _HALF_CHI2_95 / max(total * model.at.curvature, 1e-2))

    def end(self, direction: int, reach: tuple[float, float]) -> float:
        """The end on one side: from the model, else mended by a value, else in a bracket."""
        t = self._modelled(direction)
        if t is None or not reach[0] <= t <= reach[1]:
            return self._bracketed(direction, reach)
        error = self.model.share_of_error(t - self.model.at.t)
        if error <= _MODELLED:
            return t
        for _ in range(3):
            excess = self.total * (self.value(t) - self.best) - _HALF_CHI2_95
            step = -excess / (self.total * self.model.slope(t - self.model.at.t))
            if direction * step <= -self.width:
                break
            t += step
            # The error of the model's value, just seen, tells that of its slope.
            left = abs(step) * min(error, 10 * abs(step) / self.width)
            if left <= _MENDED * self.width:
                return t
        return self._bracketed(direction, reach)

    def _modelled(self, direction: int) -> float | None:
        """Where the model puts the end, if it does so near enough."""
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
        def excess(t: float) -> tuple[float, float]:
            point = self.objective(t)
            rise = self.total * (point.value - self.best) - _HALF_CHI2_95
            return direction * rise, direction * self.total * point.slope

        near, step = self.centre, self.width
        while True:
            far = min(max(near + direction * step, reach[0]), reach[1])
            if direction * excess(far)[0] >= 0:
                return find_root(excess, min(near, far), max(near, far), far)
            if far in reach or abs(far - self.centre) > 50:
                return direction * math.inf
            near, step = far, 2 * step
