"""Combination of several pools, weighted by their leave-one-out log loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from skmergecal._numerics import add_weighted, log_softmax, soften, softening_of
from skmergecal._temperature import minimise_temperature
from skmergecal._typing import Array, IntArray
from skmergecal._validation import check_members, check_proba
from skmergecal.pooling._classwise import ClasswiseFit, ClasswiseProblem
from skmergecal.pooling._leave_one_out import LooPredictions, loo_linear_pool, loo_log_pool
from skmergecal.pooling._linear import fit_weights_of_true, of_true
from skmergecal.pooling._logarithmic import (
    STACKING_ALPHA,
    fit_checked_opinions,
    fit_logarithmic_pool,
)
from skmergecal.pooling._pool_fit import check_opinions, classes_with_rows

__all__ = ["CombinedFit", "ScaledLinearPool", "combined_pool_with_loo", "fit_combined_pool"]

#: Strength of the class-wise pool's ridge.
STRENGTH = 3.0
#: A class-wise pool with more unknowns than this is left out.
MOST_UNKNOWNS = 1000


@dataclass(frozen=True)
class ScaledLinearPool:
    """A linear pool whose softened probabilities are scaled by a temperature.

    Attributes
    ----------
    weights : ndarray of shape (n_members,)
    softening : float
        Share of the uniform distribution mixed into the pooled probabilities.
    temperature : float
    calibrated : bool
        Whether the pool averages the members' calibrated probabilities or their own.
    factor : float
        Factor of the pool's log-probabilities where pools are combined.
    """

    weights: Array
    softening: float
    temperature: float
    calibrated: bool = False
    factor: float = 1.0

    def log_proba(self, proba: Array) -> Array:
        """Log-probabilities of pooled probabilities."""
        return log_softmax(soften(proba, self.softening) / self.temperature)

    def uses(self, member: int) -> bool:
        """Whether a member's probabilities affect the result."""
        return bool(self.factor * self.weights[member] > 0)


