"""The best candidate of a search, and the merge of eight of its candidates: gain and cost.

    python tests/benchmarks/study_searches.py FOLDER [--seeds 0] [--sets NAME ...] [--out FILE]

Each set is a gzipped CSV whose last column, ``target``, is the label. A random search scores 40
settings of histogram gradient boosting and random forests over five folds of at most 1,000 rows, by
log loss; at most 4,000 other rows are for the test. Fits are counted by a step of each Pipeline.
The tables are printed as docs/quality.rst has them; standard errors are those of the mean
difference of two models over the same test rows.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy counts the processors

import numpy as np
import pandas as pd
from scipy.stats import loguniform, randint, uniform
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import RandomizedSearchCV, train_test_split
from sklearn.pipeline import Pipeline

from skmergecal import MergedClassifier, TemperatureCalibrator, members_from_search

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.merge_methods import log_losses
from tests.benchmarks.rst import as_rst
from tests.benchmarks.tabular import KnownResults, load, prepared, study_parser

SETS = [
    "adult",
    "contraceptive",
    "ctg_nsp",
    "german_credit",
    "magic",
    "satimage",
    "segment",
    "spambase",
    "telco_churn",
    "thyroid",
]
N_TRAIN, N_TEST = 1_000, 4_000
SEARCH = "best of 40"
SCALED = "best of 40, temperature"
LONGER = "best of 50"
MERGED = "merge of 8"


class CountsFits(TransformerMixin, BaseEstimator):
    """Hands rows on, and counts how often it is fitted: once for each fit of its Pipeline."""

    fits = 0

    def fit(self, X: object, y: object = None) -> CountsFits:
        CountsFits.fits += 1
        return self

    def transform(self, X: object) -> object:
        return X

    def __sklearn_is_fitted__(self) -> bool:
        return True


def candidates(X: pd.DataFrame, seed: int) -> tuple[Pipeline, list[dict[str, object]]]:
    """A Pipeline whose last step is searched, and what the search draws."""
    boosting = HistGradientBoostingClassifier(random_state=seed)
    forest = RandomForestClassifier(random_state=seed)
    columns = prepared({"": boosting}, X)[""][0]
    steps = [("counts", CountsFits()), ("columns", columns), ("model", boosting)]
    boosted = {
        "model": [boosting],
        "model__learning_rate": loguniform(0.05, 0.3),
        "model__max_iter": randint(20, 51),
        "model__max_leaf_nodes": randint(4, 32),
        "model__min_samples_leaf": randint(5, 41),
        "model__l2_regularization": loguniform(1e-3, 10),
    }
    trees = {
        "model": [forest],
        "model__n_estimators": randint(20, 51),
        "model__max_features": uniform(0.1, 0.9),
        "model__min_samples_leaf": randint(1, 11),
        "model__criterion": ["gini", "entropy"],
    }
    return Pipeline(steps), [boosted, trees]


class Costs:
    """What was done for each model, in fits and seconds of the processor."""

    def __init__(self) -> None:
        self.fits: dict[str, int] = {}
        self.seconds: dict[str, float] = {}

    def of(self, name: str, work: Callable[[], object]) -> object:
        fits, start = CountsFits.fits, time.process_time()
        result = work()
        self.fits[name] = CountsFits.fits - fits
        self.seconds[name] = time.process_time() - start
        return result


def evaluate(path: Path, seed: int) -> dict[str, dict[str, float]]:
    """For each model its loss, difference to the search's best with standard error, and costs."""
    X, y = load(path, seed)
    n_train = min(N_TRAIN, round(0.75 * len(y)))
    X, X_test, y, y_test = train_test_split(X, y, train_size=n_train, stratify=y, random_state=seed)
    X_test, y_test = X_test[:N_TEST], y_test[:N_TEST]
    pipeline, spaces = candidates(X, seed)
    how = {"scoring": "neg_log_loss", "cv": 5}
    search = RandomizedSearchCV(pipeline, spaces, n_iter=40, random_state=seed, **how)
    more = RandomizedSearchCV(pipeline, spaces, n_iter=10, random_state=seed + 1000, **how)
    costs = Costs()
    costs.of(SEARCH, lambda: search.fit(X, y))
    costs.of(LONGER, lambda: more.fit(X, y))

    def merged() -> object:
        members = members_from_search(search, n_members=8)
        return MergedClassifier(members, cv=search.cv).fit(X, y)

    best = clone(search.best_estimator_)
    models = {
        SEARCH: search,
        SCALED: costs.of(SCALED, lambda: TemperatureCalibrator(best, cv=5).fit(X, y)),
        LONGER: max(search, more, key=lambda s: s.best_score_),
        MERGED: costs.of(MERGED, merged),
    }
    losses = {name: log_losses(y_test, m.predict_proba(X_test)) for name, m in models.items()}
    result = {}
    for name, loss in losses.items():
        difference = loss - losses[SEARCH]
        result[name] = {
            "loss": float(loss.mean()),
            "difference": float(difference.mean()),
            "error": float(difference.std(ddof=1) / len(difference) ** 0.5),
            "fits": costs.fits[name],
            "seconds": costs.seconds[name],
        }
    result[SEARCH] |= {"train": len(y), "test": len(y_test)}
    return result


