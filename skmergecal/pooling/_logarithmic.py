"""Logarithmic opinion pool: a weighted sum of log-probabilities, with one temperature."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from skmergecal._compat import StrOptions
from skmergecal._numerics import add_weighted, log_softmax
from skmergecal._partitions import InMemory, Partitions, Rows, share_of, together
from skmergecal._temperature import LIMIT, Bound, ScalingLoss, minimise_partitions
from skmergecal._typing import Array
from skmergecal._validation import NON_NEGATIVE, POSITIVE, check_parameters
from skmergecal.pooling._leave_one_out import (
    LooOfLogPool,
    loo_log_pool,
    opinions_without_rows,
)
from skmergecal.pooling._nonnegative_newton import LAST_STEP, minimise_nonnegative
from skmergecal.pooling._pool_fit import PoolFit, checked_rows, weighted_sum
from skmergecal.pooling._pool_loss import PoolLoss

__all__ = [
    "STACKING_ALPHA",
    "auto_log_pool_with_loo",
    "fit_log_pool",
    "fit_logarithmic_pool",
    "fit_pool_loss",
    "logarithmic_pool",
    "pooled_rows",
]

#: Strengths of the ridge over which alpha="auto" averages.
STRENGTHS = (10.0, 1.0, 0.1)
#: Strength of the ridge towards a uniform average where pools themselves are pooled.
STACKING_ALPHA = 5.0
#: The fit to at least this many numbers starts from the weights for every STRIDE-th row, if these
#: are at least FEW_ROWS.
MANY_NUMBERS = 1 << 17
STRIDE = 8
FEW_ROWS = 128
#: Squared Newton decrement, over the loss, at which a start is good enough.
ROUGH = 1e-5


@check_parameters(temperature=[POSITIVE])
def logarithmic_pool(
    log_proba: Iterable[Any], weights: Sequence[float], temperature: float = 1.0
) -> Array:
    """Log-probabilities of the pool: log softmax(sum_k weights_k * log_proba_k / temperature).

    Parameters
    ----------
    log_proba : iterable of array-like of shape (n_samples, n_classes)
        One matrix of log-probabilities (or logits) per member, all with the same order of columns,
        finite. From a generator, one matrix is in memory at a time.
    weights : array-like of shape (n_members,)
        Non-negative, not all 0; they need not sum to 1.
    temperature : float, default=1.0
        Divisor of the weighted sum, at least 1e-150.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
        Each row's logsumexp is 0.

    See Also
    --------
    skmergecal.pooling.fit_logarithmic_pool : Learns weights and temperature.
    skmergecal.pooling.linear_pool : Averages probabilities instead.

    References
    ----------
    Genest and Zidek, "Combining Probability Distributions", Statistical Science 1986,
    https://doi.org/10.1214/ss/1177013825.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.pooling import logarithmic_pool
    >>> for_it, undecided = np.log([[0.9, 0.1]]), np.log([[0.5, 0.5]])
    >>> np.exp(logarithmic_pool([for_it, undecided], [0.5, 0.5])).round(2)  # odds: sqrt(9 * 1)
    array([[0.75, 0.25]])
    """
    return log_softmax(weighted_sum("log_proba", log_proba, weights) / temperature)


@check_parameters(alpha=[NON_NEGATIVE, StrOptions({"auto"})])
def fit_logarithmic_pool(
    log_proba: Sequence[Any] | Callable[[], Iterable[Any]],
    y: Any = None,
    sample_weight: Any = None,
    *,
    alpha: float | Literal["auto"] = 1.0,
) -> PoolFit:
    """Fit the weights and the temperature of the logarithmic pool in one convex problem.

    Minimises over beta >= 0 the mean log loss of softmax(sum_k beta_k z_k) plus
    alpha * K / (2 n) * sum_k (beta_k - 1 / K)^2; then T = 1 / sum(beta) and w = beta * T.

    Parameters
    ----------
    log_proba : sequence of array-like of shape (n_samples, n_classes), or callable
        One matrix per member, finite, all with the same order of columns. A function without
        arguments gives all rows in blocks, a new iterator each time it is called: tuples
        ``(log_proba, y)`` or ``(log_proba, y, weight)``. They are read once for each step of the
        search, so that one block is in memory at a time.
    y : array-like of shape (n_samples,), default=None
        Labels, encoded as 0..n_classes-1. None for blocks, which have their own.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights; n is their sum.
    alpha : float or "auto", default=1.0
        Strength of the ridge, not negative. With 0, separable rows have no finite optimum. "auto"
        averages the beta of a strong, a medium and a weak ridge, weighted by their leave-one-out
        log loss (in closed form).

    Returns
    -------
    PoolFit
        If no finite optimum exists, ``bound`` is the bound at which the temperature stopped, as in
        `skmergecal.calibration.fit_temperature`.

    Raises
    ------
    ValueError
        If a block comes back with other rows than in the first pass.

    See Also
    --------
    skmergecal.pooling.logarithmic_pool : The pool with given weights.
    skmergecal.pooling.fit_linear_pool : Weights of the linear pool.
    skmergecal.pooling.fit_combined_pool : Several kinds of pools at once.

    Notes
    -----
    Time grows about as the rows and the classes, and at most as the square of the members.

    References
    ----------
    Genest and Zidek, "Combining Probability Distributions", Statistical Science 1986,
    https://doi.org/10.1214/ss/1177013825.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.pooling import fit_logarithmic_pool
    >>> def blocks():  # of a file that is larger than memory, for instance
    ...     for seed in range(3):
    ...         rng = np.random.default_rng(seed)
    ...         y = rng.integers(2, size=1000)
    ...         p = [np.clip(rng.normal(0.3 + 0.4 * y, 0.2), 0.01, 0.99) for _ in range(4)]
    ...         yield [np.log(np.column_stack([1 - q, q])) for q in p], y
    >>> fit_logarithmic_pool(blocks).weights.round(1)
    array([0.3, 0.3, 0.2, 0.2])
    """
    return fit_log_pool(checked_rows("log_proba", log_proba, y, sample_weight), alpha)


def fit_log_pool(rows: Partitions[Rows], alpha: float | Literal["auto"] = 1.0) -> PoolFit:
    """The same for checked opinions in partitions."""
    return fit_pool_loss(PoolLoss(rows), alpha)


def fit_pool_loss(loss: PoolLoss, alpha: float | Literal["auto"] = 1.0) -> PoolFit:
    """The same for their loss."""
    if alpha == "auto":
        beta = _average_over_strengths(loss)[0]
    else:
        beta = _beta(loss, alpha, _start(loss, alpha))
    return _summarise(beta, loss, unpenalised=alpha == 0)


def auto_log_pool_with_loo(rows: Partitions[Rows]) -> tuple[PoolFit, Partitions[Rows]]:
    """The fit of `fit_logarithmic_pool` with alpha="auto", and what it predicts without each row.

    The predictions are log-probabilities: the only opinions of what is returned.
    """
    loss = PoolLoss(rows)
    beta, predictions, shares = _average_over_strengths(loss)
    loo = loo_log_pool(predictions, shares, STACKING_ALPHA)
    return _summarise(beta, loss, unpenalised=False), loo


def _beta(loss: PoolLoss, alpha: float, start: Array, last_step: float = LAST_STEP) -> Array:
    """Minimiser over beta >= 0 of the loss plus a ridge."""
    unit, uniform = loss.unit, 1 / loss.n_members
    ridge = alpha * loss.n_members / loss.total

    def penalised(x: Array) -> tuple[float, Array, Array]:
        value, gradient, hessian = loss.derivatives(x)
        away = x / unit - uniform
        value += ridge / 2 * float(away @ away)
        return value, gradient + ridge * away / unit, hessian + np.diag(ridge / unit**2)

    return minimise_nonnegative(penalised, start * unit, last_step) / unit


def _start(loss: PoolLoss, alpha: float) -> Array:
    """Uniform beta, or if there are many rows, the approximate beta for a share of them.

    The search for that beta has a start of the same kind.
    """
    n_members = loss.n_members
    if loss.n_rows * loss.n_classes * n_members < MANY_NUMBERS or loss.n_rows < STRIDE * FEW_ROWS:
        return np.full(n_members, 1 / n_members)
    share = PoolLoss(share_of(loss.rows, loss.n_rows, loss.n_classes * n_members, STRIDE)[0])
    strength = max(alpha, 1.0)  # few rows may be separable: the start should be finite
    return _beta(share, strength, _start(share, strength), ROUGH)


def _average_over_strengths(loss: PoolLoss) -> tuple[Array, Partitions[Rows], Array]:
    """Average of the beta of several ridges, weighted by a pool of leave-one-out predictions.

    Also these predictions, and their weights.
    """
    betas = _betas(loss)
    problems = [
        partial(LooOfLogPool.of, loss, beta, alpha)
        for beta, alpha in zip(betas, STRENGTHS, strict=True)
    ]
    each = together(loss.rows, problems)
    predictions = loss.rows.map(opinions_without_rows, each).stored("predictions without each row")
    stacked = PoolLoss(predictions)
    shares = _beta(stacked, STACKING_ALPHA, _start(stacked, STACKING_ALPHA))
    return np.asarray(shares @ np.array(betas)), predictions, shares


def _betas(loss: PoolLoss) -> list[Array]:
    """Minimisers for each of the strengths: in memory from the one before, else in one search."""
    start = _start(loss, STRENGTHS[0])
    if not isinstance(loss.rows, InMemory):
        return together(loss.rows, [partial(_beta, loss, alpha, start) for alpha in STRENGTHS])
    found = []
    for alpha in STRENGTHS:
        start = _beta(loss, alpha, start)
        found.append(start)
    return found


def _summarise(beta: Array, loss: PoolLoss, *, unpenalised: bool) -> PoolFit:
    """Weights, temperature, loss and bound from the factors beta."""
    n_members = len(beta)
    if not beta.any():
        uniform = np.full(n_members, 1 / n_members)
        limits = ScalingLoss.of(loss.rows.map(pooled_rows, uniform)).limits
        temperature = limits.scale * LIMIT or 1.0
        return PoolFit(uniform, temperature, loss.value(uniform / temperature), "upper")
    temperature = float(1 / beta.sum())
    bound: Bound = None
    if unpenalised:
        pooled = loss.rows.map(pooled_rows, beta)
        if ScalingLoss.of(pooled).limits.separable:
            scale, bound = minimise_partitions(pooled)[:2]
            beta = beta / scale
            temperature *= scale
    return PoolFit(beta * temperature, temperature, loss.value(beta), bound)


def pooled_rows(rows: Rows, factors: Array) -> Rows:
    """The weighted sum of opinions as the only opinion."""
    return Rows([add_weighted(rows.opinions, factors)], rows.y, rows.counts)
