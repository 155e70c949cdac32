"""CalibrationMonitor: batches, alarms, labels, weights, state, and the models that follow."""

from __future__ import annotations

import datetime
import json
import math
import pickle

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.calibration import ClassShift
from skmergecal.monitoring import CalibrationMonitor
from tests.monitoring.test_evidence import binary_rows, simulate


def monitored(n=600, k=3, **change):
    """A monitor with a window after rows of a changed stream."""
    z, y = simulate(n, k, **change)
    return CalibrationMonitor(window=300, tolerance=0.05).update(z, y), z, y


def numbers(monitor):
    """What a user sees, as numbers."""
    onset = -1 if monitor.onset_ is None else monitor.onset_
    row = -1 if monitor.alarm_row_ is None else monitor.alarm_row_
    return [monitor.log_e_value_, monitor.p_value_, monitor.temperature_, onset, row]


@pytest.mark.parametrize("alarm", ["ever", "run_length"])
def test_how_rows_are_cut_into_batches_changes_nothing(alarm):
    z, y = simulate(90, 4, temperature=4.0)
    whole = CalibrationMonitor(window=40, alarm=alarm, run_length=200).update(z, y)
    single = CalibrationMonitor(window=40, alarm=alarm, run_length=200)
    uneven = CalibrationMonitor(window=40, alarm=alarm, run_length=200)
    for i in range(len(y)):
        single.update(z[i : i + 1], y[i : i + 1])
    for part in np.split(np.arange(len(y)), [1, 26, 27, 80]):
        uneven.update(z[part], y[part])
    assert whole.alarm_
    for other in (single, uneven):
        np.testing.assert_allclose(numbers(other), numbers(whole), rtol=1e-10, equal_nan=True)
        assert other.recommendation_ == whole.recommendation_


def test_a_crossing_within_a_batch_counts_and_an_alarm_stays():
    z, y = simulate(400, 2, odds=4.0)
    good, labels = simulate(3000, 2, seed=1)
    crossed = CalibrationMonitor().update(np.vstack([z, good]), np.append(y, labels))
    assert crossed.alarm_
    assert crossed.alarm_row_ < 400
    assert crossed.onset_ < 60
    assert crossed.p_value_ <= 0.01
    assert crossed.update(good, labels).alarm_
    crossed.reset()
    assert not crossed.alarm_
    assert crossed.onset_ is None
    assert (crossed.e_value_, crossed.p_value_, crossed.n_rows_) == (1.0, 1.0, 0)
    assert len(crossed.to_frame()) == 2


def test_onset_is_near_the_change_after_many_good_rows():
    z, y = simulate(1500, 3)
    later, labels = simulate(800, 3, temperature=2.0, seed=1)
    for alarm in ("ever", "run_length"):
        monitor = CalibrationMonitor(alarm=alarm).update(z, y).update(later, labels)
        assert monitor.alarm_
        assert monitor.alarm_row_ >= 1500
        assert abs(monitor.onset_ - 1500) < 150


def test_probabilities_and_their_logarithms_are_the_same():
    z, y = simulate(200, 3)
    logs = CalibrationMonitor().update(z, y)
    proba = CalibrationMonitor().update(np.exp(z), y)
    assert proba.log_e_value_ == pytest.approx(logs.log_e_value_, rel=1e-12)
    frame = logs.to_frame()
    assert frame["log_loss"][0] == pytest.approx(log_loss(y, np.exp(z)))
    assert frame["brier_score"][0] == pytest.approx(
        ((np.exp(z) - np.eye(3)[y]) ** 2).sum(axis=1).mean()
    )


