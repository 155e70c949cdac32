"""Combined pools: which parts take part, and softening."""

from __future__ import annotations

import numpy as np
import pytest

from skmergecal.pooling import ClasswiseFit, CombinedFit, ScaledLinearPool, fit_combined_pool
from tests.pooling.test_classwise import opinions


@pytest.mark.parametrize("zero", [None, 0.0, 1e-15, 1e-7])
def test_softening_of_a_linear_pool_is_for_zeros_alone(zero):
    """Exact ones, or what stands for them."""
    z, y = opinions(0, n=40)
    p = [np.exp(m) for m in z]
    if zero is not None:
        for m in p:
            m[3] = np.clip(np.eye(3)[y[3]], zero, 1)
    fit = fit_combined_pool(z, y, proba=p)
    assert fit.linear[0].softening == (0 if zero is None else 1 / 41)
    assert fit.linear[1].softening == 0


def test_a_linear_pool_without_zeros_of_its_own_has_a_temperature_of_its_rows():
    # Rows that are easy to separate should not take the temperature far down.
    y = np.tile([0, 1], 10)
    p = np.where(np.eye(2)[y] == 1, 0.8, 0.2)
    fit = fit_combined_pool([np.log(p), np.log(p)], y, proba=[p, p])
    assert 0.1 < fit.linear[0].temperature < 0.9


def test_members_of_no_weight_are_not_asked():
    nothing = np.zeros((2, 2))
    classwise = ClasswiseFit(nothing, nothing, np.zeros(2))
    fit = CombinedFit(
        classwise,
        (
            ScaledLinearPool(np.array([1.0, 0.0]), 0.0, 1.0),
            ScaledLinearPool(np.array([0.0, 1.0]), 0.0, 1.0, factor=0.0),
        ),
    )
    assert [fit.uses(k) for k in range(2)] == [True, False]
    p = np.array([[0.25, 0.75]])

    def never():
        raise AssertionError

    scores = fit.scores([(0, np.log(p), p, lambda: p), (1, np.log(p), p, never)])
    np.testing.assert_allclose(scores, np.log(p))
