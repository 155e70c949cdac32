"""Calibration on a stream, and on the statistics of several sites."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.naive_bayes import GaussianNB

from skmergecal import TemperatureCalibrator
from skmergecal.calibration import fit_temperature
from tests.strategies import problems


@given(problems(max_classes=6), st.integers(1, 4))
def test_a_stream_agrees_with_the_batch(problem, n_parts):
    (z,), y, weight = problem
    classes = np.arange(z.shape[1])
    stream = TemperatureCalibrator(alpha=0)
    with warnings.catch_warnings():
        # A few rows alone may be separable; all rows together have a finite optimum.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for part in np.array_split(np.arange(len(y)), n_parts):
            if weight[part].any():
                stream.partial_fit(z[part], y[part], classes=classes, sample_weight=weight[part])
        batch = fit_temperature(z, y, weight)
    assume(batch.bound is None)
    assert stream.temperature_ == pytest.approx(batch.temperature, rel=1e-6)
    np.testing.assert_allclose(stream.temperature_interval_, batch.interval, rtol=1e-4)


def test_statistics_of_sites_add_up(blobs, members):
    frozen = FrozenEstimator(members["lda"])
    halves = np.array_split(np.arange(200), 2)
    sites = [
        TemperatureCalibrator(frozen).partial_fit(blobs.X_held[h], blobs.y_held[h]) for h in halves
    ]
    total = sites[0].statistics_ + sites[1].statistics_
    both = TemperatureCalibrator(frozen).fit(blobs.X_held, blobs.y_held)
    bare = TemperatureCalibrator.from_statistics(total)
    assert bare.temperature_ == pytest.approx(both.temperature_, rel=1e-6)
    wrapped = TemperatureCalibrator.from_statistics(total, frozen)
    np.testing.assert_allclose(
        wrapped.predict_proba(blobs.X_test), both.predict_proba(blobs.X_test), atol=1e-6
    )
    assert TemperatureCalibrator.from_statistics(total, temperature=2.0).temperature_ == 2.0


def test_statistics_of_other_classes(blobs, members):
    frozen = FrozenEstimator(members["lda"])
    site = TemperatureCalibrator(frozen).partial_fit(blobs.X_held, blobs.y_held)
    z, y = np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]]), ["a", "b", "b"]
    other = TemperatureCalibrator().partial_fit(z, y)
    with pytest.raises(ValueError, match="same classes in the same order"):
        site.statistics_ + other.statistics_
    with pytest.raises(TypeError):
        site.statistics_ + 1
    with pytest.raises(ValueError, match="the estimator's are"):
        TemperatureCalibrator.from_statistics(other.statistics_, frozen)
    with pytest.raises(ValueError, match="frozen estimator only"):
        TemperatureCalibrator.from_statistics(other.statistics_, GaussianNB())


@pytest.mark.parametrize("factor", [1e-7, 1e7])
def test_a_temperature_beyond_the_grid_of_a_stream_is_said_to_be(factor):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(100, 3))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    with pytest.warns(ConvergenceWarning, match="where the grid of the statistics ends"):
        stream = TemperatureCalibrator(alpha=0).partial_fit(factor * z, y)
    assert abs(np.log(stream.temperature_)) == pytest.approx(10)


def test_few_weights_of_bare_logits():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(60, 3))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    with pytest.warns(UserWarning, match="fewer than the 3 classes"):
        TemperatureCalibrator().fit(z, y, sample_weight=np.full(60, 1e-2))


def test_fit_forgets_the_stream():
    z, y = np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]]), ["a", "b", "b"]
    calibrator = TemperatureCalibrator().partial_fit(z, y)
    calibrator.fit(z, y)
    assert not hasattr(calibrator, "statistics_")
    calibrator.partial_fit(z, y)
    assert calibrator.statistics_.total == 3
    fixed = TemperatureCalibrator(temperature=3.0).partial_fit(z, y)
    assert fixed.temperature_ == 3.0


def test_statistics_that_are_none():
    with pytest.raises(TypeError, match=r"statistics_ of a calibrator .* got dict"):
        TemperatureCalibrator.from_statistics({})
