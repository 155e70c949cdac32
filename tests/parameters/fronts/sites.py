"""Rows of sites with unlike categories, and members with preprocessing of their own."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

NUMBERS, TEXTS = ["age", "pay", "same", "lost"], ["city", "code"]


def people(seed, n=60, gaps=True, cities="abcdef"):
    """Rows with numbers, one column that is constant and one without any, and categories."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, n),
            "city": rng.choice(list(cities), n).astype(object),
            "pay": rng.normal(3e4, 9e3, n),
            "code": rng.integers(0, 5, n).astype(float),
            "same": 3.0,
            "lost": np.nan,
        }
    )
    if gaps:
        frame = frame.mask(rng.random(frame.shape) < 0.1)
        frame["city"] = frame["city"].astype(object).where(frame["city"].notna(), np.nan)
    else:
        frame = frame.fillna({"lost": 0.0})
    z = (frame["age"].fillna(40) - 40) / 10 + (frame["city"] == "a") + rng.normal(size=n)
    return frame, np.where(z > 0.3, "yes", "no")


def awkward(seed=9, gaps=True):
    """Rows to predict: with categories that no member knows, missing values, large numbers."""
    X, y = people(seed, gaps=gaps, cities="abcdefgxyz")
    X.loc[:5, "code"] = 77.0
    X.loc[6:9, "age"] = 1e3
    if gaps:
        X.loc[10:13, "lost"] = 5.0
        X.loc[14:18, "city"] = np.nan
    return X, y


def columns(numbers, texts, **settings):
    return ColumnTransformer([("n", numbers, NUMBERS), ("t", texts, TEXTS)], **settings)


def imputed(*steps, **settings):
    return make_pipeline(SimpleImputer(keep_empty_features=True, **settings), *steps)


def one_hot(**settings):
    return OneHotEncoder(**{"handle_unknown": "ignore", **settings})


def with_unknown():
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def members_of(front, make, gaps):
    """Two members on sites with other rows, and partly other cities."""
    found = []
    for seed in range(2):
        X, y = people(seed, gaps=gaps, cities="abcdef"[: 4 + seed])
        found.append(make_pipeline(front(), make(seed)).fit(X, y))
    return found


def logistic(seed):
    return LogisticRegression(C=10.0**seed, max_iter=20)


def perceptron(seed):
    return MLPClassifier((4,), solver="lbfgs", alpha=1.0, max_iter=20, random_state=seed)


def is_plain(model):
    parts = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    return all(type(part).__module__.startswith(("sklearn", "skorch")) for part in parts)