def summarise(results: dict[str, dict[str, dict[str, float]]]) -> None:
    """Losses by set, means with standard errors, and costs."""
    names = list(next(iter(results.values())))
    by_set = {}
    for key, result in results.items():
        gain = f"{-result[MERGED]['difference']:.4f} ± {result[MERGED]['error']:.4f}"
        by_set[key] = {
            "rows": f"{result[SEARCH]['train']:,}",
            "test rows": f"{result[SEARCH]['test']:,}",
            **{name: result[name]["loss"] for name in names},
            "gain of the merge": gain.replace("0.", ".").replace("-", "\N{MINUS SIGN}"),
        }
    print("\nLog loss of the test rows; the gain with its standard error.\n")
    print(as_rst(pd.DataFrame(by_set).T, "set"))
    values = {
        name: pd.DataFrame({key: result[name] for key, result in results.items()}, dtype=float).T
        for name in names
    }
    first, means = values[SEARCH], {}
    for name, table in values.items():
        z = -table["difference"] / table["error"]
        more = "" if name == SEARCH else "+"
        means[name] = {
            "log loss": table["loss"].mean(),
            "to the best": percent(table["loss"].mean() / first["loss"].mean()),
            "of each set": percent(np.exp(np.log(table["loss"] / first["loss"]).mean())),
            "lower": f"{(table['difference'] < 0).sum()}",
            "lower by 2 s.e.": f"{(z > 2).sum()}",
            "higher by 2 s.e.": f"{(z < -2).sum()}",
            "fits": f"{more}{table['fits'].mean():.0f}",
            "time": f"{more}{table['seconds'].sum() / first['seconds'].sum():.2f}",
        }
    print(f"\nMeans over {len(results)} sets; fits and time beyond the search, whose time is 1.\n")
    print(as_rst(pd.DataFrame(means).T, "model"))


def percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %".replace("-", "\N{MINUS SIGN}")


def main() -> None:
    options = study_parser(__doc__, sets=SETS).parse_args()
    warnings.simplefilter("ignore")
    known = KnownResults(options.out)
    results = {}
    for seed in options.seeds:
        for name in options.sets:
            key = f"{name} {seed}"
            if key not in known:
                known[key] = evaluate(options.folder / f"{name}.csv.gz", seed)
                known.write()
            results[name if len(options.seeds) == 1 else key] = known[key]
            losses = "  ".join(f"{r['loss']:.4f}" for r in known[key].values())
            print(f"{key:18s}  {losses}  {known[key][SEARCH]['seconds']:.0f} s", flush=True)
    summarise(results)


if __name__ == "__main__":
    main()
