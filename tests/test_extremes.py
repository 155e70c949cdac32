"""Extreme input: everything finite, rows add up to 1, and no RuntimeWarning (an error in tests)."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.calibration import fit_temperature
from skmergecal.pooling import (
    fit_classwise_pool,
    fit_combined_pool,
    fit_linear_pool,
    fit_logarithmic_pool,
    linear_pool,
    logarithmic_pool,
)

RNG = np.random.default_rng(0)


def logits(n=60, k=3, scale=1.0, dtype=np.float64):
    return (scale * RNG.normal(size=(n, k))).astype(dtype)


def labels(z, share_right=0.7):
    y = np.where(RNG.random(len(z)) < share_right, z.argmax(axis=1), z.argmin(axis=1))
    return y.astype(int)


def one_hot(z):
    return np.where(z == z.max(axis=1, keepdims=True), 1e4, -1e4)


def mixed(z):
    z = z.copy()
    z[::3] *= 1e150
    z[1::3] *= 1e-150
    return z


CASES = {
    "1e4": lambda: logits(scale=1e4),
    "1e150": lambda: np.clip(logits(scale=1e150), -1e150, 1e150),
    "beyond 1e150": lambda: logits(scale=1e200),
    "largest float": lambda: np.sign(logits()) * np.finfo(float).max,
    "1e-150": lambda: logits(scale=1e-150),
    "1e-300": lambda: logits(scale=1e-300),
    "smallest and largest": lambda: mixed(logits()),
    "probabilities 0 and 1": lambda: one_hot(logits()),
    "float16": lambda: logits(dtype=np.float16),
    "float32": lambda: logits(dtype=np.float32),
    "float32, large": lambda: logits(scale=1e37, dtype=np.float32),
    "n = k": lambda: logits(12, 12),
    "n < k": lambda: logits(5, 40),
    "n < k, many classes": lambda: logits(5, 300),
    "one row": lambda: logits(1, 3),
    "one row, two classes": lambda: logits(1, 2),
    "two classes": lambda: logits(60, 2),
    "two classes, 1e150": lambda: np.clip(logits(60, 2, 1e150), -1e150, 1e150),
    "uniform": lambda: np.zeros((60, 3)),
}


@pytest.fixture(params=[*CASES])
def case(request):
    z = CASES[request.param]()
    return z, labels(np.clip(z.astype(float), -1e150, 1e150))


VARIANTS = ["no weights", "some weights 0", "tiny weights", "one class"]


@pytest.fixture(params=VARIANTS)
def variant(request):
    def change(y):
        weight = None
        if request.param == "some weights 0" and len(y) > 1:
            weight = np.arange(len(y)) % 2.0
        if request.param == "tiny weights":
            weight = np.full(len(y), 1e-12)
        return (np.zeros_like(y) if request.param == "one class" else y), weight

    return change


@pytest.fixture(autouse=True)
def only_expected_warnings():
    """No optimum, too few rows, and classes without rows; nothing else is to be said."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "sample_weight adds up to")
        warnings.filterwarnings("ignore", "no held-out row has the class")
        yield


def check_probabilities(p, n, k):
    assert p.shape == (n, k)
    assert np.isfinite(p).all()
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)


def test_fit_temperature(case, variant):
    z, y = case
    y, weight = variant(y)
    fit = fit_temperature(z, y, weight)
    assert 0 < fit.temperature < np.inf
    assert np.isfinite([fit.loss, fit.loss_before]).all()
    assert 0 <= fit.interval[0] <= fit.interval[1] <= np.inf
    assert fit_temperature(z, y, weight, alpha=1.0).temperature > 0


def test_temperature_calibrator(case, variant):
    z, y = case
    y, weight = variant(y)
    calibrator = TemperatureCalibrator(classes=np.arange(z.shape[1]))
    calibrator.fit(z, y, sample_weight=weight)
    check_probabilities(calibrator.predict_proba(z), *z.shape)
    assert np.isfinite(calibrator.predict_log_proba(z)).all()
    assert np.isfinite(calibrator.transform(z)).all()


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_logarithmic_pool(case, variant, alpha):
    z, y = case
    y, weight = variant(y)
    z = np.clip(z.astype(float), -1e150, 1e150)
    members = [z, -0.3 * z, np.roll(z, 1, axis=1)]
    fit = fit_logarithmic_pool(members, y, weight, alpha=alpha)
    assert np.isfinite(fit.weights).all()
    assert fit.weights.sum() == pytest.approx(1.0)
    assert 0 < fit.temperature < np.inf
    pooled = logarithmic_pool(members, fit.weights, fit.temperature)
    check_probabilities(np.exp(pooled), *z.shape)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("scale", [1e150, 1e4, 1e-150])
@pytest.mark.parametrize("seed", range(10))
def test_logarithmic_pool_of_unequal_members(seed, scale, alpha):
    """Members of one scale that all but cancel, and members of scales far apart."""
    rng = np.random.default_rng(seed)
    z = np.clip(scale * rng.normal(size=(60, 2)), -1e150, 1e150)
    mixed_labels = np.where(rng.random(60) < 0.7, z.argmax(axis=1), z.argmin(axis=1))
    for y in (np.zeros(60, dtype=int), mixed_labels):
        for members in (
            [z, -0.3 * z, np.roll(z, 1, axis=1)],
            [z, 1e-140 * z[::-1], rng.normal(size=z.shape)],
        ):
            fit = fit_logarithmic_pool(members, y, alpha=alpha)
            assert fit.weights.sum() == pytest.approx(1.0)
            assert 0 < fit.temperature < np.inf
            pooled = logarithmic_pool(members, fit.weights, fit.temperature)
            check_probabilities(np.exp(pooled), *z.shape)


