"""Members that write their answers into one buffer, as bound inference sessions do."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from skmergecal import (
    MergedClassifier,
    TemperatureCalibrator,
)
from skmergecal.display import ReliabilityDisplay

BUFFERS: dict[tuple[int, ...], np.ndarray] = {}


class Session(ClassifierMixin, BaseEstimator):
    """Answers as a fitted classifier does, in memory that all sessions share."""

    def __init__(self, inner, how="view", method="predict_proba"):
        self.inner, self.how, self.method = inner, how, method

    def fit(self, X, y):
        self.classes_ = self.inner.classes_
        return self

    def _shared(self, values):
        shape = values.shape if self.how == "whole" else (2 * len(values), values.shape[1])
        buffer = BUFFERS.setdefault((self.how, self.method, *shape), np.empty(shape))
        out = buffer if self.how == "whole" else buffer[: len(values)]
        out[:] = values
        return out

    def __getattr__(self, name):
        if name == "inner" or name != self.method:
            raise AttributeError(name)
        return lambda X: self._shared(getattr(self.inner, name)(X))


class SharedMargins(LogisticRegression):
    """A derived class that is read through its decision function."""

    def decision_function(self, X):
        values = super().decision_function(X)
        out = BUFFERS.setdefault(("margins", *values.shape), np.empty(values.shape))
        out[:] = values
        return out

    def predict_proba(self, X):
        values = super().predict_proba(X)
        out = BUFFERS.setdefault(("proba", *values.shape), np.empty(values.shape))
        out[:] = values
        return out


@pytest.fixture
def models(blobs):
    good = LogisticRegression().fit(blobs.X, blobs.y)
    shuffled = np.random.default_rng(0).permutation(blobs.y)
    return {"good": good, "bad": GaussianNB().fit(blobs.X, shuffled)}


@pytest.mark.parametrize("how", ["view", "whole"])
@pytest.mark.parametrize("method", ["auto", "logits", "probabilities"])
@pytest.mark.parametrize("cached", [False, True])
def test_a_buffer_that_members_share_holds_one_answer_at_a_time(
    models, blobs, tmp_path, how, method, cached
):
    memory = tmp_path if cached else None
    sessions = {name: Session(model, how).fit(blobs.X, blobs.y) for name, model in models.items()}
    plain = {name: Plain(model).fit(blobs.X, blobs.y) for name, model in models.items()}
    shared, own = (
        MergedClassifier.from_fitted(members, blobs.X_held, blobs.y_held, method=method, memory=m)
        for members, m in ((sessions, memory), (plain, None))
    )
    np.testing.assert_array_equal(shared.weights_, own.weights_)
    assert shared.weights_[0] > 0.8
    expected = own.predict_proba(blobs.X_test)
    np.testing.assert_array_equal(shared.predict_proba(blobs.X_test), expected)
    kept = shared.predict_proba(blobs.X_test)
    for session in sessions.values():
        session.predict_proba(blobs.X_test)
    np.testing.assert_array_equal(kept, expected)


class Plain(Session):
    """The same in memory of its own."""

    def _shared(self, values):
        return values.copy()


def test_scores_and_margins_in_shared_memory(blobs):
    strong = SharedMargins().fit(blobs.X, blobs.y)
    weak = SharedMargins(C=1e-3).fit(blobs.X, blobs.y)
    plain = [LogisticRegression(C=m.C).fit(blobs.X, blobs.y) for m in (strong, weak)]
    for method in ("logits", "probabilities"):
        a, b = (
            MergedClassifier.from_fitted(m, blobs.X_held, blobs.y_held, method=method)
            for m in ([strong, weak], plain)
        )
        np.testing.assert_allclose(a.weights_, b.weights_, atol=1e-12)
        np.testing.assert_allclose(
            a.predict_proba(blobs.X_test), b.predict_proba(blobs.X_test), atol=1e-12
        )


def test_other_ways_to_ask_several_models(models, blobs):
    sessions = {name: Session(m).fit(blobs.X, blobs.y) for name, m in models.items()}
    rows = blobs.X_held, blobs.y_held
    display = ReliabilityDisplay.from_estimator(sessions, *rows)
    curves = {name: ReliabilityDisplay.from_estimator(m, *rows) for name, m in models.items()}
    lines = [[line.get_xydata() for line in d.ax_.get_lines()] for d in (display, *curves.values())]
    assert any(np.array_equal(x, y) for x in lines[0] for y in lines[1] if len(x) > 2)
    assert any(np.array_equal(x, y) for x in lines[0] for y in lines[2] if len(x) > 2)
    calibrated = [
        TemperatureCalibrator(FrozenEstimator(m)).fit(*rows).temperature_
        for m in (sessions["good"], Plain(models["good"]).fit(blobs.X, blobs.y))
    ]
    assert calibrated[0] == calibrated[1]
