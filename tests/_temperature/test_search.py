"""The search for a minimum or a root of a function of one variable."""

from __future__ import annotations

import math

import pytest

from skmergecal._temperature._search import Point, find_root, minimise


@pytest.mark.parametrize("slope", [math.nan, math.inf])
def test_slope_that_is_not_finite_ends_the_search(slope):
    seen = []

    def function(t):
        seen.append(t)
        return Point(t, 0.0, slope, 1.0, 0.0, 1.0)

    assert minimise(function, 0.0) is None
    assert seen == [0.0]


def test_function_without_curvature_ends_the_search():
    assert minimise(lambda t: Point(t, t, 1.0, 0.0, 0.0, 0.0), 0.0) is None


def test_steps_are_short():
    seen = []

    def function(t):
        seen.append(t)
        return Point(t, -t, -1.0, 1e-3, 0.0, 1e-3)

    minimise(function, 0.0)
    assert seen[1] == 2.0


def test_negative_curvature_is_stepped_over():
    """Left of the minimum of a convex loss the curvature in log(1 / T) may be negative."""
    seen = []

    def function(t):
        seen.append(t)
        return Point(t, 0.0, -1.0, -0.5, 0.0, 1.0)

    minimise(function, 0.0)
    assert seen[1] == 1.0


def test_root_that_is_met_ends_the_search():
    seen = []

    def function(x):
        seen.append(x)
        return x, 0.0

    assert find_root(function, -1.0, 1.0, 0.0) == 0.0
    assert seen == [0.0]


def test_root_stays_in_its_bracket():
    assert find_root(lambda x: (x - 1 - 1e-9, 1.0), 0.0, 1.0, 1.0) == 1.0


def test_root_without_slopes_is_bisected():
    seen = []

    def function(x):
        seen.append(x)
        return x - 0.3, 0.0

    assert find_root(function, 0.0, 1.0, 5.0) == pytest.approx(0.3, abs=1e-14)
    assert seen[0] == 1.0
    assert len(seen) < 60
