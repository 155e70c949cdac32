"""Merges of stored predictions where users take them: searches, reports, plots, files, frames."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_predict,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import make_pipeline

from skmergecal import (
    MergedClassifier,
    ReliabilityDisplay,
    TemperatureCalibrator,
    WeightsDisplay,
    calibration_report,
)
from skmergecal.merging import PredictionColumn, Predictions

NAMES = ("forest", "boosting", "net")


def told(n, n_classes=3, seed=0):
    """Labels, and noisy probabilities of them by three members."""
    rng = np.random.default_rng(seed)
    y = rng.integers(n_classes, size=n)
    stored = {}
    for name, noise in zip(NAMES, (1.0, 1.5, 2.0), strict=True):
        z = 1.5 * np.eye(n_classes)[y] + noise * rng.normal(size=(n, n_classes))
        e = np.exp(z)
        stored[name] = e / e.sum(axis=1, keepdims=True)
    return stored, y


STORED, Y = told(90)
MERGED = MergedClassifier.from_predictions(STORED, Y)
NEW = told(30, seed=1)[0]
PROBA = MERGED.predict_proba(NEW)


@pytest.mark.parametrize("rows", [slice(3, 20, 2), np.arange(9)[::-1], Y == 1, [4, 4]])
def test_rows_are_selected_for_all_members(rows):
    some = Predictions(STORED)[rows]
    assert isinstance(some, Predictions)
    assert list(some) == list(NAMES)
    for name in NAMES:
        np.testing.assert_array_equal(some[name], STORED[name][rows])
    assert some.shape == (len(some),) == (len(Y[rows]),)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_searches_and_cross_validations_split_predictions_by_row():
    stored = Predictions(STORED)
    grid = {"method": ["logits", "probabilities"], "calibrate": [None, "merged"]}
    search = GridSearchCV(MERGED, grid, cv=2, scoring="neg_log_loss", error_score="raise")
    search.fit(stored, Y)
    assert search.best_estimator_.predict_proba(NEW).shape == (30, 3)
    score = cross_val_score(search.best_estimator_, stored, Y, cv=2, scoring="neg_log_loss").mean()
    assert score == pytest.approx(search.best_score_, abs=1e-12)
    train, test, y_train, y_test = train_test_split(stored, Y, random_state=0)
    assert clone(MERGED).fit(train, y_train).score(test, y_test) > 0.5
    whole = cross_val_predict(MERGED, stored, Y, cv=2, method="predict_proba")
    assert whole.shape == (90, 3)


def test_clones_pickles_and_parameters_keep_the_members():
    again = clone(MERGED).fit(STORED, Y)
    for other in (again, pickle.loads(pickle.dumps(MERGED))):
        np.testing.assert_array_equal(other.predict_proba(NEW), PROBA)
    assert MERGED.get_params()["net"].estimator.name == "net"
    without = clone(MERGED).set_params(net="drop").fit(STORED, Y)
    assert len(without.weights_) == 2
    stored = pickle.loads(pickle.dumps(Predictions(STORED)))
    assert len(stored) == 90
    np.testing.assert_array_equal(stored["net"], STORED["net"])
    column = PredictionColumn("net", classes=["a", "b", "c"], logarithmic=True)
    assert clone(column).get_params() == column.get_params()


def test_a_dict_and_its_predictions_are_the_same_everywhere():
    surplus = {**NEW, "other": np.zeros(7), 5: "anything"}
    for same in (Predictions(NEW), surplus, {name: p.tolist() for name, p in NEW.items()}):
        np.testing.assert_array_equal(MERGED.predict_proba(same), PROBA)
    expected = clone(MERGED).fit_transform(Predictions(STORED), Y)
    np.testing.assert_array_equal(clone(MERGED).fit_transform(STORED, Y), expected)
    assert MERGED.members_log_proba(NEW).shape == (30, 3)
    assert MERGED.score(STORED, Y) == MERGED.score(Predictions(STORED), Y)
    one = {name: p[:1] for name, p in NEW.items()}
    np.testing.assert_array_equal(MERGED.predict_proba(one), PROBA[:1])


def test_reports_and_plots_take_stored_predictions():
    merged = MergedClassifier.from_predictions(STORED, Y, method="logits")
    report = merged.member_report(STORED, Y)
    own = np.array(report["log_loss"])
    losses = [-np.log(STORED[name][np.arange(90), Y]).mean() for name in NAMES]
    np.testing.assert_allclose(own, losses)
    assert merged.weight_intervals(STORED, Y, n_resamples=5).shape == (3, 2)
    assert WeightsDisplay.from_estimator(merged, STORED, Y, n_resamples=5).ax_ is not None
    rows = Predictions(STORED)
    assert "log loss" in str(calibration_report(merged, rows, Y, n_resamples=5)).lower()
    ReliabilityDisplay.from_estimator(merged, rows, Y)
    assert merged.loss_estimate_.by_member.keys() == set(NAMES)
    assert "forest" in merged._repr_html_()


def test_one_member_is_calibrated_by_a_temperature():
    column = FrozenEstimator(PredictionColumn("net", classes=[0, 1, 2]))
    calibrated = TemperatureCalibrator(column).fit(Predictions(STORED), Y)
    merged = MergedClassifier.from_predictions(
        {"net": STORED["net"]}, Y, calibrate="merged", weights=None
    )
    assert calibrated.temperature_ == pytest.approx(merged.temperature_, abs=1e-10)
    after = make_pipeline(MERGED, TemperatureCalibrator()).fit(Predictions(STORED), Y)
    assert after.predict_proba(NEW).shape == (30, 3)


def test_members_that_are_not_frozen_learn_the_labels():
    members = [(name, PredictionColumn(name)) for name in NAMES]
    labels = np.array(["x", "y", "z"])[Y]
    fitted = MergedClassifier(members, cv=3).fit(STORED, labels)
    frozen = MergedClassifier.from_predictions(STORED, labels)
    np.testing.assert_allclose(fitted.predict_proba(NEW), frozen.predict_proba(NEW), atol=1e-6)
    assert fitted.predict(NEW).dtype.kind == "U"


def test_memory_and_weights_of_rows_work(tmp_path):
    weight = np.arange(90) % 3
    holes = {name: np.where(weight[:, None] == 0, np.nan, p) for name, p in STORED.items()}
    rows = np.repeat(np.arange(90), weight)
    repeated = MergedClassifier.from_predictions(Predictions(STORED)[rows], Y[rows])
    for memory in (None, tmp_path, tmp_path):  # rows of weight 0 may lack what others have
        weighted = MergedClassifier.from_predictions(holes, Y, weight, memory=memory)
        for _ in range(2):
            np.testing.assert_allclose(
                weighted.predict_proba(NEW), repeated.predict_proba(NEW), rtol=1e-9
            )


def test_memory_maps_are_read_and_nothing_is_changed(tmp_path):
    np.save(tmp_path / "net.npy", STORED["net"].astype(np.float32))
    mapped = np.load(tmp_path / "net.npy", mmap_mode="r")
    given = {**STORED, "net": mapped}
    before = {name: p.copy() for name, p in STORED.items()}
    merged = MergedClassifier.from_predictions(given, Y)
    merged.predict_proba(given)[:] = -1
    member = merged.estimators_[0]
    member.predict_proba(STORED)[:] = -1
    for name, p in before.items():
        np.testing.assert_array_equal(STORED[name], p)


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_with_nan_are_dropped_for_all_members(weighted):
    lacking = {name: p.copy() for name, p in STORED.items()}
    lacking["net"][5:9, 1] = np.nan
    lacking["forest"][80] = np.nan
    weight = np.linspace(1, 2, 90) if weighted else None
    kept = np.setdiff1d(np.arange(90), [5, 6, 7, 8, 80])
    merged = MergedClassifier.from_predictions(
        lacking, Y.tolist(), weight, missing="drop_rows", method="logits"
    )
    part = weight[kept] if weighted else None
    expected = MergedClassifier.from_predictions(
        Predictions(STORED)[kept], Y[kept], part, method="logits"
    )
    np.testing.assert_array_equal(merged.predict_proba(NEW), expected.predict_proba(NEW))
    with pytest.raises(ValueError, match="'net' have NaN in 4 of 90 rows, first in row 5"):
        MergedClassifier.from_predictions({**STORED, "net": lacking["net"]}, Y)
    with pytest.raises(ValueError, match="'forest' have NaN in 1 of 90 rows, first in row 80"):
        merged.predict_proba(lacking)


def framed(stored, dtype="Float64", columns=None):
    import pandas as pd

    return {name: pd.DataFrame(p, columns=columns).astype(dtype) for name, p in stored.items()}


@pytest.mark.parametrize("dtype", ["Float64", "Float32", "object"])
def test_gaps_in_frames_are_nan_whatever_pandas_calls_them(dtype):
    import pandas as pd

    lacking = framed(STORED, dtype)
    lacking["net"].iloc[5:9, 1] = pd.NA
    kept = np.setdiff1d(np.arange(90), range(5, 9))
    merged = MergedClassifier.from_predictions(lacking, Y, missing="drop_rows")
    expected = MergedClassifier.from_predictions(Predictions(STORED)[kept], Y[kept])
    atol = 1e-6 if dtype == "Float32" else 1e-12
    np.testing.assert_allclose(
        merged.predict_proba(framed(NEW, dtype)), expected.predict_proba(NEW), atol=atol
    )
    for refused in (MergedClassifier.from_predictions, lambda new, _: merged.predict_proba(new)):
        with pytest.raises(ValueError, match="'net' have NaN in 4 of 90 rows, first in row 5"):
            refused(lacking, Y)
    second = [lacking["net"], framed(STORED, dtype)["net"]]
    np.testing.assert_allclose(Predictions({"net": second})["net"], STORED["net"], atol=atol)


def test_columns_of_one_name_are_not_one_column():
    two = told(90, 2)[0]
    twice = framed(two, "object", columns=["yes", "yes"])
    with pytest.raises(ValueError, match=r"'forest' should have different columns; got \['yes',"):
        MergedClassifier.from_predictions(twice, Y > 0)
    y = Y > 0
    MergedClassifier.from_predictions({n: p.to_numpy() for n, p in twice.items()}, y)  # remedies
    MergedClassifier.from_predictions(framed(two, "object", columns=[False, True]), y)


def test_names_and_rows_that_were_meant_otherwise():
    """Each message has a remedy, which is applied."""
    numbered = dict(enumerate(STORED.values()))
    with pytest.raises(ValueError, match=r"named by str, .* got 0: pass {str\(name\)"):
        MergedClassifier.from_predictions(numbered, Y)
    MergedClassifier.from_predictions({str(name): p for name, p in numbered.items()}, Y)
    rows = {name: list(p) for name, p in STORED.items()}
    with pytest.raises(ValueError, match=r"have 3 rows, but y has 90 .*pass np\.array\(rows\)"):
        MergedClassifier.from_predictions(rows, Y)
    merged = MergedClassifier.from_predictions({n: np.array(p) for n, p in rows.items()}, Y)
    np.testing.assert_array_equal(merged.predict_proba(NEW), PROBA)
    seeds = {name: np.stack([p, p]) for name, p in STORED.items()}
    with pytest.raises(ValueError, match="pass several models as a list of such arrays"):
        MergedClassifier.from_predictions(seeds, Y)
    MergedClassifier.from_predictions({name: list(p) for name, p in seeds.items()}, Y)
