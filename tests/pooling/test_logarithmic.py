"""Weights of the logit pool: the optimality conditions at rounding level, and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls

from skmergecal._numerics import log_softmax
from skmergecal.pooling import fit_logarithmic_pool
from tests.strategies import draw_labels, problems, seeds


def derivatives(z, y, weight, beta, alpha):
    """Objective and gradient in extended precision, and the Hessian, in beta."""
    gaps = np.array([m - m[np.arange(len(y)), y][:, None] for m in z], dtype=np.longdouble)
    u = np.einsum("k,kij->ij", beta.astype(np.longdouble), gaps)
    top = u.max(axis=1)
    e = np.exp(u - top[:, None])
    p = e / e.sum(axis=1, keepdims=True)
    w = np.ones(len(y)) if weight is None else weight
    ridge = alpha * len(z) / w.sum()
    away = beta - 1 / len(z)
    means = (gaps * p).sum(axis=2)
    spread = (gaps - means[:, :, None]) * np.sqrt(p * (w / w.sum())[:, None])
    flat = spread.astype(float).reshape(len(z), -1)
    value = w @ (top + np.log(e.sum(axis=1))) / w.sum() + ridge / 2 * away @ away
    gradient = means @ w / w.sum() + ridge * away
    return value, gradient.astype(float), flat @ flat.T + ridge * np.eye(len(z))


def objectives(z, y, betas, alpha):
    """The objective of ``derivatives`` for many weights at once."""
    gaps = np.array([m - m[np.arange(len(y)), y][:, None] for m in z], dtype=np.longdouble)
    u = np.tensordot(betas.astype(np.longdouble), gaps, axes=1)
    top = u.max(axis=2)
    losses = top + np.log(np.exp(u - top[:, :, None]).sum(axis=2))
    away = betas - 1 / len(z)
    return losses.mean(axis=1) + alpha * len(z) / len(y) / 2 * (away**2).sum(axis=1)


def check_optimal(z, y, weight, alpha, fit, tolerance):
    """No weight is negative, and the scaled step that is left over beta >= 0 is rounding.

    The unit of a weight is what the curvature makes of it: the step is measured in the norm of
    the Hessian, where it is the square root of twice the excess of the objective.
    """
    beta = fit.weights / fit.temperature
    value, gradient, hessian = derivatives(z, y, weight, beta, alpha)
    assert (beta >= 0).all()
    factor = np.linalg.cholesky(hessian + 1e-15 * np.diag(hessian.diagonal())).T
    target = factor @ beta - np.linalg.solve(factor.T, gradient)
    left = factor @ (nnls(factor, target, maxiter=1000)[0] - beta)
    assert np.linalg.norm(left) <= tolerance * max(np.sqrt(value), 1.0)


@given(problems(max_members=6), st.sampled_from([0.01, 1.0, 30.0]))
def test_weights_are_exact_to_rounding(problem, alpha):
    z, y, weight = problem
    fit = fit_logarithmic_pool(z, y, weight, alpha=alpha)
    check_optimal(z, y, weight, alpha, fit, 1e-12)


@given(problems(max_members=3), st.sampled_from([0.01, 1.0]))
def test_collinear_members(problem, alpha):
    """A member twice, one shifted by a number a row, and one of twice the logits."""
    z, y, weight = problem
    z = [*z, z[0], z[-1] + np.arange(len(y))[:, None], 2 * z[0]]
    fit = fit_logarithmic_pool(z, y, weight, alpha=alpha)
    check_optimal(z, y, weight, alpha, fit, 1e-12)


@given(seeds, st.integers(2, 5), st.sampled_from([0.01, 1.0]))
def test_separable_rows(seed, n_classes, alpha):
    rng = np.random.default_rng(seed)
    z = [rng.normal(size=(40, n_classes)) for _ in range(3)]
    y = sum(z).argmax(axis=1)
    fit = fit_logarithmic_pool(z, y, alpha=alpha)
    check_optimal(z, y, None, alpha, fit, 1e-12)


@pytest.mark.parametrize("n_classes", [2, 3, 32, 33, 200])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_many_rows(n_classes, alpha):
    """Through a start from a share of the rows, both layouts, and several blocks."""
    rng = np.random.default_rng(n_classes)
    n = 600_000 // (20 + n_classes)
    common = 2 * rng.normal(size=(n, n_classes))
    y = draw_labels(rng, log_softmax(common))
    z = [common + s * rng.normal(size=common.shape) for s in (0.5, 1.0, 2.0)]
    weight = rng.exponential(size=n)
    fit = fit_logarithmic_pool(z, y, weight, alpha=alpha)
    check_optimal(z, y, weight, alpha, fit, 1e-12)


@pytest.mark.parametrize("n_classes", [3, 40])
def test_gaps_that_are_not_kept_give_the_same(n_classes, monkeypatch):
    rng = np.random.default_rng(0)
    z = [2 * rng.normal(size=(5000, n_classes)) for _ in range(3)]
    y = draw_labels(rng, log_softmax(sum(z)))
    kept = fit_logarithmic_pool(z, y)
    monkeypatch.setattr("skmergecal.pooling._pool_loss._KEPT", 0)
    anew = fit_logarithmic_pool(z, y)
    np.testing.assert_array_equal(anew.weights, kept.weights)
    assert (anew.temperature, anew.loss) == (kept.temperature, kept.loss)


@given(seeds, st.integers(2, 4), st.sampled_from([0.1, 1.0]))
def test_against_a_grid(seed, n_classes, alpha):
    rng = np.random.default_rng(seed)
    z = [2 * rng.normal(size=(25, n_classes)) for _ in range(2)]
    y = draw_labels(rng, log_softmax(0.4 * z[0] + 0.3 * z[1]))
    fit = fit_logarithmic_pool(z, y, alpha=alpha)
    best = derivatives(z, y, None, fit.weights / fit.temperature, alpha)[0]
    grid = np.stack(np.meshgrid(*2 * [np.linspace(0, 2, 11)]), axis=-1).reshape(-1, 2)
    values = objectives(z, y, grid, alpha)
    some = grid[:: len(grid) // 4]
    np.testing.assert_allclose(
        values[:: len(grid) // 4], [derivatives(z, y, None, b, alpha)[0] for b in some], rtol=1e-15
    )
    assert (best <= values + 1e-15).all()
