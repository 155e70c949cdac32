"""Log loss of merged classifiers on a folder of tabular data sets.

    python tests/benchmarks/study_quality.py FOLDER [--seeds 0 1 2] [--sets NAME ...] [--out FILE]

Each set is a gzipped CSV whose last column, ``target``, is the label. Eight members are fitted on
60 % of at most 16,000 rows, merged on 20 % and scored on 20 %. Compared are the default
MergedClassifier and single pools; VotingClassifier(voting="soft") and scikit-learn's temperature
after it; greedy ensemble selection (25 steps) of probabilities and a temperature after it; and the
best member.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmergecal import MergedClassifier
from skmergecal.metrics import expected_calibration_error

MAX_ROWS = 16_000
#: Rows of classes with fewer rows than this are left out: no split could hold them (nursery).
MIN_CLASS = 10
#: Predictions that a method gives no chance count as this, for every method alike.
FLOOR = 1e-15


def load(path: Path, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    frame = pd.read_csv(path)
    if len(frame) > MAX_ROWS:
        frame = frame.sample(MAX_ROWS, random_state=seed)
    counts = frame["target"].value_counts()
    frame = frame[frame["target"].map(counts) >= MIN_CLASS]
    X, y = frame.drop(columns="target"), frame["target"]
    if path.name.startswith("bank_marketing"):
        X = X.drop(columns="duration")  # it is known only after the outcome
    return X.reset_index(drop=True), np.unique(y, return_inverse=True)[1]


def members(X: pd.DataFrame, seed: int) -> dict[str, object]:
    text = [c for c in X if not pd.api.types.is_numeric_dtype(X[c])]
    numbers = [c for c in X if c not in text]

    def prepared(classifier: object) -> object:
        one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False, min_frequency=5)
        columns = ColumnTransformer(
            [
                ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
                ("text", one_hot, text),
            ]
        )
        return make_pipeline(columns, classifier)

    return {
        "forest": prepared(RandomForestClassifier(random_state=seed)),
        "extra": prepared(ExtraTreesClassifier(random_state=seed)),
        "boosting": prepared(HistGradientBoostingClassifier(random_state=seed)),
        "logistic": prepared(LogisticRegression(max_iter=2000)),
        "bayes": prepared(GaussianNB()),
        "knn": prepared(KNeighborsClassifier()),
        "mlp-0": prepared(MLPClassifier(random_state=seed)),
        "mlp-1": prepared(MLPClassifier(random_state=seed + 1)),
    }


def log_loss(y: np.ndarray, proba: np.ndarray) -> float:
    return float(-np.log(np.maximum(proba[np.arange(len(y)), y], FLOOR)).mean())


def scores(y: np.ndarray, proba: np.ndarray) -> dict[str, float]:
    one_hot = np.eye(proba.shape[1])[y]
    return {
        "log_loss": log_loss(y, proba),
        "brier": float(((proba - one_hot) ** 2).sum(axis=1).mean()),
        "accuracy": float(accuracy_score(y, proba.argmax(axis=1))),
        "ece": expected_calibration_error(y, proba),
    }


def fit_members(X: pd.DataFrame, y: np.ndarray, seed: int) -> dict[str, object]:
    return {name: model.fit(X, y) for name, model in members(X, seed).items()}


def split(X: pd.DataFrame, y: np.ndarray, seed: int) -> list:
    X_train, X_rest, y_train, y_rest = train_test_split(
        X, y, train_size=0.6, stratify=y, random_state=seed
    )
    X_held, X_test, y_held, y_test = train_test_split(
        X_rest, y_rest, train_size=0.5, stratify=y_rest, random_state=seed
    )
    return [X_train, y_train, X_held, y_held, X_test, y_test]


def evaluate(path: Path, seed: int) -> dict[str, dict[str, float]]:
    X_train, y_train, X_held, y_held, X_test, y_test = split(*load(path, seed), seed)
    fitted = fit_members(X_train, y_train, seed)
    frozen = [(name, FrozenEstimator(model)) for name, model in fitted.items()]
    vote = VotingClassifier(frozen, voting="soft").fit(X_train, y_train)
    by_scikit_learn = CalibratedClassifierCV(FrozenEstimator(vote), method="temperature")
    methods = {
        "default": MergedClassifier(frozen),
        "logits": MergedClassifier(frozen, method="logits"),
        "logits, class-wise": MergedClassifier(frozen, method="logits", weights="classwise"),
        "linear pool + temperature": MergedClassifier(
            frozen, method="probabilities", calibrate="merged"
        ),
        "greedy + temperature": MergedClassifier(
            frozen, method="probabilities", weights="greedy", calibrate="merged"
        ),
        "vote + scikit-learn's temperature": by_scikit_learn,
    }
    results = {"soft vote": scores(y_test, vote.predict_proba(X_test))}
    for name, model in methods.items():
        results[name] = scores(y_test, model.fit(X_held, y_held).predict_proba(X_test))
    by_member = [scores(y_test, model.predict_proba(X_test)) for model in fitted.values()]
    results["best member (on the test rows)"] = min(by_member, key=lambda s: s["log_loss"])
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--out", type=Path, help="a JSON file that is read, and gets new results")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # iteration limits of members
    known = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    tables: dict[str, list[pd.DataFrame]] = {}
    paths = {path.name.removesuffix(".csv.gz"): path for path in options.folder.glob("*.csv.gz")}
    for seed in options.seeds:
        for name in sorted(options.sets or paths):
            key = f"{name} {seed}"
            if key not in known:
                known[key] = evaluate(paths[name], seed)
                if options.out:
                    options.out.write_text(json.dumps(known))
            table = pd.DataFrame(known[key]).T
            tables.setdefault(name, []).append(table)
            print(f"{key:18s}  " + "  ".join(f"{v:.4f}" for v in table["log_loss"]), flush=True)
    summarise(tables)


def summarise(tables: dict[str, list[pd.DataFrame]]) -> None:
    """Means over sets and splits, standard errors over splits, and who beats whom how often."""
    pairs = [table for per_seed in tables.values() for table in per_seed]
    losses = pd.DataFrame([table["log_loss"] for table in pairs])
    by_split = [
        pd.concat(split).groupby(level=0, sort=False)
        for split in zip(*tables.values(), strict=True)
    ]
    by_split = [split["log_loss"].mean() for split in by_split]
    summary = pd.concat(pairs).groupby(level=0, sort=False).mean()
    if len(by_split) > 1:
        spread = pd.concat(by_split, axis=1).std(axis=1) / len(by_split) ** 0.5
        summary.insert(1, "standard error", spread)
    greedy, best = losses["greedy + temperature"], losses["best member (on the test rows)"]
    vote = losses["vote + scikit-learn's temperature"]
    summary["against greedy"] = losses.mean() / greedy.mean() - 1
    summary["below greedy"] = losses.lt(greedy, axis=0).mean()
    summary["above greedy"] = losses.gt(greedy + 1e-4, axis=0).mean()
    summary["above best"] = losses.gt(1.01 * best, axis=0).mean()
    summary["below vote"] = losses.lt(vote, axis=0).mean()
    print(summary.round(4).to_string())
    print(
        "below: share of (set, split) pairs with lower log loss; above greedy: by more than 1e-4; "
        "above best: by more than 1 % of the best member's; standard error: over splits"
    )
    by_set = {name: pd.concat(split).groupby(level=0, sort=False) for name, split in tables.items()}
    print(pd.DataFrame({n: g["log_loss"].mean() for n, g in by_set.items()}).T.round(4).to_string())


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