def test_linear_pool(case, variant):
    z, y = case
    y, weight = variant(y)
    z = np.clip(z.astype(float), -1e150, 1e150)
    sharp = (z == z.max(axis=1, keepdims=True)).astype(float)
    sharp /= sharp.sum(axis=1, keepdims=True)
    members = [sharp, np.roll(sharp, 1, axis=1), np.full_like(sharp, 1 / z.shape[1])]
    fit = fit_linear_pool(members, y, weight)
    assert fit.weights.sum() == pytest.approx(1.0)
    assert np.isfinite(fit.loss)
    check_probabilities(linear_pool(members, fit.weights), *z.shape)


class Says(ClassifierMixin, BaseEstimator):
    """Gives the softmax of its input, or probabilities 0 and 1."""

    def __init__(self, shift=0, sharp=False):
        self.shift = shift
        self.sharp = sharp

    def fit(self, X, y):
        self.classes_ = np.arange(np.shape(X)[1])
        return self

    def predict_proba(self, X):
        z = np.roll(np.asarray(X, dtype=float), self.shift, axis=1)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        if self.sharp:
            p = (p == 1).astype(float)
        return p / p.sum(axis=1, keepdims=True)


POOLS = [
    ("auto", "log_loss"),
    ("auto", "greedy"),
    ("logits", "classwise"),
    *itertools.product(["logits", "probabilities"], ["log_loss", "greedy", None]),
]
CALIBRATE = [None, "members", "merged", "both"]
OPINIONS = ["1e4", "probabilities 0 and 1", "n < k", "one row", "float16"]
# Any two settings of different kinds meet, as in a Latin square; not all four.
SQUARE = [
    (*pool, CALIBRATE[(i + j + k) % 4], name, variant)
    for i, pool in enumerate(POOLS)
    for j, name in enumerate(OPINIONS)
    for k, variant in enumerate(VARIANTS)
]


@pytest.mark.parametrize(
    ("method", "weights", "calibrate", "name", "variant"), SQUARE, indirect=["variant"]
)
def test_merged_pools(method, weights, calibrate, name, variant):
    z = CASES[name]()
    y, weight = variant(labels(z.astype(float)))
    members = [Says(), Says(1), Says(sharp=True), Says(1, sharp=True)]
    frozen = [(f"m{i}", FrozenEstimator(m.fit(z, y))) for i, m in enumerate(members)]
    model = MergedClassifier(frozen, method=method, weights=weights, calibrate=calibrate)
    model.fit(z, y, sample_weight=weight)
    check_probabilities(model.predict_proba(z), *z.shape)
    assert model.weights_.sum() == pytest.approx(1.0)
    assert not np.isnan(model.predict_log_proba(z)).any()
    assert np.isfinite(model.transform(z)).all()


@pytest.mark.parametrize("calibrate", [None, "members", "merged", "both"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_merged_parameters(blobs, calibrate, scale, dtype):
    models = [LogisticRegression(C=c).fit(blobs.X, blobs.y) for c in (0.1, 10.0)]
    for model in models:
        model.coef_, model.intercept_ = model.coef_ * scale, model.intercept_ * scale
    frozen = [(f"m{i}", FrozenEstimator(m)) for i, m in enumerate(models)]
    X = blobs.X_held.astype(dtype)
    merged = MergedClassifier(frozen, method="parameters", calibrate=calibrate)
    merged.fit(X, blobs.y_held)
    check_probabilities(merged.predict_proba(X), len(X), 3)


def test_larger_logits_are_taken_as_1e150():
    z = np.array([[1e200, 0.0], [0.0, 1e170], [-1e300, 0.0], [1e150, 0.0]])
    y = np.array([0, 1, 1, 1])
    clipped = fit_temperature(np.clip(z, -1e150, 1e150), y)
    assert fit_temperature(z, y) == clipped
    a, b = (
        TemperatureCalibrator(temperature=1e150).fit(x, y) for x in (z, np.clip(z, -1e150, 1e150))
    )
    np.testing.assert_array_equal(a.transform(z), b.transform(np.clip(z, -1e150, 1e150)))


@pytest.mark.parametrize("kept", [slice(None), slice(0, 1)])
@pytest.mark.parametrize("params", [{}, {"weights": "classwise"}, {"method": "logits"}])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_single_class(blobs, params, frozen, kept):
    X, y = blobs.X[blobs.y == 1], blobs.y[blobs.y == 1]
    bayes = GaussianNB().fit(X, y)
    member = FrozenEstimator(bayes) if frozen else GaussianNB()
    rows = kept if frozen else slice(None)
    merged = MergedClassifier([("a", member), ("b", member)], **params).fit(X[rows], y[rows])
    assert merged.classes_.tolist() == [1]
    assert (merged.predict_proba(blobs.X_test) == 1.0).all()
    assert merged.weights_.sum() == pytest.approx(1.0)


def test_pools_of_a_single_class():
    z, y = [np.zeros((5, 1)), np.zeros((5, 1))], np.zeros(5, dtype=int)
    for alpha in (0.0, 1.0, "auto"):
        fit = fit_logarithmic_pool(z, y, alpha=alpha)
        assert fit.loss == 0.0
        np.testing.assert_allclose(fit.weights, 0.5)
    assert np.isfinite(fit_classwise_pool(z, y).weights).all()
    assert np.isfinite(fit_combined_pool(z, y, proba=np.exp(z)).classwise.weights).all()
