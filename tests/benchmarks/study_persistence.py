"""Sizes of saved models, times to write and read them, latencies: the tables of docs/deploying.rst.

    python -m tests.benchmarks.study_persistence [rows of the forests, default 6000]

Sizes are those of the file over those of the members, each written by itself in the same way (with
``method="parameters"`` the one model is a part, too). Times are the best of several, of the
processor, in one thread.
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import skops.io
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.persistence import TRUSTED_TYPES, load, save

TREE = "sklearn.tree._tree.Tree"
DEFLATED = {"compression": zipfile.ZIP_DEFLATED}


def best(function, times=3):
    """The shortest of several times, in seconds of the processor: other processes may run."""
    found = []
    for _ in range(times):
        start = time.process_time()
        function()
        found.append(time.process_time() - start)
    return min(found)


def models(n_rows):
    """Merges of forests in every way, nested too, with what their parts are."""
    X, y = make_classification(n_rows, 20, n_informative=8, n_classes=3, random_state=0)
    cut = n_rows // 2
    forests = [
        RandomForestClassifier(30, random_state=seed, n_jobs=1).fit(X[:cut], y[:cut])
        for seed in range(2)
    ]
    linear = [LogisticRegression(C=c, max_iter=500).fit(X[:cut], y[:cut]) for c in (0.1, 1.0)]
    held, codes = X[cut : cut + 2000], y[cut : cut + 2000]
    made = {}
    for name, how in {
        "auto": {},
        "logits": {"method": "logits"},
        "classwise": {"method": "logits", "weights": "classwise"},
        "probabilities": {"method": "probabilities"},
        "greedy": {"weights": "greedy"},
    }.items():
        made[name] = MergedClassifier.from_fitted(forests, held, codes, **how), forests
    one = MergedClassifier.from_fitted(linear, held, codes, method="parameters")
    made["parameters"] = one, [*linear, one.merged_estimator_]
    made["calibrated"] = (
        TemperatureCalibrator(FrozenEstimator(made["auto"][0])).fit(held, codes),
        forests,
    )
    made["nested"] = (
        MergedClassifier.from_fitted({"a": made["auto"][0]}, held, codes, method="logits"),
        forests,
    )
    voting = VotingClassifier(
        [(f"f{i}", FrozenEstimator(forest)) for i, forest in enumerate(forests)], voting="soft"
    ).fit(held, codes)
    made["VotingClassifier"] = voting, forests
    return made, held


def sizes(model, parts, path):
    """Bytes of each kind of file, and those of the parts."""
    wrapped = [FrozenEstimator(part) for part in parts]
    save(model, path)
    return {
        "save": (os.path.getsize(path), sum(len(skops.io.dumps(p, **DEFLATED)) for p in parts)),
        "skops": (len(skops.io.dumps(model)), sum(len(skops.io.dumps(p)) for p in parts)),
        "pickle": (len(pickle.dumps(model)), len(pickle.dumps(wrapped))),
    }


def table_of_sizes(made, path):
    """What `save` writes, and how long that and reading take."""
    print(f"{'':18}" + "".join(f"{kind:>11} ratio" for kind in ("save", "skops", "pickle")), end="")
    print(f"{'save':>9}{'load':>9}{'pickle.load':>12}  seconds")
    trusted = [TREE, "sklearn.utils._bunch.Bunch"]
    for name, (model, parts) in made.items():
        found = sizes(model, parts, path)
        line = "".join(f"{own / 1024:9.0f}KB{own / whole:6.2f}" for own, whole in found.values())
        raw = pickle.dumps(model)
        times = (
            best(lambda model=model: save(model, path), 2),
            best(lambda: load(path, trusted=trusted)),
            best(lambda raw=raw: pickle.loads(raw)),
        )
        print(f"{name:18}{line}{times[0]:9.2f}{times[1]:9.2f}{times[2]:12.2f}")


def latency(predict, row, times):
    """Microseconds of a call."""
    predict(row)
    return 1e6 * min(best(lambda: [predict(row) for _ in range(times)]) / times for _ in range(3))


def table_of_latencies(n_rows=10_000):
    """One row, and many, of eight cheap members, against the sum of their own calls."""
    X, y = make_classification(4000 + n_rows, 20, n_informative=8, n_classes=3, random_state=0)
    linear = [
        LogisticRegression(max_iter=500).fit(X[k * 200 :][:600], y[k * 200 :][:600])
        for k in range(8)
    ]
    rows, held = X[4000:], (X[2000:4000], y[2000:4000])
    made = {
        "logits": MergedClassifier.from_fitted(linear, *held, method="logits"),
        "auto": MergedClassifier.from_fitted(linear, *held),
        "VotingClassifier": VotingClassifier(
            [(f"m{i}", FrozenEstimator(m)) for i, m in enumerate(linear)], voting="soft"
        ).fit(*held),
    }
    made["to_estimator()"] = made["logits"].to_estimator()
    own = sum(latency(m.predict_proba, rows[:1], 20) for m in linear)
    many = sum(latency(m.predict_proba, rows, 1) for m in linear)
    print(f"\n{'':18}{'1 row, us':>12}{'ratio':>8}{f'{n_rows} rows, ms':>16}{'ratio':>8}")
    print(f"{'the members':18}{own:12.0f}{1:8.2f}{many / 1e3:16.1f}{1:8.2f}")
    for name, model in made.items():
        one, batch = (
            latency(model.predict_proba, rows[:1], 20),
            latency(model.predict_proba, rows, 1),
        )
        print(f"{name:18}{one:12.0f}{one / own:8.2f}{batch / 1e3:16.1f}{batch / many:8.2f}")


def main():
    """Print the tables."""
    warnings.simplefilter("ignore")
    n_rows = int(sys.argv[1]) if len(sys.argv) > 1 else 6000
    made, _ = models(n_rows)
    with tempfile.TemporaryDirectory() as folder:
        table_of_sizes(made, Path(folder) / "model")
    table_of_latencies()
    print(f"\n{len(TRUSTED_TYPES)} trusted types; numpy {np.__version__}")


if __name__ == "__main__":
    main()
