"""The profile-likelihood interval of a temperature, from as few evaluations as its ends need."""

from __future__ import annotations

import math

from scipy.stats import chi2

from skmergecal._roots import Objective, SlopeModel, find_root

__all__ = ["profile_interval"]

_HALF_CHI2_95 = float(chi2.ppf(0.95, 1)) / 2
#: Error of an end as a share of its distance to the centre.
_ACCURACY = 1e-7


def profile_interval(
    objective: Objective,
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
        Mean loss as a function of t = log(1 / T).
    total : float
        Sum n of the weights.
    centre : float
        The t of the fit.
    model : SlopeModel
        The slope near the centre. Where it is exact enough, the objective is not called.
    reach : tuple of float
        The values of t at which the objective is known.
    """
    profile = _Profile(objective, total, centre, model)
    low, high = (profile.end(direction, reach) for direction in (+1, -1))
    return math.exp(-low), math.exp(-high)


class _Profile:
    def __init__(
        self, objective: Objective, total: float, centre: float, model: SlopeModel
    ) -> None:
        self.objective, self.total, self.centre, self.model = objective, total, centre, model
        self.best = model.value(centre)
        self.width = math.sqrt(2 * _HALF_CHI2_95 / max(total * model.at.curvature, 1e-2))

    def end(self, direction: int, reach: tuple[float, float]) -> float:
        """The end on one side: from the model, else by Newton steps, else in a bracket."""
        t = self._modelled(direction)
        if self._is_exact_at(t) and reach[0] <= t <= reach[1]:
            return t
        for _ in range(3):
            if not (reach[0] <= t <= reach[1] and abs(t - self.centre) <= 3 * self.width):
                break
            excess, slope = self._excess(t)
            if direction * slope <= 0:
                break
            step = -excess / slope
            if step * step <= _ACCURACY * 1e-2 * self.width:
                return t + step
            t += step
        return self._bracketed(direction, reach)

    def _modelled(self, direction: int) -> float:
        """Where the model puts the end, or the end of a parabola if it has none."""
        start = self.centre - self.model.at.t
        first = s = start + direction * self.width
        for _ in range(8):
            slope = self.model.slope(s)
            if direction * slope <= 0 or abs(s - first) > 0.5 * self.width:
                return self.centre + direction * self.width
            rise = self.model.rise(s) - self.model.rise(start)
            change = (rise - _HALF_CHI2_95 / self.total) / slope
            s -= change
            if abs(change) <= 1e-12 * self.width:
                break
        return self.model.at.t + s

    def _is_exact_at(self, t: float) -> bool:
        """Whether the error of the model's slope, relative to the slope, is small.

        Its fourth derivative is taken as 10 times its first; in the logarithm of the temperature
        each row is a smooth function on the scale of 1.
        """
        s = abs(t - self.model.at.t)
        return 10 / 24 * s * (s + self.model.spread) ** 2 <= 100 * _ACCURACY

    def _excess(self, t: float) -> tuple[float, float]:
        point = self.objective(t)
        return self.total * (point.value - self.best) - _HALF_CHI2_95, self.total * point.slope

    def _bracketed(self, direction: int, reach: tuple[float, float]) -> float:
        def excess(t: float) -> tuple[float, float]:
            value, slope = self._excess(t)
            return direction * value, direction * slope

        near, step = self.centre, self.width
        while True:
            far = min(max(near + direction * step, reach[0]), reach[1])
            if direction * excess(far)[0] >= 0:
                return find_root(excess, min(near, far), max(near, far), far)
            if far in reach or abs(far - self.centre) > 50:
                return direction * math.inf
            near, step = far, 2 * step
