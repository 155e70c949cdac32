"""Leave-one-out temperatures: each as if its row had not been fitted, in closed form."""

from __future__ import annotations

import numpy as np

from skmergecal._numerics import softmax
from skmergecal._typing import Array, IntArray

__all__ = ["loo_temperatures", "slope_of_change"]

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
        row, as `slope_of_change` tells.

    Returns
    -------
    ndarray of shape (n_samples,)
    """
    weight = np.ones(len(y)) if sample_weight is None else sample_weight
    u = logits / temperature
    p = softmax(u)
    # In units of the fitted beta: derivatives in s, the factor of beta, at s = 1. The penalty
    # alpha / 2 * (log s + t)^2, t = log(1 / T), has slope alpha t and curvature alpha (1 - t).
    mean = np.einsum("nc,nc->n", p, u)
    slope = mean - u[np.arange(len(y)), y]
    u -= mean[:, None]
    u *= u
    variance = np.einsum("nc,nc->n", p, u)
    t = -np.log(temperature)
    pull = float(weight @ slope) + alpha * t
    if abs(pull) > _FLAT * float(weight @ np.abs(slope) + alpha * abs(t)):
        return np.full(len(y), temperature)
    taken = np.minimum(weight, 1.0)
    left = float(weight @ variance) + alpha * max(1.0 - t, 0.0) - taken * variance
    step = np.divide(taken * slope - others, left, out=np.zeros(len(y)), where=left > 0)
    return np.asarray(temperature * np.exp(-np.clip(step, -_LONGEST, _LONGEST)))


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
