"""Minimise a smooth convex function of a few non-negative variables by projected Newton steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dposv
from scipy.optimize import nnls

from skmergecal._typing import Array

__all__ = ["LAST_STEP", "minimise_nonnegative"]

Derivatives = Callable[[Array], tuple[float, Array, Array]]

_MAX_ITERATIONS = 200
#: Squared Newton decrement at which the next full step leaves an error at rounding level.
LAST_STEP = 1e-14
#: What is added to the diagonal, over the number of variables, until a factor is found.
_JITTERS = 4 * np.finfo(float).eps * 10.0 ** np.arange(20)
#: A mean of logarithms is known to about this, however small it is.
_ROUNDING = 4e-16


def minimise_nonnegative(
    function: Derivatives, start: Array, last_step: float = LAST_STEP
) -> Array:
    """Minimiser of a convex function over x >= 0.

    Parameters
    ----------
    function : callable
        Gives value, gradient of shape (n,) and Hessian of shape (n, n) at x.
    start : ndarray of shape (n,)
        Non-negative.
    last_step : float, default=LAST_STEP
        Squared Newton decrement, over the value, of the step that is the last.

    Returns
    -------
    ndarray of shape (n,)
        The last point; for a function without a minimum, where its gradient vanished.
    """
    x = start
    value, gradient, hessian = function(x)
    for _ in range(_MAX_ITERATIONS):
        step = _constrained_newton_target(gradient, hessian, x) - x
        decrement = -float(gradient @ step)
        if decrement <= last_step * max(abs(value), 1e-16):
            return np.maximum(x + step, 0.0) if decrement > 0 else x
        size = 1.0
        while size > 1e-12:
            candidate = np.maximum(x + size * step, 0.0)
            new = function(candidate)
            if new[0] <= value - 1e-4 * size * decrement + _ROUNDING * max(abs(value), 1.0):
                break
            size /= 2
        else:
            return x
        x, (value, gradient, hessian) = candidate, new
    return x


def _constrained_newton_target(gradient: Array, hessian: Array, x: Array) -> Array:
    """Minimiser over v >= 0 of the quadratic model at x.

    That is the minimiser over all v where it is positive, else a non-negative least squares.
    """
    if not np.isfinite(hessian).all():
        msg = "the Hessian of the loss holds NaN or infinity"
        raise ValueError(msg)
    diagonal = np.diag(hessian)
    smallest = np.finfo(float).eps * diagonal.max() or 1.0
    scale = 1.0 / np.sqrt(np.maximum(diagonal, smallest))
    scaled = hessian * scale * scale[:, None]
    for jitter in _JITTERS:
        regular = scaled + len(x) * jitter * np.eye(len(x))
        linear = regular @ (x / scale) - gradient * scale
        upper, target, failed = dposv(regular, linear)
        if not failed:
            break
    if (target > 0).all():
        return np.asarray(target * scale)
    # In v / scale: minimise |U v - b|^2 with U'b = regular (x / scale) - scaled gradient.
    upper = np.triu(upper)
    target, _ = nnls(upper, solve_triangular(upper, linear, trans="T"), maxiter=50 * len(x))
    return _polished(target, regular, linear) * scale


def _polished(target: Array, matrix: Array, linear: Array) -> Array:
    """Values of the positive variables, solved for anew.

    Least squares finds which variables are positive; where their scales differ greatly, its
    residual has too few digits for their values.
    """
    positive = target > 0
    if not positive.any():
        return target
    _, exact, failed = dposv(matrix[np.ix_(positive, positive)], linear[positive])
    if not failed and (exact >= 0).all():
        target[positive] = exact
    return target
