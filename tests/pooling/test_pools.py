"""Opinion pools: optimality, identities, and the bits of a row alone and in a batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from skmergecal._numerics import log_softmax, mean_loss, softmax
from skmergecal.pooling import (
    fit_linear_pool,
    fit_logarithmic_pool,
    greedy_selection,
    linear_pool,
    logarithmic_pool,
)
from tests.strategies import at_most, problems, seeds


def penalised(beta, z, y, weight, alpha):
    n = weight.sum()
    ridge = alpha * len(z) / (2 * n) * np.sum((beta - 1 / len(z)) ** 2)
    pooled = sum(b * m for b, m in zip(beta, z, strict=True))
    return mean_loss(log_softmax(pooled), y, weight) + ridge


@pytest.mark.parametrize("seed", range(5))
def test_learned_logit_weights_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    z = [log_softmax(rng.normal(size=(200, 3)) * 2) for _ in range(3)]
    y = (0.5 * z[0] + 0.7 * z[1] + rng.gumbel(size=(200, 3))).argmax(axis=1)
    weight = rng.integers(0, 3, 200).astype(float)
    best = minimize(
        penalised,
        np.full(3, 1 / 3),
        args=(z, y, weight, 1.0),
        bounds=[(0, None)] * 3,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-10},
    )
    fit = fit_logarithmic_pool(z, y, weight, alpha=1.0)
    beta = fit.weights / fit.temperature
    assert penalised(beta, z, y, weight, 1.0) <= best.fun + 1e-12
    np.testing.assert_allclose(beta, best.x, atol=1e-4)
    assert fit.loss == pytest.approx(penalised(beta, z, y, weight, 0.0), rel=1e-12)


@given(problems(max_members=4))
def test_linear_weights_agree_with_expectation_maximisation(problem):
    z, y, weight = problem
    true = np.stack([softmax(m)[np.arange(len(y)), y] for m in z])
    w = np.full(len(z), 1 / len(z))
    for _ in range(200):
        w = w * ((true / (w @ true)) @ (weight / weight.sum()))
    loss = -np.average(np.log(w @ true), weights=weight)
    fit = fit_linear_pool([softmax(m) for m in z], y, weight)
    assert fit.loss <= loss + 1e-12
    assert fit.loss == pytest.approx(loss, abs=2e-3)


def test_rows_that_no_member_can_explain_do_not_matter():
    p = [np.array([[0.0, 1.0], [0.9, 0.1]]), np.array([[0.0, 1.0], [0.2, 0.8]])]
    fit = fit_linear_pool(p, [0, 0])
    np.testing.assert_allclose(fit.weights, [1.0, 0.0], atol=1e-12)
    assert np.isfinite(fit.loss)
    nothing = fit_linear_pool([m[:1] for m in p], [0])
    np.testing.assert_array_equal(nothing.weights, [0.5, 0.5])


@given(problems(max_members=4))
def test_weights_are_frequencies(problem):
    z, y, weight = problem
    z = [log_softmax(m) for m in z]
    repeated = np.repeat(np.arange(len(y)), weight.astype(int))
    for pool, opinions in ((fit_logarithmic_pool, z), (fit_linear_pool, [np.exp(m) for m in z])):
        a = pool(opinions, y, weight)
        b = pool([m[repeated] for m in opinions], y[repeated])
        np.testing.assert_allclose(a.weights, b.weights, atol=1e-6)
        assert a.temperature == pytest.approx(b.temperature, rel=1e-6)


def test_uniform_members_have_no_temperature():
    fit = fit_logarithmic_pool([np.zeros((3, 2))] * 2, [0, 1, 0], alpha=0.0)
    assert np.isfinite(fit.temperature)
    assert fit.temperature > 0
    assert fit.loss == pytest.approx(np.log(2))


def test_no_ridge_and_separable_rows_have_no_optimum():
    z = [np.array([[3.0, 0.0], [0.0, 3.0]]), np.array([[1.0, 0.0], [0.0, 2.0]])]
    assert fit_logarithmic_pool(z, [0, 1], alpha=0.0).bound == "lower"
    assert fit_logarithmic_pool(z, [0, 1], alpha=1.0).bound is None


def test_members_that_mislead_get_uniform_weights():
    z = [np.array([[3.0, 0.0], [0.0, 3.0]]), np.array([[1.0, 0.0], [0.0, 2.0]])]
    fit = fit_logarithmic_pool(z, [1, 0])
    np.testing.assert_array_equal(fit.weights, [0.5, 0.5])
    assert fit.bound == "upper"
    assert fit.temperature > 100


def test_many_rows_are_fitted_from_a_warm_start():
    rng = np.random.default_rng(0)
    z = [log_softmax(rng.normal(size=(40_000, 2)) * 2) for _ in range(2)]
    y = (0.3 * z[0] + 0.9 * z[1] + rng.gumbel(size=(40_000, 2))).argmax(axis=1)
    fit = fit_logarithmic_pool(z, y)
    np.testing.assert_allclose(fit.weights / fit.temperature, [0.3, 0.9], atol=0.03)


@given(seeds, st.integers(1, 6), st.integers(2, 40), st.integers(2, 9))
def test_a_row_alone_has_the_same_bits_as_in_a_batch(seed, n_members, n_classes, n_rows):
    rng = np.random.default_rng(seed)
    z = [log_softmax(10 * rng.normal(size=(n_rows, n_classes))) for _ in range(n_members)]
    w = rng.dirichlet(np.ones(n_members))
    for pool, opinions in ((logarithmic_pool, z), (linear_pool, [softmax(m) for m in z])):
        batch = pool(opinions, w)
        fortran = pool([np.asfortranarray(m) for m in opinions], w)
        np.testing.assert_array_equal(fortran, batch)
        for i in range(n_rows):
            np.testing.assert_array_equal(pool([m[i : i + 1] for m in opinions], w)[0], batch[i])


@given(seeds)
def test_logsumexp_of_pooled_rows_is_zero(seed):
    rng = np.random.default_rng(seed)
    z = [100 * rng.normal(size=(5, 4)) for _ in range(3)]
    pooled = logarithmic_pool(z, [0.2, 0.3, 0.5], temperature=0.7)
    np.testing.assert_allclose(np.exp(pooled).sum(axis=1), 1, rtol=1e-14)


@given(problems(max_members=5))
def test_greedy_selection_is_never_worse_than_the_best_member(problem):
    z, y, weight = problem

    def loss(mean):
        return mean_loss(log_softmax(mean), y, weight)

    weights = greedy_selection(z, loss)
    assert weights.sum() == pytest.approx(1)
    mean = sum(w * m for w, m in zip(weights, z, strict=True))
    assert loss(mean) <= min(loss(m) for m in z) + 1e-12


def test_greedy_selection_breaks_ties_without_chance():
    same = np.log([[0.7, 0.3], [0.4, 0.6]])

    def loss(mean):
        return mean_loss(log_softmax(mean), np.array([0, 1]), None)

    np.testing.assert_array_equal(greedy_selection([same, same, same], loss), [1, 0, 0])


@pytest.mark.parametrize(
    ("opinions", "y", "match"),
    [
        ([], [0], "at least one"),
        ([np.zeros((2, 2)), np.zeros((2, 3))], [0, 1], "number 1"),
        ([np.full((2, 2), np.nan)], [0, 1], r"log_proba\[0\] contains NaN"),
        ([np.zeros((2, 2))], [0, 5], "column numbers"),
        ([np.zeros((2, 2))], [0, -1], "column numbers"),
        ([np.zeros((2, 2))], [0], "column numbers"),
        ([np.zeros((2, 2, 2))], [0, 1], r"log_proba\[0\] should have shape"),
    ],
)
def test_wrong_opinions(opinions, y, match):
    with pytest.raises(ValueError, match=match):
        fit_logarithmic_pool(opinions, y)


def test_pooling_nothing_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        linear_pool([], [])


def test_linear_weights_with_zeros_of_true_classes():
    """The search meets weights that give a row probability 0, and steps back."""
    p = [
        np.repeat(q, [1, 40, 40], axis=0)
        for q in ([[0.5, 0.5], [0.9, 0.1], [0.9, 0.1]], [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    ]
    fit = fit_linear_pool(p, [0] * 81)
    w = np.linspace(1e-4, 1, 20_001)
    loss = -np.log(w * 0.5) / 81 - 80 / 81 * np.log(w * 0.9 + (1 - w))
    assert fit.weights[0] == pytest.approx(w[loss.argmin()], abs=1e-4)
    assert fit.loss <= loss.min() + 1e-12


@pytest.mark.parametrize("many", [1e3, 1e4, 1e5])
def test_linear_weights_are_the_closed_form_beside_a_member_that_is_always_wrong(many):
    """Its weight is 0; of the two others, one is sure and wrong in 30 rows, one says 0.5."""
    p = [[[q, 1 - q], [r, 1 - r]] for q, r in ((0.0, 0.0), (1.0, 0.0), (0.5, 0.5))]
    fit = fit_linear_pool(p, [0, 0], [many, 30.0])
    unsure = 60 / (many + 30)
    np.testing.assert_allclose(fit.weights, [0.0, 1 - unsure, unsure], rtol=1e-8)


@given(seeds)
@at_most(40)
def test_linear_weights_on_few_hard_rows(seed):
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(2, 30)), int(rng.integers(2, 6))
    true = rng.random((k, n)) ** rng.integers(1, 30) * (rng.random((k, n)) < 0.8)
    p = [np.column_stack([t, 1 - t]) for t in true]
    fit = fit_linear_pool(p, np.zeros(n, int))
    known = true.any(axis=0)
    if not known.any():
        return
    w = np.full(k, 1 / k)
    for _ in range(3000):
        gradient = (true[:, known] / (w @ true[:, known])).mean(axis=1)
        if known.sum() * np.log(gradient.max()) < 1e-8:  # no weights are better by more than this
            break
        w = w * gradient
    best = -np.log(w @ true[:, known]).sum()
    assert -np.log(np.maximum(fit.weights @ true[:, known], 1e-300)).sum() <= best + 1e-6


def test_more_classes_than_a_block_has_numbers():
    rng = np.random.default_rng(0)
    z, y = list(rng.normal(size=(2, 4, 40_000))), np.arange(4)
    fit = fit_logarithmic_pool(z, y)
    pooled = logarithmic_pool(z, fit.weights, fit.temperature)
    assert fit.loss == pytest.approx(mean_loss(pooled, y, None))


def test_members_that_mislead_have_a_fit_with_any_ridge():
    """No member gets a positive factor: rows left out are predicted as uniform."""
    z = np.outer(np.linspace(50, 100, 20), [-1.0, 1.0])
    fit = fit_logarithmic_pool([z, 0.8 * z], np.zeros(20, int), alpha="auto")
    np.testing.assert_array_equal(fit.weights, [0.5, 0.5])
    assert fit.bound == "upper"
    assert fit.loss == pytest.approx(np.log(2), rel=0.01)


def test_a_ridge_that_is_no_number_is_refused():
    z = np.random.default_rng(0).normal(size=(2, 9, 3))
    with pytest.raises(ValueError, match="'alpha' parameter of fit_logarithmic_pool must be"):
        fit_logarithmic_pool(list(z), [0] * 9, alpha=np.nan)
