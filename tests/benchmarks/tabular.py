"""Tabular data sets, classifiers fitted on them, and what these say of other rows."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmergecal._numerics import softmax
from skmergecal.members import READERS, choose_reader, read_raw

MAX_ROWS = 16_000
#: Rows of classes with fewer rows than this are left out: no split could hold them (nursery).
MIN_CLASS = 10
#: Columns that are left out: this one is known only after the outcome.
LEFT_OUT = {"bank_marketing": ["duration"]}


def study_parser(doc: str | None, *, sets: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """The arguments that studies of data sets share."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one split each")
    parser.add_argument("--sets", nargs="*", default=sets)
    parser.add_argument("--out", type=Path, help="a JSON file that is read, and gets new results")
    return parser


def sets_in(folder: Path) -> dict[str, Path]:
    """The files of data sets by name."""
    return {path.name.removesuffix(".csv.gz"): path for path in folder.glob("*.csv.gz")}


class KnownResults(dict[str, Any]):
    """Results by key, those of a JSON file first; without a file they are only remembered."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(json.loads(path.read_text()) if path and path.exists() else {})
        self.path = path

    def write(self) -> None:
        """Write all to the file."""
        if self.path:
            self.path.write_text(json.dumps(self))


def load(path: Path, seed: int, max_rows: int = MAX_ROWS) -> tuple[pd.DataFrame, np.ndarray]:
    """The features, and the labels as 0..k-1."""
    frame = pd.read_csv(path)
    if len(frame) > max_rows:
        frame = frame.sample(max_rows, random_state=seed)
    counts = frame["target"].value_counts()
    frame = frame[frame["target"].map(counts) >= MIN_CLASS]
    dropped = LEFT_OUT.get(path.name.removesuffix(".csv.gz"), [])
    X, y = frame.drop(columns=["target", *dropped]), frame["target"]
    return X.reset_index(drop=True), np.unique(y, return_inverse=True)[1]


def split(X: pd.DataFrame, y: np.ndarray, seed: int) -> list:
    """Features and labels of training, held-out and test rows."""
    X_train, X_rest, y_train, y_rest = train_test_split(
        X, y, train_size=0.6, stratify=y, random_state=seed
    )
    X_held, X_test, y_held, y_test = train_test_split(
        X_rest, y_rest, train_size=0.5, stratify=y_rest, random_state=seed
    )
    return [X_train, y_train, X_held, y_held, X_test, y_test]


def drawn(y: np.ndarray, n: int, seed: int, *, stratified: bool = True) -> np.ndarray:
    """Numbers of n rows at random, with the shares of the classes where that is possible."""
    rows = np.arange(len(y))
    if n >= len(y):
        return rows
    counts = np.bincount(y)
    # scikit-learn stratifies only if each class has two rows, and each part a row of each class.
    possible = counts[counts > 0].min() > 1 and (counts > 0).sum() <= min(n, len(y) - n)
    shares = y if stratified and possible else None
    return train_test_split(rows, train_size=n, stratify=shares, random_state=seed)[0]


def members(seed: int) -> dict[str, object]:
    """Eight classifiers with scikit-learn's default settings."""
    return {
        "forest": RandomForestClassifier(random_state=seed),
        "extra": ExtraTreesClassifier(random_state=seed),
        "boosting": HistGradientBoostingClassifier(random_state=seed),
        "logistic": LogisticRegression(max_iter=2000),
        "bayes": GaussianNB(),
        "knn": KNeighborsClassifier(),
        "mlp-0": MLPClassifier(random_state=seed),
        "mlp-1": MLPClassifier(random_state=seed + 1),
    }


def boosters(seed: int) -> dict[str, object]:
    """Eleven gradient boosting classifiers of three libraries."""
    try:
        from catboost import CatBoostClassifier
        from lightgbm import LGBMClassifier
        from xgboost import XGBClassifier
    except ImportError as error:
        msg = f"the portfolio needs three more packages: pip install {NEEDED} ({error})"
        raise SystemExit(msg) from error

    def light(**params: object) -> object:
        return LGBMClassifier(random_state=seed, n_jobs=1, verbose=-1, **params)

    def extreme(**params: object) -> object:
        return XGBClassifier(random_state=seed, n_jobs=1, tree_method="hist", **params)

    def cat(**params: object) -> object:
        quiet = {"verbose": 0, "allow_writing_files": False, "thread_count": 1}
        return CatBoostClassifier(random_seed=seed, **quiet, **params)

    part = {"subsample": 0.8, "colsample_bytree": 0.7}
    slow = {"n_estimators": 150, "learning_rate": 0.05, "num_leaves": 15}
    return {
        "lightgbm": light(),
        "lightgbm-slow": light(**slow, **part, subsample_freq=1),
        "lightgbm-deep": light(n_estimators=80, num_leaves=63, min_child_samples=5, reg_lambda=5),
        "lightgbm-extra": light(extra_trees=True, colsample_bytree=0.5),
        "xgboost": extreme(),
        "xgboost-slow": extreme(n_estimators=150, learning_rate=0.08, max_depth=4, **part),
        "xgboost-deep": extreme(n_estimators=80, learning_rate=0.1, max_depth=9, reg_lambda=5),
        "xgboost-flat": extreme(n_estimators=200, learning_rate=0.2, max_depth=2),
        "catboost": cat(iterations=150, learning_rate=0.1),
        "catboost-flat": cat(iterations=200, learning_rate=0.1, depth=4, l2_leaf_reg=10),
        "catboost-deep": cat(iterations=80, learning_rate=0.2, depth=7, random_strength=3),
    }


