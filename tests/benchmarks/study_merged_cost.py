"""What merged parameters cost: time of a prediction, memory of merging files.

    python tests/benchmarks/study_merged_cost.py

Prints the time of ``predict`` and ``predict_proba`` of the merged classifier, and of its plain
estimator, as multiples of one member's time; then time and peak memory of ``merge_checkpoints``
against the number and the size of files. Ratios are of the best of many turns, taken in turns.
"""

from __future__ import annotations

import json
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import MergedClassifier
from skmergecal.parameters import merge_checkpoints

MEMBERS = {
    "logistic": lambda i: LogisticRegression(C=0.1 + i),
    "scaled logistic": lambda i: make_pipeline(StandardScaler(), LogisticRegression(C=0.1 + i)),
    "network 64-64": lambda i: MLPClassifier((64, 64), max_iter=3, random_state=0),
    "network 256-256": lambda i: MLPClassifier((256, 256), max_iter=3, random_state=0),
}


def best_times(functions, X, turns=40):
    """The best time of each function, all called in turn."""
    best = dict.fromkeys(functions, np.inf)
    for _ in range(turns):
        for name, function in functions.items():
            start = time.perf_counter()
            function(X)
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def predictions():
    X, y = make_classification(24_000, 50, n_informative=20, n_classes=5, random_state=0)
    fit, held, test = X[:2000], X[2000:4000], X[4000:]
    print("member            rows  call           merged/member  plain/member")
    for family, make in MEMBERS.items():
        members = [make(i).fit(fit, y[:2000]) for i in range(4)]
        merged = MergedClassifier.from_fitted(
            members, held, y[2000:4000], method="parameters", weights=None
        )
        plain = merged.to_estimator()
        for n_rows in (1, 1000, 20_000):
            for call in ("predict", "predict_proba"):
                times = best_times(
                    {m: getattr(m, call) for m in (members[0], merged, plain)}, test[:n_rows]
                )
                ratios = [times[m] / times[members[0]] for m in (merged, plain)]
                print(f"{family:16s} {n_rows:6d}  {call:13s} {ratios[0]:14.2f} {ratios[1]:13.2f}")


def write_file(path, size, seed):
    entry = {"dtype": "F32", "shape": [size], "data_offsets": [0, 4 * size]}
    header = json.dumps({"w": entry}).encode()
    numbers = np.random.default_rng(seed).random(size, dtype=np.float32)
    path.write_bytes(len(header).to_bytes(8, "little") + header + numbers.tobytes())


def checkpoints():
    print("\nfiles  MiB each  seconds  peak MiB")
    for n_files, size in [(2, 10**7), (2, 5 * 10**7), (8, 10**7), (32, 10**6)]:
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, str(i)) for i in range(n_files)]
            for seed, path in enumerate(paths):
                write_file(path, size, seed)
            start = time.perf_counter()
            merge_checkpoints(paths, Path(folder, "out"))
            seconds = time.perf_counter() - start
            tracemalloc.start()
            merge_checkpoints(paths, Path(folder, "out"))
            peak = tracemalloc.get_traced_memory()[1] / 2**20
            tracemalloc.stop()
        print(f"{n_files:5d}  {4 * size / 2**20:8.0f}  {seconds:7.2f}  {peak:8.1f}")


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.filterwarnings("ignore", message="the averaged parameters")
    predictions()
    checkpoints()
