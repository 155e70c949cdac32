"""Cross-class pools: optimality, leave-one-out, components, ranks, what they find."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skmergecal._numerics import log_softmax, mean_loss
from skmergecal._partitions import InMemory, Rows
from skmergecal.pooling import combined_pool_with_loo, fit_combined_pool, fit_logarithmic_pool
from skmergecal.pooling._classwise_fit import CrossClassTerms, moved_scores
from skmergecal.pooling._cross_class import (
    _components,
    _regression_part,
    cross_class_rank,
    fit_cross_class_corrections,
)
from skmergecal.pooling._score_regression import (
    RegressionPart,
    ScoreRegression,
    choose_rows,
    penalty_strength,
)
from tests.pooling.test_classwise import opinions


def regression(z, y, weight=None):
    """The rows of a regression, and the scores of the pool that it starts from."""
    pool = fit_logarithmic_pool(z, y, weight)
    beta = pool.weights / pool.temperature
    rows = choose_rows(InMemory(Rows(z, y, weight)), beta, z[0].shape[1])
    return rows, sum(b * m for b, m in zip(beta, z, strict=True))


def corrections(rows, alphas, rank):
    """What a pool gains, and what its rows do where it does not move without them."""
    found = []
    for fit, parts, loo in fit_cross_class_corrections(rows, alphas, rank):
        z = rows.parts.part.z
        still = np.zeros((len(z[0]), len(z)))
        found.append((fit, moved_scores(z, still, parts.part, loo, fit)))
    return found


def centred(z):
    return np.concatenate([m - m.mean(axis=1, keepdims=True) for m in z], axis=1)


@given(seed=st.integers(0, 10**6), alpha=st.floats(0.3, 100), k=st.integers(3, 5))
@settings(max_examples=10, deadline=None)
def test_the_gradient_vanishes_at_full_rank(seed, alpha, k):
    z, y = opinions(seed, k=k)
    weight = np.random.default_rng(seed).integers(1, 4, len(y)).astype(float)
    rows, offset = regression(z, y, weight)
    rank = len(z) * (k - 1)
    [(fit, _)] = corrections(rows, [alpha], rank)
    added = fit.scores(z)
    residual = (np.exp(log_softmax(offset + added)) - np.eye(k)[y]) * weight[:, None]
    # At full rank the components are only other axes: the ridge is one on all coefficients.
    features = centred(z)
    coefficients = fit.across.maps.reshape(-1, k)
    pull = penalty_strength(alpha, k * (rank + 1), weight.sum())
    gradient = features.T @ residual + pull * coefficients
    assert np.abs(gradient).max() < 1e-7 * len(y)
    assert np.abs(residual.sum(axis=0) + pull * fit.intercept).max() < 1e-7 * len(y)


@pytest.mark.parametrize(("k", "rank"), [(2, 1), (3, 6), (5, 6)])
def test_features_that_classes_share_need_fewer_products(k, rank):
    z, y = opinions(3, n=40, k=k)
    rows, _ = regression(z, y, np.random.default_rng(0).uniform(0.2, 3, len(y)))
    shared = _regression_part(rows.parts.part, _components(rows.parts, rank))
    whole = RegressionPart(shared.features, shared.shape[1], shared.rows)
    theta = np.random.default_rng(1).normal(size=shared.shape)
    for ours, theirs in zip(shared.loss(theta), whole.loss(theta), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    inverse = np.linalg.inv(shared.loss(theta)[2] + np.eye(theta.size))
    features = shared.features(slice(None))
    np.testing.assert_allclose(
        shared.influence(features, inverse), whole.influence(features, inverse), atol=1e-12
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_leave_one_out_given_pool_and_components(weighted):
    z, y = opinions(4, n=60)
    weight = np.random.default_rng(0).uniform(0.3, 2.5, len(y)) if weighted else np.ones(len(y))
    rows, offset = regression(z, y, weight)
    rank = 6  # all, so that the components without a row are other axes of the same space
    alpha = 10.0
    [(fit, moved)] = corrections(rows, [alpha], rank)
    with_row = log_softmax(offset + fit.scores(z))
    fast = log_softmax(offset + moved)
    errors, moves = [], []
    for i in range(0, len(y), 3):
        left = weight.copy()
        left[i] -= min(left[i], 1.0)
        kept = left > 0
        part = replace(
            rows.parts.part,
            z=[m[kept] for m in z],
            offset=offset[kept],
            y=y[kept],
            weight=left[kept],
        )
        fewer = replace(rows, parts=InMemory(part), total=float(left.sum()))
        rates = [penalty_strength(1, 3 * (rank + 1), w.sum()) for w in (weight, left)]
        same = alpha * rates[0] / rates[1]
        [(without, _)] = corrections(fewer, [same], rank)
        exact = log_softmax(offset[[i]] + without.scores([m[[i]] for m in z]))
        errors.append(np.abs(fast[i] - exact[0]).max())
        moves.append(np.abs(with_row[i] - exact[0]).max())
    assert np.mean(errors) < 0.1 * np.mean(moves)


def test_components_of_more_features_than_rows():
    z, y = opinions(5, n=20, k=6, strengths=[0.5, 1, 1.5, 2])
    weight = np.random.default_rng(1).uniform(1.5, 2, len(y))
    rows, _ = regression(z, y, weight)
    rank = 7
    directions, by_rows = _components(rows.parts, rank), _components(rows.parts, rank, many=3)
    np.testing.assert_allclose(by_rows @ by_rows.T, directions @ directions.T, atol=1e-9)
    sizes = np.linalg.norm(centred(z) @ by_rows, axis=0)
    assert (np.diff(sizes) < 0).all()  # from the largest down


@pytest.mark.parametrize("members", [2, 400])
def test_members_that_give_all_classes_the_same_probability(members):
    z = [np.full((30, 3), -np.log(3))] * members
    fit, loo = combined_pool_with_loo(z, np.arange(30) % 3, proba=np.exp(z))
    assert not any("cross-class" in name for name in loo.pools)
    np.testing.assert_allclose(log_softmax(fit.classwise.scores(z)), z[0], atol=1e-9)


def test_many_members_give_the_same_bits_in_each_fit():
    z, y = opinions(14, n=30, k=4)
    alike = [z[0]] * 300  # of few directions for many features
    first, second = (fit_combined_pool(alike, y).classwise.across for _ in range(2))
    assert np.array_equal(first.maps, second.maps)
    assert np.linalg.matrix_rank(first.directions.reshape(-1, first.directions.shape[2])) <= 4


def test_components_are_those_of_the_weighted_rows():
    z, y = opinions(6, n=50, k=4)
    weight = np.random.default_rng(2).integers(1, 4, len(y)).astype(float)
    rows, _ = regression(z, y, weight)
    directions = _components(rows.parts, 3)
    axes = np.linalg.svd(np.repeat(centred(z), weight.astype(int), axis=0))[2][:3]
    np.testing.assert_allclose(directions @ directions.T, axes.T @ axes, atol=1e-9)


@pytest.mark.parametrize(
    ("members", "classes", "rank"),
    [
        (8, 2, 0),
        (8, 3, 16),
        (22, 3, 44),
        (60, 3, 60),
        (8, 10, 19),
        (8, 18, 17),
        (8, 100, 4),
        (8, 300, 0),
    ],
)
def test_ranks(members, classes, rank):
    assert cross_class_rank(members, classes, 500) == rank


def test_no_pool_disappears_where_unknowns_are_many():
    names = {"logarithmic", "class-wise"}
    for k, members in ((11, 45), (11, 46), (60, 9)):  # 1,001 and 1,023 unknowns; 1,140
        z, y = opinions(7, n=240, k=k, strengths=np.linspace(0.5, 2, members))
        y[: 2 * k] = np.repeat(np.arange(k), 2)
        pools = combined_pool_with_loo(z, y)[1].pools
        assert names < set(pools)
        assert any("cross-class" in name for name in pools)


def test_cross_class_pools_learn_what_one_class_says_about_another():
    # Ordered classes: a member is sure of the neighbour of the true class.
    rng = np.random.default_rng(8)
    y = rng.integers(4, size=600)
    shifted = np.eye(4)[(y + 1) % 4]
    z = [log_softmax(3 * shifted + rng.normal(size=(600, 4))) for _ in range(3)]
    train, test = np.arange(300), np.arange(300, 600)
    losses = []
    for across in (False, True):
        fit, _ = combined_pool_with_loo([m[train] for m in z], y[train], cross_class=across)
        log_p = log_softmax(fit.classwise.scores([m[test] for m in z]))
        losses.append(mean_loss(log_p, y[test], None))
    assert losses[1] < 0.5 * losses[0]


def test_the_compact_form_gives_the_same_scores():
    z, y = opinions(9, k=5)
    rows, _ = regression(z, y)
    [(fit, _)] = corrections(rows, [1.0], 8)
    assert len(fit.compact().across.loadings) == 5 < len(fit.across.loadings)
    np.testing.assert_allclose(fit.compact().scores(z), fit.scores(z), atol=1e-12)
    [(few, _)] = corrections(rows, [1.0], 2)
    assert few.compact().across is few.across
    wide = fit.compact().widened(np.arange(5), 6)
    more = [np.column_stack([m, m[:, 0]]) for m in z]
    np.testing.assert_allclose(wide.scores(more)[:, :5], fit.scores(z), atol=1e-12)


def test_members_used_across_classes_count():
    z, y = opinions(10, k=4)
    rows, _ = regression(z, y)
    [(fit, _)] = corrections(rows, [1.0], 5)
    assert (fit.member_factors > 0).all()
    assert fit.uses(0)
    np.testing.assert_allclose(fit.compact().member_factors, fit.member_factors)


def test_identical_members_do_not_hurt():
    z, y = opinions(13, k=4)
    fit = fit_combined_pool([z[0]] * 3, y)
    assert np.isfinite(fit.classwise.scores([z[0]] * 3)).all()


def test_steps_end_where_rounding_hides_them(monkeypatch):
    z, y = opinions(1, n=60, k=5)
    far = [log_softmax(-40 * m) for m in z]
    calls = []
    loss = ScoreRegression.loss
    monkeypatch.setattr(
        ScoreRegression, "loss", lambda self, theta: calls.append(1) or loss(self, theta)
    )
    for weight in (1e6, 1e8, 1e10):
        fit_combined_pool(far, y, np.full(60, weight))
    assert len(calls) < 3 * 3 * 60


@pytest.mark.parametrize("rank", [1, 4])
def test_a_row_alone_has_the_bits_of_its_batch(rank):
    rng = np.random.default_rng(0)
    z = np.log(rng.dirichlet(np.ones(9), size=3000))
    terms = CrossClassTerms(rng.normal(size=(1, 9, rank)), rng.normal(size=(rank, 9)))
    whole = terms.scores(terms.of_member(0, z))
    for size in (1, 2, 7):
        assert np.array_equal(terms.scores(terms.of_member(0, z[:size])), whole[:size])
