"""Leave-one-out temperatures: each as if its row had not been fitted, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skmergecal._numerics import softmax
from skmergecal._partitions import InMemory, Partitions, Rows
from skmergecal._typing import Array, IntArray

__all__ = ["FitsWithoutRows", "SlopesOfRows", "loo_temperatures", "slope_of_change"]

#: Share of the summed absolute slopes up to which the slope counts as that of a minimum. At a
#: bound all slopes have one sign.
_FLAT = 1e-2
#: The step in log T is at most this: where one row alone keeps T from its bound, the Newton step
#: is too long for the quadratic model, and may go either way.
_LONGEST = 2.0


def loo_temperatures(
    logits: Array,
    y: IntArray,
    sample_weight: Array | None,
    temperature: float,
    alpha: float = 0.0,
    others: Array | float = 0.0,
) -> Array:
    """Temperature of each row from a fit without that row, to second order.

    With beta = 1 / T, one Newton step in beta from the minimiser of the summed loss plus
    alpha * log(T)^2 / 2, after one unit of the row's weight was removed (or all of it, if it is
    less): the summed slope is then minus the row's own, E_p z - z_y, and the summed curvature that
    of the other rows. A temperature that was stopped at a bound stays where it is.

    Parameters
    ----------
    logits : ndarray of shape (n_samples, n_classes)
        Before the temperature.
    y : ndarray of shape (n_samples,)
        Column numbers.
    sample_weight : ndarray of shape (n_samples,) or None
        Positive frequency weights.
    temperature : float
        Fitted to all rows.
    alpha : float, default=0.0
        Strength of the penalty of that fit.
    others : ndarray of shape (n_samples,), default=0.0
        What the summed slope in log(1 / T) gains where the logits themselves change without a
        row, as `slope_of_change` gives it.

    Returns
    -------
    ndarray of shape (n_samples,)
    """
    slopes = SlopesOfRows(Rows([logits], y, sample_weight), [temperature])
    fits = FitsWithoutRows.of(InMemory(slopes), [temperature], alpha)
    return slopes.temperatures(fits, [others])[0]


class SlopesOfRows:
    """Slope and curvature of the loss of each row in log(1 / T), for each of its opinions.

    Parameters
    ----------
    rows : Rows
        With logits before the temperatures.
    temperatures : sequence of float
        One for each opinion.
    """

    def __init__(self, rows: Rows, temperatures: Sequence[float]) -> None:
        self.y, self.weight = rows.y, rows.counts
        self.slopes, self.variances = [], []
        for logits, temperature in zip(rows.opinions, temperatures, strict=True):
            u = logits / temperature
            p = softmax(u)
            # In units of the fitted beta: derivatives in s, the factor of beta, at s = 1.
            mean = np.einsum("nc,nc->n", p, u)
            self.slopes.append(mean - u[np.arange(len(self.y)), self.y])
            u -= mean[:, None]
            u *= u
            self.variances.append(np.einsum("nc,nc->n", p, u))

    def sums(self) -> Array:
        """For each opinion the sums of slopes, of their absolute values, and of curvatures."""
        w = self.weight
        pairs = zip(self.slopes, self.variances, strict=True)
        return np.array([[w @ g, w @ np.abs(g), w @ v] for g, v in pairs])

    def temperatures(
        self, fits: FitsWithoutRows, others: Sequence[Array | float] | None = None
    ) -> list[Array]:
        """For each opinion the temperature of each row from a fit without the row."""
        taken, found = np.minimum(self.weight, 1.0), []
        for k, (t, curvature) in enumerate(zip(fits.temperatures, fits.curvatures, strict=True)):
            if curvature is None:
                found.append(np.full(len(self.y), t))
                continue
            variance = self.variances[k]
            left = curvature - taken * variance
            push = taken * self.slopes[k] - (0.0 if others is None else others[k])
            step = np.divide(push, left, out=np.zeros(len(self.y)), where=left > 0)
            found.append(np.asarray(t * np.exp(-np.clip(step, -_LONGEST, _LONGEST))))
        return found


@dataclass(frozen=True)
class FitsWithoutRows:
    """What the fit of temperatures to all rows shows of fits without one of them.

    Attributes
    ----------
    temperatures : list of float
    curvatures : list of float or None
        Summed, with that of the penalty; None: the temperature was stopped at a bound.
    """

    temperatures: Sequence[float]
    curvatures: Sequence[float | None]

    @classmethod
    def of(
        cls, rows: Partitions[SlopesOfRows], temperatures: Sequence[float], alpha: float
    ) -> FitsWithoutRows:
        """Of temperatures that were fitted with a penalty of strength alpha."""
        curvatures: list[float | None] = []
        sums = rows.reduce(SlopesOfRows.sums, what="curvature in the temperature").tolist()
        for temperature, (slope, size, variance) in zip(temperatures, sums, strict=True):
            # The penalty alpha / 2 * (log s + t)^2, t = log(1 / T), has slope alpha t and
            # curvature alpha (1 - t).
            t = -np.log(temperature)
            pull = slope + alpha * t
            bound = abs(pull) > _FLAT * float(size + alpha * abs(t))
            curvatures.append(None if bound else variance + alpha * max(1.0 - t, 0.0))
        return cls([float(t) for t in temperatures], curvatures)


def slope_of_change(
    logits: Array, y: IntArray, sample_weight: Array | None, temperature: float, change: Array
) -> float:
    """Derivative of the summed slope in log(1 / T) where the logits move in a direction.

    Parameters
    ----------
    logits, y, sample_weight, temperature
        As for `loo_temperatures`.
    change : ndarray of shape (n_samples, n_classes)
        The direction, in the units of the logits.
    """
    # The slope is E_p u - u_y. With d the derivative of u, that of E_p u is E_p d + Cov_p(u, d).
    u, d = logits / temperature, change / temperature
    p = softmax(u)
    mean = np.einsum("nc,nc->n", p, d)
    slopes = mean - d[np.arange(len(y)), y]
    slopes += np.einsum("nc,nc,nc->n", p, u, d) - np.einsum("nc,nc->n", p, u) * mean
    return float(slopes.sum() if sample_weight is None else sample_weight @ slopes)
