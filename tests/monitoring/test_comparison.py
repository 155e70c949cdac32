"""A challenger against the deployed model."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB

from skmergecal.monitoring import CalibrationMonitor, ModelComparison
from tests.monitoring.test_evidence import simulate
from tests.strategies import at_most, seeds


@given(seeds)
@at_most(10)
def test_wealth_has_a_mean_of_at_most_1_where_the_challenger_is_never_better(seed):
    """By enumeration of all outcomes of five rows."""
    rng = np.random.default_rng(seed)
    deployed = rng.dirichlet([1, 1], 5)  # the truth: no other is better in mean
    challenger = rng.dirichlet([1, 1], 5)
    mean = 0.0
    for y in itertools.product([0, 1], repeat=5):
        probability = np.prod(deployed[np.arange(5), y])
        mean += probability * ModelComparison().update(deployed, challenger, np.array(y)).e_value_
    assert mean <= 1 + 1e-12


def test_the_evidence_is_that_by_hand_and_batches_change_nothing():
    z, y = simulate(60, 3)
    one, other = softmax(z / 3, axis=1), softmax(z, axis=1)
    wealth, total, square = 1.0, 0.0, 0.0
    for p, q, c in zip(one, other, y, strict=True):
        target = np.eye(3)[c]
        x = (((p - target) ** 2).sum() - ((q - target) ** 2).sum()) / 2
        wealth *= 1 + min(max(total / (square + 1), 0), 0.5) * x
        total, square = total + x, square + x * x
    whole, single = ModelComparison().update(one, other, y), ModelComparison()
    for i in range(60):
        single.update(one[i : i + 1], other[i : i + 1], y[i : i + 1])
    for comparison in (whole, single):
        assert comparison.e_value_ == pytest.approx(wealth, rel=1e-10)
        assert comparison.brier_difference_ == pytest.approx(2 * total / 60)
        difference = log_loss(y, one) - log_loss(y, other)
        assert comparison.log_loss_difference_ == pytest.approx(difference)


@pytest.mark.thorough
def test_equal_models_give_no_alarm_and_a_better_one_does():
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(100):  # two wrong models of equal loss, mirror images of each other
        side = rng.choice([0.3, -0.3], 3000)
        true = rng.random(3000) < 0.5
        models = [np.column_stack([0.5 - s, 0.5 + s]) for s in (side, -side)]
        alarms += ModelComparison().update(*models, true.astype(int)).alarm_
    assert alarms == 0
    z, y = simulate(4000, 2)
    flat = softmax(z / 3, axis=1)
    assert ModelComparison().update(flat, np.exp(z), y).alarm_
    assert not ModelComparison().update(np.exp(z), flat, y).alarm_


def test_challengers_of_a_monitor(blobs):
    X, y = blobs.X_test, blobs.y_test
    deployed = GaussianNB().fit(blobs.X, blobs.y)
    challenger = LogisticRegression().fit(blobs.X, blobs.y)
    monitor = CalibrationMonitor(deployed)
    comparison = monitor.compare(challenger)
    other = monitor.compare(deployed, name="itself")
    weight = np.where(np.arange(len(y)) % 3, 1.0, 0.0)
    monitor.update(X, y, weight)
    kept = weight > 0
    alone = ModelComparison().update(
        deployed.predict_proba(X)[kept], challenger.predict_proba(X)[kept], y[kept]
    )
    assert comparison.e_value_ == pytest.approx(alone.e_value_, rel=1e-8)
    assert comparison.n_rows_ == kept.sum()
    assert (other.e_value_, other.brier_difference_) == (1.0, 0.0)
    copy = CalibrationMonitor.from_json(monitor.to_json(), deployed)
    with pytest.raises(ValueError, match="'challenger' is not part of a state: call compare"):
        copy.update(X, y)
    for one in (copy, monitor):
        if one is copy:
            one.compare(challenger)
            one.compare(deployed, name="itself")
        one.update(X, y)
    assert copy.to_json() == monitor.to_json()
    assert "better" in repr(comparison) or "no alarm" in repr(comparison)


def test_a_challenger_may_know_codes(blobs):
    names = np.array(["a", "b", "c"])
    deployed = GaussianNB().fit(blobs.X, names[blobs.y])
    challenger = LogisticRegression().fit(blobs.X, blobs.y)
    monitor = CalibrationMonitor(deployed)
    with pytest.raises(ValueError, match=r"compare\(challenger, classes=\['a', 'b', 'c'\]\)"):
        monitor.compare(challenger)
    comparison = monitor.compare(challenger, classes=names)
    monitor.update(blobs.X_test, names[blobs.y_test])
    same = CalibrationMonitor(GaussianNB().fit(blobs.X, blobs.y))
    expected = same.compare(challenger)
    same.update(blobs.X_test, blobs.y_test)
    assert comparison.e_value_ == pytest.approx(expected.e_value_, rel=1e-12)


def test_errors_name_the_remedy(blobs):
    model = GaussianNB().fit(blobs.X, blobs.y)
    with pytest.raises(ValueError, match="use ModelComparison, whose update takes"):
        CalibrationMonitor().compare(model)
    monitor = CalibrationMonitor(model)
    with pytest.raises(ValueError, match="they should be the same"):
        monitor.compare(GaussianNB().fit(blobs.X, blobs.y > 0))
    monitor.compare(model)
    with pytest.raises(ValueError, match="already: pass another name="):
        monitor.compare(model)
    monitor.compare(model, name="other")
    p = np.full((4, 2), 0.5)
    with pytest.raises(ValueError, match="deployed and challenger should have one shape"):
        ModelComparison().update(p, p[:3], np.zeros(4, dtype=int))
    with pytest.raises(ValueError, match="divide it by the largest weight"):
        ModelComparison().update(p, p, np.zeros(4, dtype=int), np.full(4, 2.0))
    with pytest.raises(ValueError, match="alpha should be between 0 and 1"):
        ModelComparison(alpha=2)
    assert math.isnan(ModelComparison().brier_difference_)


def test_probabilities_of_0_are_finite():
    z = log_softmax(np.zeros((3, 2)), axis=1)
    certain = np.array([[1.0, 0.0]] * 3)
    comparison = ModelComparison().update(certain, np.exp(z), np.array([0, 1, 0]))
    assert math.isfinite(comparison.log_loss_difference_)
