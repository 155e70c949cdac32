"""Logarithmic opinion pool: a weighted sum of log-probabilities, with one temperature."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from skmergecal._compat import StrOptions
from skmergecal._numerics import add_weighted, log_softmax
from skmergecal._temperature import LIMIT, Bound, ScalingLoss, minimise_temperature
from skmergecal._typing import Array, IntArray
from skmergecal._validation import NON_NEGATIVE, POSITIVE, check_parameters
from skmergecal.pooling._leave_one_out import loo_log_pool
from skmergecal.pooling._nonnegative_newton import LAST_STEP, minimise_nonnegative
from skmergecal.pooling._pool_fit import PoolFit, check_opinions, weighted_sum
from skmergecal.pooling._pool_loss import PoolLoss

__all__ = [
    "STACKING_ALPHA",
    "auto_log_pool_with_loo",
    "fit_checked_opinions",
    "fit_logarithmic_pool",
    "logarithmic_pool",
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

    References
    ----------
    Genest and Zidek, "Combining Probability Distributions", Statistical Science 1986.
    """
    return log_softmax(weighted_sum("log_proba", log_proba, weights) / temperature)


@check_parameters(alpha=[NON_NEGATIVE, StrOptions({"auto"})])
def fit_logarithmic_pool(
    log_proba: Sequence[Any],
    y: Any,
    sample_weight: Any = None,
    *,
    alpha: float | Literal["auto"] = 1.0,
) -> PoolFit:
    """Fit the weights and the temperature of the logarithmic pool in one convex problem.

    Minimises over beta >= 0 the mean log loss of softmax(sum_k beta_k z_k) plus
    alpha * K / (2 n) * sum_k (beta_k - 1 / K)^2; then T = 1 / sum(beta) and w = beta * T.

    Parameters
    ----------
    log_proba : sequence of array-like of shape (n_samples, n_classes)
        One matrix per member, finite, all with the same order of columns.
    y : array-like of shape (n_samples,)
        Labels, encoded as 0..n_classes-1.
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

    Notes
    -----
    Time grows about as the rows and the classes, and at most as the square of the members.
    """
    return fit_checked_opinions(*check_opinions(log_proba, y, sample_weight), alpha)


def fit_checked_opinions(
    z: list[Array], labels: IntArray, weight: Array | None, alpha: float | Literal["auto"] = 1.0
) -> PoolFit:
    """The same for opinions that `check_opinions` has returned."""
    loss = PoolLoss(z, labels, weight)
    if alpha == "auto":
        beta = _average_over_strengths(loss, z, labels, weight)[0]
    else:
        beta = _beta(loss, alpha, _start(loss, alpha))
    return _summarise(beta, loss, unpenalised=alpha == 0)


def auto_log_pool_with_loo(
    log_proba: Sequence[Array], y: IntArray, sample_weight: Array | None
) -> tuple[PoolFit, Array]:
    """The fit of `fit_logarithmic_pool` with alpha="auto", and what it predicts without each row.

    The predictions are log-probabilities of shape (n_samples, n_classes).
    """
    z, labels, weight = check_opinions(log_proba, y, sample_weight)
    loss = PoolLoss(z, labels, weight)
    beta, predictions, shares = _average_over_strengths(loss, z, labels, weight)
    loo = loo_log_pool(predictions, labels, weight, shares, STACKING_ALPHA)
    return _summarise(beta, loss, unpenalised=False), loo


def _beta(loss: PoolLoss, alpha: float, start: Array, last_step: float = LAST_STEP) -> Array:
    """Minimiser over beta >= 0 of the loss plus a ridge."""
    unit, uniform = loss.unit, 1 / len(loss.z)
    ridge = alpha * len(loss.z) / loss.total

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
    n_rows, n_classes = loss.z[0].shape
    n_members = len(loss.z)
    if n_rows * n_classes * n_members < MANY_NUMBERS or n_rows < STRIDE * FEW_ROWS:
        return np.full(n_members, 1 / n_members)
    rows = slice(None, None, STRIDE)
    weight = loss.weight[rows]
    share = PoolLoss([m[rows] for m in loss.z], loss.y[rows], weight)
    strength = max(alpha, 1.0)  # few rows may be separable: the start should be finite
    return _beta(share, strength, _start(share, strength), ROUGH)


def _average_over_strengths(
    loss: PoolLoss, z: list[Array], y: IntArray, weight: Array | None
) -> tuple[Array, list[Array], Array]:
    """Average of the beta of several ridges, weighted by a pool of leave-one-out predictions.

    Also these predictions, and their weights.
    """
    start = _start(loss, STRENGTHS[0])
    betas = []
    for alpha in STRENGTHS:
        start = _beta(loss, alpha, start)
        betas.append(start)
    predictions = [
        loo_log_pool(z, y, weight, beta, alpha)
        for beta, alpha in zip(betas, STRENGTHS, strict=True)
    ]
    stacked = PoolLoss(predictions, y, weight)
    shares = _beta(stacked, STACKING_ALPHA, _start(stacked, STACKING_ALPHA))
    return np.asarray(shares @ np.array(betas)), predictions, shares


def _summarise(beta: Array, loss: PoolLoss, *, unpenalised: bool) -> PoolFit:
    """Weights, temperature, loss and bound from the factors beta."""
    n_members = len(beta)
    if not beta.any():
        uniform = np.full(n_members, 1 / n_members)
        pooled = add_weighted(loss.z, uniform)
        limits = ScalingLoss(pooled, loss.y, loss.weight).limits
        temperature = limits.scale * LIMIT or 1.0
        return PoolFit(uniform, temperature, loss.value(uniform / temperature), "upper")
    temperature = float(1 / beta.sum())
    bound: Bound = None
    if unpenalised:
        pooled = add_weighted(loss.z, beta)
        if ScalingLoss(pooled, loss.y, loss.weight).limits.separable:
            scale, bound = minimise_temperature(pooled, loss.y, loss.weight)[:2]
            beta = beta / scale
            temperature *= scale
    return PoolFit(beta * temperature, temperature, loss.value(beta), bound)