@dataclass(frozen=True)
class CombinedFit:
    """A class-wise pool with linear pools as further members.

    Attributes
    ----------
    classwise : ClasswiseFit
        Average of the logarithmic and the class-wise pool.
    linear : tuple of ScaledLinearPool
        Linear pools, each with its factor.
    """

    classwise: ClasswiseFit
    linear: tuple[ScaledLinearPool, ...] = ()

    def uses(self, member: int) -> bool:
        """Whether a member's opinion affects the result."""
        own = self.classwise.weights[member].any() or self.classwise.proba_weights[member].any()
        return bool(own or any(pool.uses(member) for pool in self.linear))

    def scores(self, opinions: Iterable[tuple[int, Array, Array, Callable[[], Array]]]) -> Array:
        """Scores before the softmax.

        Parameters
        ----------
        opinions : iterable of (int, ndarray, ndarray, callable)
            For each member in use its number, its calibrated and softened log-probabilities, the
            exponentials of these, and a function that returns its own probabilities. Each member
            is released before the next one is requested.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        scores: Any = 0.0
        pooled: list[Any] = [0.0] * len(self.linear)
        for k, log_proba, calibrated, own in opinions:
            scores = scores + self.classwise.part(k, log_proba, calibrated)
            for number, pool in enumerate(self.linear):
                if pool.uses(k):
                    proba = calibrated if pool.calibrated else own()
                    pooled[number] = pooled[number] + pool.weights[k] * proba
        scores = scores + self.classwise.intercept
        for proba, pool in zip(pooled, self.linear, strict=True):
            if pool.factor:
                scores += pool.factor * pool.log_proba(proba)
        return np.asarray(scores)

    @property
    def member_factors(self) -> Array:
        """One factor per member, shape (n_members,).

        The mean absolute value of its weights over the classes, plus its weights in the linear
        pools times their factors: 0 only for members that do not affect the result.
        """
        factors = np.abs(self.classwise.weights).mean(axis=1)
        for pool in self.linear:
            factors += pool.factor * pool.weights
        return factors


class _Exponentials(Sequence[Array]):
    """Exponentials of log-probabilities, one matrix in memory at a time."""

    def __init__(self, log_proba: Sequence[Array]) -> None:
        self.log_proba = log_proba

    def __len__(self) -> int:
        return len(self.log_proba)

    def __getitem__(self, member: Any) -> Any:
        return np.exp(self.log_proba[member])


def fit_combined_pool(
    log_proba: Sequence[Any],
    y: Any,
    sample_weight: Any = None,
    *,
    proba: Sequence[Any] | None = None,
) -> CombinedFit:
    """Fit logarithmic, class-wise and linear pools, and weight them by leave-one-out log loss.

    The pools are the logarithmic pool, the class-wise pool, and two linear pools with a
    temperature, of the members' own and of their calibrated probabilities. The prediction of each
    pool for a row, fitted without that row, follows from one fit by a Newton step; a logarithmic
    pool of these predictions gives the weights of the pools. The scores of all but the linear
    pools are linear in their coefficients, so that these pools become one class-wise pool.

    Parameters
    ----------
    log_proba : sequence of array-like of shape (n_samples, n_classes)
        One matrix per member, finite: calibrated and softened.
    y : array-like of shape (n_samples,)
        Labels, encoded as 0..n_classes-1.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights; n is their sum.
    proba : sequence of array-like of shape (n_samples, n_classes), default=None
        The members' own probabilities; without them no linear pool is fitted.

    Returns
    -------
    CombinedFit

    Notes
    -----
    With more than 1,000 unknowns, n_classes * (2 * n_members + 1), the class-wise pool is left out.
    Classes without rows take no part in the fit: see `fit_classwise_pool`.
    """
    return combined_pool_with_loo(log_proba, y, sample_weight, proba=proba)[0]


def combined_pool_with_loo(
    log_proba: Sequence[Any],
    y: Any,
    sample_weight: Any = None,
    *,
    proba: Sequence[Any] | None = None,
) -> tuple[CombinedFit, LooPredictions]:
    """The fit of `fit_combined_pool`, and what it predicts of each row without the row."""
    z, labels, weight = check_opinions(log_proba, y, sample_weight)
    if proba is None:
        return _fit_checked(z, None, labels, weight)
    given = check_members("proba", proba, check_proba)
    shape = np.shape(log_proba[0])
    if len(given) != len(z) or given[0].shape != shape:
        msg = (
            f"proba should hold as many matrices as log_proba, {len(z)}, of the same shape "
            f"{shape}; got {len(given)} of shape {given[0].shape}"
        )
        raise ValueError(msg)
    own, _, _ = check_opinions(given, y, sample_weight, check=lambda p, _: p, logs=False)
    return _fit_checked(z, own, labels, weight)


def _fit_checked(
    z: list[Array], proba: list[Array] | None, y: IntArray, weight: Array | None
) -> tuple[CombinedFit, LooPredictions]:
    present, codes = classes_with_rows(y, z[0].shape[1])
    if codes is not None:
        own = None if proba is None else [p[:, present] for p in proba]
        part, loo = _fit_checked([m[:, present] for m in z], own, codes, weight)
        wide = replace(part, classwise=part.classwise.widened(present, z[0].shape[1]))
        return wide, loo.widened(present, _scores_of_rows(wide, z, proba), y)
    pool = fit_checked_opinions(z, y, weight)
    beta = pool.weights / pool.temperature
    problem = ClasswiseProblem(z, y, weight, beta)
    coefficients, names = [problem.pooled()], ["logarithmic"]
    predictions = [loo_log_pool(z, y, weight, beta, alpha=1.0)]
    if coefficients[0].size <= MOST_UNKNOWNS:
        theta, factor = problem.minimise(STRENGTH, coefficients[0])
        coefficients.append(theta)
        predictions.append(problem.loo_scores(theta, factor))
        names.append("class-wise")
    linear = []
    if proba is not None:
        for calibrated, p in ((False, proba), (True, _Exponentials(z))):
            fit, without_row = _fit_scaled_linear(p, y, weight)
            linear.append(replace(fit, calibrated=calibrated))
            predictions.append(without_row)
            names.append("linear of calibrated" if calibrated else "linear")
    stack = fit_logarithmic_pool(predictions, y, weight, alpha=STACKING_ALPHA)
    share = stack.weights / stack.temperature
    theta = np.einsum("s,scm->cm", share[: len(coefficients)], np.array(coefficients))
    factors = share[len(coefficients) :].tolist()
    weighed = [replace(fit, factor=f) for fit, f in zip(linear, factors, strict=True)]
    loo = LooPredictions.of_stack(names, predictions, y, weight, share, STACKING_ALPHA)
    return CombinedFit(problem.fit_of(theta), tuple(weighed)), loo


def _scores_of_rows(fit: CombinedFit, z: Sequence[Array], proba: Sequence[Array] | None) -> Array:
    """Scores of the rows of a fit."""
    own = z if proba is None else proba  # without linear pools nothing reads probabilities
    return fit.scores((k, m, np.exp(m), partial(own.__getitem__, k)) for k, m in enumerate(z))


def _fit_scaled_linear(
    proba: Sequence[Array], y: IntArray, weight: Array | None
) -> tuple[ScaledLinearPool, Array]:
    """The linear pool with its temperature, and its leave-one-out log-probabilities."""
    weights, _ = fit_weights_of_true(of_true(proba, y), weight)
    pooled = add_weighted(proba, weights)
    softening = softening_of(pooled, weight)
    temperature = minimise_temperature(soften(pooled, softening), y, weight).temperature
    fit = ScaledLinearPool(weights, softening, temperature)
    return fit, fit.log_proba(loo_linear_pool(proba, y, weight, weights))
