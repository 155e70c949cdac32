"""Pooled prediction: who is asked, and how much memory it takes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from skmergecal import MergedClassifier

CLASSES = 4


class Blurred(ClassifierMixin, BaseEstimator):
    """A fitted member that sees the first columns through noise from a further one."""

    def __init__(self, number=0):
        self.number = number
        self.classes_ = np.arange(CLASSES)
        self.calls = 0

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        self.calls += 1
        z = X[:, :CLASSES] * (1.0 + 0.1 * self.number)
        z[:, self.number % CLASSES] += X[:, CLASSES]
        np.exp(z, out=z)
        z /= z.sum(axis=1, keepdims=True)
        return z


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, CLASSES + 1))
    y = (2 * X[:, :CLASSES] + rng.gumbel(size=(n, CLASSES))).argmax(axis=1)
    return X, y


SETTINGS = [
    {},
    {"method": "logits"},
    {"method": "logits", "weights": "classwise"},
    {"method": "probabilities"},
    {"weights": "greedy"},
    {"weights": [0, 2, 0, 1, 0]},
    {"method": "probabilities", "weights": [0, 0, 0, 1, 1]},
    {"method": "probabilities", "weights": [0, 0, 0, 1, 1], "calibrate": "both"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_members_of_weight_0_are_not_asked(settings):
    members = [Blurred(number) for number in range(5)]
    merged = MergedClassifier.from_fitted(members, *rows(400), **settings)
    asked = [estimator.estimator for estimator in merged.estimators_]
    before = np.array([member.calls for member in asked])
    merged.predict_proba(rows(10)[0])
    calls = np.array([member.calls for member in asked]) - before
    np.testing.assert_array_equal(calls, merged.weights_ > 0)
    if isinstance(settings.get("weights"), list):
        assert (calls == 0).any()


@pytest.mark.parametrize("settings", [{}, {"method": "logits"}, {"method": "probabilities"}])
def test_memory_of_prediction_does_not_grow_with_members(settings):
    """An accumulator and one member's opinion at a time, however many there are."""
    X, _ = rows(6000)
    peaks = []
    for n_members in (4, 20):
        members = [Blurred(number) for number in range(n_members)]
        merged = MergedClassifier.from_fitted(members, *rows(300), **settings)
        merged.predict_proba(X)
        tracemalloc.start()
        merged.predict_proba(X)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 2 * len(X) * CLASSES * 8  # of 16 more members


class Margins(ClassifierMixin, BaseEstimator):
    """A fitted member with logits of few digits, each row's far from 0."""

    def __init__(self, number=0, constant=0.0):
        self.number = number
        self.constant = constant
        self.classes_ = np.arange(CLASSES)

    def fit(self, X, y):
        return self

    def decision_function(self, X):
        z = np.round(np.asarray(X)[:, :CLASSES] * (8 + self.number)) / 8
        return z + self.constant * np.arange(1, len(X) + 1)[:, None]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_constants_of_rows_leave_the_bits_of_pooled_predictions(settings):
    pools = [
        MergedClassifier.from_fitted([Margins(i) for i in range(5)], *rows(400), **settings)
        for _ in range(2)
    ]
    for estimator in pools[1].estimators_:
        estimator.estimator.constant = 2.0**30  # digits of the sums would be lost beside it
    new = rows(50, seed=1)[0]
    expected, found = (pool.predict_log_proba(new) for pool in pools)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("kind", [Blurred, Margins])
def test_a_row_has_the_same_bits_alone_and_among_many(settings, kind):
    pool = MergedClassifier.from_fitted([kind(i) for i in range(5)], *rows(400), **settings)
    new = rows(3000, seed=1)[0]
    together = pool.predict_log_proba(new)
    for row in (0, 2047, 2048, 2999):
        np.testing.assert_array_equal(pool.predict_log_proba(new[[row]])[0], together[row])


def test_known_numbers_of_columns_are_not_taken_for_known_names():
    import pandas

    X, y = rows(400)
    plain = MergedClassifier.from_fitted([Margins(i) for i in range(3)], X, y, method="logits")
    frame = pandas.DataFrame(X, columns=list("abcde"))
    named = MergedClassifier.from_fitted([Margins(i) for i in range(3)], frame, y, method="logits")
    with pytest.raises(ValueError, match="X has 4 features, but MergedClassifier is expecting 5"):
        plain.predict(X[:1, :4])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        named.predict(X[:1])
    with pytest.raises(ValueError, match="feature names should match"):
        named.predict(frame.rename(columns={"a": "A"})[:1])
    with pytest.warns(UserWarning, match="X has feature names, but MergedClassifier was fitted wi"):
        plain.predict(frame[:1])
