"""Last steps that only cast are left out; others are not."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import merge_logits


def members_before(function):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    y = X[:, 0] + rng.normal(size=80) > 0
    last = FunctionTransformer(function)
    steps = (make_pipeline(StandardScaler(), last, LogisticRegression()) for _ in range(2))
    return [member.fit(X[i::2], y[i::2]) for i, member in enumerate(steps)], X


def finite_only(X):
    return np.nan_to_num(X, posinf=np.inf, neginf=-np.inf)


def without_infinities(X):
    return np.where(np.isinf(X), 0.0, X)


@pytest.mark.parametrize("function", [np.nan_to_num, finite_only, without_infinities])
def test_a_last_step_that_fills_what_is_not_finite_is_not_left_out(function):
    with pytest.raises(IncompatibleEstimatorsError, match="What FunctionTransformer makes of"):
        merge_logits(members_before(function)[0], [0.5, 0.5])


@pytest.mark.parametrize("function", [np.asarray, np.asarray_chkfinite, np.float32])
def test_a_last_step_that_casts_or_refuses_is_left_out(function):
    members, X = members_before(function)
    expected = sum(member.decision_function(X) / 2 for member in members)
    plain = merge_logits(members, [0.5, 0.5])
    np.testing.assert_allclose(plain.decision_function(X), expected, atol=1e-5)
