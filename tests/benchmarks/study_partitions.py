"""One member for each partition, where partitions are unlike: log loss beside soft votes.

    python tests/benchmarks/study_partitions.py FOLDER [--sets NAME ...] [--seeds 0 1] [--dask-ml]

Each set is a gzipped CSV whose last column, ``target``, is the label. Its rows lie in eight
partitions: at random, or sorted by the first column of numbers, so that each partition has a range
of it. A fifth of the rows is for the test. ``dask-ml``'s BlockwiseVotingClassifier trains a member
on all rows of each partition, and averages their probabilities without weights; with --dask-ml the
package's own is called, else the same rule is written out here. "all rows" is one model trained on
all rows in one place. The table is printed as docs/guide/past_one_machine.rst has it.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy counts the processors

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parents[2]))
from skmergecal import MergedClassifier
from tests.benchmarks.rst import as_rst
from tests.benchmarks.tabular import load

SETS = ["adult", "bank_marketing", "credit_default", "letter"]
N_PARTS = 8
COLUMNS = [
    "soft votes",
    "from_partitions",
    'method="parameters"',
    "all rows",
]
KINDS: dict[str, Any] = {
    "boosting": HistGradientBoostingClassifier(max_iter=40, early_stopping=False, random_state=0),
    "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
}


def numbers(X: pd.DataFrame) -> pd.DataFrame:
    """The features as numbers: columns of text by indicators, missing numbers by medians."""
    X = X.fillna(X.median(numeric_only=True))
    return pd.get_dummies(X, dtype=float).astype(float)


def in_partitions(X: np.ndarray, y: np.ndarray, sorted_by: int | None, seed: int) -> Any:
    """Dask arrays in eight partitions, and the numbers of the rows of each."""
    import dask.array as da

    order = np.random.default_rng(seed).permutation(len(y))
    if sorted_by is not None:
        order = order[np.argsort(X[order, sorted_by], kind="stable")]
    size = -(-len(y) // N_PARTS)
    parts = [order[first : first + size] for first in range(0, len(y), size)]
    return da.from_array(X[order], (size, X.shape[1])), da.from_array(y[order], size), parts


def soft_votes(model: BaseEstimator, X: np.ndarray, y: np.ndarray, parts: Any, new: Any) -> Any:
    """Mean probabilities of one member for each partition, trained on all of its rows."""
    total = np.zeros((len(new), int(y.max()) + 1))
    for own in parts:
        member = clone(model).fit(X[own], y[own])
        total[:, member.classes_] += member.predict_proba(new)
    return total / len(parts)


def of_dask_ml(model: BaseEstimator, DX: Any, Dy: Any, new: np.ndarray, n_classes: int) -> Any:
    """The same by dask-ml."""
    import dask.array as da
    from dask_ml.ensemble import BlockwiseVotingClassifier

    votes = BlockwiseVotingClassifier(model, voting="soft", classes=[*range(n_classes)])
    votes.fit(DX, Dy)
    return np.asarray(votes.predict_proba(da.from_array(new, (len(new), -1))))


def losses(
    X: np.ndarray, y: np.ndarray, kind: str, sorted_by: int | None, seed: int, dask_ml: bool
) -> dict[str, float]:
    """Log loss of each way on the same test rows."""
    split = train_test_split(X, y, test_size=0.2, stratify=y, random_state=seed)
    X_train, new, y_train, y_new = split
    DX, Dy, parts = in_partitions(X_train, y_train, sorted_by, seed)
    model, labels = KINDS[kind], np.arange(int(y.max()) + 1)
    if dask_ml:
        votes = of_dask_ml(model, DX, Dy, new, len(labels))
    else:
        votes = soft_votes(model, X_train, y_train, parts, new)
    found = {"soft votes": votes}
    merges: dict[str, dict[str, Any]] = {"from_partitions": {}}
    if kind == "linear":
        merges['method="parameters"'] = {"method": "parameters", "calibrate": "merged"}
    for name, params in merges.items():
        merged = MergedClassifier.from_partitions(model, DX, Dy, random_state=seed, **params)
        found[name] = merged.predict_proba(new)
    found["all rows"] = clone(model).fit(X_train, y_train).predict_proba(new)
    tiny = np.finfo(np.float64).tiny
    clipped = {name: np.clip(p, tiny, None) for name, p in found.items()}
    clipped = {name: p / p.sum(axis=1, keepdims=True) for name, p in clipped.items()}
    return {name: log_loss(y_new, p, labels=labels) for name, p in clipped.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--kinds", nargs="+", default=[*KINDS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--rows", type=int, default=8_000)
    parser.add_argument("--dask-ml", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = {}
    for name in options.sets:
        for kind in options.kinds:
            for how in ("at random", "sorted"):
                found = []
                for seed in options.seeds:
                    frame, y = load(options.folder / f"{name}.csv.gz", seed, options.rows)
                    X = numbers(frame)
                    by = X.columns.get_loc(frame.select_dtypes("number").columns[0])
                    given = X.to_numpy(), y, kind, by if how == "sorted" else None, seed
                    found.append(losses(*given, options.dask_ml))
                rows[f"{name}, {kind}, {how}"] = pd.DataFrame(found).mean()
                print(
                    name, kind, how, rows[f"{name}, {kind}, {how}"].round(4).to_dict(), flush=True
                )
    table = pd.DataFrame(rows).T[COLUMNS]
    print(as_rst(table.map(lambda v: "" if np.isnan(v) else v), "log loss"))


if __name__ == "__main__":
    main()
