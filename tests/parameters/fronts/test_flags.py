"""Columns of which members use only whether they are missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import merge_logits
from tests.parameters.fronts.sites import one_hot

pytestmark = pytest.mark.filterwarnings("ignore:Skipping features without any observed values")


def rows():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "income": rng.normal(size=120),
            "age": rng.normal(size=120),
            "city": rng.choice(list("abc"), 120).astype(object),
            "code": rng.integers(0, 4, 120).astype(float),
            "gone": np.nan,
        }
    )
    X.loc[rng.random(120) < 0.4, "income"] = np.nan
    X.loc[rng.random(120) < 0.4, "city"] = np.nan
    z = 2.0 * X["income"].isna() + X["city"].isna() + rng.normal(size=120)
    return X, np.asarray(z > 1.2)


def parts(*steps):
    return ColumnTransformer([(str(i), step, columns) for i, (step, columns) in enumerate(steps)])


def flags(**settings):
    return MissingIndicator(features="all", **settings)


def members_of(*fronts, X=None):
    table, y = rows()
    X = table if X is None else X
    return [
        make_pipeline(clone(front), LogisticRegression()).fit(X[i::2], y[i::2])
        for i, front in enumerate(fronts)
    ]


SCALED = (StandardScaler(), ["age"])
WITH_FLAG = SimpleImputer(add_indicator=True)

FRONTS = {
    "a number": [parts((flags(), ["income"]), SCALED)] * 2,
    "text": [parts((flags(), ["city"]), SCALED)] * 2,
    "a number there": [
        parts((flags(), ["income"])),
        parts((make_pipeline(SimpleImputer(), StandardScaler()), ["income"])),
    ],
    "a category there": [parts((flags(), ["city"])), parts((OneHotEncoder(), ["city"]))],
    "codes there": [parts((flags(), ["code", "income"])), parts((one_hot(), ["code"]))],
    "another column there": [parts((flags(), ["income"])), parts((one_hot(), ["city"]))],
    "no values at fit": [parts((WITH_FLAG, ["gone", "age"]))] * 2,
    "numbers": [
        parts((flags(missing_values=2.0), ["code"]), SCALED),
        parts((flags(missing_values=1.0), ["code"])),
    ],
    "filled before": [
        parts((make_pipeline(SimpleImputer(strategy="constant"), flags()), ["city"]), SCALED),
        parts((StandardScaler(), ["age"])),
    ],
}


def assert_pooled(members, *tables):
    plain = merge_logits(members, [0.4, 0.6])
    for X in tables:
        logits = [member.decision_function(X) for member in members]
        expected = 0.4 * logits[0] + 0.6 * logits[1]
        np.testing.assert_allclose(plain.decision_function(X), expected, atol=1e-9)


@pytest.mark.parametrize("kind", FRONTS)
def test_a_column_of_which_only_flags_are_used_is_kept(kind):
    X, _ = rows()
    some = X.assign(gone=X["gone"].where(X["age"] > 0, 1.5))
    assert_pooled(members_of(*FRONTS[kind]), X, some)


def test_none_is_flagged_as_members_flag_it():
    X, _ = rows()
    X["gone"] = X["gone"].astype(object).where(X["age"] > 9, None)
    rest = X.assign(gone=X["gone"].where(X["age"] > 0, 1.5))
    rest.loc[:9, "gone"] = np.nan
    as_nan, as_itself = parts((WITH_FLAG, ["gone", "age"])), parts((flags(), ["gone", "income"]))
    assert_pooled(members_of(as_nan, as_nan, X=X), X, rest)
    assert_pooled(members_of(as_itself, as_itself, X=X), X, rest)
    with pytest.raises(IncompatibleEstimatorsError, match="treat None in column 'gone' unlike NaN"):
        merge_logits(members_of(as_nan, as_itself, X=X), [0.5, 0.5])
    X, rest = (table.assign(gone=table["gone"].astype(float)) for table in (X, rest))  # the remedy
    assert_pooled(members_of(as_nan, as_nan, X=X), rest)


@pytest.mark.parametrize("order", [1, -1])
def test_a_number_that_one_step_flags_and_another_scales_is_refused(order):
    flagged, scaled = (flags(missing_values=2.0), ["code"]), (StandardScaler(), ["code"])
    with pytest.raises(IncompatibleEstimatorsError, match="makes of column 'code' here is neither"):
        merge_logits(members_of(*[parts(*[flagged, scaled][::order])] * 2), [0.5, 0.5])
    with pytest.raises(IncompatibleEstimatorsError, match="column 'code' is a number in"):
        merge_logits(members_of(*[parts(flagged), parts(scaled)][::order]), [0.5, 0.5])
