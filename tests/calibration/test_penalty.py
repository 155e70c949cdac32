"""The penalty that keeps a temperature moderate on few rows, by default."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal._numerics import softmax
from skmergecal.calibration import fit_temperature
from tests.stand_ins import Told


def drawn(n, k=3, scale=1.0):
    """Logits that are right: labels drawn from them."""
    rng = np.random.default_rng(0)
    z = 2 * rng.normal(size=(n, k))
    return scale * z, (z + rng.gumbel(size=z.shape)).argmax(axis=1)


def nearly_separable():
    """Logits of a modest classifier that is right in 19 rows, and hardly wrong in one."""
    gaps = np.append(np.linspace(1, 3, 19), -0.02)
    y = np.arange(20) % 2
    return np.column_stack([0 * gaps, gaps * (2 * y - 1)]), y


def rows_of(z):
    return np.arange(len(z))[:, None]


class Learner(Told):
    """The same, not fitted yet."""

    def __init__(self, proba):
        self.proba = proba

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self


def frozen(z):
    return FrozenEstimator(Told(softmax(z)))


#: Every way to a temperature of one matrix of logits.
WAYS = {
    "bare": lambda z, y: TemperatureCalibrator().fit(z, y),
    "stream": lambda z, y: TemperatureCalibrator().partial_fit(z, y),
    "sums": lambda z, y: TemperatureCalibrator.from_statistics(
        TemperatureCalibrator().partial_fit(z, y).statistics_
    ),
    "frozen": lambda z, y: TemperatureCalibrator(frozen(z)).fit(rows_of(z), y),
    "out of fold": lambda z, y: TemperatureCalibrator(Learner(softmax(z)), cv=2).fit(rows_of(z), y),
    "merged": lambda z, y: MergedClassifier(
        [("m", frozen(z))], method="logits", weights=None, calibrate="merged"
    ).fit(rows_of(z), y),
    "linear": lambda z, y: MergedClassifier(
        [("m", frozen(z))], method="probabilities", calibrate="merged"
    ).fit(rows_of(z), y),
    "members": lambda z, y: MergedClassifier(
        [("m", frozen(z))], method="logits", weights=None, calibrate="members"
    ).fit(rows_of(z), y),
}


def temperature(model):
    return getattr(model, "member_temperatures_", [1.0])[0] * model.temperature_


@pytest.mark.parametrize("way", WAYS)
def test_few_rows_with_hardly_an_error_keep_a_moderate_temperature(way):
    z, y = nearly_separable()
    model = WAYS[way](z, y)
    assert 0.3 < temperature(model) < 0.5
    expected = fit_temperature(z, y, alpha=1).temperature
    assert temperature(model) == pytest.approx(expected, rel=1e-6)
    assert fit_temperature(z, y).temperature < 0.2


@pytest.mark.parametrize("right", [True, False])
def test_a_penalty_is_the_remedy_where_no_finite_temperature_is_best(right):
    z, y = drawn(20, 2)
    y = z.argmax(axis=1) if right else z.argmin(axis=1)
    with pytest.warns(ConvergenceWarning, match="or with alpha=1"):
        fit_temperature(z, y)
    with pytest.warns(ConvergenceWarning, match="or with alpha=1"):
        TemperatureCalibrator(alpha=0).fit(z, y)
    with pytest.warns(ConvergenceWarning, match="or with alpha=1"):
        TemperatureCalibrator(alpha=0).partial_fit(z, y)
    for model in (TemperatureCalibrator().fit(z, y), TemperatureCalibrator().partial_fit(z, y)):
        assert model.temperature_ == pytest.approx(fit_temperature(z, y, alpha=1).temperature)
        low, high = model.temperature_interval_
        assert 0 < low < model.temperature_ < high < np.inf


@pytest.mark.parametrize("scale", [0.3, 1.0, 20.0])
def test_many_rows_lose_nothing(scale):
    z, y = drawn(10_000, scale=scale)
    default = TemperatureCalibrator().fit(z, y).temperature_
    likelihood = TemperatureCalibrator(alpha=0).fit(z, y).temperature_
    assert default == pytest.approx(likelihood, rel=1e-3)
    assert default != likelihood


@pytest.mark.parametrize("way", ["bare", "stream", "frozen"])
def test_alpha_0_is_maximum_likelihood(way):
    z, y = drawn(60)
    model = {
        "bare": lambda m: m.fit(z, y),
        "stream": lambda m: m.partial_fit(z, y),
        "frozen": lambda m: m.set_params(estimator=frozen(z)).fit(rows_of(z), y),
    }[way](TemperatureCalibrator(alpha=0))
    expected = fit_temperature(z, y)
    assert model.temperature_ == pytest.approx(expected.temperature, rel=1e-6)
    np.testing.assert_allclose(model.temperature_interval_, expected.interval, rtol=1e-4)


def test_the_strength_does_not_change_with_weights():
    z, y = drawn(30)
    weight = np.random.default_rng(1).integers(0, 4, 30)
    weighted = TemperatureCalibrator().fit(z, y, sample_weight=weight)
    repeated = TemperatureCalibrator().fit(np.repeat(z, weight, axis=0), np.repeat(y, weight))
    assert weighted.temperature_ == pytest.approx(repeated.temperature_, rel=1e-12)
    often = TemperatureCalibrator().fit(z, y, sample_weight=np.full(30, 50.0))
    likelihood = fit_temperature(z, y).temperature
    once = TemperatureCalibrator().fit(z, y)
    assert abs(often.temperature_ - likelihood) < 0.03 * abs(once.temperature_ - likelihood)


@pytest.mark.parametrize("method", ["auto", "logits", "probabilities"])
@pytest.mark.parametrize("weights", ["log_loss", "greedy", None])
@pytest.mark.parametrize("weighted", [False, True])
def test_three_ways_agree_on_few_rows(method, weights, weighted):
    z, y = drawn(25)
    rng = np.random.default_rng(2)
    members = [(str(k), frozen(z + s * rng.normal(size=z.shape))) for k, s in enumerate([0.5, 2])]
    X, weight = rows_of(z), rng.integers(1, 4, 25) if weighted else None
    settings = {"method": method, "weights": weights}
    inside = MergedClassifier(members, calibrate="merged", **settings).fit(X, y, weight)
    around = TemperatureCalibrator(MergedClassifier(members, **settings)).fit(X, y, weight)
    steps = make_pipeline(MergedClassifier(members, **settings), TemperatureCalibrator())
    given = {f"{name}__sample_weight": weight for name, _ in steps.steps}
    expected = inside.predict_proba(X)
    np.testing.assert_allclose(around.predict_proba(X), expected, atol=1e-10)
    np.testing.assert_allclose(steps.fit(X, y, **given).predict_proba(X), expected, atol=1e-10)


@pytest.mark.parametrize("calibrate", ["members", "merged"])
def test_expected_loss_is_that_of_fits_without_each_row(calibrate):
    z, y = drawn(20, 2, scale=0.6)
    X = rows_of(z)
    merged = MergedClassifier([("m", frozen(z))], method="logits", weights=None)
    merged.set_params(calibrate=calibrate).fit(X, y)
    rows = np.arange(20)
    losses = []
    for i in rows:
        t = fit_temperature(z[rows != i], y[rows != i], alpha=1).temperature
        losses.append(fit_temperature(z[[i]] / t, y[[i]], alpha=1).loss_before)
    assert merged.loss_estimate_.loss == pytest.approx(np.mean(losses), rel=0.01)


@pytest.mark.parametrize("n", [100, 1000])
@pytest.mark.parametrize("scale", [1e-3, 1e-2, 1e3])
def test_logits_in_other_units_are_scaled_to_those_of_log_probabilities(n, scale):
    """Where logits are far too small, the penalty has a minimum of its own near T = 1."""
    z, y = drawn(n, scale=scale)
    default = TemperatureCalibrator().fit(z, y)
    assert default.temperature_ == pytest.approx(fit_temperature(z, y).temperature, rel=0.2)
    stream = TemperatureCalibrator().partial_fit(z, y)
    assert stream.temperature_ == pytest.approx(default.temperature_, rel=1e-6)
    t = np.log(default.temperature_) + np.linspace(-12, 12, 49)
    values = [fit_temperature(z / np.exp(s), y).loss_before + s * s / (2 * n) for s in t]
    assert np.argmin(values) == 24


def test_tiny_logits_of_a_stream_keep_their_temperature():
    z, y = drawn(50, scale=1e-20)
    for model in (TemperatureCalibrator().partial_fit(z, y), TemperatureCalibrator().fit(z, y)):
        assert model.temperature_ == pytest.approx(1.0)


def test_a_search_over_the_penalty(binary):
    model = FrozenEstimator(LogisticRegression(C=100).fit(binary.X[:30], binary.y[:30]))
    alphas = [0.0, 1.0, 30.0]
    search = GridSearchCV(
        TemperatureCalibrator(model), {"alpha": alphas}, scoring="neg_log_loss", cv=2
    ).fit(binary.X_held[:40], binary.y_held[:40])
    assert search.best_params_["alpha"] in alphas
    assert len(set(search.cv_results_["mean_test_score"])) == 3
    T = [
        TemperatureCalibrator(model, alpha=a).fit(binary.X_held, binary.y_held).temperature_
        for a in alphas
    ]
    assert abs(np.log(T[0])) > abs(np.log(T[1])) > abs(np.log(T[2]))


def test_the_penalty_helps_on_few_rows():
    z, y = drawn(2_000, scale=0.7)
    losses = {0: [], 1: []}
    for seed in range(12):
        rows = np.random.default_rng(seed).choice(len(y), 15, replace=False)
        for alpha, found in losses.items():
            model = TemperatureCalibrator(alpha=alpha, classes=[0, 1, 2])
            found.append(log_loss(y, model.fit(z[rows], y[rows]).predict_proba(z)))
    assert np.mean(losses[1]) < np.mean(losses[0])
