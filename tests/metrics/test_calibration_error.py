"""Calibration errors: closed forms, a direct sum over kernels, and identities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from skmergecal.metrics import (
    classwise_calibration_error,
    expected_calibration_error,
    maximum_calibration_error,
    smooth_calibration_error,
)
from tests.strategies import at_most, seeds

SCORES = {
    "ece": expected_calibration_error,
    "quantile": lambda *a, **kw: expected_calibration_error(*a, strategy="quantile", **kw),
    "l2": lambda *a, **kw: expected_calibration_error(*a, norm="l2", **kw),
    "debiased": lambda *a, **kw: expected_calibration_error(*a, norm="l2", debias=True, **kw),
    "mce": maximum_calibration_error,
    "classwise": classwise_calibration_error,
    "classwise quantile": lambda *a, **kw: classwise_calibration_error(
        *a, strategy="quantile", norm="max", **kw
    ),
    "smooth": smooth_calibration_error,
    "smooth classwise": lambda *a, **kw: smooth_calibration_error(*a, kind="class-wise", **kw),
}


def test_closed_form_of_two_bins():
    p = np.array([[0.7, 0.3], [0.75, 0.25], [0.4, 0.6], [0.95, 0.05]])
    y = [0, 1, 1, 0]
    # bins of width .5: all rows in (.5, 1]: mean confidence .75, accuracy 3/4
    assert expected_calibration_error(y, p, n_bins=2) == pytest.approx(0.0)
    # bins of width .1: (.5, .6] and (.6, .7] right, (.7, .8] wrong, (.9, 1] right
    gaps = np.array([0.4, 0.3, 0.75, 0.05])
    assert expected_calibration_error(y, p, n_bins=10) == pytest.approx(gaps.mean())
    assert maximum_calibration_error(y, p, n_bins=10) == pytest.approx(0.75)
    l2 = expected_calibration_error(y, p, n_bins=10, norm="l2")
    assert l2 == pytest.approx(np.sqrt((gaps**2).mean()))
    # two quantile bins: {.6, .7} both right, {.75, .95} one right
    quantile = expected_calibration_error(y, p, n_bins=2, strategy="quantile")
    assert quantile == pytest.approx((0.35 + 0.35) / 2)


def test_closed_form_class_by_class():
    p = np.array([[0.6, 0.3, 0.1], [0.6, 0.1, 0.3]])
    # class 0: .6 twice, once true; class 1: .3 and .1 in two bins; class 2 the same
    parts = [0.1, (0.3 + 0.9) / 2, (0.1 + 0.3) / 2]
    score = classwise_calibration_error([0, 1], p, n_bins=5)
    assert score == pytest.approx(np.mean(parts))
    assert maximum_calibration_error([0, 1], p, n_bins=5, kind="class-wise") == pytest.approx(0.9)


@pytest.mark.parametrize(("edge", "n_bins"), [(0.5, 4), (0.7, 10), (0.6, 5), (0.8, 15)])
def test_bins_are_closed_on_the_right(edge, n_bins):
    p = np.array([[edge, 1 - edge], [edge + 0.01, 0.99 - edge]])
    # one row on each side of the edge: nothing cancels
    score = expected_calibration_error([1, 0], p, n_bins=n_bins)
    assert score == pytest.approx((edge + 0.99 - edge) / 2)


def test_the_debiased_square_has_no_bias():
    rng = np.random.default_rng(0)
    p, truth, n = 0.7, 0.75, 40
    proba = np.tile([p, 1 - p], (n, 1))
    frequencies = rng.binomial(n, truth, 4000)
    debiased = np.array([(p - a / n) ** 2 - (a / n) * (1 - a / n) / (n - 1) for a in frequencies])
    assert debiased.mean() == pytest.approx(0.05**2, abs=3 * debiased.std() / np.sqrt(4000))
    for hits in (10, 20, 36):  # what was just averaged is what the score computes
        y = np.r_[np.zeros(hits, int), np.ones(n - hits, int)]
        score = expected_calibration_error(y, proba, norm="l2", debias=True)
        a = hits / n
        expected = max((p - a) ** 2 - a * (1 - a) / (n - 1), 0.0)
        assert score**2 == pytest.approx(expected, abs=1e-15)


def test_a_bin_of_one_row_keeps_its_gap():
    p = np.array([[0.7, 0.3]])
    assert expected_calibration_error([0], p, norm="l2", debias=True) == pytest.approx(0.3)


def smooth_by_quadrature(y, v):
    """The definition: a sum over rows and mirror images, integrated between its roots."""

    images = np.concatenate([v + 2 * m for m in range(-4, 5)] + [-v + 2 * m for m in range(-4, 5)])
    residuals = np.tile((y - v) / len(v), 18)
    # midpoints: the integrand is smooth but for kinks at its roots, each wrong by their square
    distances = (np.arange(3000) + 0.5)[:, None] / 3000 - images

    def error(sigma):
        scaled = residuals / (sigma * np.sqrt(2 * np.pi))
        return abs(np.exp(-((distances / sigma) ** 2) / 2) @ scaled).mean()

    return brentq(lambda s: error(s) - s, 1e-3, 1, xtol=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_smooth_error_is_the_fixed_point_of_its_definition(seed):
    rng = np.random.default_rng(seed)
    v = rng.beta(1.0, 2.0, 25)
    y = (rng.random(25) < v ** [1.0, 2.0, 0.5, 4.0][seed]).astype(int)
    score = smooth_calibration_error(y, np.column_stack([1 - v, v]), kind="class-wise")
    assert score == pytest.approx(smooth_by_quadrature(y, v), abs=1e-6)


def test_smooth_error_of_one_forecast_is_its_gap():
    # all residual mass has one sign, so that smoothing loses nothing
    p = np.tile([0.8, 0.2], (10, 1))
    y = np.r_[np.zeros(6, int), np.ones(4, int)]
    assert smooth_calibration_error(y, p) == pytest.approx(0.2, abs=1e-8)


def test_a_small_smooth_error_is_accurate():
    p = np.tile([0.8, 0.2], (10_000, 1))
    y = np.r_[np.zeros(7998, int), np.ones(2002, int)]
    assert smooth_calibration_error(y, p) == pytest.approx(2e-4, abs=1e-6)


@pytest.mark.parametrize("name", SCORES)
@at_most(15)  # for each of nine scores
@given(seed=seeds, n_classes=st.integers(2, 5))
def test_identities(name, seed, n_classes):
    score = SCORES[name]
    rng = np.random.default_rng(seed)
    n = 40
    p = rng.multinomial(20, rng.dirichlet(np.ones(n_classes), size=n)) / 20  # ties
    y = rng.integers(0, n_classes, n)
    weight = rng.integers(0, 4, n)
    weight[0] = 1
    value = score(y, p, sample_weight=weight)
    assert 0 <= value <= 1
    repeated = np.repeat(np.arange(n), weight)
    # rounding before the root, and the place of the fixed point
    close = 1e-7 if "debiased" in name or "smooth" in name else 1e-12
    assert value == pytest.approx(score(y[repeated], p[repeated]), abs=close)
    order = rng.permutation(n)
    shuffled = score(y[order], p[order], sample_weight=weight[order])
    assert value == pytest.approx(shuffled, abs=close)
    assert score(y, np.eye(n_classes)[y]) == 0.0


@given(seeds)
def test_the_two_columns_of_a_binary_forecast_have_one_smooth_error(seed):
    rng = np.random.default_rng(seed)
    v = rng.random(30)
    y = rng.integers(0, 2, 30)
    p = np.column_stack([1 - v, v])
    score = smooth_calibration_error(y, p, kind="class-wise")
    mirrored = smooth_calibration_error(1 - y, p[:, ::-1], kind="class-wise")
    assert score == pytest.approx(mirrored, abs=1e-8)


@given(seeds)
def test_norms_are_ordered(seed):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(3), size=50)
    y = rng.integers(0, 3, 50)
    l1, l2, largest = (expected_calibration_error(y, p, norm=n) for n in ("l1", "l2", "max"))
    assert l1 <= l2 + 1e-12
    assert l2 <= largest + 1e-12
    assert largest == maximum_calibration_error(y, p)
    assert expected_calibration_error(y, p, norm="l2", debias=True) <= l2


GOOD = np.array([[0.7, 0.3], [0.4, 0.6]])


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
@pytest.mark.parametrize(
    ("y", "proba", "message"),
    [
        ([0, 1], np.zeros((3, 2)), "proba should have shape"),
        ([0, 1], [[2.0, -1.0], [0.5, 0.5]], "take the softmax of logits"),
        ([0, 1], [[np.nan, 1.0], [0.5, 0.5]], "row 0 is"),
        ([0, 2], GOOD, "column numbers 0..1"),
        (["a", "b"], GOOD, "encode labels by their index in classes_"),
    ],
)
def test_wrong_input(score, y, proba, message):
    with pytest.raises(ValueError, match=message):
        score(y, proba)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_bins": 0}, "n_bins should be a whole number"),
        ({"n_bins": 2.5}, "n_bins should be a whole number"),
        ({"strategy": "equal"}, "strategy should be one of"),
        ({"norm": "l3"}, "norm should be one of"),
        ({"debias": True}, 'debias=True needs norm="l2"'),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        expected_calibration_error([0, 1], GOOD, **settings)


def test_wrong_kind():
    with pytest.raises(ValueError, match="kind should be one of"):
        smooth_calibration_error([0, 1], GOOD, kind="binary")
