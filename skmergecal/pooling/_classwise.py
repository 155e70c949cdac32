"""Class-wise logarithmic pool: weights per member and class, and an intercept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Real
from typing import Any

import numpy as np

from skmergecal._compat import Interval
from skmergecal._numerics import log_softmax, sum_of
from skmergecal._partitions import Partitions, Rows, Sizes
from skmergecal._typing import Array, IntArray
from skmergecal._validation import check_parameters
from skmergecal.pooling._classwise_fit import ClasswiseFit, Correction, moved_scores
from skmergecal.pooling._leave_one_out import LooOfLogPool, LooPredictions, pool_of_rows
from skmergecal.pooling._logarithmic import fit_pool_loss
from skmergecal.pooling._pool_fit import checked_rows, classes_with_rows
from skmergecal.pooling._pool_loss import PoolLoss
from skmergecal.pooling._score_regression import (
    ChosenRows,
    RegressionPart,
    RegressionRows,
    RegressionWithoutRows,
    ScoreRegression,
    choose_rows,
    directions_of,
    row_blocks,
)

__all__ = ["fit_classwise_correction", "fit_classwise_pool", "learn_classwise_pool"]

#: Probabilities lie in [0, 1], log-probabilities range over several units: with this factor, one
#: ridge suits both.
_PROBA_SCALE = 4.0
#: With more unknowns than this, Newton's steps come from products with the Hessian.
_MANY_UNKNOWNS = 200


def _own(rows: RegressionRows, part: slice) -> Array:
    """Log-probabilities, probabilities and ones, (n_classes, 2 * n_members + 1, n_rows)."""
    n_members = len(rows.z)
    own = np.ones((len(rows.columns), 2 * n_members + 1, len(rows.y[part])))
    logs, proba = own[:, :n_members], own[:, n_members:-1]
    for member, z in enumerate(rows.z):
        logs[:, member] = z[part].T
    np.exp(logs, out=proba)
    proba *= _PROBA_SCALE
    return own


def _products(rows: RegressionRows) -> Array:
    """Sums of products of the features of all classes."""
    n_classes, n_features = len(rows.columns), 2 * len(rows.z)
    total = np.zeros((n_features, n_features))
    for number, part in enumerate(row_blocks(len(rows.y), n_classes * n_features)):
        these = _own(rows, part)[:, :-1] * np.sqrt(rows.weight[part])
        products = sum_of(own @ own.T for own in these)
        total = products if number == 0 else total + products
    return total


def _regression_part(rows: RegressionRows, directions: Array | None) -> RegressionPart:
    """The regression on class-wise features, or on their components in some directions."""

    def features(part: slice) -> Array:
        own = _own(rows, part)
        if directions is None:
            return own
        return np.concatenate([directions.T @ own[:, :-1], own[:, -1:]], axis=1)

    rank = 2 * len(rows.z) if directions is None else directions.shape[1]
    return RegressionPart(features, rank + 1, rows)


def _learn(
    rows: ChosenRows, ridge: Callable[[int], float], most: int | None = None
) -> tuple[ClasswiseFit, Partitions[RegressionPart], Callable[[], RegressionWithoutRows]]:
    """What weights per member and class add to a pool.

    Parameters
    ----------
    rows : ChosenRows
    ridge : callable
        Strength of the ridge, from the number of unknowns.
    most : int, default=None
        Largest number of unknowns. With more, the features are their principal components, the
        same for all classes.

    Returns
    -------
    fit : ClasswiseFit
        Of the columns that take part.
    parts : Partitions of RegressionPart
    find_loo : callable
        What the fit shows of fits without a row.
    """
    n_features, n_classes = 2 * rows.n_members, len(rows.columns)
    rank = n_features if most is None else min(n_features, most // n_classes - 1)
    directions = None
    if rank < n_features:
        products = rows.parts.reduce(_products, what="products of features")
        directions = directions_of(products, rank)
        rank = directions.shape[1]
    parts = rows.parts.map(_regression_part, directions)
    problem = ScoreRegression(parts, (n_classes, rank + 1))
    theta, factor = problem.start(), None
    alpha = ridge(theta.size)
    if most is None and theta.size > _MANY_UNKNOWNS:
        theta = problem.minimise_by_products(alpha, theta)
    else:
        theta, factor = problem.minimise(alpha, theta)

    def find_loo() -> RegressionWithoutRows:
        known = problem.factor(alpha, theta) if factor is None else factor
        return problem.without_rows(theta, known)

    return _fit_of(theta, np.eye(n_features) if directions is None else directions), parts, find_loo


def fit_classwise_correction(rows: ChosenRows, alpha: float, most: int) -> Correction | None:
    """What weights per member and class add to a pool; None with too few rows or unknowns.

    Parameters
    ----------
    rows : ChosenRows
    alpha : float
        Strength of the ridge where rows are many.
    most : int
        Largest number of unknowns.
    """
    if not rows.teach or most < 2 * len(rows.columns):
        return None
    fit, parts, find_loo = _learn(rows, partial(rows.ridge, alpha), most)
    return Correction(fit, parts, find_loo())


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
        The coefficients; ``log_proba`` applies them to new rows.

    See Also
    --------
    skmergecal.pooling.ClasswiseFit : What it returns.
    skmergecal.pooling.fit_logarithmic_pool : The same weights for all classes.
    skmergecal.pooling.fit_combined_pool : Decides between the two, and more.

    Notes
    -----
    Newton's method with n_classes * (2 * n_members + 1) unknowns. With more than 200 of them its
    steps come from conjugate gradients, so that time grows about as the rows, and at most as the
    square of the members and of the classes; memory grows as the members' matrices. Classes with
    less than two rows, counted by weight, have no coefficients of their own: they get the mean of
    the weights of the others, and no intercept.

    Examples
    --------
    One member knows class 0, the other one class 2:

    >>> import numpy as np
    >>> from skmergecal.pooling import fit_classwise_pool
    >>> y = np.repeat([0, 1, 2], 40)
    >>> knows_first, knows_last = np.full((2, 120, 3), 0.25)
    >>> knows_first[:, 0] = np.where(y == 0, 0.5, 0.1)
    >>> knows_last[:, 2] = np.where(y == 2, 0.5, 0.1)
    >>> z = [np.log(p / p.sum(axis=1, keepdims=True)) for p in (knows_first, knows_last)]
    >>> fit_classwise_pool(z, y).weights.round(1)
    array([[3.3, 3.2, 3.1],
           [3.1, 3.2, 3.3]])
    """
    return _fit(checked_rows("log_proba", log_proba, y, sample_weight), alpha)[0]