def test_a_probability_of_0_of_what_happened_is_finite():
    forest = np.array([[1.0, 0.0], [0.0, 1.0]] * 50)
    y = np.array([0, 1] * 50)
    y[7] = 0
    monitor = CalibrationMonitor(window=50).update(forest, y)
    assert math.isfinite(monitor.log_e_value_)
    assert np.isfinite(monitor.to_frame()["log_loss"][0])
    assert monitor.temperature_ < 10
    with np.errstate(divide="ignore"):
        logs = CalibrationMonitor(window=50).update(np.log(forest), y)
    assert logs.log_e_value_ == pytest.approx(monitor.log_e_value_)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"temperature": 2.5}, "recalibrate"),
        ({"odds": 4.0}, "shift"),
        ({"temperature": 2.0, "odds": 4.0}, "shift"),
        ({}, "keep"),
    ],
    ids=str,
)
def test_recommendation_and_the_model_that_follows(change, expected):
    monitor, _, _ = monitored(**change)
    assert monitor.recommendation_ == expected
    assert monitor.recommendation_ in {"keep"} or expected in monitor.reasons_
    new, labels = simulate(2000, 3, seed=9, **change)
    following = monitor.recalibrated()
    before, after = log_loss(labels, np.exp(new)), log_loss(labels, following.predict_proba(new))
    assert after < before + 0.01
    if change:
        assert after < before - 0.01
        assert monitor.recalibration_gain_ > (0 if "temperature" in change else -0.01)
    steps = [step for _, step in getattr(following, "steps", [("", following)])]
    names = ["ClassShift"] * (expected == "shift") + ["TemperatureCalibrator"]
    assert [type(step).__name__ for step in steps] == names


def test_estimates_of_the_window_are_those_of_a_fit():
    monitor, z, y = monitored(temperature=1.6)
    z = log_softmax(z[-300:].astype(np.float32).astype(np.float64), axis=1)
    fit = TemperatureCalibrator(alpha=1.0).fit(z, y[-300:])
    assert monitor.temperature_ == pytest.approx(fit.temperature_, rel=1e-6)
    assert monitor.temperature_interval_ == pytest.approx(fit.temperature_interval_, rel=1e-5)
    shift = ClassShift().fit(z, y[-300:])
    np.testing.assert_allclose(monitor.class_shift_, shift.shift_, atol=1e-6)
    np.testing.assert_allclose(monitor.class_shift_interval_, shift.shift_interval_, atol=1e-6)
    assert monitor.log_loss_ == pytest.approx(log_loss(y[-300:], np.exp(z)), rel=1e-6)


def test_a_deployed_estimator_is_read_and_never_changed(blobs):
    X, y, X_new, y_new = blobs.X_held, blobs.y_held, blobs.X_test, blobs.y_test
    model = TemperatureCalibrator(FrozenEstimator(GaussianNB().fit(blobs.X, blobs.y))).fit(X, y)
    state = {name: np.copy(v) for name, v in vars(model.estimator_.estimator).items()}
    monitor = CalibrationMonitor(model, window=50).update(X_new, y_new)
    bare = CalibrationMonitor(classes=model.classes_, tolerance=0.05, window=50).update(
        model.predict_proba(X_new), y_new
    )
    assert monitor.tolerance_.log_temperature >= 0.05
    given = CalibrationMonitor(model, tolerance=0.05, window=50).update(X_new, y_new)
    assert given.log_e_value_ == pytest.approx(bare.log_e_value_, rel=1e-8)
    following = monitor.recalibrated()
    by_hand = log_softmax(model.predict_log_proba(X_new) / following.temperature_, axis=1)
    np.testing.assert_allclose(following.predict_log_proba(X_new), by_hand, atol=1e-9)
    both = monitor.recalibrated(shift=True)
    assert both.predict_proba(X_new).shape == (len(y_new), len(model.classes_))
    loop = CalibrationMonitor(both)
    assert loop.tolerance_.log_temperature > 0.05
    assert (loop.tolerance_.shifts > 0.05).all()
    for name, value in state.items():
        assert np.array_equal(np.asarray(getattr(model.estimator_.estimator, name)), value)


