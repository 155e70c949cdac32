"""calibration_report against closed forms, and what it says of degenerate data."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmergecal import MergedClassifier, TemperatureCalibrator, calibration_report
from skmergecal.calibration import fit_temperature
from skmergecal.metrics import expected_calibration_error
from tests.stand_ins import Said

FAST = {"n_resamples": 3}


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(600, 3)) * 2
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = (p.cumsum(axis=1) < rng.random((600, 1))).sum(axis=1)
    return z, p, y


def sharpened(p, temperature):
    q = p ** (1 / temperature)
    return q / q.sum(axis=1, keepdims=True)


def test_before_is_what_the_estimator_says_and_after_is_cross_fitted(problem):
    _, p, y = problem
    q = sharpened(p, 0.4)
    labels = np.array(["a", "b", "c"])
    report = calibration_report(Said(labels).fit(), q, labels[y], **FAST)
    assert report.before.scores["log loss"].value == pytest.approx(log_loss(y, q), abs=1e-12)
    error = report.before.scores["expected calibration error"].value
    assert error == expected_calibration_error(y, q)
    after = np.empty_like(q)
    for train, test in KFold(5, shuffle=True, random_state=0).split(q):
        T = fit_temperature(np.log(q[train]), y[train], alpha=1).temperature
        after[test] = sharpened(q[test], T)
    assert report.after.scores["log loss"].value == pytest.approx(log_loss(y, after), abs=1e-12)
    assert report.change.value == pytest.approx(log_loss(y, after) - log_loss(y, q), abs=1e-12)
    assert report.change.high < 0
    fit = fit_temperature(np.log(q), y)
    np.testing.assert_allclose(report.before.temperature, (fit.temperature, *fit.interval))
    assert report.before.scores["accuracy"] == report.after.scores["accuracy"]


@pytest.mark.parametrize(
    ("temperature", "verdict"), [(0.4, "over-confident"), (2.5, "under-confident"), (1, "neither")]
)
def test_verdict(problem, temperature, verdict):
    _, p, y = problem
    report = calibration_report(Said(range(3)).fit(), sharpened(p, temperature), y, **FAST)
    assert report.verdict.startswith(verdict)
    assert report.after.verdict.startswith("neither")
    assert not report.flags
    assert (report.before.p_value < 0.05) == (temperature != 1)


@pytest.mark.parametrize("build", ["calibrator", "merged", "pipeline"])
def test_own_temperature_is_taken_off_for_before(build):
    X, y = make_classification(900, 6, n_informative=4, n_classes=3, random_state=0)
    member = LogisticRegression(C=1e3).fit(X[:60], y[:60])
    held, test = slice(60, 460), slice(460, None)
    frozen = FrozenEstimator(member)
    if build == "merged":
        model = MergedClassifier([("m", frozen)], method="logits", weights=None, calibrate="merged")
    else:
        model = TemperatureCalibrator(frozen)
    model.fit(X[held], y[held])
    fitted = make_pipeline(StandardScaler(with_mean=False, with_std=False), model)
    fitted[:1].fit(X)
    whole = fitted if build == "pipeline" else model
    report = calibration_report(whole, X[test], y[test], **FAST)
    assert report.own_temperature == model.temperature_
    before = log_loss(y[test], member.predict_proba(X[test]))
    after = log_loss(y[test], model.predict_proba(X[test]))
    assert report.before.scores["log loss"].value == pytest.approx(before, abs=1e-10)
    assert report.after.scores["log loss"].value == pytest.approx(after, abs=1e-10)
    ratio = report.before.temperature.value / report.after.temperature.value
    assert ratio == pytest.approx(model.temperature_)


def test_weights_are_frequencies(problem):
    _, p, y = problem
    model, weight = Said(range(3)).fit(), np.arange(len(y)) % 3
    cv = [(np.arange(0, 300), np.arange(300, 600)), (np.arange(300, 600), np.arange(0, 300))]
    weighted = calibration_report(model, p, y, sample_weight=weight, cv=cv, **FAST)
    part = np.repeat(np.arange(600) >= 300, weight)
    cv = [(np.flatnonzero(part == side), np.flatnonzero(part != side)) for side in (False, True)]
    repeated = calibration_report(
        model, np.repeat(p, weight, axis=0), np.repeat(y, weight), cv=cv, **FAST
    )
    for side in ("before", "after"):
        a, b = getattr(weighted, side), getattr(repeated, side)
        for name in a.scores:
            np.testing.assert_allclose(a.scores[name], b.scores[name], atol=1e-9)
        np.testing.assert_allclose(a.temperature, b.temperature)
    np.testing.assert_allclose(weighted.change, repeated.change, atol=1e-12)


def test_zeros_of_the_true_class_are_told_and_after_is_finite():
    X, y = make_classification(400, 5, random_state=0, flip_y=0.2)
    report = calibration_report(
        KNeighborsClassifier(3).fit(X[:200], y[:200]), X[200:], y[200:], **FAST
    )
    assert report.before.scores["log loss"].value == np.inf
    assert np.isfinite(report.after.scores["log loss"].value)
    assert report.change.value == -np.inf
    assert any("log loss is infinite" in flag for flag in report.flags)


@pytest.mark.parametrize(
    ("proba", "y", "flag"),
    [
        (np.tile([0.9, 0.1, 0], (50, 1)) + 1e-9, [0] * 50, "as T goes to 0"),
        (np.tile([0.9, 0.1, 0], (50, 1)) + 1e-9, [0] * 50, "wrong in only 0 rows"),
        (np.tile([0.9, 0.1, 0], (50, 1)) + 1e-9, [0] * 50, "Classes without rows: [1, 2]"),
        (np.tile([0.9, 0.06, 0.04], (60, 1)), [0, 1, 2, 1] * 15, "are not informative"),
        (np.tile([0.9, 0.06, 0.04], (60, 1)), [0, 1, 2] * 20, "All rows get the same"),
        (np.tile([0.9, 0.06, 0.04], (60, 1)), [0] * 40 + [1] * 15 + [2] * 5, "fewer than 10"),
    ],
)
def test_flags(proba, y, flag):
    proba = proba / proba.sum(axis=1, keepdims=True)
    report = calibration_report(Said(range(3)).fit(), proba, y, **FAST)
    assert any(flag in found for found in report.flags), report.flags
    assert flag in str(report)


def test_what_one_temperature_does_not_mend_is_told(problem):
    _, p, y = problem
    # A few rows are far too sure; the temperature that they want is too high for the rest.
    q = np.where(np.arange(len(p))[:, None] % 20 == 0, sharpened(p, 0.1), p)
    report = calibration_report(Said(range(3)).fit(), q, y, **FAST)
    assert report.after.p_value < 0.05
    assert any("one temperature is not enough" in flag for flag in report.flags)


def test_text_dict_and_html(problem, monkeypatch):
    _, p, y = problem
    labels = np.array(["<a>", "b", "c"])
    report = calibration_report(Said(labels).fit(), p, labels[y], **FAST)
    text, page = str(report), report._repr_html_()
    found = json.loads(json.dumps(report.as_dict()))
    assert found["classes"] == ["<a>", "b", "c"]
    assert found["before"]["scores"]["log loss"]["value"] == pytest.approx(log_loss(y, p))
    for name, score in report.before.scores.items():
        assert name in text
        assert str(score) in text
        assert str(score) in page
    assert "data:image/png;base64,iVBOR" in page
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "<img" not in report._repr_html_()


def test_reports_repeat(problem):
    _, p, y = problem
    model = Said(range(3)).fit()
    first, second = (calibration_report(model, p, y, **FAST).as_dict() for _ in range(2))
    assert first == second


def test_errors(problem):
    _, p, y = problem
    with pytest.raises(NotFittedError):
        calibration_report(LogisticRegression(), p, y)
    with pytest.raises(ValueError, match=r"labels \[2\] that are not among the classes \[0, 1\]"):
        calibration_report(Said([0, 1]).fit(), p[:, :2] / p[:, :2].sum(1, keepdims=True), y)
    with pytest.raises(ValueError, match="hold out each row exactly once"):
        calibration_report(Said(range(3)).fit(), p, y, cv=[(np.arange(9), np.arange(9, 20))])
    with pytest.raises(ValueError, match="confidence_level"):
        calibration_report(Said(range(3)).fit(), p, y, confidence_level=2)


@pytest.mark.parametrize("calibrate", [None, "merged"])
@pytest.mark.parametrize("inside", [False, True])
def test_the_loss_is_compared_with_that_which_the_fit_led_to_expect(
    problem, monkeypatch, calibrate, inside
):
    _, p, y = problem
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # the page without its picture
    some, others = slice(None, 300), slice(300, None)
    merged = MergedClassifier.from_fitted(
        [Said([0, 1, 2]).fit()], p[some], y[some], calibrate=calibrate, weights=None
    )
    model = make_pipeline(FunctionTransformer(), merged) if inside else merged
    report = calibration_report(model, p[others], y[others], **FAST)
    losses = -merged.predict_log_proba(p[others])[np.arange(300), y[others]]
    assert report.expected is merged.loss_estimate_
    assert report.surprise == pytest.approx(merged.loss_estimate_.compare(losses))
    assert abs(report.surprise) < 2.5
    for text in (str(report), report._repr_html_()):
        assert "Expected from the rows of fit: log loss of new rows" in text
        assert f"z = {report.surprise:.2g}" in text
    saved = json.loads(json.dumps(report.as_dict()))
    assert saved["expected"]["loss"] == merged.loss_estimate_.loss
    wrong = calibration_report(model, p[others], (y[others] + 1) % 3, **FAST)
    assert wrong.surprise > 5


def test_classifiers_that_expect_nothing_have_no_such_line(problem):
    _, p, y = problem
    report = calibration_report(Said([0, 1, 2]).fit(), p, y, **FAST)
    assert report.expected is None
    assert np.isnan(report.surprise)
    assert "Expected" not in str(report)
