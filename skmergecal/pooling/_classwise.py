"""Class-wise logarithmic pool: weights per member and class, and an intercept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Real
from typing import Any

import numpy as np

from skmergecal._compat import Interval
from skmergecal._numerics import log_softmax
from skmergecal._partitions import InMemory, Rows
from skmergecal._typing import Array, IntArray
from skmergecal._validation import check_parameters
from skmergecal.pooling._classwise_fit import ClasswiseFit, Correction, widened_correction
from skmergecal.pooling._leave_one_out import LooOfLogPool, LooPredictions, pool_of_rows
from skmergecal.pooling._logarithmic import fit_log_pool
from skmergecal.pooling._pool_fit import check_opinions, classes_with_rows
from skmergecal.pooling._score_regression import (
    RegressionRows,
    ScoreRegression,
    principal_directions,
    row_blocks,
)

__all__ = ["classwise_pool_with_loo", "fit_classwise_correction", "fit_classwise_pool"]

#: Probabilities lie in [0, 1], log-probabilities range over several units: with this factor, one
#: ridge suits both.
_PROBA_SCALE = 4.0
#: With more unknowns than this, Newton's steps come from products with the Hessian.
_MANY_UNKNOWNS = 200


def _regression(rows: RegressionRows, most: int | None = None) -> tuple[ScoreRegression, Array]:
    """The regression on class-wise features, and their directions, (2 * n_members, rank).

    With more than ``most`` unknowns, the features are their principal components, the same for all
    classes.
    """
    n_members, n_classes = len(rows.z), len(rows.columns)

    def own(part: slice) -> Array:
        logs = np.stack([z[part] for z in rows.z], axis=2)
        return np.concatenate([logs, _PROBA_SCALE * np.exp(logs)], axis=2)

    rank = 2 * n_members
    if most is not None:
        rank = min(rank, most // n_classes - 1)
    directions = np.eye(2 * n_members)
    if rank < 2 * n_members:
        numbers = n_classes * 2 * n_members
        directions = principal_directions(
            (
                own(part).reshape(-1, 2 * n_members)
                * np.repeat(np.sqrt(rows.weight[part]), n_classes)[:, None]
                for part in row_blocks(len(rows.y), numbers)
            ),
            rank,
        )
        rank = directions.shape[1]

    def features(part: slice) -> Array:
        these = own(part)
        if rank < 2 * n_members:
            these = these @ directions
        return np.concatenate([these, np.ones((*these.shape[:2], 1))], axis=2)

    problem = ScoreRegression(features, rank + 1, rows.offset, rows.y, rows.weight)
    return problem, directions


def _learn(
    rows: RegressionRows, ridge: Callable[[int], float], most: int | None = None
) -> tuple[ClasswiseFit, Callable[[Array], Array]]:
    """What weights per member and class add to a pool.

    Parameters
    ----------
    rows : RegressionRows
    ridge : callable
        Strength of the ridge, from the number of unknowns.
    most : int, default=None
        Largest number of unknowns.

    Returns
    -------
    fit : ClasswiseFit
    without_row : callable
        What it adds to the scores of each row where it was fitted without the row, (n_rows,
        n_columns), from how the factors of the pool move without it.
    """
    problem, directions = _regression(rows, most)
    theta, factor = problem.start(), None
    alpha = ridge(theta.size)
    if most is None and theta.size > _MANY_UNKNOWNS:
        theta = problem.minimise_by_products(alpha, theta)
    else:
        theta, factor = problem.minimise(alpha, theta)

    def without_row(moves: Array) -> Array:
        known = problem.factor(alpha, theta) if factor is None else factor
        return problem.scores_without_row(theta, known, rows.z, moves)

    return _fit_of(theta, directions), without_row


def fit_classwise_correction(
    z: Sequence[Array], rows: RegressionRows, moves: Array, alpha: float, most: int
) -> Correction | None:
    """What weights per member and class add to a pool; None with too few rows or unknowns.

    Parameters
    ----------
    z : sequence of ndarray of shape (n_samples, n_classes)
        Log-probabilities of all rows.
    rows : RegressionRows
        Those of them to learn from.
    moves : ndarray of shape (n_samples, n_members)
        How the factors of the pool move without each row.
    alpha : float
        Strength of the ridge where rows are many.
    most : int
        Largest number of unknowns.
    """
    if not rows.teach or most < 2 * len(rows.columns):
        return None
    fit, without_row = _learn(rows, partial(rows.ridge, alpha), most)
    return widened_correction(rows, fit, without_row(rows.of(moves)), z)


def _fit_of(theta: Array, directions: Array) -> ClasswiseFit:
    """Coefficients grouped by the features that they multiply."""
    n_members = len(directions) // 2
    own = theta[:, :-1] @ directions.T
    proba = own[:, n_members:].T * _PROBA_SCALE
    return ClasswiseFit(own[:, :n_members].T.copy(), proba, theta[:, -1].copy())


@check_parameters(alpha=[Interval(Real, 0, None, closed="neither")])
def fit_classwise_pool(
    log_proba: Sequence[Any], y: Any, sample_weight: Any = None, *, alpha: float = 10.0
) -> ClasswiseFit:
    """Fit a logarithmic pool with weights per member and class.

    Minimises the mean log loss of softmax(u), u_c = sum_k (beta_k + C_kc) log p_kc + D_kc p_kc
    + b_c, plus alpha (sum C^2 + sum D^2 / 16 + sum b^2) / (2 n), where beta are the factors of
    `fit_logarithmic_pool`. D gives a member more, or less, influence where it is confident.

    Parameters
    ----------
    log_proba : sequence of array-like of shape (n_samples, n_classes)
        One matrix per member, finite, all with the same order of columns. The ridge expects
        log-probabilities of calibrated members, softened so that none is far below
        log(1 / n_samples).
    y : array-like of shape (n_samples,)
        Labels, encoded as 0..n_classes-1.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights; n is their sum.
    alpha : float, default=10.0
        Strength of the ridge on the class-specific coefficients, positive.

    Returns
    -------
    ClasswiseFit

    Notes
    -----
    Newton's method with n_classes * (2 * n_members + 1) unknowns. With more than 200 of them its
    steps come from conjugate gradients, so that time grows about as the rows, and at most as the
    square of the members and of the classes; memory grows as the members' matrices. Classes with
    less than two rows, counted by weight, have no coefficients of their own: they get the mean of
    the weights of the others, and no intercept.
    """
    return _fit(log_proba, y, sample_weight, alpha)[0]


def classwise_pool_with_loo(
    log_proba: Sequence[Array], y: IntArray, sample_weight: Array | None, alpha: float
) -> tuple[ClasswiseFit, LooPredictions]:
    """The fit of `fit_classwise_pool`, and what it predicts of each row without the row."""
    fit, find_loo = _fit(log_proba, y, sample_weight, alpha)
    return fit, find_loo()


def _fit(
    log_proba: Sequence[Any], y: Any, sample_weight: Any, alpha: float
) -> tuple[ClasswiseFit, Callable[[], LooPredictions]]:
    everywhere, labels, weight = check_opinions(log_proba, y, sample_weight)
    n_classes = everywhere[0].shape[1]
    present, codes = classes_with_rows(labels, n_classes)
    z = everywhere
    if codes is not None:
        z, labels = [np.ascontiguousarray(m[:, present]) for m in z], codes
    all_rows = Rows(z, labels, weight)
    pool = fit_log_pool(InMemory(all_rows))
    beta = pool.weights / pool.temperature
    fit = ClasswiseFit.of_pool(beta, len(present))
    rows = RegressionRows.choose(z, beta, labels, weight)
    learned = _learn(rows, lambda _: alpha) if rows.teach else None
    if learned is not None:
        own = learned[0] if rows.complete else learned[0].widened(rows.columns, len(present))
        fit = ClasswiseFit.weighted_sum([fit, own], [1, 1])
    wide = fit if codes is None else fit.widened(present, n_classes)

    def find_loo() -> LooPredictions:
        moves = LooOfLogPool.of(InMemory(all_rows), beta, alpha=1.0).moves(all_rows)
        without = pool_of_rows(z, beta + moves)
        if learned is not None:
            of_some, without_row = learned
            without += widened_correction(rows, of_some, without_row(rows.of(moves)), z).moved
        loo = LooPredictions(log_softmax(without), {})
        if codes is None:
            return loo
        return loo.widened(present, wide.scores(everywhere), present[labels])

    return wide, find_loo
