"""What a calibration report says of models that no temperature can put right."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmergecal import (
    FineTunedClassifier,
    MergedClassifier,
    TemperatureCalibrator,
    calibration_report,
)
from skmergecal.metrics import calibration_test, expected_calibration_error
from tests.stand_ins import Said

FAST = {"n_resamples": 9}


def three_parts(classes, shares, n=600):
    """Rows for training, for merging and for the report, with the same shares; noisy labels."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(len(classes)), np.round(np.multiply(shares, n)).astype(int))
    centres = rng.normal(size=(len(classes), 4)) * 0.7
    labels = np.asarray(classes)[codes]
    return [(centres[codes] + rng.normal(size=(n, 4)), labels) for _ in range(3)]


def weighted_for_balance(training):
    return LogisticRegression(class_weight="balanced").fit(*training)


def trained_on_other_shares(training):
    """As many rows of each class, by leaving rows out."""
    X, y = training
    fewest = np.unique(y, return_counts=True)[1].min()
    rows = np.concatenate([np.flatnonzero(y == label)[:fewest] for label in np.unique(y)])
    return LogisticRegression().fit(X[rows], y[rows])


def calibrated(build, training, merging):
    return TemperatureCalibrator(FrozenEstimator(build(training))).fit(*merging)


def pooled(build, training, merging):
    members = [build(training), build([part[::2] for part in training])]
    return MergedClassifier.from_fitted(members, *merging, method="logits", calibrate="merged")


CLASSES = {
    "two": (["paid", "unpaid"], [0.8, 0.2]),
    "three": ([3, 13, 23], [0.7, 0.2, 0.1]),
}
CLASSWISE = {"method": "logits", "weights": "classwise"}


def gaps(report):
    return [flag for flag in report.flags if "miss the shares" in flag]


@pytest.mark.parametrize(
    ("own", "build", "problem", "remedy"),
    [
        (None, weighted_for_balance, "two", {}),
        (None, trained_on_other_shares, "three", CLASSWISE),
        (calibrated, trained_on_other_shares, "two", CLASSWISE),
        (calibrated, weighted_for_balance, "three", {}),
        (pooled, weighted_for_balance, "two", {}),
        (pooled, trained_on_other_shares, "three", CLASSWISE),
    ],
)
def test_a_model_with_wrong_class_shares_is_flagged_until_the_remedy_is_applied(
    own, build, problem, remedy
):
    classes, shares = CLASSES[problem]
    training, merging, (X, y) = three_parts(classes, shares)
    model = build(training) if own is None else own(build, training, merging)
    report = calibration_report(model, X, y, **FAST)
    (flag,) = gaps(report)
    rarest = classes[-1]
    for side in (report.before, report.after):
        assert rarest in side.missed
        assert side.mean_proba[rarest].low > np.mean(y == rarest)
        assert "as far as these rows can tell" not in side.verdict
        assert "confident" in side.verdict
    mean = model.predict_proba(X)[:, -1].mean()
    assert any(
        side.mean_proba[rarest].value == pytest.approx(mean)
        for side in (report.before, report.after)
    )
    assert f"of {rarest!r} " in flag
    assert f"its share {np.mean(y == rarest):.4g}" in flag
    assert f"mean probability of {rarest} (share " in str(report)
    assert "No temperature corrects it" in flag
    merged = MergedClassifier.from_fitted([model], *merging, **remedy)
    again = calibration_report(merged, X, y, **FAST)
    assert not gaps(again)
    assert not again.after.missed


def test_right_shares_are_not_flagged_and_weights_count_as_rows():
    rng = np.random.default_rng(1)
    p = rng.dirichlet([4, 2, 1], size=900)
    y = (p.cumsum(axis=1) < rng.random((900, 1))).sum(axis=1)
    model = Said(["a", "b", "c"]).fit()
    labels = np.array(["a", "b", "c"])[y]
    report = calibration_report(model, p, labels, **FAST)
    assert not gaps(report)
    for label, mean in report.before.mean_proba.items():
        assert mean.low < np.mean(labels == label) < mean.high
    kept = np.where(y == 2, 0, 1)  # class "c" left out by its weights
    weighted = calibration_report(model, p, labels, sample_weight=kept * 2, **FAST)
    rows = np.repeat(np.arange(900), kept * 2)
    repeated = calibration_report(model, p[rows], labels[rows], **FAST)
    for label, mean in weighted.before.mean_proba.items():
        np.testing.assert_allclose(mean, repeated.before.mean_proba[label])
    assert weighted.before.missed == repeated.before.missed


