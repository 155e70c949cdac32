"""Risk and coverage; tests of calibration and the coverage of their intervals."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from scipy.integrate import quad
from scipy.stats import binom

from skmergecal.metrics import (
    area_under_risk_coverage,
    calibration_test,
    expected_calibration_error,
    risk_coverage_curve,
)
from tests.strategies import seeds


def ties(seed, n=40):
    rng = np.random.default_rng(seed)
    p = rng.multinomial(8, [0.5, 0.3, 0.2], size=n) / 8
    return rng.integers(0, 3, n), p, rng.integers(0, 4, n) + (np.arange(n) == 0)


def test_curve_by_hand():
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.4, 0.6]])
    curve = risk_coverage_curve([0, 1, 1, 0], p)
    np.testing.assert_allclose(curve.threshold, [0.9, 0.8, 0.6])
    np.testing.assert_allclose(curve.coverage, [0.25, 0.75, 1.0])
    np.testing.assert_allclose(curve.risk, [0, 1 / 3, 1 / 2])


@given(seeds)
def test_order_of_rows_and_repetition_change_nothing(seed):
    y, p, weight = ties(seed)
    area = area_under_risk_coverage(y, p, sample_weight=weight)
    order = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(y)), weight))
    assert area == pytest.approx(area_under_risk_coverage(y[order], p[order]), abs=1e-12)
    curve = risk_coverage_curve(y, p, sample_weight=weight)
    assert curve.excess_area + 1e-12 >= 0
    assert 0 <= area <= 1
    errors = np.average(p.argmax(axis=1) != y, weights=weight)
    assert curve.risk[-1] == pytest.approx(errors)


@given(seeds)
def test_area_is_the_integral_of_the_curve(seed):
    y, p, _ = ties(seed, 20)
    curve = risk_coverage_curve(y, p)
    knots = np.r_[0, curve.coverage]
    errors = np.r_[0, curve.coverage * curve.risk]
    pieces = [quad(lambda c: np.interp(c, knots, errors) / c, a, b)[0] for a, b in pairwise(knots)]
    assert curve.area == pytest.approx(sum(pieces), abs=1e-9)


def test_area_of_known_orders():
    n, wrong = 1000, 200
    p = np.column_stack([np.linspace(0.99, 0.51, n), 1 - np.linspace(0.99, 0.51, n)])
    y = np.r_[np.zeros(n - wrong, int), np.ones(wrong, int)]
    curve = risk_coverage_curve(y, p)
    assert curve.excess_area == pytest.approx(0, abs=1e-12)
    assert curve.area == pytest.approx(0.2 + 0.8 * np.log(0.8))
    same = area_under_risk_coverage(y, p, confidence=np.ones(n))
    assert same == pytest.approx(0.2)  # no order at all: the error rate
    # the sum over rows that is often printed
    rows = np.cumsum(y) / np.arange(1, n + 1)
    assert curve.area == pytest.approx(rows.mean(), abs=2e-3)
    assert risk_coverage_curve(1 - y[:1], p[:1]).excess_area == pytest.approx(0)


def test_wrong_confidence():
    with pytest.raises(ValueError, match="confidence should hold 2 finite numbers"):
        risk_coverage_curve([0, 1], [[0.5, 0.5]] * 2, confidence=[1.0])


def test_spiegelhalter_for_two_classes_is_the_published_formula():
    rng = np.random.default_rng(0)
    v = rng.random(200)
    y = (rng.random(200) < v**2).astype(int)
    z = ((y - v) * (1 - 2 * v)).sum() / np.sqrt(((1 - 2 * v) ** 2 * v * (1 - v)).sum())
    result = calibration_test(y, np.column_stack([1 - v, v]))
    assert result.statistic == pytest.approx(z, abs=1e-10)
    low, high = result.interval
    assert low < z < high
    weight = rng.integers(0, 3, 200)
    repeated = np.repeat(np.arange(200), weight)
    p = np.column_stack([1 - v, v])
    weighted = calibration_test(y, p, sample_weight=weight)
    again = calibration_test(y[repeated], p[repeated])
    np.testing.assert_allclose(weighted.interval, again.interval, atol=1e-10)
    assert weighted.p_value == pytest.approx(again.p_value)


def test_the_sign_of_z():
    p = np.tile([0.8, 0.1, 0.1], (100, 1))
    over = np.r_[np.zeros(60, int), np.ones(40, int)]
    under = np.r_[np.zeros(97, int), np.ones(3, int)]
    assert calibration_test(over, p).statistic > 3
    assert calibration_test(under, p).statistic < -3


@pytest.mark.parametrize("rows", [[[1.0, 0.0]], [[0.5, 0.5]], [[1.0, 0.0], [0.5, 0.5]]])
def test_z_of_rows_that_are_certain_or_uniform_is_not_defined(rows):
    with pytest.raises(ValueError, match="every row is certain or uniform"):
        calibration_test([0, 1] * len(rows), np.repeat(rows, 2, axis=0))


TEN_BINS = partial(expected_calibration_error, n_bins=10)


def ten_bins(y, p, sample_weight):
    """``expected_calibration_error`` in ten bins for the forecasts below, without its checks."""
    confidence, winner = p.max(axis=1), p.argmax(axis=1)
    bins = np.ceil(10 * confidence).astype(int)
    gaps = np.bincount(bins, sample_weight * (confidence - (y == winner)))
    return np.abs(gaps).sum() / sample_weight.sum()


def simulated(rng, n=150, shift=0.0):
    """Forecasts of ten values, each in the middle of a bin, and labels; the true error is shift."""
    v = rng.integers(0, 10, n) * 0.04 + 0.57
    y = (rng.random(n) >= v - shift).astype(int)
    return y, np.column_stack([v, 1 - v])


def test_ten_bins_are_those_of_the_package():
    rng = np.random.default_rng(7)
    for shift in (0.0, 0.15):
        y, p = simulated(rng, shift=shift)
        weight = rng.integers(0, 3, len(y))
        expected = TEN_BINS(y, p, sample_weight=weight)
        assert ten_bins(y, p, weight) == pytest.approx(expected, abs=1e-12)


def bounds(n, share):
    """What 99.98 % of binomial counts lie between."""
    return binom.ppf(1e-4, n, share), binom.ppf(1 - 1e-4, n, share)


@pytest.mark.once
@pytest.mark.parametrize("score", ["spiegelhalter", ten_bins], ids=["z", "resampling"])
def test_calibrated_forecasts_are_rejected_as_often_as_stated(score):
    rng = np.random.default_rng(1)
    n = 300 if score == "spiegelhalter" else 150
    results = [
        calibration_test(*simulated(rng), score=score, n_resamples=39, random_state=i)
        for i in range(n)
    ]
    rejected = sum(r.p_value <= 0.1 for r in results)
    low, high = bounds(n, 0.1)
    assert low <= rejected <= high


@pytest.mark.once
def test_intervals_of_z_cover():
    rng = np.random.default_rng(2)
    n, truth = 400, []
    results = []
    for _ in range(n):
        y, p = simulated(rng, shift=0.1)
        results.append(calibration_test(y, p, confidence_level=0.9))
        truth.append(results[-1].statistic)
    mean = np.mean(truth)
    covered = sum(r.interval[0] <= mean <= r.interval[1] for r in results)
    low, high = bounds(n, 0.9)
    assert low <= covered <= high


@pytest.mark.once
@pytest.mark.parametrize("truth", [0.05, 0.15])
def test_bootstrap_intervals_cover(truth):
    # Between 81 and 90 %, as documented: somewhat too narrow at 15 rows a bin. Percentiles, which
    # do not take off the bias, cover 54 % at the smaller error.
    rng = np.random.default_rng(3)
    n, covered = 80, 0
    for i in range(n):
        y, p = simulated(rng, shift=truth)
        low, high = calibration_test(
            y, p, score=ten_bins, n_resamples=79, confidence_level=0.9, random_state=i
        ).interval
        covered += low <= truth <= high
    assert bounds(n, 0.81)[0] <= covered <= bounds(n, 0.9)[1]


def test_resampling_is_reproducible_and_sees_weights_as_rows():
    y, p = simulated(np.random.default_rng(4), 60)
    weight = np.random.default_rng(5).integers(0, 3, 60)
    rows = np.repeat(np.arange(60), weight)
    one = calibration_test(y, p, score=ten_bins, random_state=0, sample_weight=weight)
    two = calibration_test(y[rows], p[rows], score=ten_bins, random_state=0)
    assert one == two
    half = calibration_test(y, p, score=ten_bins, random_state=0, sample_weight=np.full(60, 0.5))
    whole = calibration_test(y, p, score=ten_bins, random_state=0)
    np.testing.assert_allclose(half.interval, whole.interval)


def test_a_miscalibrated_forecast_is_found():
    y, p = simulated(np.random.default_rng(6), 500, shift=0.2)
    assert calibration_test(y, p, score=TEN_BINS, n_resamples=99, random_state=0).p_value == 0.01


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"score": "hosmer"}, "score should be"),
        ({"confidence_level": 95}, "confidence_level should be between 0 and 1"),
        ({"score": TEN_BINS, "n_resamples": 0}, "n_resamples should be a whole number"),
    ],
)
def test_wrong_settings(settings, message):
    y, p = simulated(np.random.default_rng(0), 20)
    with pytest.raises(ValueError, match=message):
        calibration_test(y, p, **settings)


def test_z_without_variance():
    with pytest.raises(ValueError, match="no variance"):
        calibration_test([0, 1], np.eye(2))
