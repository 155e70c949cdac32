"""Optima at rounding level: residuals in extended precision, and brute force on small problems."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from sklearn.exceptions import ConvergenceWarning

from skmergecal._numerics import log_softmax, softmax
from skmergecal._temperature._fit import fit_temperature
from skmergecal._temperature._loss import ScalingLoss
from skmergecal.pooling import fit_linear_pool, fit_logarithmic_pool
from tests.strategies import draw_labels, problems, seeds

HALF_CHI2_95 = 3.841458820694124 / 2


def derivatives(z, y, weight, t):
    """Mean loss, slope and curvature in t = log(1 / T), in extended precision."""
    x = z.astype(np.longdouble) * np.exp(np.longdouble(t))
    x -= x.max(axis=1, keepdims=True)
    e = np.exp(x)
    p = e / e.sum(axis=1, keepdims=True)
    true = x[np.arange(len(y)), y]
    mean = (p * x).sum(axis=1)
    variance = (p * (x - mean[:, None]) ** 2).sum(axis=1)
    w = np.ones(len(y)) if weight is None else weight
    n = w.sum()
    slope = w @ (mean - true) / n
    return w @ (np.log(e.sum(axis=1)) - true) / n, slope, w @ variance / n + slope


def error_of_log_temperature(z, y, weight, temperature):
    """The Newton step that is left, in extended precision."""
    _, slope, curvature = derivatives(z, y, weight, -np.log(np.longdouble(temperature)))
    return abs(float(slope / curvature))


@given(problems(), st.sampled_from([0.0, 0.5, 30.0]))
def test_the_temperature_is_exact_to_rounding(problem, alpha):
    (z,), y, weight = problem
    try:
        fit = fit_temperature(z, y, weight, alpha=alpha)
    except ConvergenceWarning:
        assume(False)
    t = -np.log(np.longdouble(fit.temperature))
    _, slope, curvature = derivatives(z, y, weight, t)
    penalty = alpha / weight.sum()
    left = (slope + penalty * t) / (curvature + penalty)
    assert abs(left) <= 2e-13


@pytest.mark.parametrize("n_classes", [2, 3, 10, 33, 300])
@pytest.mark.parametrize("kind", ["calibrated", "heavy tails", "one class", "far start", "weights"])
def test_many_rows_are_exact_to_rounding(n_classes, kind):
    rng = np.random.default_rng(n_classes)
    n = 400_000 // (10 + n_classes)
    z = 2 * rng.normal(size=(n, n_classes))
    if kind == "heavy tails":
        z = rng.standard_t(1.5, size=z.shape)
    y = draw_labels(rng, log_softmax(z / 1.7))
    if kind == "one class":
        y[:] = 1
        z[:, 1] += 4
    if kind == "far start":
        z = z * 3e4
    weight = rng.exponential(size=n) if kind == "weights" else None
    fit = fit_temperature(z, y, weight)
    assert error_of_log_temperature(z, y, weight, fit.temperature) <= 1e-13


@given(seeds, st.integers(2, 4), st.integers(30, 3000))
def test_the_interval_agrees_with_bisection(seed, n_classes, n):
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(n, n_classes))
    y = draw_labels(rng, log_softmax(z / 1.5))
    y[0] = z[0].argmin()
    fit = fit_temperature(z, y)
    assume(fit.interval[1] < np.inf)
    centre = -np.log(fit.temperature)
    best = derivatives(z, y, None, centre)[0]

    def excess(t):
        return float(n * (derivatives(z, y, None, t)[0] - best) - HALF_CHI2_95)

    high, low = (-np.log(np.array(fit.interval)) - centre).tolist()
    assert brentq(excess, centre, centre + 2 * high) - centre == pytest.approx(high, rel=1e-6)
    assert brentq(excess, centre, centre + 2 * low) - centre == pytest.approx(low, rel=1e-6)


@given(seeds, st.integers(2, 4))
@settings(max_examples=20)
def test_the_interval_of_many_rows_needs_no_visit(seed, n_classes):
    """Read off the model of the slope, it has an error far below its own meaning."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(60_000, n_classes))
    y = draw_labels(rng, log_softmax(z / 1.5))
    fit = fit_temperature(z, y)
    best = derivatives(z, y, None, -np.log(fit.temperature))[0]
    for end in fit.interval:
        rise = len(y) * (derivatives(z, y, None, -np.log(end))[0] - best)
        assert float(rise) == pytest.approx(HALF_CHI2_95, rel=1e-5)


