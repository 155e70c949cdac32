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
    X, _ = rows(20_000)
    peaks = []
    for n_members in (4, 40):
        members = [Blurred(number) for number in range(n_members)]
        merged = MergedClassifier.from_fitted(members, *rows(300), **settings)
        merged.predict_proba(X)
        tracemalloc.start()
        merged.predict_proba(X)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 2 * len(X) * CLASSES * 8  # of 36 more members
