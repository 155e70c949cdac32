"""The pure fit of a temperature: closed forms, a peer, and the identities of scaling."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import ANY

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning
from sklearn.naive_bayes import GaussianNB

from skmergecal._numerics import log_softmax, mean_loss
from skmergecal._temperature._fit import fit_temperature
from skmergecal.calibration import TemperatureCalibrator
from tests.strategies import draw_labels, problems

temperatures = st.floats(0.05, 20)


def interior(z, y, weight=None):
    """The fit, where a finite temperature is best; such problems only are of interest here."""
    try:
        fit = fit_temperature(z, y, weight)
    except ConvergenceWarning:
        assume(False)
    assume(1e-3 < fit.temperature / np.abs(z).max() < 1e3)
    return fit


def nll(z, y, temperature, weight=None):
    return mean_loss(log_softmax(z / temperature), y, weight)


def test_closed_form_binary():
    # 3 of 4 rows right, all with margin 2: 2 / T = log(3)
    fit = fit_temperature([2.0, 2.0, 2.0, -2.0], [1, 1, 1, 1])
    assert fit.temperature == pytest.approx(2 / np.log(3), rel=1e-10)
    assert fit.loss == pytest.approx(-(3 * np.log(0.75) + np.log(0.25)) / 4, rel=1e-10)
    assert fit.bound is None


def test_closed_form_interval():
    # n equal margins, a share q right: 2 n (NLL(T) - min NLL) is a function of p alone.
    n, q = 400, 0.75
    y = np.r_[np.ones(int(n * q), int), np.zeros(int(n * (1 - q)), int)]
    low, high = fit_temperature(np.full(n, 2.0), y).interval
    for t in (low, high):
        p = 1 / (1 + np.exp(-2 / t))
        kl = q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))
        assert 2 * n * kl == pytest.approx(3.841458820694124, rel=1e-8)
    assert low < 2 / np.log(3) < high


def test_reference_values_from_a_formula():
    """A reproducible table: logits and labels from a formula, temperatures by brute force."""
    i, j = np.arange(2000)[:, None], np.arange(10)[None, :]
    z = 4 * np.sin(0.37 * i * (j + 1)) + 2 * np.cos(1.3 * i + j)
    y = np.argmax(z + 5 * np.sin(7.1 * i * (j + 2) + j), axis=1)
    best = minimize_scalar(
        lambda t: nll(z, y, np.exp(t)), bounds=(-3, 5), method="bounded", options={"xatol": 1e-12}
    )
    fit = fit_temperature(z, y)
    assert fit.temperature == pytest.approx(np.exp(best.x), rel=1e-6)
    assert fit.temperature == pytest.approx(1.691112358, rel=1e-8)
    assert fit.loss <= best.fun + 1e-14


@given(problems())
def test_gradient_vanishes_at_the_optimum(problem):
    (z,), y, weight = problem
    fit = interior(z, y, weight)
    p = np.exp(log_softmax(z / fit.temperature))
    rows = (p * z).sum(axis=1) - z[np.arange(len(y)), y]
    gradient = np.average(rows, weights=weight)
    assert abs(gradient) <= 1e-9 * np.average(np.abs(rows), weights=weight)


@given(problems(), st.floats(-3, 3))
def test_no_other_temperature_is_better(problem, shift):
    (z,), y, weight = problem
    fit = interior(z, y, weight)
    assert fit.loss == pytest.approx(nll(z, y, fit.temperature, weight), rel=1e-12)
    other = nll(z, y, fit.temperature * np.exp(shift), weight)
    assert fit.loss <= other + 1e-13
    assert fit.loss <= fit.loss_before + 1e-13


@given(problems(), temperatures)
def test_temperature_scales_with_the_logits(problem, c):
    (z,), y, weight = problem
    first = interior(z, y, weight)
    assert fit_temperature(c * z, y, weight).temperature == pytest.approx(
        c * first.temperature, rel=1e-8
    )


@given(problems())
def test_temperature_after_temperature_is_one(problem):
    (z,), y, weight = problem
    first = interior(z, y, weight)
    again = fit_temperature(z / first.temperature, y, weight)
    assert again.temperature == pytest.approx(1.0, abs=1e-9)


@given(problems(), st.floats(-50, 50))
def test_row_shifts_change_nothing(problem, shift):
    (z,), y, weight = problem
    first = interior(z, y, weight)
    shifted = z + shift * np.arange(len(z))[:, None]
    assert fit_temperature(shifted, y, weight).temperature == pytest.approx(
        first.temperature, rel=1e-7
    )


@given(problems())
def test_probabilities_and_logits_of_one_model_give_one_temperature(problem):
    (z,), y, weight = problem
    first = interior(z, y, weight)
    from_log_proba = fit_temperature(log_softmax(z), y, weight)
    assert from_log_proba.temperature == pytest.approx(first.temperature, rel=1e-8)


@given(problems())
def test_weights_are_frequencies(problem):
    (z,), y, weight = problem
    repeated = np.repeat(np.arange(len(y)), weight.astype(int))
    a, b = interior(z, y, weight), fit_temperature(z[repeated], y[repeated])
    assert a.temperature == pytest.approx(b.temperature, rel=1e-9)
    assert a.interval == pytest.approx(b.interval, rel=1e-6)


@given(problems(), temperatures)
def test_the_largest_class_stays_the_largest(problem, t):
    (z,), y, _ = problem
    calibrator = TemperatureCalibrator(temperature=t, classes=np.arange(z.shape[1])).fit(z, y)
    np.testing.assert_array_equal(calibrator.predict(z), z.argmax(axis=1))
    np.testing.assert_array_equal(calibrator.transform(z), z / t)


@given(problems(), st.floats(0.1, 1000))
def test_penalty_pulls_towards_one(problem, alpha):
    (z,), y, weight = problem
    free = interior(z, y, weight)
    pulled = fit_temperature(z, y, weight, alpha=alpha)
    assert abs(np.log(pulled.temperature)) <= abs(np.log(free.temperature)) + 1e-9
    t = np.linspace(-0.5, 0.5, 11) + np.log(pulled.temperature)
    n = weight.sum()
    values = [nll(z, y, np.exp(s), weight) + alpha * s * s / (2 * n) for s in t]
    assert np.argmin(values) == 5


@given(problems())
def test_interval_is_where_the_profile_likelihood_says(problem):
    (z,), y, weight = problem
    fit = interior(z, y, weight)
    low, high = fit.interval
    assert low < fit.temperature < high
    for end in (low, high):
        if 0 < end < np.inf:
            rise = 2 * weight.sum() * (nll(z, y, end, weight) - fit.loss)
            assert rise == pytest.approx(3.841458820694124, rel=1e-5)
    if high == np.inf:
        uniform = np.log(z.shape[1])
        assert 2 * weight.sum() * (uniform - fit.loss) <= 3.8415


def test_separable_logits_stop_at_a_bound():
    z = np.array([[0.3, 0.0], [0.0, 0.5], [0.2, 0.1]])
    with pytest.warns(ConvergenceWarning, match="T goes to 0"):
        fit = fit_temperature(z, [0, 1, 0])
    assert fit.bound == "lower"
    assert 3 * fit.loss == pytest.approx(np.log(2))
    assert fit.interval[0] == 0.0
    with pytest.warns(ConvergenceWarning, match="T goes to 0"):
        sure = fit_temperature(100 * z, [0, 1, 0])
    assert sure.temperature == 1.0  # sharper than its rows can tell, but no sharper than it was


def test_uninformative_logits_stop_at_a_bound():
    z = np.array([[3.0, 0.0], [0.0, 5.0], [2.0, 1.0]])
    with pytest.warns(ConvergenceWarning, match="infinity"):
        fit = fit_temperature(z, [1, 0, 1])
    assert fit.bound == "upper"
    assert fit.temperature > 100
    assert fit.interval[1] == np.inf


def test_penalty_keeps_separable_logits_finite():
    z = np.array([[3.0, 0.0], [0.0, 5.0], [2.0, 1.0]])
    fit = fit_temperature(z, [0, 1, 0], alpha=1.0)
    assert fit.bound is None
    assert 0.05 < fit.temperature < 1


def test_uniform_logits_need_no_temperature():
    fit = fit_temperature(np.zeros((4, 3)), [0, 1, 2, 0])
    assert fit.temperature == 1.0
    assert fit.interval == (0.0, np.inf)


def test_heavy_tails_do_not_limit_the_temperature():
    """A few huge and right logits must not push the bounds past the optimum."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(500, 3)) * 2
    y = np.array([rng.choice(3, p=p) for p in np.exp(log_softmax(z))])
    expected = fit_temperature(z, y).temperature
    z[:100] = 1e9 * np.eye(3)[y[:100]]
    fit = fit_temperature(z, y)
    assert fit.bound is None
    assert fit.temperature == pytest.approx(expected, rel=0.2)


