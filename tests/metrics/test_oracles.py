"""Other packages' scores, where they are installed and right."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from skmergecal.metrics import (
    classwise_calibration_error,
    expected_calibration_error,
    maximum_calibration_error,
    smooth_calibration_error,
)


def peer(name):
    """An optional package, with the warnings of its own import kept out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


def forecasts(n_classes, seed=0, n=2000):
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(n, n_classes))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    sharp = np.exp(0.6 * z)
    cumulative = np.cumsum(sharp / sharp.sum(axis=1, keepdims=True), axis=1)
    y = np.minimum((rng.random((n, 1)) > cumulative).sum(axis=1), n_classes - 1)
    return y, p


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_netcal(n_classes, strategy):
    metrics = peer("netcal.metrics")
    y, p = forecasts(n_classes, n=1500)  # 100 rows in each of 15 quantile bins
    settings = {"bins": 15, "equal_intervals": strategy == "uniform"}
    if n_classes == 2:  # it takes the second column, whose error is that of either class
        score, said, worst = classwise_calibration_error, p[:, 1], {"kind": "class-wise"}
    else:
        score, said, worst = expected_calibration_error, p, {}
    theirs = metrics.ECE(**settings).measure(said, y)
    assert score(y, p, strategy=strategy) == pytest.approx(theirs, abs=1e-9)
    largest = maximum_calibration_error(y, p, strategy=strategy, **worst)
    assert largest == pytest.approx(metrics.MCE(**settings).measure(said, y), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_relplot(seed):
    relplot = peer("relplot")
    y, p = forecasts(2, seed)
    # It halves an interval ten times, so that its bandwidth is right to 2 ** -10.
    theirs = relplot.smECE(p[:, 1], y)
    assert smooth_calibration_error(y, p, kind="class-wise") == pytest.approx(theirs, abs=2**-10)