def test_auto_takes_what_the_calibrator_knows():
    z, y = simulate(200, 3)
    calibrator = TemperatureCalibrator().fit(z, y)
    low, high = calibrator.temperature_interval_
    monitor = CalibrationMonitor(calibrator)
    half = math.log(high / low) / 2
    assert monitor.tolerance_.log_temperature == pytest.approx(1.5 * half)
    shifted = ClassShift().fit(z, y)
    expected = np.maximum(0.05, 3 / np.sqrt(np.bincount(y)))
    for known in (shifted, calibrator):
        np.testing.assert_allclose(CalibrationMonitor(known).tolerance_.shifts, expected)
    weight = np.where(np.arange(200) % 2, 3.0, 1.0)
    merged = MergedClassifier({"a": GaussianNB()}, cv=2).fit(z, y, weight)
    assert merged.class_counts_.tolist() == np.bincount(y, weight).tolist()
    expected = np.maximum(0.05, 3 / np.sqrt(merged.class_counts_))
    for known in (merged, pickle.loads(pickle.dumps(merged))):
        np.testing.assert_allclose(CalibrationMonitor(known).tolerance_.shifts, expected)
    learned_nothing = MergedClassifier.from_fitted(list(merged.estimators_), z, y, weights=None)
    assert CalibrationMonitor(learned_nothing).tolerance_.shifts.tolist() == [0.05] * 3
    bare = LogisticRegression().fit(z, y)
    assert CalibrationMonitor(bare).tolerance_.shifts.tolist() == [0.05] * 3
    statistics = TemperatureCalibrator().partial_fit(z, y)
    assert CalibrationMonitor(statistics).tolerance_.shifts.tolist() == [0.05] * 3
    assert CalibrationMonitor(calibrator, tolerance=0).tolerance_.log_temperature == 0


def test_weights_of_0_are_absent_and_halves_count_less():
    z, y = simulate(300, 3, odds=3.0)
    weight = (np.arange(300) % 2).astype(float)
    weighted = CalibrationMonitor().update(z, y, weight)
    removed = CalibrationMonitor().update(z[1::2], y[1::2])
    assert weighted.log_e_value_ == removed.log_e_value_
    half = CalibrationMonitor().update(z, y, np.full(300, 0.5))
    doubled = CalibrationMonitor(max_weight=2).update(z, y, np.full(300, 1.0))
    assert half.log_e_value_ == doubled.log_e_value_
    assert half.log_e_value_ < CalibrationMonitor().update(z, y).log_e_value_


def test_labels_of_batches_come_once_and_late_ones_are_noted():
    z, y = simulate(40, 2)
    march, april, may = (datetime.date(2026, month, 1) for month in (3, 4, 5))
    monitor = CalibrationMonitor().update(z, y, label=may).update(z, y, label=march)
    assert monitor.update(z, y, label=april).to_frame()["late"].tolist() == [False, True, True]
    before = monitor.log_e_value_
    with pytest.raises(ValueError, match=r"2026-03-01.* has come already.*another label"):
        monitor.update(z, y, label=np.datetime64("2026-03-01"))
    assert monitor.log_e_value_ == before
    assert monitor.update(z, y, label="2026-03-01 again").n_rows_ == 160
    with pytest.raises(TypeError, match=r"label should be a str.*pass str\(label\)"):
        monitor.update(z, y, label=(1, 2))
    monitor.update(z, y, label=str((1, 2)))


def test_memory_does_not_grow(monkeypatch):
    monkeypatch.setattr("skmergecal.monitoring._batches.RECORDED", 20)
    monitor = CalibrationMonitor(window=10)
    z, y = simulate(1, 2)
    for i in range(25):
        monitor.update(z, y, label=i)
    assert monitor.to_frame()["batch"].tolist() == list(range(5, 25))
    assert len(monitor._streams.window) == 10


@pytest.mark.parametrize("window", [None, 100])
@pytest.mark.parametrize(
    "labels", [["a", "b", "c"], [-3, 7, 100], np.array([0, 7, 255], dtype=np.uint8)], ids=str
)
def test_state_as_json_is_the_same_to_the_bit(window, labels):
    z, y = simulate(330, 3, odds=2.0)
    y = np.array(labels)[y]
    monitor = CalibrationMonitor(window=window, classes=labels, alarm="run_length")
    monitor.update(z[:7], y[:7]).update(z[7:130], y[7:130], label=datetime.date(2026, 1, 1))
    text = monitor.to_json()
    assert json.loads(text)["version"] == 1
    assert len(text) < (25_000 if window else 16_000)
    copy = CalibrationMonitor.from_json(text)
    assert copy.to_json() == text
    assert copy.classes_.tolist() == list(labels)
    for one in (monitor, copy):
        one.update(z[130:], y[130:])
    assert copy.to_json() == monitor.to_json()
    assert copy.log_e_value_ == monitor.log_e_value_
    with pytest.raises(ValueError, match="has come already"):
        copy.update(z, y, label=datetime.date(2026, 1, 1))


def test_state_before_any_row():
    copy = CalibrationMonitor.from_json(CalibrationMonitor(alpha=0.05).to_json())
    assert (copy.alpha, copy.e_value_, copy.alarm_, copy.recommendation_) == (
        0.05,
        1,
        False,
        "keep",
    )


