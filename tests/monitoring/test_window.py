"""The window: its numbers are those of a calibrator and of a report on the same rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from skmergecal import MergedClassifier, TemperatureCalibrator, calibration_report
from skmergecal.calibration import ClassShift
from skmergecal.merging import fitted_merge
from skmergecal.monitoring import CalibrationMonitor
from tests.stand_ins import Told


def labels_of(z, rng):
    """Labels drawn from softmax(z)."""
    return (softmax(z, axis=1).cumsum(axis=1) < rng.random((len(z), 1))).sum(axis=1)


def too_sure(n=300, k=5, times=3.0):
    """Log-probabilities of a model that is too sure, none of them 0, and labels."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, k)) * 3
    return log_softmax(times * z, axis=1), labels_of(z, rng)


def assert_same_report(one, other, rel=1e-6):
    for name in ("before", "after"):
        a, b = getattr(one, name), getattr(other, name)
        assert a.temperature.value == pytest.approx(b.temperature.value, rel=rel)
        for score in ("log loss", "Brier score", "accuracy"):  # not bins, which have edges
            assert a.scores[score].value == pytest.approx(b.scores[score].value, rel=rel)


def assert_same_temperature(monitor, fitted):
    assert monitor.temperature_ == pytest.approx(fitted.temperature_, rel=1e-6)
    assert monitor.temperature_interval_ == pytest.approx(fitted.temperature_interval_, rel=1e-5)


def test_small_probabilities_that_are_given_stay():
    said, y = too_sure()
    assert 0 < np.exp(said).min() < 1e-9
    monitor = CalibrationMonitor(window=300).update(said, y)
    fitted = TemperatureCalibrator(alpha=1.0).fit(said, y)
    assert_same_temperature(monitor, fitted)
    new = monitor.recalibrated(shift=False)
    np.testing.assert_allclose(new.predict_proba(said), fitted.predict_proba(said), atol=1e-6)
    np.testing.assert_allclose(monitor.class_shift_, ClassShift().fit(said, y).shift_, atol=1e-5)
    np.testing.assert_allclose(monitor.window_rows()[0], said, rtol=1e-5, atol=1e-6)
    bare = TemperatureCalibrator(temperature=1.0).fit(said, y)
    report = calibration_report(monitor, n_resamples=3)
    assert_same_report(report, calibration_report(bare, said, y, n_resamples=3))
    assert report.before.scores["log loss"].value == pytest.approx(monitor.log_loss_)


def test_logits_below_the_log_of_the_smallest_float_stay():
    said, y = too_sure(200, times=150.0)
    assert said.min() < -1000
    monitor = CalibrationMonitor(window=200, tolerance=0.05).update(said, y)
    assert_same_temperature(monitor, TemperatureCalibrator(alpha=1.0).fit(said, y))


def test_a_probability_of_0_softens_its_row_alone_if_predictions_are_given():
    said, y = too_sure(100)
    p = np.exp(said)
    p[7] = [0.0, 0.25, 0.25, 0.25, 0.25]
    monitor = CalibrationMonitor(window=100).update(p, y)
    softened, exact = (monitor.window_rows(softened=s)[0] for s in (True, False))
    np.testing.assert_allclose(np.exp(softened[7, 0]), 1e-4 / 5, rtol=1e-6)
    assert exact[7, 0] == -np.inf
    others = np.arange(100) != 7
    assert np.array_equal(softened[others], exact[others])
    copy = CalibrationMonitor.from_json(monitor.to_json())
    assert copy.temperature_ == monitor.temperature_


@pytest.mark.parametrize(
    "model",
    [GaussianNB(var_smoothing=1e-12), RandomForestClassifier(5, random_state=0), "small"],
    ids=["logarithms", "zeros", "small probabilities"],
)
def test_models_are_softened_as_a_calibrator_softens_them(blobs, model):
    X, y = blobs.X_held, blobs.y_held
    if model == "small":
        said, y = too_sure(len(X), 3)
        X, model = np.arange(len(y))[:, None], Told(np.exp(said)).fit(None, np.arange(3))
    else:
        model.fit(blobs.X, blobs.y)
    monitor = CalibrationMonitor(model, window=len(y)).update(X, y)
    fitted = TemperatureCalibrator(FrozenEstimator(model), alpha=1.0).fit(X, y)
    assert_same_temperature(monitor, fitted)
    new = monitor.recalibrated(shift=False)
    np.testing.assert_allclose(new.predict_proba(X), fitted.predict_proba(X), atol=1e-6)
    shift = ClassShift(FrozenEstimator(model)).fit(X, y)
    np.testing.assert_allclose(monitor.class_shift_, shift.shift_, atol=1e-5)
    report = calibration_report(monitor, n_resamples=3)
    assert_same_report(report, calibration_report(model, X, y, n_resamples=3), rel=1e-5)


def test_members_are_softened_as_in_the_deployed_merge(blobs):
    models = {
        "forest": RandomForestClassifier(5, random_state=0).fit(blobs.X, blobs.y),
        "bayes": GaussianNB(var_smoothing=1e-12).fit(blobs.X, blobs.y),
        "linear": LogisticRegression(C=1e4).fit(blobs.X * 9, blobs.y),
    }
    merged = MergedClassifier.from_fitted(models, blobs.X_held, blobs.y_held)
    X, y = blobs.X_test[:60], blobs.y_test[:60]
    monitor = CalibrationMonitor(merged, window=60, tolerance=0.1).update(X, y)
    alone = {
        name: TemperatureCalibrator(FrozenEstimator(m), temperature=1.0)
        .fit(blobs.X_held, blobs.y_held)
        .predict_log_proba(X)
        for name, m in models.items()
    }
    report = monitor.member_report()
    for name, z in alone.items():
        fitted = TemperatureCalibrator(alpha=1.0).fit(z, y)
        at = list(models).index(name)
        assert np.asarray(report["temperature"])[at] == pytest.approx(fitted.temperature_, rel=1e-5)
        loss = -z[np.arange(60), y].mean()
        assert np.asarray(report["log_loss"])[at] == pytest.approx(loss, rel=1e-5)
    again = {m.name: m for m in fitted_merge(monitor.remerged().estimator_.estimator).members}
    for name, z in alone.items():
        np.testing.assert_allclose(again[name].read_log_proba(X), z, atol=1e-9)
