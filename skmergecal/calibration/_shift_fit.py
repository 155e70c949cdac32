"""Fit of one shift per class to log-probabilities, by penalised log loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from skmergecal._numerics import log_softmax, row_losses
from skmergecal._typing import Array, IntArray

__all__ = ["SHIFT_ALPHA", "ShiftFit", "fit_shift"]

#: Strength of the penalty on shifts, which keeps that of a class without rows finite.
SHIFT_ALPHA = 1.0
#: Newton's method ends where no shift moves by more.
_STEP = 1e-10
_MOST_STEPS = 50


@dataclass(frozen=True)
class ShiftFit:
    """Fitted shifts.

    Attributes
    ----------
    shift : ndarray of shape (n_classes,)
        What is added to the logits; adds up to 0.
    interval : ndarray of shape (n_classes, 2)
        95 % intervals under the normal approximation, if rows are independent.
    """

    shift: Array
    interval: Array


def fit_shift(
    z: Array, y: IntArray, sample_weight: Array | None = None, alpha: float = SHIFT_ALPHA
) -> ShiftFit:
    """Shifts s that minimise the summed log loss of softmax(z + s) plus alpha |s|^2 / 2.

    Parameters
    ----------
    z : ndarray of shape (n_samples, n_classes)
        Finite logits.
    y : ndarray of shape (n_samples,)
        Column numbers.
    sample_weight : ndarray of shape (n_samples,), default=None
        Frequency weights.
    alpha : float
        At least 1e-6 is used, so that a common shift, which has no effect, is 0.
    """
    k = z.shape[1]
    w = np.ones(len(z)) if sample_weight is None else sample_weight
    alpha = max(alpha, 1e-6)
    counts = np.bincount(y, weights=w, minlength=k)

    def objective(s: Array) -> float:
        return float(w @ row_losses(log_softmax(z + s), y) + alpha / 2 * s @ s)

    s = np.zeros(k)
    value = objective(s)
    for _ in range(_MOST_STEPS):
        p = np.exp(log_softmax(z + s))
        wp = w[:, None] * p
        total = wp.sum(axis=0)
        hessian = np.diag(total) - wp.T @ p + alpha * np.eye(k)
        step = np.linalg.solve(hessian, counts - total - alpha * s)
        size, new = 1.0, objective(s + step)
        while new > value + 1e-12 * abs(value) and size > 1e-6:
            size /= 2
            new = objective(s + size * step)
        s, value = s + size * step, new
        if np.abs(size * step).max() < _STEP:
            break
    s -= s.mean()
    variance = np.diag(np.linalg.inv(hessian)) - 1 / (alpha * k)  # without the common shift
    half = norm.ppf(0.975) * np.sqrt(np.maximum(variance, 0.0))
    return ShiftFit(s, np.column_stack([s - half, s + half]))
