"""Members are asked for a row once, and a picture costs what it shows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import StratifiedKFold

from skmergecal import MergedClassifier, WeightsDisplay

CLASSES = np.array(["a", "b", "c"])


class Said(ClassifierMixin, BaseEstimator):
    """Gives the probabilities of three columns, and counts the rows it is asked for."""

    def __init__(self, first=0):
        self.first = first

    def fit(self, X=None, y=None):
        self.classes_, self.rows_ = CLASSES, []
        return self

    def predict_proba(self, X):
        self.rows_.append(len(X))
        return X[:, self.first : self.first + 3]


@pytest.fixture(scope="module")
def rows():
    """Probabilities of four members side by side, one of them with zeros, and labels."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(120, 3)) * 1.5
    y = (truth + rng.gumbel(size=(120, 3))).argmax(axis=1)
    opinions = []
    for k in range(4):
        p = np.exp(truth * (0.5 + 0.3 * k) + rng.normal(size=(120, 3)) * (0.4 + 0.2 * k))
        opinions.append(p / p.sum(axis=1, keepdims=True))
    opinions[3] = np.eye(3)[opinions[3].argmax(axis=1)]
    return np.hstack(opinions), CLASSES[y]


def members(which=range(4)):
    return {f"m{k}": Said(3 * k).fit() for k in which}


@pytest.mark.parametrize(
    "how",
    [{"weights": None}, {"weights": [1, 2, 3, 4], "method": "logits"}, {}, {"method": "logits"}],
    ids=str,
)
def test_a_fit_asks_each_member_for_each_row_once_at_most(rows, how):
    X, y = rows
    asked = members()
    MergedClassifier.from_fitted(asked, X, y, **how)
    assert all(sum(member.rows_) <= len(X) for member in asked.values())


def test_the_picture_of_weights_makes_no_table(rows, monkeypatch):
    X, y = rows
    weight = np.random.default_rng(1).integers(0, 3, len(y))
    merged = MergedClassifier.from_fitted(members(), X, y, weight)
    how = {"n_resamples": 2, "random_state": 0}
    report = merged.member_report(X, y, weight, level=0.8, **how)
    np.testing.assert_array_equal(
        merged.weight_intervals(X, y, weight, level=0.8, **how),
        np.column_stack([report["weight_low"], report["weight_high"]]),
    )
    monkeypatch.setattr(MergedClassifier, "member_report", None)
    shown = WeightsDisplay.from_estimator(
        merged, X, y, sample_weight=weight, confidence_level=0.8, plot=False, **how
    )
    np.testing.assert_array_equal(shown.intervals[:, 0], report["weight_low"])
    with pytest.raises(ValueError, match="level should be between 0 and 1"):
        merged.weight_intervals(X, y, level=95)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"method": "logits", "calibrate": "both"},
        {"method": "logits", "weights": "classwise", "alpha": 2.0},
        {"method": "probabilities", "weights": "greedy", "calibrate": "members"},
    ],
    ids=str,
)
def test_what_folds_share_changes_no_number_of_a_report(rows, how):
    X, y = rows
    report = MergedClassifier.from_fitted(members(range(3)), X, y, **how).member_report(X, y)
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y))
    for left in range(3):
        rest = members([k for k in range(3) if k != left])
        losses = np.empty(len(y))
        for train, test in folds:
            merged = MergedClassifier.from_fitted(rest, X[train], y[train], **how)
            log_p = merged.predict_log_proba(X[test])
            losses[test] = -log_p[np.arange(len(test)), np.searchsorted(CLASSES, y[test])]
        assert report["log_loss_without"].iloc[left] == pytest.approx(losses.mean(), rel=1e-12)
