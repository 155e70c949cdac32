"""Transformers of numbers give in ONNX what they give in Python, to the side of each edge."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    PolynomialFeatures,
    PowerTransformer,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier

from skmergecal.onnx import to_onnx
from tests.onnx.sessions import ask

TREE = DecisionTreeClassifier(max_depth=8, random_state=0)
BINS = {"strategy": "uniform", "subsample": None}
STEPS = {
    "bins": KBinsDiscretizer(5, encode="ordinal", **BINS),
    "columns of bins": KBinsDiscretizer([2, 3, 5, 4], encode="onehot-dense", **BINS),
    "sparse columns of bins": KBinsDiscretizer(3, encode="onehot", **BINS),
    "products": PolynomialFeatures(3),
    "products of two": PolynomialFeatures((2, 2), interaction_only=True, include_bias=False),
    "constant": PolynomialFeatures(0),
    "powers": PowerTransformer(),
    "threshold": Binarizer(threshold=0.5),
}
IMPUTERS = {
    "mean": SimpleImputer(),
    "median": SimpleImputer(strategy="median"),
    "most frequent": SimpleImputer(strategy="most_frequent"),
    "constant": SimpleImputer(strategy="constant", fill_value=-1.5),
    "indicator": SimpleImputer(add_indicator=True),
    "number": SimpleImputer(missing_values=0.1, strategy="median"),
    "empty": SimpleImputer(keep_empty_features=True),
}


def rows():
    """Numbers with few digits, which lie on edges, and whole numbers that need double precision."""
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, 40, 300) / 10, rng.integers(0, 9, 300) * 1e5 + 0.3]
    columns += [rng.normal(size=300).round(2), 2.0**25 + rng.integers(0, 50, 300)]
    X = np.column_stack(columns)
    return X, (X[:, 0] > 2) ^ (X[:, 2] > 0.5) ^ (X[:, 3] % 2 == 0)


def same(model, X):
    np.testing.assert_allclose(ask(to_onnx(model, X[:3]), X)[1], model.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("name", STEPS)
def test_steps_before_trees(name):
    X, y = rows()
    same(make_pipeline(STEPS[name], TREE).fit(X, y), X)


@pytest.mark.parametrize("name", IMPUTERS)
def test_imputers_before_trees_and_linear_models(name):
    X, y = rows()
    X[np.random.default_rng(1).random(X.shape) < 0.1] = 0.1 if name == "number" else np.nan
    if name == "empty":
        X[:, 1] = np.nan
    same(make_pipeline(IMPUTERS[name], TREE).fit(X, y), X)
    linear = LogisticRegression(max_iter=1000)
    same(make_pipeline(IMPUTERS[name], StandardScaler(), linear).fit(X, y), X)


@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
def test_columns_without_values_are_dropped():
    X, y = rows()
    X[:, 1] = np.nan
    same(make_pipeline(SimpleImputer(), TREE).fit(X, y), X)


@pytest.mark.parametrize("lambdas", [[0, 1e-3, 1, 2], [-1.5, 2, 0.5, 0]])
@pytest.mark.parametrize("method", ["yeo-johnson", "box-cox"])
def test_powers_of_numbers_and_their_limits(method, lambdas):
    X, y = rows()
    X = X % 7 + 0.1 if method == "box-cox" else X % 7 - 3
    step = PowerTransformer(method=method, standardize=False)
    model = make_pipeline(step, LogisticRegression(max_iter=1000)).fit(X, y)
    step.lambdas_ = np.array(lambdas, dtype=float)
    same(model, X)


def test_missing_values_pass_through_powers():
    X, y = rows()
    X[::7, 2] = np.nan
    same(make_pipeline(PowerTransformer(), TREE).fit(X, y), X)


def test_columns_of_a_frame_in_single_precision_and_as_whole_numbers():
    X, y = rows()
    frame = pd.DataFrame(X[:, :3], columns=["a", "b", "c"]).astype({"a": np.float32})
    frame["whole"] = X[:, 3].astype(np.int64)
    frame.loc[::5, "c"] = np.nan
    parts = [(SimpleImputer(), ["a", "c"]), (KBinsDiscretizer(4, **BINS), ["a", "whole"])]
    parts += [(PolynomialFeatures(2), ["a"]), ("passthrough", ["b"])]
    for scaled in ([], [StandardScaler(with_mean=False)]):
        same(make_pipeline(make_column_transformer(*parts), *scaled, TREE).fit(frame, y), frame)
    single = frame[["a"]]
    same(make_pipeline(PolynomialFeatures(2), TREE).fit(single, y), single)