def learn_classwise_pool(
    rows: Partitions[Rows], alpha: float
) -> tuple[ClasswiseFit, Partitions[LooPredictions]]:
    """The fit of `fit_classwise_pool`, and what it predicts of each row without the row."""
    fit, find_loo = _fit(rows, alpha)
    return fit, find_loo()


def _fit(
    everywhere: Partitions[Rows], alpha: float
) -> tuple[ClasswiseFit, Callable[[], Partitions[LooPredictions]]]:
    n_classes = Sizes.of(everywhere).classes
    present, rows = classes_with_rows(everywhere, n_classes)
    loss = PoolLoss(rows)
    pool = fit_pool_loss(loss)
    beta = pool.weights / pool.temperature
    fit = ClasswiseFit.of_pool(beta, len(present))
    chosen = choose_rows(rows, beta, len(present))
    learned = _learn(chosen, lambda _: alpha) if chosen.teach else None
    if learned is not None:
        own = learned[0]
        if len(chosen.columns) < len(present):
            own = own.widened(chosen.columns, len(present))
        fit = ClasswiseFit.weighted_sum([fit, own], [1, 1])
    wide = fit if len(present) == n_classes else fit.widened(present, n_classes)

    def find_loo() -> Partitions[LooPredictions]:
        pool_loo = LooOfLogPool.of(loss, beta, alpha=1.0)
        if learned is None:
            loo = rows.map(_without_row, pool_loo)
        else:
            _, parts, of_regression = learned
            loo = rows.map_with(parts, _corrected_without_row, pool_loo, of_regression(), own)
        if len(present) == n_classes:
            return loo
        return loo.map_with(everywhere, _widened, present, wide)

    return wide, find_loo


def _without_row(rows: Rows, pool: LooOfLogPool) -> LooPredictions:
    return LooPredictions(log_softmax(pool.log_proba(rows)), {})


def _corrected_without_row(
    rows: Rows,
    part: RegressionPart,
    pool: LooOfLogPool,
    loo: RegressionWithoutRows,
    wide: ClasswiseFit,
) -> LooPredictions:
    moves = pool.moves(rows)
    without = pool_of_rows(rows.opinions, pool.beta + moves)
    without += moved_scores(rows.opinions, moves, part, loo, wide)
    return LooPredictions(log_softmax(without), {})


def _widened(
    loo: LooPredictions, rows: Rows, present: IntArray, wide: ClasswiseFit
) -> LooPredictions:
    return loo.widened(present, wide.scores(rows.opinions), rows.y)
