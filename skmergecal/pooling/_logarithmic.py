"""The logarithmic opinion pool: a weighted sum of log-probabilities, with one temperature."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from skmergecal._numerics import log_softmax, mean_loss
from skmergecal._scaling import LIMIT, Bound, ScalingLoss
from skmergecal._temperature import SUBSAMPLE, minimise_temperature
from skmergecal._typing import Array, IntArray
from skmergecal.pooling._fit import PoolFit, check_opinions
from skmergecal.pooling._newton import minimise_nonnegative

__all__ = ["add_weighted", "fit_logarithmic_pool", "logarithmic_pool"]

#: Numbers a block of rows holds for all members together.
_BLOCK = 1 << 17


def add_weighted(opinions: Iterable[Array], weights: Iterable[float]) -> Array:
    """Sum of weights times opinions, member by member, so that a row alone gives the same bits."""
    total: Array | None = None
    for opinion, weight in zip(opinions, weights, strict=True):
        part = weight * np.ascontiguousarray(opinion, dtype=np.float64)
        total = part if total is None else np.add(total, part, out=total)
    if total is None:
        msg = "there should be at least one member's opinion; got none"
        raise ValueError(msg)
    return total


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
    log_proba: Sequence[Any], y: Any, sample_weight: Any = None, *, alpha: float = 1.0
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
    alpha : float, default=1.0
        Strength of the ridge. With 0, separable rows have no finite optimum.

    Returns
    -------
    PoolFit
        Where no finite optimum exists, ``bound`` says which way the temperature went; it then
        stops as `skmergecal.calibration.fit_temperature` does.
    """
    z, labels, weight = check_opinions(log_proba, y, sample_weight)
    n_members = len(z)
    total = float(len(labels) if weight is None else weight.sum())
    ridge = alpha * n_members / total
    beta = minimise_nonnegative(
        _PoolLoss(z, labels, weight, ridge), _start(z, labels, weight, ridge)
    )
    if not beta.any():
        uniform = np.full(n_members, 1 / n_members)
        pooled = add_weighted(z, uniform)
        temperature = ScalingLoss(pooled, labels, weight).limits.scale * LIMIT or 1.0
        loss = mean_loss(log_softmax(pooled / temperature), labels, weight)
        return PoolFit(uniform, temperature, loss, "upper")
    temperature = float(1 / beta.sum())
    pooled = add_weighted(z, beta)
    bound: Bound = None
    if alpha == 0 and ScalingLoss(pooled, labels, weight).limits.separable:
        scale, bound, _ = minimise_temperature(pooled, labels, weight)
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
