"""Newton's method for a smooth convex function of a few non-negative variables.

Each step goes towards the minimum, over the non-negative vectors, of the quadratic model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, solve_triangular
from scipy.linalg.lapack import dposv
from scipy.optimize import nnls

from skmergecal._typing import Array

__all__ = ["LAST_STEP", "factorise", "minimise_nonnegative"]

Derivatives = Callable[[Array], tuple[float, Array, Array]]

_MAX_ITERATIONS = 200
#: Squared Newton decrement, over the value, after which a full step leaves only rounding errors.
LAST_STEP = 1e-14
#: Added to the unit diagonal, times the number of variables, until a factorisation succeeds.
_JITTERS = 4 * np.finfo(float).eps * 10.0 ** np.arange(20)
#: Shares of its diagonal that are added to a matrix until a factorisation succeeds.
_SHARES = (0.0, *10.0 ** np.arange(-14, 1))
#: Absolute rounding error of a mean of logarithms, even where the mean itself is small.
_ROUNDING = 4e-16


def minimise_nonnegative(
    function: Derivatives, start: Array, last_step: float = LAST_STEP
) -> Array:
    """Minimiser of a convex function over x >= 0.

    Parameters
    ----------
    function : callable
        Returns value, gradient of shape (n,) and Hessian of shape (n, n) at x.
    start : ndarray of shape (n,)
        Non-negative.
    last_step : float, default=LAST_STEP
        Squared Newton decrement, over the value, at or below which a step is the last.

    Returns
    -------
    ndarray of shape (n,)
        The last point; for a function without a minimum, a point where its gradient vanishes.
    """
    x = start
    value, gradient, hessian = function(x)
    for _ in range(_MAX_ITERATIONS):
        step = _constrained_newton_target(gradient, hessian, x) - x
        # x is feasible and the target the best feasible point of the model, hence
        #     (g + H step)' (x - target) >= 0,    that is    -g' step >= step' H step >= 0.
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

    This is the unconstrained minimiser if all its entries are positive, else the solution of a
    non-negative least-squares problem. The gradient of g' (v - x) + (v - x)' H (v - x) / 2 is 0
    where H v = H x - g. Variables of very different sizes would make a Cholesky factor inexact;
    with D = diag(scale), the system solved for v / scale has the diagonal 1:

        (D H D) (v / scale) = (D H D) (x / scale) - D g.
    """
    if not np.isfinite(hessian).all():
        msg = "the Hessian of the loss holds NaN or infinity"
        raise ValueError(msg)
    diagonal = np.diag(hessian)
    smallest = np.finfo(float).eps * diagonal.max() or 1.0
    scale = 1.0 / np.sqrt(np.maximum(diagonal, smallest))
    scaled = hessian * scale * scale[:, None]
    # The jitter is on both sides of the equation: it shortens the step, but moves no minimum.
    for jitter in _JITTERS:
        regular = scaled + len(x) * jitter * np.eye(len(x))
        linear = regular @ (x / scale) - gradient * scale
        upper, target, failed = dposv(regular, linear)
        if not failed:
            break
    if (target > 0).all():
        return np.asarray(target * scale)
    # With U'U = regular and U'b = linear, |U w - b|^2 = w' regular w - 2 w' linear + b'b is, at
    # w = v / scale, twice the model up to a constant.
    upper = np.triu(upper)
    target, _ = nnls(upper, solve_triangular(upper, linear, trans="T"), maxiter=50 * len(x))
    return _polished(target, regular, linear) * scale


def _polished(target: Array, matrix: Array, linear: Array) -> Array:
    """Target with its positive variables solved for again, from the normal equations.

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


def factorise(matrix: Array) -> Any:
    """Lower Cholesky factor of a positive definite matrix, or of one near it.

    Where rows count very often, rounding leaves a ridge no digit.
    """
    for share in _SHARES:
        try:
            return cho_factor(matrix + np.diag(share * matrix.diagonal()), lower=True)
        except LinAlgError as error:
            failure = error
    raise failure