#: Packages of `boosters`; xgboost-cpu is XGBoost without the libraries for graphics cards.
NEEDED = "lightgbm xgboost-cpu catboost"


def portfolio(seed: int) -> dict[str, object]:
    """Twenty-two classifiers of varied settings, as a search would leave them."""
    trees = {"n_estimators": 200, "max_features": 0.5, "min_samples_leaf": 2}
    trees |= {"criterion": "entropy", "random_state": seed}
    stopped = {"early_stopping": True, "random_state": seed}
    return boosters(seed) | {
        "forest": RandomForestClassifier(random_state=seed),
        "forest-entropy": RandomForestClassifier(**trees),
        "extra": ExtraTreesClassifier(random_state=seed),
        "extra-entropy": ExtraTreesClassifier(**trees),
        "boosting": HistGradientBoostingClassifier(l2_regularization=1, random_state=seed),
        "mlp": MLPClassifier(**stopped),
        "mlp-deep": MLPClassifier((128, 64), alpha=0.01, learning_rate_init=0.002, **stopped),
        "logistic": LogisticRegression(max_iter=1000),
        "discriminant": LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
        "knn": KNeighborsClassifier(),
        "knn-weighted": KNeighborsClassifier(15, weights="distance"),
    }


def prepared(classifiers: dict[str, object], X: pd.DataFrame) -> dict[str, object]:
    """Each behind imputed and scaled numbers and one-hot texts, not fitted."""
    text = [c for c in X if not pd.api.types.is_numeric_dtype(X[c])]
    numbers = [c for c in X if c not in text]
    behind = {}
    for name, classifier in classifiers.items():
        one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False, min_frequency=5)
        scaled = make_pipeline(SimpleImputer(), StandardScaler())
        columns = ColumnTransformer([("numbers", scaled, numbers), ("text", one_hot, text)])
        behind[name] = make_pipeline(columns, classifier)
    return behind


def fit_all(classifiers: dict[str, object], X: pd.DataFrame, y: np.ndarray) -> dict[str, object]:
    """The same, fitted."""
    return {name: model.fit(X, y) for name, model in prepared(classifiers, X).items()}


class Recorded(ClassifierMixin, BaseEstimator):
    """A fitted classifier that looks its answers up: a row of X is the number of one."""

    def __init__(self, table: np.ndarray) -> None:
        self.table = table
        self.classes_ = np.arange(table.shape[1])

    def fit(self, X: object = None, y: object = None) -> Recorded:
        return self

    def answers(self, X: np.ndarray) -> np.ndarray:
        return self.table[np.asarray(X)[:, 0]]

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.answers(X).argmax(axis=1)


class RecordedProba(Recorded):
    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.answers(X)


class RecordedLogits(Recorded):
    def decision_function(self, X: np.ndarray) -> np.ndarray:
        z = self.answers(X)
        return z[:, 1] - z[:, 0] if z.shape[1] == 2 else z


@dataclass(frozen=True)
class Problem:
    """What members say of held-out and test rows, with the labels.

    ``values`` has the shape (n_members, n_rows, n_classes), held-out rows first, and is what the
    package reads of a member: log-probabilities where ``logarithmic``, else probabilities.
    """

    values: np.ndarray
    logarithmic: list[bool]
    y: np.ndarray
    y_test: np.ndarray

    @classmethod
    def of(cls, fitted: dict[str, object], parts: list) -> Problem:
        """Read each member once; ``parts`` are X and y of held-out and of test rows."""
        X_held, y_held, X_test, y_test = parts
        n_classes, values, logarithmic = int(y_held.max()) + 1, [], []
        for name, model in fitted.items():
            source = choose_reader(name, model, X_held)
            read = [read_raw(name, model, source, X, n_classes) for X in (X_held, X_test)]
            values.append(np.concatenate(read))
            logarithmic.append(READERS[source].logarithmic)
        return cls(np.array(values), logarithmic, y_held, y_test)

    def only(self, rows: np.ndarray) -> Problem:
        """The same with some of the held-out rows."""
        kept = np.concatenate([rows, np.arange(len(self.y), self.values.shape[1])])
        return Problem(self.values[:, kept], self.logarithmic, self.y[rows], self.y_test)

    def rounded(self, decimals: int) -> Problem:
        """The same where members tell so many decimals of their probabilities."""
        p = np.round(self.proba, decimals)
        p /= p.sum(axis=2, keepdims=True)
        return Problem(p, [False] * len(p), self.y, self.y_test)

    @property
    def X_held(self) -> np.ndarray:
        return np.arange(len(self.y))[:, None]

    @property
    def X_test(self) -> np.ndarray:
        return np.arange(len(self.y), self.values.shape[1])[:, None]

    @property
    def proba(self) -> np.ndarray:
        """Probabilities, shape (n_members, n_rows, n_classes)."""
        pairs = zip(self.values, self.logarithmic, strict=True)
        return np.array([softmax(v) if log else v for v, log in pairs])

    def members(self) -> Iterator[tuple[str, Recorded]]:
        for number, (v, log) in enumerate(zip(self.values, self.logarithmic, strict=True)):
            yield f"member-{number}", (RecordedLogits if log else RecordedProba)(v)
