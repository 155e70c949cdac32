"""Encoders of categories give in ONNX what they give in Python, also for unknown categories."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, OneHotEncoder, OrdinalEncoder, TargetEncoder
from sklearn.tree import DecisionTreeClassifier

from skmergecal.exceptions import ConversionError
from skmergecal.onnx import to_onnx
from tests.onnx.sessions import ask, same

#: Categories of each column, the first ones frequent, and a value that is none of them.
COLUMNS = {
    "text": (["a", "b", "c", "d", "e", "f"], "g"),
    "whole": ([1, 2, 3, 5, 8, 13], 4),
    "decimal": ([0.1, -0.25, 0.5, 1.5, 2.0, 3.0], 0.3),
    "whole as float": ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 1.5),  # 1 as a whole number
    "missing": ([1.0, np.nan, 2.0, 3.0, 4.0, 5.0], 6.0),
    "id": ([2.0**25 + k for k in range(6)], 2.0**25 + 6),  # one in single precision
}
ENCODERS = {
    "columns": OneHotEncoder(),
    "columns, unknown": OneHotEncoder(handle_unknown="ignore"),
    "columns without first": OneHotEncoder(drop="first", handle_unknown="ignore"),
    "columns without one": OneHotEncoder(drop=["a", 2, 3.0, 4.0, np.nan, 2.0**25], dtype=np.int64),
    "infrequent": OneHotEncoder(min_frequency=30, handle_unknown="infrequent_if_exist"),
    "infrequent, no unknown": OneHotEncoder(min_frequency=30),
    "infrequent without first": OneHotEncoder(
        max_categories=3, drop="first", handle_unknown="infrequent_if_exist"
    ),
    "unknown without infrequent": OneHotEncoder(handle_unknown="infrequent_if_exist"),
    "numbers": OrdinalEncoder(),
    "numbers, unknown": OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
    ),
    "numbers, unknown as NaN": OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan
    ),
    "infrequent numbers": OrdinalEncoder(
        min_frequency=30, handle_unknown="use_encoded_value", unknown_value=99
    ),
    "whole numbers": OrdinalEncoder(dtype=np.int64, encoded_missing_value=7),
    "means": TargetEncoder(),
}


def rows():
    rng = np.random.default_rng(0)
    n, shares = 400, [0.35, 0.3, 0.2, 0.06, 0.05, 0.04]
    places = {name: rng.choice(6, size=n, p=shares) for name in COLUMNS}
    frame = pd.DataFrame({n: np.array(COLUMNS[n][0])[place] for n, place in places.items()})
    frame["text"] = frame["text"].astype(object)
    score = rng.normal(size=n) + sum(place % 2 for place in places.values())
    return frame, score


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_encoders_of_categories(name, n_classes):
    X, score = rows()
    y = np.digitize(score, np.quantile(score, np.arange(1, n_classes) / n_classes))
    tree = DecisionTreeClassifier(max_depth=8, random_state=0)
    encoder = make_column_transformer((ENCODERS[name], list(COLUMNS)))
    model = make_pipeline(encoder, tree).fit(X, y)
    if isinstance(ENCODERS[name], TargetEncoder):
        with pytest.raises(
            ConversionError, match="give the columns of text an encoder of their own"
        ):
            to_onnx(model, X[:3])
        text, *numbers = COLUMNS
        parts = (TargetEncoder(), [text]), (TargetEncoder(), numbers)
        model = make_pipeline(make_column_transformer(*parts), tree).fit(X, y)
    onnx = to_onnx(model, X[:3])
    np.testing.assert_allclose(ask(onnx, X)[1], model.predict_proba(X), atol=1e-6)
    if n_classes == 3:
        return
    for column, (_, unknown) in COLUMNS.items():
        new = X[:5].assign(**{column: unknown}).astype(X.dtypes)
        if getattr(ENCODERS[name], "handle_unknown", "") == "error":
            for predict in (model.predict_proba, lambda new: ask(onnx, new)):
                with pytest.raises(Exception, match=r"(?i)unknown categor"):
                    predict(new)
        else:
            np.testing.assert_allclose(ask(onnx, new)[1], model.predict_proba(new), atol=1e-6)


def test_the_threshold_of_a_binarizer_is_below():
    X = np.tile([[0.0, 1.0], [2.0, 0.5], [0.5, 0.0]], (20, 1))
    y = np.tile([0, 1, 0], 20)
    same(make_pipeline(Binarizer(threshold=0.5), DecisionTreeClassifier()).fit(X, y), X[::-1])


def test_many_categories_need_no_matrix_of_all_pairs():
    X = np.arange(4000)[:, None]
    model = make_pipeline(OneHotEncoder(drop="first"), MultinomialNB()).fit(X, X.ravel() % 2)
    tracemalloc.start()
    onnx = to_onnx(model, X[:3])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64e6  # of 4,000 x 4,000 numbers it is 128e6
    np.testing.assert_allclose(ask(onnx, X[:9])[1], model.predict_proba(X[:9]), atol=1e-6)
