"""Limits of a temperature: penalties, and objectives that are known on an interval alone."""

from __future__ import annotations

import numpy as np
import pytest

from skmergecal._temperature._fit import TemperatureObjective, fit_temperature
from skmergecal._temperature._loss import ScalingLoss

Z = np.array([[3.0, 0.0], [0.0, 5.0], [2.0, 1.0]])


def limited(y, alpha=0.0, reach=(-np.inf, np.inf)):
    loss = ScalingLoss(Z, np.array(y), None)
    return loss.limits.temperature(alpha, TemperatureObjective(loss, alpha), 0.0, reach)


@pytest.mark.parametrize("y", [[0, 1, 0], [1, 0, 1]], ids=["separable", "uninformative"])
def test_penalty_leaves_no_bound(y):
    temperature, bound = limited(y, alpha=1.0)
    assert bound is None
    assert temperature == pytest.approx(fit_temperature(Z, y, alpha=1.0).temperature, rel=1e-6)


@pytest.mark.parametrize(("side", "bound"), [(1, "upper"), (-1, "lower")])
def test_optimum_out_of_reach_stops_at_its_end(side, bound):
    y = [0, 1, 1]
    end = -np.log(fit_temperature(Z, y).temperature) + side / 2
    reach = (end, np.inf) if side > 0 else (-np.inf, end)
    temperature, found = limited(y, reach=reach)
    assert found == bound
    assert temperature == pytest.approx(np.exp(-end), rel=1e-12)


def test_uninformative_rows_stop_within_reach():
    temperature, bound = limited([1, 0, 1], reach=(-2.0, 2.0))
    assert bound == "upper"
    assert temperature == pytest.approx(np.exp(2.0))


def test_an_end_beyond_all_measure_is_taken_for_infinite():
    """The second row is wrong by so little that the loss rises at no T above 1e-100."""
    for margin, finite in [(1e-9, True), (1e-100, False)]:
        fit = fit_temperature(np.array([[1.0, 0.0], [0.0, margin]]), np.array([0, 0]))
        assert (fit.interval[0] > 0) == finite
