"""Linear opinion pool: a weighted average of probabilities, and the fit of its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from skmergecal._numerics import SMALLEST
from skmergecal._partitions import Partitions, Rows
from skmergecal._typing import Array, IntArray
from skmergecal._validation import check_proba, check_shares
from skmergecal.pooling._nonnegative_newton import minimise_nonnegative
from skmergecal.pooling._pool_fit import PoolFit, checked_rows, weighted_sum

__all__ = ["NEGLIGIBLE", "fit_linear_pool", "fit_linear_weights", "linear_pool", "of_true"]

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

    See Also
    --------
    skmergecal.pooling.fit_linear_pool : Learns the weights.
    skmergecal.pooling.logarithmic_pool : Averages log-probabilities instead.

    References
    ----------
    Stone, "The Opinion Pool", Annals of Mathematical Statistics 1961,
    https://doi.org/10.1214/aoms/1177704873.

    Examples
    --------
    >>> from skmergecal.pooling import linear_pool
    >>> linear_pool([[[0.9, 0.1]], [[0.5, 0.5]]], [0.5, 0.5])
    array([[0.7, 0.3]])
    """
    return weighted_sum("proba", proba, weights, check_proba, check_shares)


def fit_linear_pool(
    proba: Sequence[Any] | Callable[[], Iterable[Any]], y: Any = None, sample_weight: Any = None
) -> PoolFit:
    """Fit the weights of the linear pool by log loss.

    Minimises -mean_w log(sum_k w_k p_ky) over the simplex. With sum(w) added, the problem over
    w >= 0 has its minimum on the simplex; it is solved by Newton's method. Rows whose true class
    has probability 0 according to every member do not affect the weights.

    Parameters
    ----------
    proba : sequence of array-like of shape (n_samples, n_classes), or callable
        One matrix of probabilities per member, all with the same order of columns. A function
        without arguments gives all rows in blocks: see `fit_logarithmic_pool`.
    y : array-like of shape (n_samples,), default=None
        Labels, encoded as 0..n_classes-1. None for blocks, which have their own.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.

    Returns
    -------
    PoolFit
        With temperature 1.

    See Also
    --------
    skmergecal.pooling.linear_pool : The pool with given weights.
    skmergecal.pooling.fit_logarithmic_pool : Weights of the logarithmic pool.

    References
    ----------
    Stone, "The Opinion Pool", Annals of Mathematical Statistics 1961,
    https://doi.org/10.1214/aoms/1177704873.

    Examples
    --------
    A member that knows something, and one that guesses:

    >>> import numpy as np
    >>> from skmergecal.pooling import fit_linear_pool
    >>> y = [0] * 8 + [1] * 2
    >>> knows, guesses = np.tile([0.8, 0.2], (10, 1)), np.tile([0.5, 0.5], (10, 1))
    >>> fit = fit_linear_pool([knows, guesses], y)
    >>> fit.weights.round(2), round(fit.loss, 4)
    (array([1., 0.]), 0.5004)
    """
    rows = checked_rows("proba", proba, y, sample_weight, check_proba, logs=False)
    weights, loss = fit_linear_weights(rows)
    return PoolFit(weights, 1.0, loss)


def of_true(proba: Iterable[Array], y: IntArray) -> Array:
    """Each member's probabilities of the true classes, shape (n_members, n_samples)."""
    matrices = list(proba)
    place = np.arange(len(y)) * matrices[0].shape[1] + y
    return np.stack([p.take(place) for p in matrices])


class _TrueClasses(NamedTuple):
    """What members give the true classes of some rows: all that the fit needs to know."""

    true: Array
    y: IntArray
    counts: Array

    @classmethod
    def of(cls, rows: Rows) -> _TrueClasses:
        return cls(of_true(rows.opinions, rows.y), rows.y, rows.counts)

    def mark(self) -> tuple[int, int, float]:
        """What shows whether the rows have come back as they were."""
        return len(self.y), int(self.y.sum()), float(self.true.sum() + self.counts.sum())


class _LinearLossOfPart:
    """The loss of the rows of a partition, in shares of the total weight of all rows."""

    def __init__(self, rows: _TrueClasses, total: float) -> None:
        self.y, self.true = rows.y, rows.true
        self.share = rows.counts / total
        # Relative to its largest entry, a row's pooled probability at the optimum is at least the
        # share of the row: the barrier below only prevents overflow.
        largest = self.true.max(axis=0)
        # A row whose true class has probability 0 from all members cannot favour any weights.
        possible = largest > 0
        true, self.part = self.true, self.share
        if not possible.all():
            true, largest, self.part = true[:, possible], largest[possible], self.share[possible]
        # What is known of a row lies together.
        self.relative = np.divide(true.T, largest[:, None], order="C").T

    def taking_part(self) -> float:
        """Share of the rows that can favour weights."""
        return float(self.part.sum())

    def derivatives(self, w: Array) -> tuple[float, Array, Array]:
        """Loss, minus its gradient, and its Hessian."""
        pooled = w @ self.relative
        if pooled.min(initial=np.inf) < NEGLIGIBLE:
            return np.inf, np.zeros(len(w)), np.zeros((len(w), len(w)))
        ratio = self.relative / pooled
        value = float(-np.log(pooled) @ self.part)
        return value, ratio @ self.part, (ratio * self.part) @ ratio.T

    def loss(self, weights: Array) -> float:
        """Loss of all rows, those without any probability included."""
        return float(-np.log(np.maximum(weights @ self.true, SMALLEST)) @ self.share)


def fit_linear_weights(rows: Partitions[Rows]) -> tuple[Array, float]:
    """Weights of the linear pool and its mean loss, from probabilities in partitions."""
    n_members, total = rows.reduce(_members_and_total, how=("max", "sum"), what="number of rows")
    of_true_classes = rows.map(_TrueClasses.of).stored("probabilities of the true classes")
    parts = of_true_classes.map(_LinearLossOfPart, total)
    share = parts.reduce(_LinearLossOfPart.taking_part, what="rows that can favour weights")

    # Scaling w by c changes the loss by share [(c - 1) sum(w) - log(c)], lowest where the new sum,
    # c sum(w), is 1.
    def loss(w: Array) -> tuple[float, Array, Array]:
        value, pull, hessian = parts.reduce(_LinearLossOfPart.derivatives, w, what="linear pool")
        return float(value + w.sum() * share), share - pull, hessian

    weights = np.full(n_members, 1 / n_members)
    if share > 0:
        weights = minimise_nonnegative(loss, weights)
        weights = weights / weights.sum()
    return weights, float(parts.reduce(_LinearLossOfPart.loss, weights, what="linear pool"))


def _members_and_total(rows: Rows) -> tuple[int, float]:
    return len(rows.opinions), rows.sizes()[1]