def test_many_rows_are_fitted_from_a_warm_start():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(60_000, 3)) * 3
    y = (rng.random(60_000)[:, None] > np.cumsum(np.exp(log_softmax(z / 1.7)), axis=1)).sum(axis=1)
    fit = fit_temperature(z, y)
    best = minimize_scalar(lambda t: nll(z, y, t), bounds=(1, 3), method="bounded")
    assert fit.temperature == pytest.approx(best.x, rel=1e-4)
    assert fit.loss <= best.fun + 1e-15


@pytest.mark.parametrize("n_classes", [2, 32, 33, 200])
def test_both_layouts_agree_with_brute_force(n_classes):
    rng = np.random.default_rng(n_classes)
    z = rng.normal(size=(300, n_classes)) * 2
    y = rng.integers(0, n_classes, 300)
    y[::2] = z[::2].argmax(axis=1)
    fit = fit_temperature(z.astype(np.float32), y)
    best = minimize_scalar(lambda t: nll(z, y, t), bounds=(0.1, 50), method="bounded")
    assert fit.loss == pytest.approx(best.fun, abs=1e-6)


@pytest.mark.parametrize(
    ("z", "y", "match"),
    [
        (np.zeros((3, 2)), [0, 1], "whole numbers"),
        (np.zeros((2, 2)), [0, 2], r"0\.\.1"),
        (np.zeros((2, 2)), [0, -1], r"0\.\.1"),
        (np.zeros((2, 2)), [0.0, 1.0], "whole numbers"),
        ([[np.nan, 0.0]], [0], "row 0"),
        (np.zeros((2, 2, 2)), [0, 1], "shape"),
    ],
)
def test_wrong_arrays(z, y, match):
    with pytest.raises(ValueError, match=match):
        fit_temperature(z, y)


