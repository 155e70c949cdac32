"""Fitting a temperature: against scikit-learn's fit, probmetrics', and one exponential."""

from __future__ import annotations

import numpy as np
import pytest

from skmergecal._numerics import softmax
from skmergecal._temperature._fit import fit_temperature
from tests.benchmarks.peers import probmetrics_temperature, scikit_learn_temperature
from tests.strategies import draw_labels

SIZES = [(1_000, 2), (1_000, 10), (100_000, 10), (1_000_000, 2), (10_000, 1_000)]


def logits_and_labels(n, k, seed=0):
    rng = np.random.default_rng(seed)
    z = 3 * rng.normal(size=(n, k))
    return z, draw_labels(rng, np.log(softmax(z / 1.7)))


def repeats(size):
    return {"rounds": 20, "calls": 20} if size <= 10_000 else {"rounds": 5}


def fit_with_interval_and_losses(z, y):
    fit = fit_temperature(z, y)
    return fit.temperature, fit.interval, fit.loss, fit.loss_before


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_fit_temperature(compare, n, k):
    z, y = logits_and_labels(n, k)
    compare(
        f"fit_temperature, {n:,} x {k:,}",
        lambda: fit_temperature(z, y),
        {
            "scikit-learn": (lambda: scikit_learn_temperature(z, y), 10),
            "probmetrics": (lambda: probmetrics_temperature(z, y), None),
        },
        **repeats(n * k),
    )
    assert 1 / scikit_learn_temperature(z, y) == pytest.approx(
        fit_temperature(z, y).temperature, rel=1e-4
    )


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_with_interval(compare, n, k):
    """The peer has neither an interval nor the losses before and after."""
    z, y = logits_and_labels(n, k)
    compare(
        f"with its interval and both losses, {n:,} x {k:,}",
        lambda: fit_with_interval_and_losses(z, y),
        {"scikit-learn": (lambda: scikit_learn_temperature(z, y), None)},
        **repeats(n * k),
    )


@pytest.mark.parametrize(("n", "k"), [size for size in SIZES if size[0] * size[1] >= 1_000_000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_exponentials(compare, n, k, dtype):
    z, y = logits_and_labels(n, k)
    z32 = z.astype(dtype)
    compare.cost(
        f"with its interval and both losses, {n:,} x {k:,}, {np.dtype(dtype).name}",
        lambda: fit_with_interval_and_losses(z32, y),
        {"one np.exp of float64 logits": (lambda: np.exp(z), 10)},
        rounds=20,
    )
