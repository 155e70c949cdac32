"""Linear opinion pool: a weighted average of probabilities, and the fit of its weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from skmergecal._numerics import SMALLEST
from skmergecal._typing import Array, IntArray
from skmergecal._validation import check_proba, check_shares
from skmergecal.pooling._nonnegative_newton import minimise_nonnegative
from skmergecal.pooling._pool_fit import PoolFit, check_opinions, weighted_sum

__all__ = ["NEGLIGIBLE", "fit_linear_pool", "fit_weights_of_true", "linear_pool", "of_true"]

#: Pooled probabilities below this are too close to 0 to divide by.
NEGLIGIBLE = 1e-100


def linear_pool(proba: Iterable[Any], weights: Sequence[float]) -> Array:
    """Probabilities of the pool: sum_k weights_k * proba_k.

    Parameters
    ----------
    proba : iterable of array-like of shape (n_samples, n_classes)
        One matrix of probabilities per member, all with the same order of columns. From a
        generator, one matrix is in memory at a time.
    weights : array-like of shape (n_members,)
        Non-negative, with sum 1.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
        The average; zeros stay zeros.

    References
    ----------
    Stone, "The Opinion Pool", Annals of Mathematical Statistics 1961.
    """
    return weighted_sum("proba", proba, weights, check_proba, check_shares)


def fit_linear_pool(proba: Sequence[Any], y: Any, sample_weight: Any = None) -> PoolFit:
    """Fit the weights of the linear pool by log loss.

    Minimises -mean_w log(sum_k w_k p_ky) over the simplex. With sum(w) added, the problem over
    w >= 0 has its minimum on the simplex; it is solved by Newton's method. Rows whose true class
    has probability 0 according to every member do not affect the weights.

    Parameters
    ----------
    proba : sequence of array-like of shape (n_samples, n_classes)
        One matrix of probabilities per member, all with the same order of columns.
    y : array-like of shape (n_samples,)
        Labels, encoded as 0..n_classes-1.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.

    Returns
    -------
    PoolFit
        With temperature 1.
    """
    matrices, labels, weight = check_opinions(
        proba, y, sample_weight, "proba", check_proba, logs=False
    )
    weights, loss = fit_weights_of_true(of_true(matrices, labels), weight)
    return PoolFit(weights, 1.0, loss)


def of_true(proba: Iterable[Array], y: IntArray) -> Array:
    """Each member's probabilities of the true classes, shape (n_members, n_samples)."""
    rows = np.arange(len(y))
    return np.stack([p[rows, y] for p in proba])


def fit_weights_of_true(true: Array, weight: Array | None) -> tuple[Array, float]:
    """Weights of the linear pool and its mean loss, from the true classes' probabilities."""
    n_members, n_rows = true.shape
    share = np.full(n_rows, 1.0) if weight is None else weight
    share = share / share.sum()

    # Scaling w by c changes the loss by sum(part) [(c - 1) sum(w) - log(c)], lowest where the new
    # sum, c sum(w), is 1. Relative to its largest entry, a row's pooled probability at the
    # optimum is at least the share of the row: the barrier below only prevents overflow.
    largest = true.max(axis=0)
    # A row whose true class has probability 0 from all members cannot favour any weights.
    possible = largest > 0
    relative, part = true[:, possible] / largest[possible], share[possible]

    def loss(w: Array) -> tuple[float, Array, Array]:
        pooled = w @ relative
        if pooled.min() < NEGLIGIBLE:
            return np.inf, np.zeros(n_members), np.zeros((n_members, n_members))
        ratio = relative / pooled
        value = float(-np.log(pooled) @ part + w.sum() * part.sum())
        return value, part.sum() - ratio @ part, (ratio * part) @ ratio.T

    weights = np.full(n_members, 1 / n_members)
    if possible.any():
        weights = minimise_nonnegative(loss, weights)
        weights = weights / weights.sum()
    return weights, float(-np.log(np.maximum(weights @ true, SMALLEST)) @ share)
