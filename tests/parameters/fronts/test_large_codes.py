"""Categories that are whole numbers above 2**53, which float64 runs together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import merge_logits
from tests.parameters.fronts.sites import one_hot, with_unknown

CODES = 610_000_000_000_000_000 + np.array([1, 2, 3, -(61 * 10**16) + 7])


def sites(*kinds):
    """Rows of two sites with large codes, of which each knows three."""
    rng = np.random.default_rng(0)
    found = []
    for i, kind in enumerate(kinds):
        codes = rng.choice(CODES[i : i + 3], 60)
        y = np.isin(codes, CODES[[0, 2]]) + 0.3 * rng.normal(size=60) > 0.5
        found.append((np.column_stack([codes, rng.integers(0, 3, 60)]).astype(kind), y))
    return found


def fitted(tables, encoders):
    found = []
    for (X, y), encoder in zip(tables, encoders, strict=True):
        front = ColumnTransformer([("c", encoder(), [0]), ("n", "passthrough", [1])])
        found.append(make_pipeline(front, LogisticRegression()).fit(X, y))
    return found


@pytest.mark.parametrize("kind", ["int64", "uint64", "object", "frame"])
@pytest.mark.parametrize("encoder", [one_hot, with_unknown])
def test_large_whole_numbers_are_told_apart(kind, encoder):
    dtype = "int64" if kind == "frame" else kind
    tables = sites(dtype, dtype)
    rows = np.column_stack([[*CODES, CODES[0] + 50], np.arange(5)]).astype(dtype)
    if kind == "frame":
        tables = [(pd.DataFrame(X, columns=["shop", "n"]), y) for X, y in tables]
        rows = pd.DataFrame(rows, columns=["shop", "n"])
    members = fitted(tables, [encoder, encoder])
    expected = sum(member.decision_function(rows) / 2 for member in members)
    plain = merge_logits(members, [0.5, 0.5])
    np.testing.assert_allclose(plain.decision_function(rows), expected, atol=1e-9)


def test_codes_that_all_know_are_refused_beyond():
    X, y = sites("int64")[0]
    members = fitted([(X, y), (X, ~y)], [OneHotEncoder, OrdinalEncoder])
    plain = merge_logits(members, [0.5, 0.5])
    expected = sum(member.decision_function(X) / 2 for member in members)
    np.testing.assert_allclose(plain.decision_function(X), expected, atol=1e-9)
    with pytest.raises(ValueError, match="unknown categories"):
        plain.predict(X + 10)


def test_large_codes_of_two_types_are_refused():
    with pytest.raises(IncompatibleEstimatorsError, match="above 2\\*\\*53 in column 0"):
        merge_logits(fitted(sites("int64", "float64"), [one_hot, one_hot]), [0.5, 0.5])


def test_large_numbers_that_are_all_floats_stay_floats():
    tables = [(X * 1e10, y) for X, y in sites("float64", "float64")]
    members = fitted(tables, [one_hot, one_hot])
    expected = sum(member.decision_function(tables[0][0]) / 2 for member in members)
    plain = merge_logits(members, [0.5, 0.5])
    np.testing.assert_allclose(plain.decision_function(tables[0][0]), expected, atol=1e-9)
