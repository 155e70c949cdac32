"""Logits without information or close to 0, masked arrays, labels that NumPy cannot tell apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from skmergecal import MergedClassifier, ReliabilityDisplay, TemperatureCalibrator
from skmergecal._temperature import ScalingLoss
from skmergecal.calibration import fit_temperature
from skmergecal.metrics import expected_calibration_error
from skmergecal.pooling import fit_logarithmic_pool, linear_pool

RNG = np.random.default_rng(0)
Z = 2 * RNG.normal(size=(200, 3))
Y = (Z + 1.83 * RNG.gumbel(size=Z.shape)).argmax(axis=1)
P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)


@pytest.fixture
def passes(monkeypatch):
    """Counts the rows that evaluations of the loss go over."""
    counted = []
    original = ScalingLoss._mean_sums

    def count(self, beta, scratch):
        counted.append(self.total)
        return original(self, beta, scratch)

    monkeypatch.setattr(ScalingLoss, "_mean_sums", count)
    return counted


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("n", "k"), [(500, 2), (500, 5), (20_000, 4)])
def test_logits_without_information_take_few_passes(passes, scale, n, k):
    z = scale * np.random.default_rng(k).normal(size=(n, k))
    y = z.argmin(axis=1)  # the least likely class: the best beta is below 0
    with pytest.warns(ConvergenceWarning, match="carry no information"):
        fit = fit_temperature(z, y)
    assert fit.bound == "upper"
    assert sum(passes) <= 8 * n


def test_a_temperature_that_is_far_but_finite_is_still_found(passes):
    fit = fit_temperature(1e6 * Z, Y)
    assert fit.temperature == pytest.approx(1e6 * fit_temperature(Z, Y).temperature, rel=1e-9)
    assert fit.bound is None


@pytest.mark.parametrize("scale", [1e-100, 1e-300, 1e-305, 1e-308, 1e-310])
def test_the_temperature_follows_the_scale_of_the_logits(scale):
    usual, tiny = fit_temperature(Z, Y), fit_temperature(scale * Z, Y)
    assert tiny.temperature == pytest.approx(scale * usual.temperature, rel=1e-9)
    assert tiny.loss == pytest.approx(usual.loss, rel=1e-9)
    assert tiny.loss_before == pytest.approx(np.log(3))
    ends = np.array(usual.interval)
    np.testing.assert_allclose(np.array(tiny.interval) / scale, ends, rtol=1e-6)
    model = TemperatureCalibrator(alpha=0).fit(scale * Z, Y)
    expected = TemperatureCalibrator(alpha=0).fit(Z, Y).predict_proba(Z)
    np.testing.assert_allclose(model.predict_proba(scale * Z), expected, atol=1e-9)


def test_the_smallest_logits_there_are_have_a_temperature():
    z = 5e-324 * np.round(Z)
    fit = fit_temperature(z, Y)
    low, high = fit.interval
    assert 0 < low <= fit.temperature <= high < np.inf
    assert np.isfinite(TemperatureCalibrator().fit(z, Y).predict_proba(z)).all()


MASKED = {
    "logits": lambda: fit_temperature(np.ma.masked_less(Z, 0), Y),
    "log_proba": lambda: fit_logarithmic_pool([Z, np.ma.masked_less(Z, 0)], Y),
    "proba": lambda: linear_pool([np.ma.masked_less(P, 0.1)], [1.0]),
    "y": lambda: expected_calibration_error(np.ma.masked_equal(Y, 1), P),
    "sample_weight": lambda: fit_temperature(Z, Y, np.ma.masked_equal(Y + 1, 2)),
    "y of an estimator": lambda: TemperatureCalibrator().fit(Z, np.ma.masked_equal(Y, 1)),
    "X": lambda: MergedClassifier([("a", LogisticRegression())], weights=None).fit(
        np.ma.masked_less(Z, -1), Y
    ),
    "X of a prediction": lambda: (
        MergedClassifier([("a", LogisticRegression())], weights=None)
        .fit(Z, Y)
        .predict_proba(np.ma.masked_less(Z, -1))
    ),
    "proba of a display": lambda: ReliabilityDisplay.from_predictions(
        Y, np.ma.masked_less(P, 0.1), plot=False
    ),
}


@pytest.mark.parametrize("case", MASKED)
def test_masked_entries_are_not_taken_for_numbers(case):
    name = case.split()[0]
    with pytest.raises(ValueError, match=rf"\b{name}\b.* has masked entries"):
        MASKED[case]()


def test_a_masked_array_without_masked_entries_is_an_array():
    assert fit_temperature(np.ma.array(Z), np.ma.array(Y)) == fit_temperature(Z, Y)


@pytest.mark.parametrize(
    "container", [list, lambda y: np.array(y, dtype=object), pd.Series, lambda y: pd.Categorical(y)]
)
@pytest.mark.parametrize("null", ["\0", b"\0"], ids=["text", "bytes"])
def test_labels_that_numpy_would_merge_are_refused_and_others_work(container, null):
    one = null[:0] + (b"a" if isinstance(null, bytes) else "a")
    y = [(one, one + null)[code % 2] for code in Y]
    given = container(y)
    if len(set(given)) == 1:
        pytest.skip("this version of pandas takes them for one label itself")
    with pytest.raises(ValueError, match="rename labels that end in a null character"):
        TemperatureCalibrator().fit(Z[:, :2], given)
    if isinstance(null, str):
        renamed = [label.replace("\0", "-") for label in y]
        model = TemperatureCalibrator().fit(Z[:, :2], container(renamed))
        assert model.classes_.tolist() == ["a", "a-"]