def test_what_is_no_state_is_refused():
    text = CalibrationMonitor().update(*binary_rows(30)).to_json()
    newer = json.loads(text) | {"version": 2}
    damaged = text.replace("Evidence", "CalibrationMonitor")
    for wrong in ("", "[]", "{}", json.dumps(newer), damaged, text[:-20]):
        with pytest.raises(ValueError, match="text should be what to_json"):
            CalibrationMonitor.from_json(wrong)
    other = GaussianNB().fit([[0.0], [1.0], [2.0]], [0, 1, 2])
    with pytest.raises(ValueError, match="pass the estimator that was monitored"):
        CalibrationMonitor.from_json(text, other)


def test_sums_of_monitors_are_products_of_what_each_alternative_won():
    parts = [simulate(400, 3, odds=2.5, seed=seed) for seed in range(3)]
    monitors = [CalibrationMonitor(tolerance=0.05).update(z, y) for z, y in parts]
    total = sum(monitors)
    assert total.n_rows_ == 1200
    together = CalibrationMonitor(tolerance=0.05)
    for z, y in parts:
        together.update(z, y)
    assert total.log_e_value_ == pytest.approx(sum([together]).log_e_value_, rel=1e-10)
    assert total.alarm_
    assert (monitors[0] + monitors[1]).log_e_value_ == (monitors[1] + monitors[0]).log_e_value_
    for name in ("onset_", "temperature_", "recommendation_", "update"):
        with pytest.raises(AttributeError, match=f"no {name}.*Ask the monitor of each site"):
            getattr(total, name)


def test_sums_that_mean_nothing_are_refused():
    z, y = simulate(50, 3)
    monitor = CalibrationMonitor().update(z, y)
    others = {
        "do not add up: it counts on each row": CalibrationMonitor(alarm="run_length").update(z, y),
        "only for the same classes": CalibrationMonitor(tolerance=0.2).update(z, y),
        "call its update first": CalibrationMonitor(),
    }
    for message, other in others.items():
        with pytest.raises(ValueError, match=message):
            monitor + other
    with pytest.raises(TypeError):
        monitor + 3


def test_errors_name_the_remedy_and_change_nothing():
    z, y = simulate(50, 3)
    monitor = CalibrationMonitor(window=20).update(z, y)
    text = monitor.to_json()
    cases = [
        (((z, y + 1), {}), "pass classes= with one label for each column"),
        (((z, y, np.full(50, 2.0)), {}), "pass max_weight="),
        (((3 * z, y), {}), "log_softmax"),
        (((z[:, :2], y), {}), "columns|log_softmax"),
        (((z[:0], y[:0]), {}), "at least one row"),
        (((z, y[:7]), {}), "inconsistent numbers"),
        (((np.where(z == z[3], np.nan, z), y), {}), "NaN in row 3"),
    ]
    for (given, named), message in cases:
        with pytest.raises(ValueError, match=message):
            monitor.update(*given, **named)
    assert monitor.to_json() == text
    CalibrationMonitor(classes=[1, 2, 3]).update(z, y + 1)
    CalibrationMonitor(max_weight=2).update(z, y, np.full(50, 2.0))
    CalibrationMonitor().update(log_softmax(3 * z, axis=1), y)
    with pytest.raises(ValueError, match=r"not among the classes.*leave their rows out"):
        CalibrationMonitor(classes=["a", "b", "c"]).update(z, np.full(50, "d"))
    for name in ("temperature_", "class_shift_", "log_loss_", "recalibration_gain_"):
        with pytest.raises(AttributeError, match=f"no {name}.*pass window=2000"):
            getattr(CalibrationMonitor(), name)
        with pytest.raises(AttributeError, match=f"no {name} before the first update"):
            getattr(CalibrationMonitor(window=20), name)
    with pytest.raises(AttributeError, match="pass window=2000"):
        CalibrationMonitor().update(z, y).recalibrated()


@pytest.mark.parametrize(
    "wrong",
    [{"alarm": "never"}, {"alpha": 1.0}, {"tolerance": -1}, {"window": 2}, {"max_weight": 0.5}],
    ids=str,
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=f"'{next(iter(wrong))}' parameter of CalibrationMonitor"):
        CalibrationMonitor(**wrong)


