"""Wrappers of members: their parameters are read through them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.parameters import read_parameters, register_wrapper, write_parameters


class Tuned(ClassifierMixin, BaseEstimator):
    """A classifier that holds another one, and divides its logits by 1 or by ``scale_``."""

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y):
        self.model_ = self.estimator.fit(X, y)
        self.classes_, self.n_features_in_ = self.model_.classes_, self.model_.n_features_in_
        self.scale_ = 1.0
        return self

    def predict_proba(self, X):
        z = np.log(self.model_.predict_proba(X)) / self.scale_
        return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


class Tempered(Tuned):
    def fit(self, X, y):
        super().fit(X, y)
        self.scale_ = 1.7
        return self


register_wrapper(Tuned, lambda tuned: tuned.model_)
register_wrapper(Tempered, lambda tuned: tuned.model_, temperature=lambda tuned: tuned.scale_)


@pytest.mark.parametrize("wrapper", [Tuned, Tempered])
@pytest.mark.parametrize("outer", [lambda m: m, FrozenEstimator, TemperatureCalibrator])
def test_wrapped_members_merge_as_what_they_say(blobs, wrapper, outer):
    members = [
        outer(wrapper(make_pipeline(StandardScaler(), LogisticRegression(C=c)))).fit(
            blobs.X[i::2], blobs.y[i::2]
        )
        if outer is not FrozenEstimator
        else outer(wrapper(LogisticRegression(C=c)).fit(blobs.X[i::2], blobs.y[i::2]))
        for i, c in enumerate((0.01, 1.0))
    ]
    X, y = blobs.X_held, blobs.y_held
    pool = MergedClassifier.from_fitted(members, X, y, method="logits", weights=[0.3, 0.7])
    merged = MergedClassifier.from_fitted(members, X, y, method="parameters", weights=[0.3, 0.7])
    expected = pool.predict_proba(blobs.X_test)
    np.testing.assert_allclose(merged.predict_proba(blobs.X_test), expected, atol=1e-10)
    for plain in (merged.merged_estimator_, pool.to_estimator()):
        assert type(plain) is LogisticRegression
        np.testing.assert_allclose(plain.predict_proba(blobs.X_test), expected, atol=1e-10)


def test_wrapped_nets_are_aligned(blobs):
    members = [
        Tempered(MLPClassifier((6,), random_state=seed, tol=0.01)).fit(blobs.X, blobs.y)
        for seed in range(2)
    ]
    merged = MergedClassifier.from_fitted(
        members, blobs.X_held, blobs.y_held, method="parameters", weights=None, barrier_tolerance=9
    )
    assert type(merged.merged_estimator_) is MLPClassifier
    assert merged.merge_report_.chosen == "distilled"


def test_a_wrapper_within_a_pipeline(blobs):
    model = make_pipeline(StandardScaler(), Tempered(LogisticRegression())).fit(blobs.X, blobs.y)
    plain = write_parameters(model, read_parameters(model))
    assert type(plain) is LogisticRegression
    np.testing.assert_allclose(
        plain.predict_proba(blobs.X_test), model.predict_proba(blobs.X_test), atol=1e-10
    )
