"""The logarithmic opinion pool: a weighted sum of log-probabilities, with one temperature."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from skmergecal._numerics import log_softmax, mean_loss
from skmergecal._scaling import LIMIT, Bound, ScalingLoss
from skmergecal._temperature import SUBSAMPLE, minimise_temperature
from skmergecal._typing import Array, IntArray
from skmergecal.pooling._fit import PoolFit, check_opinions
from skmergecal.pooling._leave_one_out import leave_one_out
from skmergecal.pooling._newton import minimise_nonnegative

__all__ = [
    "STACKING_ALPHA",
    "add_weighted",
    "fit_logarithmic_pool",
    "logarithmic_pool",
    "logarithmic_pool_without_row",
    "sum_of",
]

#: Strengths of the ridge that alpha="auto" averages over.
STRENGTHS = (10.0, 1.0, 0.1)
#: Strength of the ridge towards a plain average where pools themselves are pooled.
STACKING_ALPHA = 3.0
#: Numbers a block of rows holds for all members together.
_BLOCK = 1 << 17


def sum_of(parts: Iterable[Array]) -> Array:
    """Sum in the given order, one part in memory at a time beside the first, which is changed."""
    total: Array | None = None
    for part in parts:
        total = part if total is None else np.add(total, part, out=total)
    if total is None:
        msg = "there should be at least one member's opinion; got none"
        raise ValueError(msg)
    return total


def add_weighted(opinions: Iterable[Array], weights: Iterable[float]) -> Array:
    """Sum of weights times opinions, member by member, so that a row alone gives the same bits."""
    return sum_of(
        w * np.ascontiguousarray(z, dtype=np.float64)
        for z, w in zip(opinions, weights, strict=True)
    )


def logarithmic_pool(
    log_proba: Iterable[Any], weights: Iterable[float], temperature: float = 1.0
) -> Array:
    """Log-probabilities of the pool: log softmax(sum_k weights_k * log_proba_k / temperature).

    Parameters
    ----------
    log_proba : iterable of array-like of shape (n_samples, n_classes)
        One matrix of log-probabilities (or logits) a member, columns in one order.
    weights : iterable of float
        One weight a member.
    temperature : float, default=1.0
        Divisor of the weighted sum.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
        Each row's logsumexp is 0.

    References
    ----------
    Genest and Zidek, "Combining Probability Distributions", Statistical Science 1986.
    """
    return log_softmax(add_weighted(log_proba, weights) / temperature)


class _PoolLoss:
    """NLL of sum_k beta_k z_k with its gradient and Hessian, plus the ridge towards 1 / K."""

    def __init__(self, z: Sequence[Array], y: IntArray, weight: Array | None, ridge: float) -> None:
        self.z, self.y, self.weight = z, y, weight
        self.total = float(len(y) if weight is None else weight.sum())
        self.ridge = ridge
        self.rows = max(_BLOCK // (len(z) * z[0].shape[1]), 1)

    def __call__(self, beta: Array) -> tuple[float, Array, Array]:
        n_members = len(self.z)
        loss, gradient = 0.0, np.zeros(n_members)
        hessian = np.zeros((n_members, n_members))
        for start in range(0, len(self.y), self.rows):
            part = slice(start, start + self.rows)
            y = self.y[part]
            gaps = np.stack([z[part] for z in self.z])
            gaps -= gaps[:, np.arange(len(y)), y][:, :, None]  # the true class at 0
            u = np.einsum("k,kij->ij", beta, gaps)
            top = u.max(axis=1)
            p = np.exp(u - top[:, None])
            total = p.sum(axis=1)
            w = np.ones(len(y)) if self.weight is None else self.weight[part]
            loss += float((top + np.log(total)) @ w)
            p *= (w / total)[:, None]
            weighted = gaps * p
            means = weighted.sum(axis=2)  # w_i E_p z_k, shape (n_members, rows)
            gradient += means.sum(axis=1)
            flat = (n_members, -1)
            hessian += weighted.reshape(flat) @ gaps.reshape(flat).T - (means / w) @ means.T
        away = beta - 1 / n_members
        return (
            loss / self.total + self.ridge / 2 * float(away @ away),
            gradient / self.total + self.ridge * away,
            hessian / self.total + self.ridge * np.eye(n_members),
        )


def fit_logarithmic_pool(
    log_proba: Sequence[Any],
    y: Any,
    sample_weight: Any = None,
    *,
    alpha: float | Literal["auto"] = 1.0,
) -> PoolFit:
    """Fit the weights and the temperature of the logarithmic pool in one convex problem.

    Over beta >= 0, minimises the mean log loss of softmax(sum_k beta_k z_k) plus
    alpha * K / (2 n) * sum_k (beta_k - 1 / K)^2; then T = 1 / sum(beta) and w = beta * T.

    Parameters
    ----------
    log_proba : sequence of array-like of shape (n_samples, n_classes)
        One matrix a member, finite, columns in one order.
    y : array-like of shape (n_samples,)
        Labels, already 0..n_classes-1.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights; n is their sum.
    alpha : float or "auto", default=1.0
        Strength of the ridge. With 0, separable rows have no finite optimum. "auto" averages
        the beta of strong, middling and weak ridges, weighted by how well each predicts rows that
        it was not fitted on (leave-one-out in closed form).

    Returns
    -------
    PoolFit
        Where no finite optimum exists, ``bound`` says which way the temperature went; it then
        stops as `skmergecal.calibration.fit_temperature` does.
    """
    z, labels, weight = check_opinions(log_proba, y, sample_weight)
    if alpha == "auto":
        beta = _average_over_strengths(z, labels, weight)
    else:
        beta = _minimise(z, labels, weight, alpha)
    return _summarise(beta, z, labels, weight, unpenalised=alpha == 0)


def _minimise(z: list[Array], y: IntArray, weight: Array | None, alpha: float) -> Array:
    total = float(len(y) if weight is None else weight.sum())
    ridge = alpha * len(z) / total
    return minimise_nonnegative(_PoolLoss(z, y, weight, ridge), _start(z, y, weight, ridge))


def _average_over_strengths(z: list[Array], y: IntArray, weight: Array | None) -> Array:
    """Average of the beta of several ridges, by a pool of their leave-one-out predictions."""
    betas = [_minimise(z, y, weight, alpha) for alpha in STRENGTHS]
    predictions = [
        logarithmic_pool_without_row(z, y, weight, beta, alpha)
        for beta, alpha in zip(betas, STRENGTHS, strict=True)
    ]
    shares = _minimise(predictions, y, weight, STACKING_ALPHA)
    return np.asarray(shares @ np.array(betas))


def _summarise(
    beta: Array, z: list[Array], labels: IntArray, weight: Array | None, *, unpenalised: bool
) -> PoolFit:
    """Weights, temperature, loss and bound of the factors beta."""
    n_members = len(z)
    if not beta.any():
        uniform = np.full(n_members, 1 / n_members)
        pooled = add_weighted(z, uniform)
        temperature = ScalingLoss(pooled, labels, weight).limits.scale * LIMIT or 1.0
        loss = mean_loss(log_softmax(pooled / temperature), labels, weight)
        return PoolFit(uniform, temperature, loss, "upper")
    temperature = float(1 / beta.sum())
    pooled = add_weighted(z, beta)
    bound: Bound = None
    if unpenalised and ScalingLoss(pooled, labels, weight).limits.separable:
        scale, bound = minimise_temperature(pooled, labels, weight)[:2]
        beta, pooled = beta / scale, pooled / scale
        temperature *= scale
    loss = mean_loss(log_softmax(pooled), labels, weight)
    return PoolFit(beta * temperature, temperature, loss, bound)


def _start(z: list[Array], y: IntArray, weight: Array | None, ridge: float) -> Array:
    """Weights of a subsample where there are many rows, else uniform."""
    uniform = np.full(len(z), 1 / len(z))
    stride = len(y) // SUBSAMPLE
    if stride < 2:
        return uniform
    rows = slice(None, None, stride)
    part = _PoolLoss([m[rows] for m in z], y[rows], None if weight is None else weight[rows], ridge)
    return minimise_nonnegative(part, uniform)


def logarithmic_pool_without_row(
    z: Sequence[Array], y: IntArray, weight: Array | None, beta: Array, alpha: float
) -> Array:
    """Log-probabilities of each row from a pool fitted without it, to second order.

    ``beta`` minimises the pool's penalised loss; members with beta 0 stay out. Shape
    (n_samples, n_classes).
    """
    used = [m for m, b in zip(z, beta, strict=True) if b > 0]
    if not used:
        return np.full(z[0].shape, -np.log(z[0].shape[1]))
    positive = beta[beta > 0]
    problem = _PoolLoss(used, y, weight, 0.0)
    hessian = problem(positive)[2] * problem.total + alpha * len(z) * np.eye(len(used))
    inverse = np.linalg.inv(hessian)
    out = np.empty_like(z[0])
    for start in range(0, len(y), problem.rows):
        part = slice(start, start + problem.rows)
        features = np.stack([m[part] for m in used], axis=2)
        influence = (features @ inverse) @ features.transpose(0, 2, 1)
        out[part] = leave_one_out(features @ positive, influence, y[part])
    return out