def test_more_classes_than_a_block_has_numbers():
    z = np.random.default_rng(0).normal(size=(4, 140_000))
    z[[0, 1, 2], [1, 2, 3]] += 20  # three of four rows are right
    y = np.arange(1, 5)
    fit = fit_temperature(z, y)
    assert fit.loss == pytest.approx(mean_loss(log_softmax(z / fit.temperature), y, None))


def test_blocks_that_are_too_many_to_keep_are_made_anew():
    rng = np.random.default_rng(0)
    z = 3 * rng.normal(size=(400_000, 3))
    y = draw_labels(rng, log_softmax(z / 2))
    fit = fit_temperature(z, y)
    for t, loss in ((fit.temperature, fit.loss), (1.0, fit.loss_before)):
        assert loss == pytest.approx(mean_loss(log_softmax(z / t), y, None), rel=1e-10)


@pytest.mark.parametrize("n_ties", [0, 1, 2, 10])
def test_ties_do_not_drive_a_separable_temperature_to_zero(n_ties):
    """Tied rows lose log(2) at any T: only what the others lose beyond that can say anything."""
    z = np.r_[np.full(100, 0.03), np.zeros(n_ties)]
    with pytest.warns(ConvergenceWarning, match="T goes to 0"):
        fit = fit_temperature(z, np.ones(100 + n_ties, int))
    others = 100 * np.log1p(np.exp(-0.03 / fit.temperature))
    assert others == pytest.approx(np.log(2), rel=1e-8)


def test_rows_next_to_uniform_do_not_hide_the_optimum():
    rng = np.random.default_rng(0)
    margin = 2 * rng.normal(size=1000)
    y = (margin / 1.7 + rng.logistic(size=1000) > 0).astype(int)
    noise = 1e-16 * rng.normal(size=9000)
    fit = fit_temperature(np.r_[margin, noise], np.r_[y, rng.integers(0, 2, 9000)])
    assert fit.bound is None
    assert fit.temperature == pytest.approx(fit_temperature(margin, y).temperature, rel=1e-9)


def test_a_copy_of_a_fit_needs_no_rows():
    rng = np.random.default_rng(0)
    z = 2 * rng.normal(size=(200, 3))
    y = draw_labels(rng, log_softmax(z / 1.5))
    fit, expected = fit_temperature(z, y), fit_temperature(z, y)
    numbers = expected.interval, expected.loss_before
    assert len(pickle.dumps(fit)) < z.nbytes / 4
    for copied in (pickle.loads(pickle.dumps(fit)), copy.copy(fit), copy.deepcopy(fit)):
        assert (copied.interval, copied.loss_before) == numbers
        assert copied == fit
        assert repr(copied) == repr(fit)


def test_a_fit_leaves_other_comparisons_to_the_other_object():
    fit = fit_temperature([2.0, 2.0, -2.0], [1, 1, 1])
    assert fit == fit_temperature([2.0, 2.0, -2.0], [1, 1, 1])
    assert fit == ANY


def test_a_fit_may_be_asked_from_several_threads():
    rng = np.random.default_rng(0)
    z = 2 * rng.normal(size=(20_000, 4))
    y = draw_labels(rng, log_softmax(z / 1.5))
    expected = fit_temperature(z, y)
    numbers = {"interval": expected.interval, "loss_before": expected.loss_before}
    with ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            fit = fit_temperature(z, y)
            found = list(pool.map(lambda name, fit=fit: getattr(fit, name), numbers))
            assert found == list(numbers.values())


def test_estimator_set_after_the_fit_leaves_a_calibrator_of_margins_as_it_was():
    margins, y = np.array([2.0, 1.0, -1.0, -2.0, 0.5, -0.5]), np.array([1, 1, 0, 0, 0, 1])
    fitted = TemperatureCalibrator().fit(margins, y)
    before = fitted.predict_proba(margins.tolist())
    fitted.set_params(estimator=GaussianNB())
    np.testing.assert_array_equal(fitted.predict_proba(margins.tolist()), before)
    with pytest.raises(ValueError, match="has 3 features, but TemperatureCalibrator"):
        fitted.predict_proba(np.zeros((2, 3)).tolist())
