"""Sample weights of any size: hardly any weight, huge weights, weights whose sum overflows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from skmergecal import MergedClassifier, TemperatureCalibrator, calibration_report
from skmergecal._numerics import log_softmax
from skmergecal._temperature import Point, SlopeModel, profile_interval
from skmergecal.calibration import TemperatureStatistics, fit_temperature
from skmergecal.metrics import decompose_log_loss, expected_calibration_error
from skmergecal.pooling import (
    fit_classwise_pool,
    fit_combined_pool,
    fit_linear_pool,
    fit_logarithmic_pool,
)

N = 200


def logits_and_labels(n=N, k=3):
    rng = np.random.default_rng(0)
    z = 2 * rng.normal(size=(n, k))
    return z, (z + 1.83 * rng.gumbel(size=z.shape)).argmax(axis=1)


def members():
    z, y = logits_and_labels()
    noise = np.random.default_rng(1).normal(size=z.shape)
    return [log_softmax(z), log_softmax(z + noise), log_softmax(z - noise)], y


def temperature(weight):
    z, y = logits_and_labels()
    return fit_temperature(z, y, weight)


def pool(fit, proba=False, **settings):
    z, y = members()
    opinions = [np.exp(m) for m in z] if proba else z
    return lambda weight: fit(opinions, y, weight, **settings)


def frozen():
    z, y = logits_and_labels()
    return FrozenEstimator(LogisticRegression().fit(z, y)), z, y


def merged(weight):
    model, z, y = frozen()
    return MergedClassifier([("a", model), ("b", model)]).fit(z, y, weight)


def calibrated(weight):
    z, y = logits_and_labels()
    return TemperatureCalibrator().fit(z, y, weight)


def streamed(weight):
    z, y = logits_and_labels()
    return TemperatureCalibrator().partial_fit(z, y, sample_weight=weight)


def scored(weight):
    z, y = logits_and_labels()
    p = np.exp(log_softmax(z))
    parts = decompose_log_loss(y, p, sample_weight=weight)
    return [parts.total, parts.refinement, expected_calibration_error(y, p, sample_weight=weight)]


FITS = {
    "temperature": temperature,
    "logarithmic pool": pool(fit_logarithmic_pool),
    "average of ridges": pool(fit_logarithmic_pool, alpha="auto"),
    "linear pool": pool(fit_linear_pool, proba=True),
    "class-wise pool": pool(fit_classwise_pool),
    "combined pool": pool(fit_combined_pool),
    "merged": merged,
    "calibrated": calibrated,
    "streamed": streamed,
    "scored": scored,
}


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_weights_whose_sum_overflows_are_refused_and_the_remedy_works(fit):
    weight = np.full(N, 1e308)
    with pytest.raises(ValueError, match=r"sample_weight adds up to more.*divide the weights by"):
        fit(weight)
    fit(weight / weight.max())


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-200, 1e200, 1e300])
def test_the_temperature_does_not_depend_on_the_scale_of_the_weights(size):
    weight = np.random.default_rng(2).integers(0, 4, N).astype(float)
    usual, scaled = temperature(weight), temperature(weight * size)
    assert scaled.temperature == pytest.approx(usual.temperature, rel=1e-12)
    assert scaled.loss == pytest.approx(usual.loss, rel=1e-12)
    low, high = scaled.interval
    assert low <= scaled.temperature <= high
    np.testing.assert_allclose(scored(weight * size), scored(weight), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [1e15, 1e60, 1e300])
@pytest.mark.parametrize("name", ["logarithmic pool", "class-wise pool", "combined pool", "merged"])
def test_pools_of_rows_that_count_often_end(name, size):
    found = FITS[name](np.full(N, size))
    if name == "merged":
        assert np.isfinite(found.predict_proba(logits_and_labels()[0])).all()
    else:
        assert np.isfinite(getattr(found, "classwise", found).weights).all()


@pytest.mark.parametrize("name", ["logarithmic pool", "average of ridges", "class-wise pool"])
def test_hardly_any_weight_leaves_a_pool_at_what_its_ridge_prefers(name):
    weights = FITS[name](np.full(N, 5e-324)).weights
    np.testing.assert_allclose(weights, 1 / 3, atol=1e-12)


def test_hardly_any_weight_is_said_by_the_estimators():
    with pytest.warns(UserWarning, match="sample_weight adds up to fewer than the 3 classes"):
        # The penalty, whose strength does not change with weights, is all that counts.
        assert calibrated(np.full(N, 5e-324)).temperature_ == pytest.approx(1.0)


def test_a_report_of_rows_that_count_often_ends():
    model, z, y = frozen()
    report = calibration_report(model, z, y, sample_weight=np.full(N, 1e-3), n_resamples=2)
    assert report.before.verdict


def test_the_search_for_an_interval_ends_without_a_loss():
    nothing = Point(0.0, *[np.nan] * 5)
    model = SlopeModel.of(None, nothing)
    assert profile_interval(lambda t: nothing, lambda t: np.nan, 10.0, 0.0, model) == (0, np.inf)


@pytest.mark.parametrize("alpha", [np.nan, np.inf, -1, "strong", None])
def test_a_strength_that_is_none_is_refused_before_the_search(alpha):
    z, y = logits_and_labels()
    match = "'alpha' parameter of {} must be a float in the range"
    with pytest.raises(ValueError, match=match.format("fit_temperature")):
        fit_temperature(z, y, alpha=alpha)
    statistics = TemperatureStatistics.of(z, y, None, np.arange(3))
    with pytest.raises(ValueError, match=match.format("fit")):
        statistics.fit(alpha)
