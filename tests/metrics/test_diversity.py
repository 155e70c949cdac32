"""Diversity of members: closed forms, a peer's correlation, and the ambiguity identity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import entropy
from sklearn.metrics import log_loss, matthews_corrcoef

from skmergecal.metrics import (
    decompose_ensemble_log_loss,
    disagreement,
    double_fault,
    error_correlation,
    q_statistic,
)
from skmergecal.pooling import logarithmic_pool
from tests.strategies import seeds

PAIRWISE = [double_fault, q_statistic, error_correlation, lambda y, p, **kw: disagreement(p, **kw)]


def predicting(columns, n_classes=2):
    return 0.8 * np.eye(n_classes)[columns] + 0.2 / n_classes


def draw(seed, n_members=3, n=50, n_classes=3):
    rng = np.random.default_rng(seed)
    return rng.integers(0, n_classes, n), rng.dirichlet(np.ones(n_classes), size=(n_members, n))


def test_by_hand():
    y = np.zeros(10, int)
    # both right 4 times, only the first 3, only the second 2, none 1
    first = predicting(np.repeat([0, 0, 1, 1], [4, 3, 2, 1]))
    second = predicting(np.repeat([0, 1, 0, 1], [4, 3, 2, 1]))
    members = [first, second]
    np.testing.assert_allclose(disagreement(members), [[0, 0.5], [0.5, 0]])
    np.testing.assert_allclose(double_fault(y, members), [[0.3, 0.1], [0.1, 0.4]])
    np.testing.assert_allclose(q_statistic(y, members)[0, 1], (4 - 6) / (4 + 6))
    correlation = (4 - 6) / np.sqrt(7 * 3 * 6 * 4)
    np.testing.assert_allclose(error_correlation(y, members), [[1, correlation], [correlation, 1]])


@given(seeds)
def test_error_correlation_is_that_of_matthews(seed):
    y, members = draw(seed)
    wrong = [p.argmax(axis=1) != y for p in members]
    found = error_correlation(y, members)
    assert found[0, 1] == pytest.approx(matthews_corrcoef(wrong[0], wrong[1]), abs=1e-12)


@pytest.mark.parametrize("score", PAIRWISE)
@given(seed=seeds)
def test_symmetry_order_and_weights(score, seed):
    y, members = draw(seed)
    weight = np.random.default_rng(seed).integers(0, 4, 50)
    found = score(y, members, sample_weight=weight)
    np.testing.assert_allclose(found, found.T, atol=1e-12)
    rows = np.random.default_rng(seed + 1).permutation(np.repeat(np.arange(50), weight))
    np.testing.assert_allclose(found, score(y[rows], members[:, rows]), atol=1e-12)
    swapped = score(y, members[::-1], sample_weight=weight)
    np.testing.assert_allclose(found[::-1, ::-1], swapped, atol=1e-12)


def test_what_is_not_defined_is_nan():
    y = np.zeros(4, int)
    perfect, half = predicting(y), predicting([0, 0, 1, 1])
    assert np.isnan(error_correlation(y, [perfect, half])).tolist() == [[True, True], [True, False]]
    assert np.isnan(q_statistic(y, [perfect, half])).tolist() == [[True, True], [True, False]]


@given(seeds, st.integers(1, 5), st.integers(2, 6))
def test_ambiguity_is_exact(seed, n_members, n_classes):
    y, members = draw(seed, n_members, 30, n_classes)
    rng = np.random.default_rng(seed)
    weights, rows = rng.random(n_members) + 0.01, rng.integers(0, 3, 30)
    rows[0] = 1
    parts = decompose_ensemble_log_loss(y, members, weights=weights, sample_weight=rows)
    assert parts.pool_loss == pytest.approx(parts.member_loss - parts.ambiguity, abs=1e-12)
    w = weights / weights.sum()
    # other ways to each part: the package's pool, scikit-learn's loss, SciPy's KL, -log Z
    log_q = logarithmic_pool(np.log(members), w)
    losses = [log_loss(y, p, sample_weight=rows, labels=range(n_classes)) for p in members]
    np.testing.assert_allclose(parts.member_losses, losses, atol=1e-12)
    q_loss = np.average(-log_q[np.arange(30), y], weights=rows)
    assert parts.pool_loss == pytest.approx(q_loss, abs=1e-12)
    apart = [np.average(entropy(np.exp(log_q), p, axis=1), weights=rows) for p in members]
    np.testing.assert_allclose(parts.member_ambiguities, apart, atol=1e-12)
    log_z = logsumexp(np.tensordot(w, np.log(members), 1), axis=1)
    assert parts.ambiguity == pytest.approx(-np.average(log_z, weights=rows), abs=1e-12)
    assert parts.ambiguity >= -1e-15


def test_equal_members_have_no_ambiguity_and_zeros_stay_finite():
    y, members = draw(0, 1)
    parts = decompose_ensemble_log_loss(y, [members[0]] * 3)
    assert parts.ambiguity == pytest.approx(0, abs=1e-14)
    parts = decompose_ensemble_log_loss([0, 1], [np.eye(2), np.eye(2)[::-1]])
    assert np.isfinite([parts.pool_loss, parts.member_loss, parts.ambiguity]).all()


@pytest.mark.parametrize("score", PAIRWISE)
def test_wrong_members(score):
    with pytest.raises(ValueError, match="all of the same shape"):
        score([0, 1], [np.eye(2), np.eye(3)])
    with pytest.raises(ValueError, match="at least one member"):
        score([0, 1], [])
    with pytest.raises(ValueError, match=r"proba\[1\] should hold probabilities"):
        score([0, 1], [np.eye(2), 3 * np.eye(2)])


def test_wrong_weights():
    with pytest.raises(ValueError, match="weights should have shape"):
        decompose_ensemble_log_loss([0, 1], [np.eye(2)], weights=[1, 2])
