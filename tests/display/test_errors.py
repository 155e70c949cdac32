"""Error messages of the displays."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

from skmergecal import MergePathDisplay, ReliabilityDisplay, RiskCoverageDisplay, WeightsDisplay

mpl.use("Agg")

P = np.array([[0.7, 0.3], [0.4, 0.6]])


@pytest.mark.parametrize(
    ("y", "proba", "settings", "message"),
    [
        ([0, 1], P, {"kind": "multiclass"}, "kind should be one of"),
        ([0, 1], P, {"band": "bootstrap"}, "band should be one of"),
        ([0, 1], P, {"n_bins": 0}, "n_bins should be"),
        ([0, 1], P, {"confidence_level": 95}, "confidence_level should be between 0 and 1"),
        ([0, 1], {"a": P}, {"name": "b"}, "and no name="),
        ([0, 1], {}, {}, "should hold at least one"),
        ([0, 0], P, {}, "pass classes="),
        ([0, 1, 2], np.full((3, 3), 1 / 3), {"kind": "binary"}, "needs two classes"),
        ([0, 3], P, {"classes": [0, 1]}, "not among the classes"),
        ([0, 1], 3 * P, {}, "take the softmax of logits"),
        ([0, 1], P, {"kind": "class-wise", "ax": []}, "ax should hold 2 axes"),
    ],
)
def test_reliability(y, proba, settings, message):
    with pytest.raises(ValueError, match=message):
        ReliabilityDisplay.from_predictions(y, proba, **settings)


class Fitted:
    def __init__(self, classes):
        self.classes_ = np.array(classes)

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


@pytest.mark.parametrize("display", [ReliabilityDisplay, RiskCoverageDisplay])
def test_estimators_of_other_classes(display):
    models = {"a": Fitted([0, 1]), "b": Fitted([0, 2])}
    with pytest.raises(ValueError, match="should have the same classes_"):
        display.from_estimator(models, [[0]], [0])


def test_weights():
    with pytest.raises(ValueError, match=r"weights should have shape \(2,\)"):
        WeightsDisplay(["a", "b"], [1.0])
    with pytest.raises(ValueError, match=r"intervals should have shape \(1, 2\)"):
        WeightsDisplay(["a"], [1.0], [[0.1]])


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ({}, "at least one path"),
        ({"a": {"loss": [1.0]}}, "path 'a' in paths should have lambdas and loss"),
        ({"a": {"lambdas": [0, 1], "loss": [1.0]}}, "of equal length"),
    ],
)
def test_paths(paths, message):
    with pytest.raises(ValueError, match=message):
        MergePathDisplay(paths)


def test_what_a_path_does_not_have():
    display = MergePathDisplay({"a": {"lambdas": [0, 1], "loss": [1, 2]}})
    with pytest.raises(ValueError, match="have no accuracy"):
        display.plot(metric="accuracy")
