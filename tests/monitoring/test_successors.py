"""Models that follow: they keep labels, softening, and what comes before the members."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.monitoring import CalibrationMonitor

#: Labels of the codes 0, 1, 2: text, and the same numbers in another order.
LABELS = {"text": np.array(["pear", "apple", "fig"]), "numbers": np.array([2, 0, 1])}


class OnCodes(GaussianNB):
    """It takes no labels but 0..k-1, as XGBoost."""

    def fit(self, X, y, sample_weight=None):
        assert np.array_equal(np.unique(y), np.arange(3))
        return super().fit(X, y, sample_weight)


def hundredth(X):
    return X / 100


def fed(model, blobs, labels, **settings):
    return CalibrationMonitor(model, window=150, tolerance=0.1, **settings).update(
        blobs.X_test, labels[blobs.y_test]
    )


def assert_same_labels(new, deployed, blobs, labels, at_most=0.1):
    """They say much the same, and with the same labels."""
    assert new.classes_.tolist() == np.sort(labels).tolist()
    right = [np.mean(m.predict(blobs.X_test) == labels[blobs.y_test]) for m in (new, deployed)]
    assert right[0] > right[1] - at_most > 0.4
    p = new.predict_proba(blobs.X_test)
    assert np.array_equal(new.classes_[p.argmax(axis=1)], new.predict(blobs.X_test))


class Renamed:
    """A deployed model that knows codes, as a user reads it."""

    def __init__(self, model, labels):
        self.model, self.labels = model, labels

    def predict(self, X):
        return self.labels[self.model.predict(X)]


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_recalibrated_keeps_the_labels_of_codes(blobs, labels, shift):
    model = GaussianNB().fit(blobs.X, blobs.y)
    new = fed(model, blobs, labels, classes=labels).recalibrated(shift=shift)
    assert_same_labels(new, Renamed(model, labels), blobs, labels)
    again = clone(new).fit(blobs.X_test, labels[blobs.y_test])
    assert again.classes_.tolist() == new.classes_.tolist()


@pytest.mark.parametrize("method", ["logits", "probabilities"])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_remerged_keeps_the_labels_of_members_that_know_codes(blobs, labels, method):
    models = {
        "bayes": GaussianNB().fit(blobs.X, blobs.y),
        "linear": LogisticRegression().fit(blobs.X, labels[blobs.y]),
    }
    merged = MergedClassifier.from_fitted(
        models, blobs.X_held, labels[blobs.y_held], classes={"bayes": labels}, method=method
    )
    monitor = fed(merged, blobs, labels)
    assert_same_labels(monitor.remerged(), merged, blobs, labels)
    assert_same_labels(monitor.recalibrated(), merged, blobs, labels)
    again = clone(monitor.remerged().estimator_.estimator)
    assert dict(again.estimators) == dict(merged.named_estimators_)  # the same objects
    again.fit(blobs.X_held, labels[blobs.y_held])
    assert_same_labels(again, merged, blobs, labels)


@pytest.mark.parametrize("calibrated", [False, True], ids=["merged", "calibrated"])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_a_merge_on_codes_is_watched_under_labels(blobs, labels, calibrated):
    models = [GaussianNB().fit(blobs.X, blobs.y), LogisticRegression().fit(blobs.X, blobs.y)]
    plain = MergedClassifier.from_fitted(models, blobs.X_held, blobs.y_held)
    if calibrated:
        plain = TemperatureCalibrator(FrozenEstimator(plain)).fit(blobs.X_held, blobs.y_held)
    monitor, codes = fed(plain, blobs, labels, classes=labels), fed(plain, blobs, np.arange(3))
    assert monitor.log_e_value_ == pytest.approx(codes.log_e_value_, abs=1e-8)
    assert monitor.log_loss_ == pytest.approx(codes.log_loss_)
    for name in ("log_loss", "temperature"):
        one, other = (np.asarray(m.member_report()[name]) for m in (monitor, codes))
        np.testing.assert_allclose(one, other, rtol=1e-6)
    for make in ("recalibrated", "remerged"):
        assert_same_labels(getattr(monitor, make)(), Renamed(plain, labels), blobs, labels)
    auto = CalibrationMonitor(plain, classes=labels).tolerance_.shifts
    by_code = CalibrationMonitor(plain).tolerance_.shifts
    np.testing.assert_allclose(auto, by_code[np.argsort(labels)])


@pytest.mark.parametrize("refit", [True, False], ids=["refitted", "averages"])
@pytest.mark.parametrize("second", [LogisticRegression(), OnCodes(var_smoothing=0.1)], ids=repr)
@pytest.mark.parametrize("labels", [LABELS["text"], np.arange(1, 4)], ids=["text", "from 1"])
def test_members_that_were_fitted_here_on_codes_are_watched(blobs, labels, second, refit):
    members = {"codes": OnCodes(), "second": second}
    merged = MergedClassifier(members, cv=2, refit=refit).fit(blobs.X, labels[blobs.y])
    monitor = fed(merged, blobs, labels)
    assert len(monitor.member_report()["log_loss"]) == 2
    new = monitor.remerged()
    assert_same_labels(new, merged, blobs, labels)
    again = clone(new.estimator_.estimator).fit(blobs.X_held, labels[blobs.y_held])
    assert_same_labels(again, merged, blobs, labels)


@pytest.mark.parametrize("refit", [True, False], ids=["refitted", "averages"])
@pytest.mark.parametrize("calibrated", [False, True], ids=["pipeline", "calibrated"])
def test_members_behind_the_steps_of_a_pipeline(blobs, calibrated, refit):
    """They are read on what the steps make of the rows, and so are those of the next model."""
    labels = LABELS["text"]
    members = {"codes": OnCodes(), "linear": LogisticRegression()}
    merged = MergedClassifier(members, cv=2, refit=refit)
    merged.fit(blobs.X, labels[blobs.y])
    model = Pipeline([("scale", FunctionTransformer(hundredth))])
    inner = merged
    if calibrated:
        inner = TemperatureCalibrator(FrozenEstimator(merged)).fit(
            blobs.X_held, labels[blobs.y_held]
        )
    model.steps.append(("merged", inner))
    large = SimpleNamespace(X_test=100 * blobs.X_test, y_test=blobs.y_test)
    monitor, plain = fed(model, large, labels), fed(inner, blobs, labels)
    for name in ("log_loss", "temperature"):
        one, other = (np.asarray(m.member_report()[name]) for m in (monitor, plain))
        np.testing.assert_allclose(one, other, rtol=1e-6)
    new = monitor.remerged()
    expected = plain.remerged().predict_proba(blobs.X_test)
    np.testing.assert_allclose(new.predict_proba(large.X_test), expected, rtol=1e-6)
    again = clone(new.estimator_.estimator).fit(100 * blobs.X_held, labels[blobs.y_held])
    assert_same_labels(again, model, large, labels)


@pytest.mark.parametrize(
    "settings", [{"missing_classes": "soften"}, {"method": "probabilities"}], ids=str
)
def test_members_that_lack_a_class_are_merged_again(blobs, settings):
    labels = LABELS["text"]
    known = blobs.y != 1
    models = {
        "all": LogisticRegression().fit(blobs.X, labels[blobs.y]),
        "two": GaussianNB().fit(blobs.X[known], labels[blobs.y[known]]),
    }
    y = labels[blobs.y_held]
    merged = MergedClassifier.from_fitted(models, blobs.X_held, y, **settings)
    new = fed(merged, blobs, labels).remerged()
    assert_same_labels(new, merged, blobs, labels)
    clone(new.estimator_.estimator).fit(blobs.X_held, y)
