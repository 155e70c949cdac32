"""Learning pool weights: against greedy selection, in time and in loss."""

from __future__ import annotations

import numpy as np
import pytest

from skmergecal._numerics import log_softmax, mean_loss
from skmergecal.pooling import fit_linear_pool, fit_logarithmic_pool
from tests.benchmarks.peers import greedy_rule, greedy_rule_on_matrices
from tests.strategies import draw_labels

SIZES = [(2_000, 2), (5_000, 10), (50_000, 10), (5_000, 100)]


def opinions(n, k, n_members=8, seed=0):
    """Members that see one truth through noise of their own, each over-confident in its way."""
    rng = np.random.default_rng(seed)
    truth = 2 * rng.normal(size=(n, k))
    y = draw_labels(rng, log_softmax(truth))
    noise = 0.5 + rng.random(n_members)
    z = [
        log_softmax((1 + s) * (truth + s * rng.normal(size=(n, k)) - 0.3 * (s > 1) * truth))
        for s in noise
    ]
    return z, y


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_pool_weights(compare, n, k):
    z, y = opinions(n, k)
    p = [np.exp(m) for m in z]
    peers = {
        "greedy, 25 steps, on matrices": (lambda: greedy_rule_on_matrices(p, y), 1),
        "greedy, 25 steps, true class only": (lambda: greedy_rule(p, y), None),
    }
    work = f"logit pool weights, 8 members, {n:,} x {k}"
    compare(work, lambda: fit_logarithmic_pool(z, y), peers)
    compare_losses(compare, f"its log loss, {n:,} x {k}", fit_logarithmic_pool(z, y).loss, p, y)


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_linear_pool_weights(compare, n, k):
    z, y = opinions(n, k)
    p = [np.exp(m) for m in z]
    peers = {
        "greedy, 25 steps, on matrices": (lambda: greedy_rule_on_matrices(p, y), 1),
        "greedy, 25 steps, true class only": (lambda: greedy_rule(p, y), None),
    }
    work = f"linear pool weights, 8 members, {n:,} x {k}"
    compare(work, lambda: fit_linear_pool(p, y), peers)
    compare_losses(compare, f"its log loss, {n:,} x {k}", fit_linear_pool(p, y).loss, p, y)


def compare_losses(compare, work, own, p, y):
    weights = greedy_rule(p, y)
    theirs = mean_loss(np.log(sum(w * m for w, m in zip(weights, p, strict=True))), y, None)
    compare.add(work, "greedy's log loss", own / theirs, 1.0, at_least=False)


def test_both_forms_of_the_rule_agree():
    z, y = opinions(500, 4)
    p = [np.exp(m) for m in z]
    np.testing.assert_array_equal(greedy_rule(p, y), greedy_rule_on_matrices(p, y))


def test_the_rule_is_autogluons():
    """Where AutoGluon is installed, its own selection gives the same weights."""
    module = pytest.importorskip("autogluon.core.models.greedy_ensemble.ensemble_selection")
    metrics = pytest.importorskip("autogluon.core.metrics")
    z, y = opinions(500, 4)
    p = [np.exp(m) for m in z]
    theirs = module.EnsembleSelection(25, "multiclass", metrics.log_loss).fit(p, y)
    np.testing.assert_allclose(greedy_rule(p, y), theirs.weights_, atol=1e-12)
