"""Leave-one-out temperatures against fits without each row."""

from __future__ import annotations

import numpy as np
import pytest

from skmergecal._numerics import log_softmax, row_losses
from skmergecal._temperature import loo_temperatures, minimise_temperature


def problem(n, scale, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3)) * scale
    y = (z / 1.5 + rng.gumbel(size=z.shape)).argmax(axis=1)
    return z, y, rng.integers(1, 4, n).astype(float)


def refitted(z, y, weight, alpha):
    """Temperatures of fits that lack one unit of a row's weight, row by row."""
    found = []
    for i in range(len(y)):
        less = weight.copy()
        less[i] -= min(less[i], 1.0)
        kept = less > 0
        found.append(minimise_temperature(z[kept], y[kept], less[kept], alpha).temperature)
    return np.array(found)


@pytest.mark.parametrize("alpha", [0.0, 5.0])
@pytest.mark.parametrize("weights", ["none", "whole", "light"])
def test_steps_are_those_of_fits_without_a_row(alpha, weights):
    z, y, weight = problem(60, 2.0)
    given = {"none": None, "whole": weight, "light": weight / 4}[weights]
    own = np.ones(len(y)) if given is None else given
    whole = minimise_temperature(z, y, given, alpha).temperature
    exact = np.log(refitted(z, y, own, alpha) / whole)
    fast = np.log(loo_temperatures(z, y, given, whole, alpha) / whole)
    np.testing.assert_allclose(fast, exact, atol=0.1 * np.abs(exact).max())

    def loss(t):
        return np.average(row_losses(log_softmax(z / np.reshape(t, (-1, 1))), y), weights=own)

    optimism = loss(whole * np.exp(exact)) - loss(np.full(len(y), whole))
    assert optimism > 0
    assert loss(whole * np.exp(fast)) - loss(np.full(len(y), whole)) == pytest.approx(
        optimism, rel=0.05
    )


def test_a_temperature_at_its_bound_stays_there():
    z = np.eye(3)[[0, 1, 2, 0, 1, 2]] * 4.0
    for y in (np.array([0, 1, 2, 0, 1, 2]), np.array([1, 2, 0, 1, 2, 0])):
        minimum = minimise_temperature(z, y, None)
        assert minimum.bound is not None
        np.testing.assert_array_equal(
            loo_temperatures(z, y, None, minimum.temperature), minimum.temperature
        )


def test_logits_without_information_and_single_rows_give_finite_temperatures():
    z, y, _ = problem(1, 2.0)
    minimum = minimise_temperature(z, y, None, 1.0)
    assert np.isfinite(loo_temperatures(z, y, None, minimum.temperature, 1.0)).all()
    np.testing.assert_array_equal(loo_temperatures(np.zeros((4, 3)), y[[0] * 4], None, 2.0), 2.0)