def drifting(rng, n, lost=False):
    """Rows of three features and their labels; a lost feature is noise."""
    X = rng.normal(size=(n, 3))
    true = 1 / (1 + np.exp(-X @ [1.5, 1.0, 0.5]))
    y = (rng.random(n) < true).astype(int)
    if lost:
        X = np.column_stack([rng.normal(size=n), X[:, 1:]])
    return X, y


@pytest.fixture(scope="module")
def merged():
    rng = np.random.default_rng(0)
    X, y = drifting(rng, 1200)
    columns = {"both": [0, 1], "rest": [1, 2]}
    members = {name: OnColumns(use, X[:600], y[:600]) for name, use in columns.items()}
    return MergedClassifier.from_fitted(members, X[600:], y[600:], method="logits")


class OnColumns:
    """A fitted classifier that looks at some of the columns."""

    def __init__(self, columns, X, y):
        self.columns, self.model = columns, LogisticRegression().fit(X[:, columns], y)
        self.classes_ = self.model.classes_

    def predict_proba(self, X):
        return self.model.predict_proba(X[:, self.columns])


def test_which_member_has_failed_and_weights_learned_again(merged):
    rng = np.random.default_rng(1)
    monitor = CalibrationMonitor(merged, window=400)
    for _ in range(4):
        monitor.update(*drifting(rng, 200))
    report = monitor.member_report()
    assert report.index.tolist() == ["both", "rest"]
    assert not report["alarm"].any()
    assert (report["log_e_value"] != 0).all()
    for _ in range(5):
        monitor.update(*drifting(rng, 200, lost=True))
    report = monitor.member_report()
    assert report["alarm"].tolist() == [True, False]
    assert report["gain"]["rest"] > report["gain"]["both"]
    X, y = drifting(rng, 3000, lost=True)
    following = monitor.remerged()
    assert following.estimator_.estimator.weights_[1] > merged.weights_[1]
    losses = [log_loss(y, model.predict_proba(X)) for model in (following, merged)]
    assert losses[0] < losses[1]
    copy = CalibrationMonitor.from_json(monitor.to_json(), merged)
    assert copy.to_json() == monitor.to_json()
    assert monitor.recommendation_ == "remerge"
    assert {"remerge", "investigate"} <= set(monitor.reasons_)
    assert "'both' has a log loss of" in monitor.reasons_["members"]


def test_without_members_or_window_nothing_is_merged_again(merged):
    X, y = drifting(np.random.default_rng(2), 100)
    with pytest.raises(AttributeError, match="pass window=2000"):
        CalibrationMonitor(merged).update(X, y).remerged()
    alone = CalibrationMonitor(LogisticRegression().fit(X, y), window=50).update(X, y)
    for ask in (alone.remerged, alone.member_report):
        with pytest.raises(AttributeError, match="is no MergedClassifier"):
            ask()


def test_harder_rows_are_to_be_investigated():
    z, y = simulate(400, 3, scale=3.0)
    monitor = CalibrationMonitor(window=200).update(z, y)
    noise, labels = simulate(400, 3, scale=3.0, temperature=6.0, seed=1)
    monitor.update(noise, labels)
    assert monitor.recommendation_ == "investigate"
    assert "mean entropy" in monitor.reasons_["investigate"]


def test_forests_are_read_as_they_are(blobs):
    forest = RandomForestClassifier(5, random_state=0).fit(blobs.X, blobs.y)
    monitor = CalibrationMonitor(forest, window=30).update(blobs.X_test, blobs.y_test)
    assert math.isfinite(monitor.log_e_value_)
    following = monitor.recalibrated()
    assert following.predict_proba(blobs.X_test).shape == (len(blobs.y_test), 3)
    assert "CalibrationMonitor(RandomForest" in repr(monitor)


def test_where_a_temperature_and_a_shift_say_the_same_neither_is_recommended():
    """All rows have the same probabilities."""
    z = np.log(np.tile([0.2, 0.8], (600, 1)))
    y = (np.random.default_rng(0).random(600) < 0.6).astype(int)
    monitor = CalibrationMonitor(tolerance=0.05).update(z, y)
    assert monitor.alarm_
    assert monitor.recommendation_ == "unclear"
    assert "less than 2 nats apart" in monitor.reasons_["unclear"]
