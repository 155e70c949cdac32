"""Rows whose labels are not there yet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from skmergecal.calibration import ClassShift
from skmergecal.monitoring import CalibrationMonitor
from skmergecal.monitoring._conformal import Exchangeability
from skmergecal.monitoring._unlabelled import shares_by_confusion, shares_by_em
from tests.monitoring.test_evidence import simulate
from tests.strategies import at_most, seeds


def blob_rows(rng, n, shares):
    """Two overlapping classes on a line, whose exact probabilities are known."""
    y = rng.choice(2, n, p=shares)
    return rng.normal(size=(n, 1)) + 2.0 * y[:, None], y


@pytest.fixture(scope="module")
def model():
    X, y = blob_rows(np.random.default_rng(0), 4000, [0.5, 0.5])
    return LogisticRegression().fit(X, y)


def test_class_shares_are_found_where_rows_within_classes_stay(model):
    rng = np.random.default_rng(1)
    X_ref, y_ref = blob_rows(rng, 3000, [0.5, 0.5])
    X, _ = blob_rows(rng, 3000, [0.85, 0.15])
    monitor = CalibrationMonitor(model)
    seen = monitor.observe(X, reference=X_ref, reference_labels=y_ref)
    np.testing.assert_allclose(seen.class_shares, [0.85, 0.15], atol=0.04)
    np.testing.assert_allclose(seen.class_shares_by_confusion, [0.85, 0.15], atol=0.05)
    assert 1 <= seen.condition_number < 5
    assert not seen.alarm  # the classes are mirror images, so that confidences stay as they were
    assert monitor.alarm_ is False
    assert monitor.n_rows_ == 0
    p = model.predict_proba(X)
    assert seen.expected_log_loss == pytest.approx(-(p * np.log(p)).sum(axis=1).mean(), rel=1e-5)
    assert seen.as_dict()["n_rows"] == 3000


def test_labels_of_the_window_serve_as_the_confusion(model):
    rng = np.random.default_rng(2)
    monitor = CalibrationMonitor(model, window=1500)
    X, _ = blob_rows(rng, 800, [0.2, 0.8])
    seen = monitor.observe(X)
    assert seen.class_shares is None
    assert seen.class_shares_by_confusion is None
    monitor.update(*blob_rows(rng, 1500, [0.5, 0.5]))
    seen = monitor.unlabelled_
    np.testing.assert_allclose(seen.class_shares, [0.2, 0.8], atol=0.06)
    np.testing.assert_allclose(seen.class_shares_by_confusion, [0.2, 0.8], atol=0.08)


def test_exact_shares_of_an_exact_model_are_a_fixed_point_of_em():
    rng = np.random.default_rng(3)
    p = rng.dirichlet([0.5, 1.0, 2.0], 400)
    prior = p.mean(axis=0)
    np.testing.assert_allclose(shares_by_em(p, prior), prior, atol=1e-4)
    new = np.array([0.6, 0.3, 0.1])
    shares = shares_by_em(softmax(np.log(p) + 0.0, axis=1), new)
    shifted = ClassShift.from_shift(np.log(shares / new), classes=[0, 1, 2])
    np.testing.assert_allclose(shifted.predict_proba(np.log(p)).mean(axis=0), shares, atol=1e-6)


def test_a_confusion_that_tells_too_little_is_refused():
    assert shares_by_confusion(np.zeros((2, 2)), np.array([0, 1]))[0] is None
    blind = np.array([[0.3, 0.299], [0.2, 0.201]])
    shares, condition = shares_by_confusion(blind, np.array([0, 1, 1]))
    assert shares is None
    assert condition > 100
    shares, condition = shares_by_confusion(np.diag([0.3, 0.7]), np.array([0, 1, 1, 1]))
    np.testing.assert_allclose(shares, [0.25, 0.75])
    assert condition == pytest.approx(1)


@given(seeds)
@at_most(10)
def test_batches_change_nothing_also_in_the_first_rows(seed):
    rng = np.random.default_rng(seed)
    confidences, uniform = rng.random(6000), rng.random(6000)
    whole = Exchangeability().after(confidences, uniform)
    parts = Exchangeability()
    for rows in np.split(np.arange(6000), np.sort(rng.integers(1, 6000, 4))):
        parts = parts.after(confidences[rows], uniform[rows])
    np.testing.assert_array_equal(parts.edges, whole.edges)
    np.testing.assert_array_equal(parts.counts, whole.counts)
    assert parts.evidence.n_rows == whole.evidence.n_rows == 1000
    assert parts.evidence.log_e == pytest.approx(whole.evidence.log_e, abs=1e-10)


@pytest.mark.thorough
def test_alarms_are_rare_for_exchangeable_rows_and_certain_for_others():
    rng = np.random.default_rng(4)
    alarms = []
    for _ in range(60):  # many ties, as of forests
        values = np.round(rng.beta(5, 1, 1200), 1)
        test = Exchangeability.from_reference(values[:400]).after(values[400:], rng.random(800))
        alarms.append(test.evidence.largest >= np.log(1 / 0.05))
    assert np.mean(alarms) <= 0.08
    other = Exchangeability.from_reference(values[:400])
    other = other.after(np.round(rng.beta(2, 1, 800), 1), rng.random(800))
    assert other.evidence.largest > np.log(100)


def test_the_wealth_of_one_more_row_has_a_mean_of_what_it_was():
    """Over its tie-breaker, and over its rank in the bag: p-values are uniform."""
    rng = np.random.default_rng(5)
    start = Exchangeability.from_reference(np.round(rng.random(45), 1))
    test = start.after(np.round(rng.beta(3, 1, 30), 1), rng.random(30))
    bag = test.counts
    # One value in each bin; rounded values leave some bins empty.
    values = np.append(test.edges, 1.0) - 1e-9
    of_bin = dict(zip(np.searchsorted(test.edges, values, side="right"), values, strict=True))
    before, mean, total = test.evidence, 0.0, 0.0
    # A row that is exchangeable with the bag has the value of each of its rows equally often, if
    # the bag with it is given: leave each value out of the bag, and let it come.
    for place, value in of_bin.items():
        if bag[place] == 0:
            continue
        without = bag.copy()
        without[place] -= 1
        for uniform in (np.arange(200) + 0.5) / 200:
            later = replace(test, counts=without).after(np.array([value]), np.array([uniform]))
            wealth = np.exp(later.evidence.log_wealth[0]) + 1 - later.evidence.started
            mean += bag[place] * wealth / 200
        total += bag[place]
    assert total == bag.sum()
    expected = np.exp(before.log_wealth[0]) + 1 - before.started
    assert mean / total == pytest.approx(expected, rel=2e-3)  # 200 points for the tie-breaker


def test_state_and_seeds():
    z, _ = simulate(600, 3)
    monitor = CalibrationMonitor(random_state=3)
    monitor.observe(z[:50], reference=z[100:400])
    copy = CalibrationMonitor.from_json(monitor.to_json())
    assert copy.to_json() == monitor.to_json()
    for one in (monitor, copy):
        one.observe(z[400:])
    assert copy.unlabelled_.log_e_value == monitor.unlabelled_.log_e_value
    assert copy.unlabelled_.n_rows == 250


def test_errors_name_the_remedy():
    z, y = simulate(300, 3)
    monitor = CalibrationMonitor()
    with pytest.raises(AttributeError, match="before the first observe"):
        _ = monitor.unlabelled_
    with pytest.raises(ValueError, match="at least 100 rows: pass more"):
        monitor.observe(z, reference=z[:99])
    monitor.observe(z, reference=z[:100], reference_labels=y[:100])
    with pytest.raises(ValueError, match=r"belongs to the first call.*make a new monitor"):
        monitor.observe(z, reference=z)
    with pytest.raises(ValueError, match="at least one row"):
        monitor.observe(z[:0])
    assert monitor.unlabelled_.n_rows == 300


def test_metrics_have_names_that_stay():
    z, y = simulate(200, 2, odds=5.0)
    monitor = CalibrationMonitor(window=100).update(z, y)
    monitor.observe(z)
    expected = {
        *("n_rows", "log_e_value", "p_value", "alarm", "alarm_row", "onset", "batch_log_loss"),
        *("batch_brier_score", "batch_expected_log_loss", "log_loss", "recalibration_gain"),
        *("temperature", "temperature_low", "temperature_high", "class_shift_0", "class_shift_1"),
        *("unlabelled_log_e_value", "unlabelled_alarm", "unlabelled_expected_log_loss"),
    }
    found = monitor.metrics()
    assert set(found) == expected
    assert {type(value) for value in found.values()} == {float}
    assert found["temperature"] == monitor.temperature_
    assert set(CalibrationMonitor(alarm="run_length").metrics()) == {
        "n_rows",
        "log_e_value",
        "alarm",
    }


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what MLflow imports
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_metrics_go_to_mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a tenth of the time of a database
    z, y = simulate(200, 2)
    monitor = CalibrationMonitor(window=100).update(z, y)
    with mlflow.start_run() as run:
        mlflow.log_metrics(monitor.metrics(), step=0)
    logged = mlflow.get_run(run.info.run_id).data.metrics
    assert logged["temperature"] == pytest.approx(monitor.temperature_)
