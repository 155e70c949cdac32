"""Class-wise logarithmic pool: weights per member and class, and an intercept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from scipy.linalg import cho_solve

from skmergecal._compat import Interval
from skmergecal._numerics import log_softmax
from skmergecal._typing import Array, IntArray
from skmergecal._validation import check_parameters
from skmergecal.pooling._leave_one_out import LooPredictions, loo_scores
from skmergecal.pooling._logarithmic import fit_checked_opinions
from skmergecal.pooling._nonnegative_newton import factorise
from skmergecal.pooling._pool_fit import check_opinions, classes_with_rows

__all__ = ["ClasswiseFit", "ClasswiseProblem", "classwise_pool_with_loo", "fit_classwise_pool"]

#: Probabilities lie in [0, 1], log-probabilities range over several units: with this factor, one
#: ridge suits both.
_PROBA_SCALE = 4.0
#: Numbers in the features of a block of rows.
_BLOCK = 1 << 18
#: Newton's method ends with a step whose squared decrement, about twice the decrease of the summed
#: loss, is at most this.
_LAST_STEP = 1e-10
_MAX_STEPS = 100
#: With more unknowns than this, Newton's steps come from products with the Hessian.
_MANY_UNKNOWNS = 200
#: Conjugate gradients end where the squared norm of what is left of a gradient, in the units of
#: the preconditioner, is this share of the first one, or after so many products.
_LEFT = 1e-8
_MAX_PRODUCTS = 500


@dataclass(frozen=True)
class ClasswiseFit:
    """Coefficients of a class-wise pool.

    Attributes
    ----------
    weights : ndarray of shape (n_members, n_classes)
        Factors of the log-probabilities; they include the temperature.
    proba_weights : ndarray of shape (n_members, n_classes)
        Factors of the probabilities.
    intercept : ndarray of shape (n_classes,)
    """

    weights: Array
    proba_weights: Array
    intercept: Array

    def part(self, member: int, log_proba: Array, proba: Array) -> Array:
        """Contribution of one member to the scores, without the intercept."""
        part: Array = log_proba * self.weights[member]
        part += proba * self.proba_weights[member]
        return part

    def widened(self, present: IntArray, n_classes: int) -> ClasswiseFit:
        """The coefficients of all classes, from a fit of those that have rows.

        A class without rows gets the mean of the others' weights, and no intercept. Its own would
        only make it as improbable as it is among these rows.

        Parameters
        ----------
        present : ndarray of shape (n_present,)
            The columns that the fit is of.
        n_classes : int
            Number of all columns.
        """

        def wide(weights: Array) -> Array:
            all_classes = np.repeat(weights.mean(axis=1, keepdims=True), n_classes, axis=1)
            all_classes[:, present] = weights
            return all_classes

        intercept = np.zeros(n_classes)
        intercept[present] = self.intercept
        return ClasswiseFit(wide(self.weights), wide(self.proba_weights), intercept)


class ClasswiseProblem:
    """The penalised loss of a class-wise pool on given rows.

    The coefficients of class c are those of its features: the members' log-probabilities, their
    scaled probabilities, and 1. They are kept as one matrix (n_classes, 2 * n_members + 1).

    Parameters
    ----------
    z : sequence of ndarray of shape (n_samples, n_classes)
        C-contiguous float64 log-probabilities.
    y : ndarray of shape (n_samples,)
    weight : ndarray of shape (n_samples,) or None
    start : ndarray of shape (n_members,)
        Weights of the logarithmic pool (its beta): the solution for an infinite ridge.
    """

    def __init__(self, z: Sequence[Array], y: IntArray, weight: Array | None, start: Array) -> None:
        self.z, self.y = z, y
        self.weight = np.ones(len(y)) if weight is None else weight
        self.start = start
        self.n_classes = z[0].shape[1]
        self.n_features = 2 * len(z) + 1

    def precision(self, alpha: float) -> Array:
        """Matrix of the penalty: C, D and b independent, beta_k shared by the classes of k.

        The weight of member k for class c is beta_k + C_kc. The variance of C is 1 / alpha; that of
        beta_k is 1 / n_members if the logarithmic pool uses the member (its ridge of strength 1),
        else 0. Hence the weights of a member are correlated across classes; their covariance has
        an inverse in closed form.
        """
        # Over the k classes of a member, the covariance is I / alpha + 1 1' / n_members and, by
        # Sherman and Morrison, its inverse alpha I - alpha^2 1 1' / (n_members + k alpha).
        k, m, n_members = self.n_classes, self.n_features, len(self.z)
        matrix = np.zeros((k, m, k, m))
        for j in range(m):
            matrix[:, j, :, j] = alpha * np.eye(k)
            if j < n_members and self.start[j] > 0:
                matrix[:, j, :, j] -= alpha**2 / (n_members + k * alpha)
        return matrix.reshape(k * m, k * m)

    def centre(self) -> Array:
        """Coefficients at which the penalty is 0: the uniform average of the members in use."""
        return self._only(np.where(self.start > 0, 1 / len(self.z), 0.0))

    def pooled(self) -> Array:
        """Coefficients of the logarithmic pool itself."""
        return self._only(self.start)

    def _only(self, beta: Array) -> Array:
        theta = np.zeros((self.n_classes, self.n_features))
        theta[:, : len(beta)] = beta
        return theta

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """Rows and their features, shape (rows, n_classes, n_features), block by block."""
        rows = max(_BLOCK // (self.n_classes * self.n_features), 1)
        for first in range(0, len(self.y), rows):
            part = slice(first, first + rows)
            logs = np.stack([z[part] for z in self.z], axis=2)
            one = np.ones((*logs.shape[:2], 1))
            yield part, np.concatenate([logs, _PROBA_SCALE * np.exp(logs), one], axis=2)

    def loss(self, theta: Array) -> tuple[float, Array, Array]:
        """Summed log loss, its gradient and its Hessian."""
        k, m = self.n_classes, self.n_features
        value, gradient, hessian = 0.0, np.zeros((k, m)), np.zeros((k * m, k * m))
        by_class = hessian.reshape(k, m, k, m)
        # With f_c the features of class c, a row of weight w adds w (p_c - [c = y]) f_c to the
        # gradient and w ([c = d] p_c - p_c p_d) f_c f_d' to block (c, d) of the Hessian.
        for part, features in self.blocks():
            y, w = self.y[part], self.weight[part]
            rows = np.arange(len(y))
            log_p = log_softmax(np.einsum("ncm,cm->nc", features, theta))
            value -= float(log_p[rows, y] @ w)
            p = np.exp(log_p)
            weighted = (np.sqrt(w)[:, None] * p)[:, :, None] * features
            flat = weighted.reshape(len(y), -1)
            hessian -= flat.T @ flat
            p *= w[:, None]
            for c in range(k):
                by_class[c, :, c, :] += (features[:, c].T * p[:, c]) @ features[:, c]
            p[rows, y] -= w
            gradient += np.einsum("nc,ncm->cm", p, features)
        return value, gradient, hessian

    def minimise(self, alpha: float, theta: Array) -> tuple[Array, Any]:
        """Minimiser of loss plus penalty from a start, and the Cholesky factor of the Hessian.

        Cubic in the unknowns, see `minimise_by_products`.
        """
        precision, centre = self.precision(alpha), self.centre()

        def penalised(theta: Array) -> tuple[float, Array, Array]:
            value, gradient, hessian = self.loss(theta)
            away = (theta - centre).ravel()
            pull = precision @ away
            return value + float(away @ pull) / 2, gradient.ravel() + pull, hessian + precision

        value, gradient, hessian = penalised(theta)
        for _ in range(_MAX_STEPS):
            factor = factorise(hessian)
            step = -cho_solve(factor, gradient)
            decrement = -float(gradient @ step)
            if decrement <= _LAST_STEP:
                return theta + step.reshape(theta.shape), factor
            size = 1.0
            while True:
                candidate = theta + size * step.reshape(theta.shape)
                new = penalised(candidate)
                if new[0] <= value - 1e-4 * size * decrement + 1e-15 * abs(value):
                    break
                size /= 2
                if size < 1e-10:  # rounding hides any further descent
                    return theta, factor
            theta, (value, gradient, hessian) = candidate, new
        return theta, factor

    def minimise_by_products(self, alpha: float, theta: Array) -> Array:
        """The minimiser alone, for many unknowns: a pass over the rows costs as much as they do.

        Newton's steps come from conjugate gradients, which need products with the Hessian only;
        these are preconditioned by its blocks of one class each.
        """
        return _Products(self, alpha).minimise(theta)

    def loo_scores(self, theta: Array, factor: Any) -> Array:
        """Log-probabilities of each row from a fit without that row."""
        # A row's score of class c is f_c' theta_c, so that its influence J H^-1 J' has the entries
        # f_c' (H^-1)_cd f_d, with (H^-1)_cd the block of classes c and d.
        k, m = theta.shape
        inverse = cho_solve(factor, np.eye(k * m))
        out = np.empty((len(self.y), k))
        for part, features in self.blocks():
            influence = np.empty((len(features), k, k))
            for c in range(k):
                spread = features[:, c] @ inverse[c * m : (c + 1) * m]
                spread = spread.reshape(len(features), k, m)
                influence[:, c] = np.einsum("ndm,ndm->nd", spread, features)
            scores = np.einsum("ncm,cm->nc", features, theta)
            out[part] = loo_scores(scores, influence, self.y[part], self.weight[part])
        return out

    def fit_of(self, theta: Array) -> ClasswiseFit:
        """Coefficients grouped by the features that they multiply."""
        n_members = len(self.z)
        weights, proba = theta[:, :n_members].T, theta[:, n_members:-1].T * _PROBA_SCALE
        return ClasswiseFit(weights.copy(), proba.copy(), theta[:, -1].copy())


class _Products:
    """Loss and penalty of a class-wise problem, with products with the Hessian instead of it."""

    def __init__(self, problem: ClasswiseProblem, alpha: float) -> None:
        self.problem, self.alpha = problem, alpha
        z, n_members = problem.z, len(problem.z)
        #: Of shape (n_classes, n_features, n_rows).
        self.features = np.ones((problem.n_classes, problem.n_features, len(problem.y)))
        for j, m in enumerate(z):
            self.features[:, j] = m.T
            self.features[:, n_members + j] = _PROBA_SCALE * np.exp(m.T)
        self.true = problem.y, np.arange(len(problem.y))
        self.centre = problem.centre()
        used = np.concatenate([problem.start > 0, np.zeros(n_members + 1, dtype=bool)])
        #: The part of the penalty that the classes of a member share, as in `precision`.
        self.shared = np.where(used, alpha**2 / (n_members + problem.n_classes * alpha), 0.0)

    def minimise(self, theta: Array) -> Array:
        """The minimiser from a start, as by `ClasswiseProblem.minimise`."""
        value, p = self.value(theta)
        for _ in range(_MAX_STEPS):
            step, decrement = self.newton_step(self.gradient(theta, p), p)
            if decrement <= _LAST_STEP:
                return theta + step
            size = 1.0
            while True:
                candidate = theta + size * step
                new, its_p = self.value(candidate)
                if new <= value - 1e-4 * size * decrement + 1e-15 * abs(value):
                    break
                size /= 2
                if size < 1e-10:  # rounding hides any further descent
                    return theta
            theta, value, p = candidate, new, its_p
        return theta

    def value(self, theta: Array) -> tuple[float, Array]:
        """Loss plus penalty, and the probabilities of shape (n_classes, n_rows)."""
        scores = self.scores(theta)
        scores -= scores.max(axis=0)
        p = np.exp(scores)
        total = p.sum(axis=0)
        loss = float((np.log(total) - scores[self.true]) @ self.problem.weight)
        p /= total
        away = theta - self.centre
        return loss + float((away * self.pull(away)).sum()) / 2, p

    def scores(self, theta: Array) -> Array:
        """Scores of shape (n_classes, n_rows)."""
        return np.asarray((theta[:, None, :] @ self.features)[:, 0])

    def sums(self, rows: Array) -> Array:
        """For each class and feature, the sum of their products over the rows."""
        return np.asarray((self.features @ rows[:, :, None])[:, :, 0])

    def pull(self, theta: Array) -> Array:
        """Product with the matrix of the penalty."""
        return self.alpha * theta - self.shared * theta.sum(axis=0)

    def gradient(self, theta: Array, p: Array) -> Array:
        """Gradient of loss plus penalty."""
        excess = p * self.problem.weight
        excess[self.true] -= self.problem.weight
        return self.sums(excess) + self.pull(theta - self.centre)

    def product(self, theta: Array, p: Array) -> Array:
        """Product with the Hessian: w p (u - E_p u) for the scores u, summed as the gradient."""
        u = self.scores(theta)
        u -= np.einsum("cn,cn->n", p, u)
        u *= p
        u *= self.problem.weight
        return self.sums(u) + self.pull(theta)

    def preconditioner(self, p: Array) -> Array:
        """Inverses of the blocks of one class each, (n_classes, n_features, n_features)."""
        spread = p * (1 - p) * self.problem.weight
        own = np.diag(self.alpha - self.shared)
        blocks = [(f * s) @ f.T + own for f, s in zip(self.features, spread, strict=True)]
        return np.asarray(np.linalg.inv(np.array(blocks)))

    def newton_step(self, gradient: Array, p: Array) -> tuple[Array, float]:
        """The step to the minimum of the quadratic model, and its squared decrement."""
        inverse = self.preconditioner(p)

        def eased(vector: Array) -> Array:
            return np.einsum("cij,cj->ci", inverse, vector)

        step, left = np.zeros_like(gradient), -gradient
        direction = eased(left)
        size = first = float((left * direction).sum())
        for _ in range(_MAX_PRODUCTS):
            product = self.product(direction, p)
            length = size / float((direction * product).sum())
            step += length * direction
            left = left - length * product
            following = eased(left)
            before, size = size, float((left * following).sum())
            if size <= _LEFT * first:
                break
            direction = following + size / before * direction
        return step, -float((gradient * step).sum())


@check_parameters(alpha=[Interval(Real, 0, None, closed="neither")])
def fit_classwise_pool(
    log_proba: Sequence[Any], y: Any, sample_weight: Any = None, *, alpha: float = 10.0
) -> ClasswiseFit:
    """Fit a logarithmic pool with weights per member and class.

    Minimises the mean log loss of softmax(u), u_c = sum_k (beta_k + C_kc) log p_kc + D_kc p_kc
    + b_c, plus [K sum_k (beta_k - 1/K)^2 + alpha (sum C^2 + sum D^2 / 16 + sum b^2)] / (2 n).
    D gives a member more, or less, influence where it is confident. A member that the logarithmic
    pool leaves out has beta_k = 0.

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
    square of the members and of the classes; memory grows as the members' matrices. Classes without
    rows take no part in the fit; they get the mean of the weights of the others, and no intercept.
    """
    z, labels, weight = check_opinions(log_proba, y, sample_weight)
    present, codes = classes_with_rows(labels, z[0].shape[1])
    if codes is not None:
        z, labels = [np.ascontiguousarray(m[:, present]) for m in z], codes
    problem, theta, _ = _minimum(z, labels, weight, alpha)
    fit = problem.fit_of(theta)
    return fit if codes is None else fit.widened(present, np.shape(log_proba[0])[1])


def classwise_pool_with_loo(
    log_proba: Sequence[Array], y: IntArray, sample_weight: Array | None, alpha: float
) -> tuple[ClasswiseFit, LooPredictions]:
    """The fit of `fit_classwise_pool`, and what it predicts of each row without the row."""
    z, labels, weight = check_opinions(log_proba, y, sample_weight)
    n_classes = z[0].shape[1]
    present, codes = classes_with_rows(labels, n_classes)
    known = z if codes is None else [np.ascontiguousarray(m[:, present]) for m in z]
    problem, theta, factor = _minimum(known, labels if codes is None else codes, weight, alpha)
    if factor is None:
        factor = factorise(problem.loss(theta)[2] + problem.precision(alpha))
    loo = LooPredictions(problem.loo_scores(theta, factor), {})
    fit = problem.fit_of(theta)
    if codes is None:
        return fit, loo
    wide = fit.widened(present, n_classes)
    scores = sum(wide.part(k, m, np.exp(m)) for k, m in enumerate(z)) + wide.intercept
    return wide, loo.widened(present, scores, labels)


def _minimum(
    z: list[Array], y: IntArray, weight: Array | None, alpha: float
) -> tuple[ClasswiseProblem, Array, Any]:
    """The problem, its minimiser, and the factor of its Hessian where that was needed."""
    pool = fit_checked_opinions(z, y, weight)
    problem = ClasswiseProblem(z, y, weight, pool.weights / pool.temperature)
    start = problem.pooled()
    if start.size > _MANY_UNKNOWNS:
        return problem, problem.minimise_by_products(alpha, start), None
    return problem, *problem.minimise(alpha, start)
