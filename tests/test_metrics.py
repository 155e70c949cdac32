"""Expected calibration error: closed forms and identities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skmergecal.metrics import expected_calibration_error
from tests.strategies import seeds


def test_closed_form_of_two_bins():
    p = np.array([[0.7, 0.3], [0.75, 0.25], [0.4, 0.6], [0.95, 0.05]])
    y = [0, 1, 1, 0]
    # bins of width .5: all rows in (.5, 1]: mean confidence .75, accuracy 3/4
    assert expected_calibration_error(y, p, n_bins=2) == pytest.approx(0.0)
    # bins of width .1: (.5, .6] alone and right, (.6, .7] right, (.7, .8] wrong, (.9, 1] right
    expected = (0.4 + 0.3 + 0.75 + 0.05) / 4
    assert expected_calibration_error(y, p, n_bins=10) == pytest.approx(expected)


def test_bins_are_closed_on_the_right():
    p = np.array([[0.5, 0.5], [0.51, 0.49]])
    # .5 belongs to (.25, .5], .51 to (.5, .75]: nothing cancels
    assert expected_calibration_error([1, 0], p, n_bins=4) == pytest.approx((0.5 + 0.49) / 2)


@given(seeds, st.integers(2, 6), st.integers(1, 30))
def test_identities(seed, n_classes, n_bins):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(n_classes), size=40)
    y = rng.integers(0, n_classes, 40)
    weight = rng.integers(0, 4, 40)
    weight[0] = 1
    score = expected_calibration_error(y, p, n_bins=n_bins, sample_weight=weight)
    assert 0 <= score <= 1
    repeated = np.repeat(np.arange(40), weight)
    again = expected_calibration_error(y[repeated], p[repeated], n_bins=n_bins)
    assert score == pytest.approx(again, abs=1e-12)
    order = rng.permutation(40)
    shuffled = expected_calibration_error(
        y[order], p[order], n_bins=n_bins, sample_weight=weight[order]
    )
    assert score == pytest.approx(shuffled, abs=1e-12)
    sure = np.eye(n_classes)[y]
    assert expected_calibration_error(y, sure, n_bins=n_bins) == 0.0


def test_wrong_shapes():
    with pytest.raises(ValueError, match="proba should have shape"):
        expected_calibration_error([0, 1], np.zeros((3, 2)))
