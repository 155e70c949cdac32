"""Class-wise and combined pools: optimality, leave-one-out, limits, invariance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad, minimize, root
from sklearn.metrics import log_loss, roc_auc_score

from skmergecal import MergedClassifier
from skmergecal._numerics import log_softmax, mean_loss
from skmergecal._partitions import InMemory, Rows
from skmergecal.pooling import (
    ClasswiseFit,
    combined_pool_with_loo,
    fit_classwise_pool,
    fit_combined_pool,
    fit_linear_pool,
    fit_logarithmic_pool,
    learn_classwise_pool,
    logarithmic_pool,
)
from skmergecal.pooling._leave_one_out import LooOfLinearPool, LooOfLogPool
from skmergecal.pooling._pool_loss import PoolLoss
from skmergecal.pooling._score_regression import choose_rows


def opinions(seed: int, n: int = 80, k: int = 3, strengths=(0.5, 1.25, 2.0)):
    """Members that know something about the labels, each in its own way."""
    rng = np.random.default_rng(seed)
    y = rng.integers(k, size=n)
    truth = np.eye(k)[y]
    z = [log_softmax(s * truth + rng.normal(size=(n, k))) for s in strengths]
    return z, y


def loo_log_pool(z, y, weight, beta, alpha):
    rows = Rows(z, y, weight)
    return LooOfLogPool.of(PoolLoss(InMemory(rows)), beta, alpha).log_proba(rows)


def classwise_pool_with_loo(z, y, weight, alpha):
    fit, loo = learn_classwise_pool(InMemory(Rows(z, y, weight)), alpha)
    return fit, loo.part


def loo_linear_pool(p, y, weight, weights):
    rows = Rows(p, y, weight)
    return LooOfLinearPool.of(InMemory(rows), weights).proba(rows)


def scores(fit, z):
    parts = [fit.part(j, m, np.exp(m)) for j, m in enumerate(z)]
    return sum(parts) + fit.intercept


def written_out(x, z, y, weight, beta, alpha):
    """The penalised loss as the docstring of fit_classwise_pool states it, and its gradient."""
    n_members, k = len(z), z[0].shape[1]
    C, D = x[:-k].reshape(2, n_members, k)
    b = x[-k:]
    logs, p = np.array(z), np.exp(z)
    log_q = log_softmax(
        b + np.einsum("jnc,jc->nc", logs, beta[:, None] + C) + (p * D[:, None]).sum(0)
    )
    ridge = alpha * ((C**2).sum() + (D**2).sum() / 16 + (b**2).sum())
    value = weight @ -log_q[np.arange(len(y)), y] + ridge / 2
    residual = weight[:, None] * (np.exp(log_q) - np.eye(k)[y])
    gradient = [
        np.einsum("jnc,nc->jc", logs, residual) + alpha * C,
        np.einsum("jnc,nc->jc", p, residual) + alpha * D / 16,
        residual.sum(axis=0) + alpha * b,
    ]
    return value, np.concatenate([part.ravel() for part in gradient])


@pytest.mark.parametrize("alpha", [0.3, 10.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_classwise_pool_minimises_the_documented_loss(alpha, weighted):
    z, y = opinions(0)
    weight = np.random.default_rng(1).integers(1, 4, len(y)).astype(float) if weighted else None
    pool = fit_logarithmic_pool(z, y, weight)
    counts = np.ones(len(y)) if weight is None else weight
    beta = pool.weights / pool.temperature
    arguments = z, y, counts, beta, alpha
    start = np.zeros(2 * len(z) * 3 + 3)
    assert check_grad(*(lambda x, i=i: written_out(x, *arguments)[i] for i in (0, 1)), start) < 1e-3
    # Differences of values know the minimiser to the root of their rounding only; its gradient
    # over the smallest curvature of the ridge bounds how far it is.
    near = minimize(written_out, start, arguments, "BFGS", jac=True).x
    best = root(lambda x: written_out(x, *arguments)[1], near, tol=1e-14).x
    assert np.linalg.norm(written_out(best, *arguments)[1]) / (alpha / 16) < 1e-11
    C, D, b = np.split(best, [9, 18])
    fit = fit_classwise_pool(z, y, weight, alpha=alpha)
    np.testing.assert_allclose(fit.weights, beta[:, None] + C.reshape(3, 3), atol=1e-10)
    np.testing.assert_allclose(fit.proba_weights, D.reshape(3, 3), atol=1e-10)
    np.testing.assert_allclose(fit.intercept, b, atol=1e-10)


def test_strong_ridge_leads_to_the_logarithmic_pool():
    z, y = opinions(2)
    pool = fit_logarithmic_pool(z, y)
    fit = fit_classwise_pool(z, y, alpha=1e9)
    expected = sum(w / pool.temperature * m for w, m in zip(pool.weights, z, strict=True))
    np.testing.assert_allclose(log_softmax(scores(fit, z)), log_softmax(expected), atol=1e-6)


@pytest.mark.parametrize("alpha", [1.0, 10.0])
def test_leave_one_out_of_the_logarithmic_pool(alpha):
    z, y = opinions(3, n=60)
    pool = fit_logarithmic_pool(z, y, alpha=alpha)
    beta = pool.weights / pool.temperature
    fast = loo_log_pool(z, y, None, beta, alpha)
    with_row = log_softmax(sum(b * m for b, m in zip(beta, z, strict=True)))
    errors, moves = [], []
    for i in range(0, len(y), 3):
        kept = np.arange(len(y)) != i
        # The ridge is a fixed penalty of the summed loss, whatever the number of rows.
        left = fit_logarithmic_pool([m[kept] for m in z], y[kept], alpha=alpha)
        exact = log_softmax(
            sum(b * m[[i]] for b, m in zip(left.weights, z, strict=True)) / left.temperature
        )
        errors.append(np.abs(fast[i] - exact[0]).max())
        moves.append(np.abs(with_row[i] - exact[0]).max())
    assert np.mean(errors) < 0.1 * np.mean(moves)


def test_leave_one_out_of_the_classwise_pool():
    z, y = opinions(4, n=70)
    fit, loo = classwise_pool_with_loo(z, y, None, 10.0)
    with_row = log_softmax(scores(fit, z))
    errors, moves = [], []
    for i in range(0, len(y), 3):
        kept = np.arange(len(y)) != i
        left = fit_classwise_pool([m[kept] for m in z], y[kept], alpha=10.0)
        exact = log_softmax(scores(left, [m[[i]] for m in z]))[0]
        errors.append(np.abs(loo.log_proba[i] - exact).max())
        moves.append(np.abs(with_row[i] - exact).max())
    assert np.mean(errors) < 0.1 * np.mean(moves)


def test_a_class_of_one_row_has_no_weights_of_its_own():
    z, y = opinions(11, n=60, k=4)
    y[y == 3] = 2
    y[0] = 3
    pool = fit_logarithmic_pool(z, y)
    fit = fit_classwise_pool(z, y, alpha=1.0)
    np.testing.assert_allclose(fit.weights[:, 3], fit.weights[:, :3].mean(axis=1))
    assert fit.intercept[3] == 0
    assert np.ptp(fit.weights, axis=1).all()
    # The row of that class teaches the logarithmic pool, and nothing about single classes.
    beta = pool.weights / pool.temperature
    rows = choose_rows(InMemory(Rows(z, y, None)), beta, 4)
    assert not rows.parts.part.complete
    assert rows.columns.tolist() == [0, 1, 2]
    assert rows.total == 59
    twice = np.where(y == 3, 2.0, 1.0)  # a weight of 2 is two rows
    assert choose_rows(InMemory(Rows(z, y, twice)), beta, 4).parts.part.complete


def test_classes_of_one_row_each_leave_the_logarithmic_pool():
    z, y = opinions(12, n=3, k=3)
    y = np.arange(3)
    pool = fit_logarithmic_pool(z, y)
    fit = fit_classwise_pool(z, y)
    expected = np.repeat((pool.weights / pool.temperature)[:, None], 3, axis=1)
    np.testing.assert_allclose(fit.weights, expected)
    _, loo = classwise_pool_with_loo(z, y, None, 10.0)
    of_pool = log_softmax(loo_log_pool(z, y, None, expected[:, 0], 1.0))
    np.testing.assert_allclose(loo.log_proba, of_pool)
    assert set(combined_pool_with_loo(z, y)[1].pools) == {"logarithmic"}


@pytest.mark.parametrize("of_proba", [False, True])
def test_a_member_counts_whatever_its_factors_multiply(of_proba):
    nothing, own = np.zeros((2, 3)), np.array([[0.0, 0.0, 0.0], [0.0, 0.5, 0.0]])
    fit = ClasswiseFit(*((nothing, own) if of_proba else (own, nothing)), np.zeros(3))
    assert [fit.uses(member) for member in range(2)] == [False, True]


def test_leave_one_out_of_the_linear_pool():
    z, y = opinions(5, n=60, strengths=(1.5, 1.5, 1.5))
    p = [np.exp(m) for m in z]
    weights = fit_linear_pool(p, y).weights
    assert (weights > 0).sum() > 1
    fast = loo_linear_pool(p, y, None, weights)
    np.testing.assert_allclose(fast.sum(axis=1), 1, atol=1e-12)
    errors, moves = [], []
    for i in range(0, len(y), 3):
        kept = np.arange(len(y)) != i
        left = fit_linear_pool([m[kept] for m in p], y[kept]).weights
        exact = sum(w * m[i] for w, m in zip(left, p, strict=True))
        errors.append(np.abs(fast[i] - exact).max())
        moves.append(np.abs(sum(w * m[i] for w, m in zip(weights, p, strict=True)) - exact).max())
    assert np.mean(errors) < 0.25 * np.mean(moves)


def test_integer_weights_repeat_rows():
    z, y = opinions(6)
    weight = np.random.default_rng(7).integers(0, 4, len(y)).astype(float)
    repeated = np.repeat(np.arange(len(y)), weight.astype(int))
    once = fit_combined_pool(z, y, weight, proba=[np.exp(m) for m in z])
    again = [m[repeated] for m in z]
    more = fit_combined_pool(again, y[repeated], proba=[np.exp(m) for m in again])
    np.testing.assert_allclose(once.classwise.weights, more.classwise.weights, atol=1e-7)
    for a, b in zip(once.linear, more.linear, strict=True):
        np.testing.assert_allclose(a.factor, b.factor, atol=1e-7)


@given(seed=st.integers(0, 10**6), k=st.integers(2, 4))
@settings(max_examples=10, deadline=None)
def test_order_of_members_and_classes_does_not_matter(seed, k):
    z, y = opinions(seed, k=k)
    fit = fit_combined_pool(z, y)
    classes = np.random.default_rng(seed).permutation(k)
    other = fit_combined_pool(
        [np.ascontiguousarray(m[:, classes]) for m in z[::-1]], np.argsort(classes)[y]
    )
    np.testing.assert_allclose(
        other.classwise.weights, fit.classwise.weights[::-1][:, classes], atol=1e-6
    )


@pytest.mark.parametrize("k", [2, 3, 10, 40])
def test_a_row_alone_gets_the_same_bits(k):
    z, y = opinions(10, k=k)
    fit = fit_combined_pool(z, y, proba=[np.exp(m) for m in z])

    def scores_of(rows):
        parts = [np.ascontiguousarray(m[rows]) for m in z]
        return fit.scores((j, m, np.exp(m), lambda m=m: np.exp(m)) for j, m in enumerate(parts))

    together = scores_of(slice(None))
    alone = np.concatenate([scores_of(slice(i, i + 1)) for i in range(len(y))])
    np.testing.assert_array_equal(alone, together)


def test_alpha_should_be_positive():
    z, y = opinions(8)
    with pytest.raises(ValueError, match="'alpha' parameter of fit_classwise_pool must be"):
        fit_classwise_pool(z, y, alpha=0.0)


@pytest.mark.parametrize(
    "params",
    [{}, {"method": "logits", "weights": "classwise"}, {"weights": "classwise", "alpha": 3.0}],
)
def test_merged_classifier_with_several_pools(blobs, members, params):
    merged = MergedClassifier.from_fitted(members, blobs.X_held, blobs.y_held, **params)
    proba = merged.predict_proba(blobs.X_test)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-12)
    assert abs(merged.weights_.sum() - 1) < 1e-12
    assert (merged.member_temperatures_ > 0).all()
    pools = [pool.calibrated for pool in merged.pool_.linear]
    assert pools == ([] if params.get("method") == "logits" else [False, True])
    y = np.searchsorted(merged.classes_, blobs.y_test)
    alone = [log_loss(blobs.y_test, m.predict_proba(blobs.X_test)) for m in members.values()]
    assert mean_loss(np.log(proba), y, None) < min(alone)


def test_auto_with_given_weights_averages_logits(blobs, members):
    auto, logits = (
        MergedClassifier.from_fitted(
            members, blobs.X_held, blobs.y_held, method=method, weights=None
        )
        for method in ("auto", "logits")
    )
    np.testing.assert_array_equal(
        auto.predict_proba(blobs.X_test), logits.predict_proba(blobs.X_test)
    )


def test_auto_with_greedy_weights_takes_the_better_pool(blobs, members):
    def loss(method):
        merged = MergedClassifier.from_fitted(
            members, blobs.X_held, blobs.y_held, method=method, weights="greedy"
        )
        columns = np.searchsorted(merged.classes_, blobs.y_held)
        return mean_loss(merged.predict_log_proba(blobs.X_held), columns, None)

    assert loss("auto") == min(loss("logits"), loss("probabilities"))


@pytest.mark.parametrize(("method", "weighted"), [("logits", True), ("probabilities", False)])
def test_greedy_by_auc_is_never_worse_than_the_best_member(
    binary, binary_members, method, weighted
):
    X, y = binary.X_held, binary.y_held
    members = {name: binary_members[name] for name in ("logistic", "bayes", "mlp")}
    weight = np.random.default_rng(0).integers(1, 4, len(y)).astype(float) if weighted else None
    merged = MergedClassifier.from_fitted(
        members, X, y, weight, method=method, weights="greedy", scoring="roc_auc"
    )
    own = roc_auc_score(y, merged.predict_proba(X)[:, 1], sample_weight=weight)
    for member in members.values():
        alone = roc_auc_score(y, member.predict_proba(X)[:, 1], sample_weight=weight)
        assert own >= alone - 1e-9


def test_greedy_scores_labels_of_any_kind(blobs, members):
    some = [members[name] for name in ("logistic", "bayes", "forest")]
    merged = MergedClassifier.from_fitted(
        some, blobs.X_held, blobs.y_held, weights="greedy", scoring="accuracy"
    )
    best = max(member.score(blobs.X_held, blobs.y_held) for member in some)
    assert merged.score(blobs.X_held, blobs.y_held) >= best


def test_undefined_score_is_an_error(binary, binary_members):
    with pytest.raises(ValueError, match="use a score that is defined there"):
        MergedClassifier.from_fitted(
            binary_members,
            binary.X_held,
            binary.y_held,
            weights="greedy",
            scoring=lambda *_: np.nan,
        )


def test_alpha_auto_is_near_the_best_strength():
    """Over problems of 40 rows, on rows that nothing was fitted on."""
    losses = {alpha: [] for alpha in (10.0, 1.0, 0.1, "auto")}
    for seed in range(20):
        z, y = opinions(seed, n=1040, strengths=(0.2, 0.5, 0.5, 0.8))
        for alpha, seen in losses.items():
            fit = fit_logarithmic_pool([m[:40] for m in z], y[:40], alpha=alpha)
            pooled = logarithmic_pool([m[40:] for m in z], fit.weights, fit.temperature)
            seen.append(mean_loss(pooled, y[40:], None))
    mean = {alpha: np.mean(seen) for alpha, seen in losses.items()}
    fixed = [mean[alpha] for alpha in (10.0, 1.0, 0.1)]
    assert mean["auto"] < np.mean(fixed)
    assert mean["auto"] < 1.02 * min(fixed)


def test_a_member_whose_probabilities_alone_have_factors_is_used():
    proba_weights = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    fit = ClasswiseFit(np.zeros((2, 3)), proba_weights, np.zeros(3))
    assert [fit.uses(member) for member in range(2)] == [True, False]
