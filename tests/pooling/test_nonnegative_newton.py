"""Newton steps over non-negative variables where the Hessian is singular, or is none."""

from __future__ import annotations

import numpy as np
import pytest

from skmergecal.pooling._nonnegative_newton import minimise_nonnegative


def quadratic(hessian, linear):
    """x'Hx / 2 - b'x + 1 with its derivatives."""
    hessian, linear = np.array(hessian, dtype=float), np.array(linear, dtype=float)
    return lambda x: (x @ hessian @ x / 2 - linear @ x + 1, hessian @ x - linear, hessian)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_hessian_that_is_not_finite_is_an_error(wrong):
    def function(x):
        return 1.0, np.ones(2), np.array([[1.0, wrong], [wrong, 1.0]])

    with pytest.raises(ValueError, match="the Hessian of the loss holds NaN or infinity"):
        minimise_nonnegative(function, np.ones(2))


@pytest.mark.parametrize(
    ("hessian", "linear", "minimiser"),
    [
        ([[1, 0], [0, 1]], [-1, -2], [0, 0]),  # every variable is held at 0
        ([[0, 0], [0, 0]], [-1, -2], [0, 0]),  # no curvature at all
        ([[1, 0], [0, 0]], [1, -2], [1, 0]),  # none of one variable
        ([[2, 1], [1, 1]], [2, 0], [1, 0]),
    ],
)
def test_minimisers_at_the_border(hessian, linear, minimiser):
    found = minimise_nonnegative(quadratic(hessian, linear), np.ones(2))
    np.testing.assert_allclose(found, minimiser, atol=1e-7)


def test_minimum_of_a_singular_function_is_reached():
    found = minimise_nonnegative(quadratic(np.ones((3, 3)), np.ones(3)), np.array([5.0, 0.0, 1.0]))
    assert found.sum() == pytest.approx(1, abs=1e-7)
    assert (found >= 0).all()
