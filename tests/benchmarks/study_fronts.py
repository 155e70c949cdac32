"""Members with their own bootstraps and preprocessing, merged into one model of scikit-learn.

    python tests/benchmarks/study_fronts.py FOLDER [--seeds 0 1 2] [--sets adult] [--rows 3000]

Each of three members imputes, scales and encodes a bootstrap of its own; 5 % of the numbers are
missing. Log losses of test rows: the mean member, the pool of the logits with equal weights, the
plain average of the parameters on the common front, and the one model that is merged with
``alignment="auto"``; and the largest difference in probability between this model and the pool.
"""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy counts the processors

import sys

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, RobustScaler, StandardScaler

from skmergecal import MergedClassifier

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.merge_methods import log_losses
from tests.benchmarks.rst import as_rst
from tests.benchmarks.tabular import load, split

N_MEMBERS = 3


def fronts(X: pd.DataFrame) -> list[ColumnTransformer]:
    """Preprocessing of each member, not fitted."""
    numbers = X.select_dtypes("number").columns.tolist()
    texts = [column for column in X if column not in numbers]
    rare = {"min_frequency": 10, "handle_unknown": "infrequent_if_exist"}
    settings = [
        (SimpleImputer(), StandardScaler(), {"handle_unknown": "ignore"}),
        (SimpleImputer(strategy="median"), RobustScaler(), {"handle_unknown": "ignore"}),
        (SimpleImputer(add_indicator=True), StandardScaler(), rare),
    ]
    return [
        ColumnTransformer(
            [
                ("numbers", make_pipeline(imputer, scaler), numbers),
                ("texts", OneHotEncoder(**how), texts),
            ]
        )
        for imputer, scaler, how in settings
    ]


def models(seed: int) -> dict[str, object]:
    """Small classifiers, by name."""
    return {
        "logistic": LogisticRegression(max_iter=2000),
        "net": MLPClassifier((32,), early_stopping=True, random_state=seed),
    }


def evaluate(path: Path, seed: int, n_rows: int) -> dict[str, dict[str, float]]:
    """Results by the name of the model."""
    X, y = load(path, seed)
    rng = np.random.default_rng(seed)
    for column in X.select_dtypes("number"):
        X[column] = X[column].astype(float).mask(rng.random(len(X)) < 0.05)
    X_train, y_train, X_held, y_held, X_test, y_test = split(X, y, seed)
    found = {}
    for name in models(seed):
        members = []
        for i, front in enumerate(fronts(X)):
            rows = rng.integers(0, len(X_train), n_rows)
            member = make_pipeline(front, models(seed * N_MEMBERS + i)[name])
            members.append(member.fit(X_train.iloc[rows], y_train[rows]))

        def merged(members: list = members, **settings: object) -> MergedClassifier:
            settings = {"weights": None, "on_barrier": "warn", **settings}
            return MergedClassifier.from_fitted(members, X_held, y_held, **settings)

        pool = merged(method="logits")
        one = merged(method="parameters").to_estimator(X_held)
        plain = merged(method="parameters", alignment=None, repair=None)
        losses = {
            "members": float(
                np.mean([log_losses(y_test, m.predict_proba(X_test)).mean() for m in members])
            ),
            "pool": float(log_losses(y_test, pool.predict_proba(X_test)).mean()),
            "plain": float(log_losses(y_test, plain.predict_proba(X_test)).mean()),
            "merged": float(log_losses(y_test, one.predict_proba(X_test)).mean()),
        }
        error = np.abs(one.predict_proba(X_test) - pool.predict_proba(X_test)).max()
        found[name] = {**losses, "difference": float(error)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one split each")
    parser.add_argument("--sets", nargs="*", default=["adult"])
    parser.add_argument("--rows", type=int, default=3_000)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # iteration limits of members
    results = {}
    for name in options.sets:
        for seed in options.seeds:
            found = evaluate(options.folder / f"{name}.csv.gz", seed, options.rows)
            for model, row in found.items():
                results[name, model, seed] = row
                told = "  ".join(f"{k} {v:.3g}" for k, v in row.items())
                print(f"{name} {model} seed {seed}: {told}", flush=True)
    table = pd.DataFrame(results).T.groupby(level=[0, 1]).mean()
    table.index = [" ".join(key) for key in table.index]
    print(as_rst(table.drop(columns="difference"), "set and model"))


if __name__ == "__main__":
    main()