@given(problems(max_members=4), st.sampled_from([0.01, 1.0, 30.0]))
def test_logit_weights_are_exact_to_rounding(problem, alpha):
    """No Newton step is left in weights of unit curvature, and none at 0 would rather grow."""
    z, y, weight = problem
    z = [log_softmax(m) for m in z]
    fit = fit_logarithmic_pool(z, y, weight, alpha=alpha)
    beta = (fit.weights / fit.temperature).astype(np.longdouble)
    ridge = alpha * len(z) / weight.sum()
    gaps = np.array(z, dtype=np.longdouble)
    gaps -= gaps[:, np.arange(len(y)), y][:, :, None]
    p = np.exp(np.einsum("k,knc->nc", beta, gaps))
    p /= p.sum(axis=1, keepdims=True)
    means = np.einsum("nc,knc->kn", p, gaps)
    of_row = np.einsum("nc,knc,jnc->kjn", p, gaps, gaps) - means[:, None] * means
    hessian = np.average(of_row, axis=2, weights=weight) + ridge * np.eye(len(z))
    gradient = np.average(means, axis=1, weights=weight) + ridge * (beta - 1 / len(z))
    scale = 1 / np.sqrt(hessian.diagonal())
    size = np.average(np.abs(means), axis=1, weights=weight) + ridge
    used = beta > 0
    scaled = (hessian * scale * scale[:, None])[np.ix_(used, used)].astype(float)
    left = np.linalg.solve(scaled, (gradient * scale)[used].astype(float))
    assert np.abs(left).max(initial=0.0) <= 2e-13
    assert (gradient[~used] >= -2e-13 * size[~used]).all()


@given(problems(max_members=5))
def test_linear_weights_are_exact_to_rounding(problem):
    """Members in use explain the rows equally well, no other explains them better."""
    z, y, weight = problem
    p = [softmax(m) for m in z]
    fit = fit_linear_pool(p, y, weight)
    true = np.array([m[np.arange(len(y)), y] for m in p], dtype=np.longdouble)
    ratio = np.average(true / (fit.weights @ true), axis=1, weights=weight)
    assert fit.weights.sum() == pytest.approx(1, abs=1e-15)
    assert (ratio <= 1 + 2e-12).all()
    assert (np.abs(ratio - 1)[fit.weights > 0] <= 2e-12).all()


@pytest.mark.parametrize("n_classes", [2, 5, 40])
@pytest.mark.parametrize("weighted", [False, True])
def test_sums_are_those_of_the_definition(n_classes, weighted):
    """In float64 to rounding, in float32 near it, in several blocks, shifted rows or not."""
    rng = np.random.default_rng(n_classes)
    n = 300_000 // n_classes
    z = 3 * rng.normal(size=(n, n_classes)) + 1e6 * rng.integers(-1, 2, size=(n, 1))
    y = rng.integers(n_classes, size=n)
    weight = rng.exponential(size=n) if weighted else np.ones(n)
    loss = ScalingLoss(z, y, weight if weighted else None)
    x = 0.6 * (z - z.max(axis=1, keepdims=True)).astype(np.longdouble)
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    mean = (p * x).sum(axis=1)
    centred = x - mean[:, None]
    true = x[np.arange(n), y]
    rows = [np.log(np.exp(x).sum(axis=1)) - true, mean - true]
    rows += [(p * centred**2).sum(axis=1), (p * centred**3).sum(axis=1)]
    expected = np.array([weight @ r / weight.sum() for r in rows], dtype=float)
    assert loss.sums(0.6) == pytest.approx(tuple(expected), rel=1e-12)
    assert loss.rough_sums(0.6)[1:] == pytest.approx(tuple(expected[1:]), rel=1e-5)
