"""Teachers that are slow are not asked in every epoch."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import MLPClassifier

from skmergecal import FineTunedClassifier


class Slow(ClassifierMixin, BaseEstimator):
    """Counts how often it is asked, and how often for rows that it has seen."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.seen_ = []
        return self

    def predict_proba(self, X):
        self.seen_.append(X.copy())
        p = 1 / (1 + np.exp(-X[:, 0]))
        return np.column_stack([1 - p, p])


def test_a_teacher_of_synthetic_rows_is_asked_for_a_few_sets_only():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y = (X[:, 0] > 0).astype(int)
    start = MLPClassifier((3,), max_iter=30, tol=1, random_state=0).fit(X, y)
    teacher = Slow().fit(X, y)
    how = {"target": "members", "augment": "both", "teacher": FrozenEstimator(teacher)}

    def train(epochs):
        teacher.seen_.clear()
        how.update(epochs=epochs, random_state=0, learning_rate=0.05, schedule="constant")
        model = FineTunedClassifier(FrozenEstimator(start), **how).fit(X, y)
        return model, [rows for rows in teacher.seen_ if len(rows) == 40]

    short, few = train(6)
    long, asked = train(60)
    assert len(asked) <= 10
    for i, rows in enumerate(asked):  # no set is asked twice
        assert not any(np.array_equal(rows, other) for other in asked[:i])
    for first, again in zip(few, asked, strict=False):
        np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(long.loss_curve_[:6], short.loss_curve_)
    assert np.mean(long.loss_curve_[-8:]) < long.loss_curve_[0]
    again, _ = train(60)
    np.testing.assert_array_equal(again.predict_proba(X), long.predict_proba(X))
