"""Time and memory of the default merge, as ratios of one version of the package to another.

    python tests/benchmarks/study_versions.py OLD NEW [--rows ...] [--classes ...] [--members ...]

OLD and NEW are folders of two checkouts. Each version runs in a process of its own. The two fit the
same opinions in turn, so that other load on the machine meets both, and the least processor time of
each counts. Memory is the peak of what a fit allocates beyond its input. Printed are the ratios
NEW / OLD for each number of rows, members and classes; with ``--sizes 3200x8x18``, some of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import tracemalloc
import warnings
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy counts the processors

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin

ROWS, MEMBERS, CLASSES = (200, 800, 3200), (2, 8, 22), (2, 3, 6, 12, 18, 26)
#: Seconds after which a version is not timed again, and the most turns.
ENOUGH, MOST_TURNS = 2.0, 5
MEASURES = {"fit": "seconds of fit", "predict": "seconds of predict_proba", "peak": "MiB of fit"}
Size = tuple[int, int, int]


class Logits(ClassifierMixin, BaseEstimator):
    """A fitted classifier that looks its scores up: a row of X is the number of one."""

    def __init__(self, table: np.ndarray) -> None:
        self.table = table
        self.classes_ = np.arange(table.shape[1])

    def fit(self, X: object, y: object) -> Logits:
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        z = self.table[X[:, 0]]
        return z[:, 1] - z[:, 0] if z.shape[1] == 2 else z


class Proba(Logits):
    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.table[X[:, 0]]


def problem(n: int, n_members: int, n_classes: int) -> tuple[dict[str, Logits], list]:
    """Members that see one truth through noise and too sure or not enough, rows and labels."""
    rng = np.random.default_rng(0)
    truth = 2 * rng.normal(size=(n, n_classes))
    y = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)
    members = {}
    for number in range(n_members):
        noise = rng.normal(scale=1 + number % 3, size=truth.shape)
        z = (0.5, 1.0, 1.7)[number % 3] * (truth + noise)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        members[str(number)] = Proba(p) if number % 2 else Logits(z)
    return members, [np.arange(n)[:, None], y]


def measure(size: Size, *, memory: bool) -> dict[str, float]:
    """One fit and prediction; or the peak of a fit, which tracing makes slower."""
    from skmergecal import MergedClassifier

    members, (X, y) = problem(*size)
    if memory:
        tracemalloc.start()
        MergedClassifier.from_fitted(members, X, y)
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        return {"peak": peak}
    start = time.process_time()
    merged = MergedClassifier.from_fitted(members, X, y)
    fitted = time.process_time()
    merged.predict_proba(X)
    return {"fit": fitted - start, "predict": time.process_time() - fitted}


def work() -> None:
    """Answer a line of JSON with a line of JSON, until there are no more."""
    warnings.simplefilter("ignore")
    measure((50, 2, 2), memory=False)
    for line in sys.stdin:
        size, memory = json.loads(line)
        print(json.dumps(measure(tuple(size), memory=memory)), flush=True)


class Version:
    """A process that imports the package from a folder."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "skmergecal").is_dir():
            msg = f"{folder} is no checkout: it has no folder skmergecal"
            raise SystemExit(msg)
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker"],
            env={**os.environ, "PYTHONPATH": str(folder.resolve())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, size: Size, *, memory: bool = False) -> dict[str, float]:
        self.process.stdin.write(json.dumps([size, memory]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            msg = f"the process of {self.process.args} ended at {size}"
            raise SystemExit(msg)
        return json.loads(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def compared(versions: list[Version], size: Size) -> list[dict[str, float]]:
    """The least of several turns of each version, and its peak of memory."""
    least = [{"fit": np.inf, "predict": np.inf} for _ in versions]
    spent, turns = 0.0, 0
    while turns < MOST_TURNS and (spent < ENOUGH or turns < 2):
        turns += 1
        for version, best in zip(versions, least, strict=True):
            seconds = version(size)
            spent += sum(seconds.values())
            best.update({what: min(best[what], s) for what, s in seconds.items()})
    return [best | v(size, memory=True) for v, best in zip(versions, least, strict=True)]


def tables(found: dict[Size, dict[str, float]]) -> None:
    """The ratios of each measure, rows x members down and classes across."""
    from tests.benchmarks.rst import as_rst

    measured = pd.DataFrame(found).T.rename_axis(["rows", "members", "classes"])
    for what, name in MEASURES.items():
        table = measured[what].unstack("classes")
        table.index = [f"{n:,} x {members}" for n, members in table.index]
        print(f"\nRatio of {name}, rows x members down, classes across.\n")
        print(as_rst(table, "rows x members", 2, ratios=True))
    for few, part in measured.groupby(measured.index.get_level_values("classes") > 12):
        mean, worst = np.exp(np.log(part["fit"]).mean()), part["fit"].idxmax()
        print(
            f"\n{'more' if few else 'up to 12'} classes: time of a fit {mean:.2f} times in the "
            f"geometric mean, at most {part['fit'].max():.2f} ({'x'.join(map(str, worst))})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--members", type=int, nargs="+", default=MEMBERS)
    parser.add_argument("--classes", type=int, nargs="+", default=CLASSES)
    parser.add_argument("--sizes", nargs="+", help="rows x members x classes, 3200x8x18")
    options = parser.parse_args()
    sizes = [tuple(int(part) for part in text.split("x")) for text in options.sizes or ()]
    grid = product(options.rows, options.members, options.classes)
    versions = [Version(options.old), Version(options.new)]
    found = {}
    for size in sizes or grid:
        old, new = compared(versions, size)
        found[size] = {what: new[what] / old[what] for what in MEASURES}
        ratios = " ".join(f"{ratio:5.2f}" for ratio in found[size].values())
        each = ", ".join(f"{old[w]:.3g} to {new[w]:.3g} {MEASURES[w]}" for w in MEASURES)
        print(f"{'x'.join(map(str, size)):12s} {ratios}   {each}", flush=True)
    for version in versions:
        version.close()
    tables(found)


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        work()
    else:
        sys.path.insert(0, str(Path(__file__).parents[2]))
        main()
