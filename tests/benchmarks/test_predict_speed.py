"""Predicting with K members: against the sum of their own calls; with one net of them: one's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier

from skmergecal import MergedClassifier

FAMILIES = {
    "8 forests": [RandomForestClassifier(100, random_state=i) for i in range(8)],
    "8 of five families": [
        RandomForestClassifier(100, random_state=0),
        RandomForestClassifier(100, max_features=1, random_state=1),
        HistGradientBoostingClassifier(max_iter=50, random_state=2),
        HistGradientBoostingClassifier(max_iter=50, max_leaf_nodes=8, random_state=3),
        MLPClassifier((64, 64), max_iter=30, random_state=4),
        MLPClassifier((64, 64), max_iter=30, random_state=5),
        LogisticRegression(max_iter=1000),
        GaussianNB(),
    ],
}


@pytest.fixture(scope="module")
def data():
    X, y = make_classification(12_000, 20, n_informative=12, n_classes=10, random_state=0)
    return X[:2000], y[:2000], X[2000:4000], y[2000:4000], X[4000:]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("method", ["auto", "logits", "probabilities"])
@pytest.mark.parametrize("families", FAMILIES)
def test_predict_proba(compare, data, families, method):
    X, y, X_held, y_held, X_new = data
    members = [member.fit(X, y) for member in FAMILIES[families]]
    weights = "log_loss" if method == "auto" else np.ones(len(members))
    merged = MergedClassifier.from_fitted(members, X_held, y_held, method=method, weights=weights)
    assert (merged.weights_ > 0).all()
    compare.cost(
        f"predict_proba of 8,000 rows, {families}, {method}",
        lambda: merged.predict_proba(X_new),
        {"the members' own calls": (lambda: [m.predict_proba(X_new) for m in members], 1.1)},
    )


@pytest.mark.parametrize(
    ("method", "n_rows", "bound"),
    [("logits", 8000, 1.25), ("auto", 8000, 2.5), ("logits", 1, 1.25), ("auto", 1, 1.4)],
)
def test_predict_proba_of_cheap_members(compare, data, method, n_rows, bound):
    X, y, X_held, y_held, X_new = data
    members = [LogisticRegression(C=10.0**-i, max_iter=1000).fit(X, y) for i in range(8)]
    weights = "log_loss" if method == "auto" else np.ones(len(members))
    merged = MergedClassifier.from_fitted(members, X_held, y_held, method=method, weights=weights)
    rows = X_new[:n_rows]
    compare.cost(
        f"predict_proba of {n_rows} rows, 8 logistic regressions, {method}",
        lambda: merged.predict_proba(rows),
        {"the members' own calls": (lambda: [m.predict_proba(rows) for m in members], bound)},
        rounds=9,
        calls=3 if n_rows > 1 else 50,
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("method", "bound"), [("logits", 1.25), ("auto", 1.4)])
@pytest.mark.parametrize("kind", ["small nets", "naive Bayes"])
def test_predict_proba_of_one_row(compare, data, kind, method, bound):
    X, y, X_held, y_held, X_new = data
    made = {
        "small nets": lambda i: MLPClassifier((32,), max_iter=10, random_state=i),
        "naive Bayes": lambda i: GaussianNB(var_smoothing=10.0**-i),
    }
    members = [made[kind](i).fit(X, y) for i in range(8)]
    weights = "log_loss" if method == "auto" else np.ones(len(members))
    merged = MergedClassifier.from_fitted(members, X_held, y_held, method=method, weights=weights)
    compare.cost(
        f"predict_proba of 1 row, 8 {kind}, {method}",
        lambda: merged.predict_proba(X_new[:1]),
        {"the members' own calls": (lambda: [m.predict_proba(X_new[:1]) for m in members], bound)},
        rounds=9,
        calls=50,
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("call", ["predict", "predict_proba"])
@pytest.mark.parametrize("widths", [(64, 64), (256, 256)], ids=str)
def test_merged_parameters(compare, data, widths, call):
    X, y, X_held, y_held, X_new = data
    members = [MLPClassifier(widths, max_iter=3, random_state=0).fit(X, y) for _ in range(4)]
    merged = MergedClassifier.from_fitted(
        members, X_held, y_held, method="parameters", weights=None, barrier_tolerance=9
    )
    compare.cost(
        f"{call} of 8,000 rows, 4 nets of {widths} units as one",
        lambda: getattr(merged, call)(X_new),
        {"one member": (lambda: getattr(members[0], call)(X_new), 1.05)},
        rounds=20,
        calls=5,
    )
