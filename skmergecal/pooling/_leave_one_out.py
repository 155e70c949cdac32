"""Leave-one-out predictions of penalised pools, in closed form from one fit."""

from __future__ import annotations

import numpy as np

from skmergecal._numerics import log_softmax, softmax
from skmergecal._typing import Array, IntArray

__all__ = ["leave_one_out"]


def leave_one_out(scores: Array, influence: Array, y: IntArray, weight: Array) -> Array:
    """Log-probabilities that each row would get from a fit without it, to second order.

    With scores u = J theta, theta the minimiser of a penalised sum of log losses and H its
    Hessian, taking out t of a row's weight and one Newton step from theta moves the row's scores
    by A (I - t S A)^-1 t g, where A = J H^-1 J', g = p - e_y and S = diag(p) - p p'. Here t is
    one unit of the weight, or all of it if it is less.

    Parameters
    ----------
    scores : ndarray of shape (n_samples, n_classes)
        u, at the minimum.
    influence : ndarray of shape (n_samples, n_classes, n_classes)
        A of each row.
    y : ndarray of shape (n_samples,)
        Column numbers.
    weight : ndarray of shape (n_samples,)
        Positive frequency weights.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
        Each row's logsumexp is 0.

    References
    ----------
    Rad and Maleki, "A scalable estimate of the out-of-sample prediction error via approximate
    leave-one-out cross-validation", JRSS B 2020, equation 6.
    """
    p = softmax(scores)
    curvature = -p[:, :, None] * p[:, None, :]
    diagonal = np.arange(p.shape[1])
    curvature[:, diagonal, diagonal] += p
    gradient = p
    gradient[np.arange(len(y)), y] -= 1.0
    taken = np.minimum(weight, 1.0)[:, None, None]
    system = np.eye(p.shape[1]) - taken * (curvature @ influence)
    push = np.linalg.solve(system, taken * gradient[:, :, None])
    return log_softmax(scores + (influence @ push)[:, :, 0])
