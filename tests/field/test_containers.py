"""Containers of rows that cannot be used, and what to pass instead."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from skmergecal import (
    FineTunedClassifier,
    MergedClassifier,
    TemperatureCalibrator,
    calibration_report,
)
from tests.stand_ins import LazyFrame


@pytest.fixture(scope="module")
def iris():
    frame, y = load_iris(return_X_y=True, as_frame=True)
    fitted = LogisticRegression(max_iter=1000).fit(frame, y)
    return frame, y, fitted


WAYS = {
    "merge": lambda X, y, m: MergedClassifier.from_fitted([m], X, y),
    "members fitted here": lambda X, y, m: MergedClassifier([("m", clone(m))]).fit(X, y),
    "calibrate": lambda X, y, m: TemperatureCalibrator(FrozenEstimator(m)).fit(X, y),
    "bare": lambda X, y, m: TemperatureCalibrator().fit(X, y),
    "tune": lambda X, y, m: FineTunedClassifier(FrozenEstimator(m)).fit(X, y),
    "taught": lambda X, y, m: FineTunedClassifier(FrozenEstimator(m), target="members").fit(X),
    "report": lambda X, y, m: calibration_report(m, X, y),
}


@pytest.mark.parametrize("way", WAYS)
def test_dicts_and_lazy_frames_are_refused_with_what_to_pass(iris, way):
    frame, y, fitted = iris
    what = "logits" if way == "bare" else "X"
    with pytest.raises(TypeError, match=rf"{what} is a dict.*skorch.helper.SliceDict\(\*\*{what}"):
        WAYS[way](frame.to_dict("list"), y, fitted)
    with pytest.raises(TypeError, match=rf"{what} is a LazyFrame.*pass {what}.collect\(\)"):
        WAYS[way](LazyFrame(frame), y, fitted)


def test_predictions_and_other_rows_are_checked_too(iris):
    frame, y, fitted = iris
    merged = MergedClassifier.from_fitted([fitted], frame, y)
    for predict in (merged.predict_proba, merged.predict, merged.transform):
        with pytest.raises(TypeError, match=r"pass X.collect\(\)"):
            predict(LazyFrame(frame))
        with pytest.raises(TypeError, match="X is a dict"):
            predict(dict(frame))
    with pytest.raises(TypeError, match=r"pass X_unlabeled.collect\(\)"):
        merged.fit(frame, y, X_unlabeled=LazyFrame(frame))
    with pytest.raises(TypeError, match=r"pass y.collect\(\)"):
        merged.fit(frame, LazyFrame(y.to_frame()))


def test_the_remedies_for_tables(iris):
    frame, y, fitted = iris
    expected = MergedClassifier.from_fitted([fitted], frame, y).predict_proba(frame)
    for rows in (pd.DataFrame(frame.to_dict("list")), LazyFrame(frame).collect()):
        merged = MergedClassifier.from_fitted([fitted], rows, y)
        np.testing.assert_array_equal(merged.predict_proba(rows), expected)


def test_the_remedy_for_nets_of_several_inputs(iris):
    torch = pytest.importorskip("torch")
    skorch = pytest.importorskip("skorch")
    helper = pytest.importorskip("skorch.helper")
    frame, y, _ = iris
    X = frame.to_numpy(dtype=np.float32).copy()

    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)

        def forward(self, left, right):
            return self.left(left) + self.right(right)

    net = skorch.NeuralNetClassifier(
        Two, criterion=torch.nn.CrossEntropyLoss, max_epochs=5, lr=0.1, train_split=None, verbose=0
    )
    rows = {"left": X[:, :2], "right": X[:, 2:]}
    with pytest.raises(TypeError, match=r"SliceDict\(\*\*X\)"):
        MergedClassifier([("a", net), ("b", net)], cv=2).fit(rows, y)
    sliced = helper.SliceDict(**rows)
    merged = MergedClassifier([("a", net), ("b", net)], cv=2).fit(sliced, y)
    assert merged.predict_proba(sliced).shape == (150, 3)
    calibrated = TemperatureCalibrator(net, cv=2).fit(sliced, y)
    assert calibrated.predict_proba(sliced).shape == (150, 3)


def test_a_dict_that_a_frozen_net_takes_is_still_predicted(iris):
    """Without rows of fit, nothing is picked from X: it goes to the members as it is."""

    class Several:
        classes_ = np.arange(2)

        def predict_proba(self, X):
            return np.column_stack([X["p"], 1 - X["p"]])

    merged = MergedClassifier.from_fitted([Several()], weights=None, method="probabilities")
    p = np.linspace(0.1, 0.9, 5)
    np.testing.assert_allclose(merged.predict_proba({"p": p})[:, 0], p)


def test_what_has_no_lazy_rows_is_left_alone(iris):
    frame, y, _ = iris
    net = MLPClassifier((3,), solver="lbfgs", alpha=1.0, max_iter=500, random_state=0)
    rows = [list(row) for row in frame.to_numpy()]
    merged = MergedClassifier([("m", net)], cv=2).fit(rows, list(y))
    assert merged.score(rows, list(y)) > 0.9