def test_a_class_without_rows_is_named_with_its_mean_probability_and_not_a_gap_of_the_others():
    rng = np.random.default_rng(2)
    p = rng.dirichlet([4, 2, 1], size=1200)
    y = (p.cumsum(axis=1) < rng.random((1200, 1))).sum(axis=1)
    p, y = p[y != 1], y[y != 1]
    report = calibration_report(Said([0, 1, 2]).fit(), p, y, **FAST)
    assert not gaps(report)
    expected = f"Classes without rows: [1]; their mean probabilities: [{p[:, 1].mean():.4g}]"
    assert any(expected in flag for flag in report.flags)


def test_a_test_that_rejects_is_not_contradicted_by_the_verdict():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(600, 3)) * 2
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = (p.cumsum(axis=1) < rng.random((600, 1))).sum(axis=1)
    # A few rows are far too sure; the temperature that they want is too high for the rest.
    q = np.where(np.arange(600)[:, None] % 20 == 0, p**10, p)
    q /= q.sum(axis=1, keepdims=True)
    for level in (0.5, 0.95, 0.999):
        report = calibration_report(Said(range(3)).fit(), q, y, confidence_level=level, **FAST)
        assert report.after.rejected
        assert report.after.verdict.endswith("not calibrated")
        assert any("still rejects" in flag for flag in report.flags)


@pytest.mark.parametrize("seed", range(4))
def test_every_interval_of_a_report_holds_its_estimate(seed):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([3, 3], size=40)
    y = (rng.random(40) < p[:, 1]).astype(int)
    # Right in every row, and right in none, so that temperatures stop at a bound.
    for labels in (y, p.argmax(axis=1), p.argmin(axis=1)):
        report = calibration_report(Said([0, 1]).fit(), p, labels, **FAST)
        for side in (report.before, report.after):
            found = [*side.scores.values(), side.temperature, *side.mean_proba.values()]
            assert all(low <= value <= high for value, low, high in found)
        low, high = report.change[1:]
        assert low <= report.change.value <= high


def test_intervals_of_calibration_errors_hold_the_error_that_sampling_noise_made_large():
    score = partial(expected_calibration_error, n_bins=10)
    moved = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        p = rng.dirichlet([2, 2], size=60)
        y = (rng.random(60) < p[:, 1]).astype(int)
        test = calibration_test(y, p, score=score, n_resamples=19, random_state=seed)
        low, high = test.interval
        assert low <= test.statistic <= high
        moved += high == test.statistic
    assert moved  # without the guard these intervals end below it


class Counting(KNeighborsClassifier):
    """Counts how many rows it is asked for."""

    def predict_proba(self, X):
        self.rows_ = getattr(self, "rows_", 0) + len(X)
        return super().predict_proba(X)


@pytest.mark.parametrize("wrap", ["plain", "calibrator", "linear pool", "in a pipeline"])
def test_a_report_asks_the_model_once(wrap):
    training, merging, (X, y) = three_parts(*CLASSES["three"])
    model = member = Counting(3).fit(*training)
    if wrap == "calibrator":
        model = TemperatureCalibrator(FrozenEstimator(member)).fit(*merging)
    elif wrap != "plain":
        model = MergedClassifier.from_fitted([member], *merging, method="probabilities")
    if wrap == "in a pipeline":
        model = make_pipeline(FunctionTransformer().fit(X), model)
    member.rows_ = 0
    report = calibration_report(model, X, y, **FAST)
    assert member.rows_ == len(X)
    with np.errstate(divide="ignore"):
        log_p = np.log(model.predict_proba(X))
    loss = -np.mean(log_p[np.arange(len(y)), np.searchsorted(CLASSES["three"][0], y)])
    side = report.after if wrap == "calibrator" else report.before
    assert side.scores["log loss"].value == pytest.approx(loss)


def test_a_tuned_net_which_has_no_temperature_is_reported():
    training, _, (X, y) = three_parts(*CLASSES["two"])
    net = MLPClassifier((3,), max_iter=40, random_state=0, tol=1).fit(*training)
    tuned = FineTunedClassifier(FrozenEstimator(net), epochs=1, random_state=0).fit(*training)
    assert calibration_report(tuned, X, y, **FAST).own_temperature is None
