"""Does ``loss_estimate_`` tell the loss of test rows, with few held-out rows, too?

    python tests/benchmarks/study_loss_estimate.py FOLDER [--seeds 0 1] [--rows 100 200 800]

The sets and members are those of study_quality.py. For each set and split, so many of the held-out
rows are drawn, and the members are merged on them; sets with fewer rows are left out. z is the mean
loss of the test rows minus the expected one, in standard errors of both.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy counts the processors

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2]))
from skmergecal import MergedClassifier
from tests.benchmarks.rst import as_rst
from tests.benchmarks.tabular import Problem, drawn, fit_all, load, members, split

METHODS = {"MergedClassifier(members)": {}, 'method="logits"': {"method": "logits"}}


def compared(problem: Problem, params: dict[str, str]) -> tuple[float, float]:
    """z, and the expected loss as a multiple of the mean loss of the test rows."""
    made = dict(problem.members())
    merged = MergedClassifier.from_fitted(made, problem.X_held, problem.y, **params)
    proba = merged.predict_proba(problem.X_test)
    losses = -np.log(np.maximum(proba[np.arange(len(proba)), problem.y_test], 1e-15))
    estimate = merged.loss_estimate_
    return float(estimate.compare(losses)), estimate.loss / losses.mean()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="one split each")
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 200, 800])
    parser.add_argument("--sets", nargs="*")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # iteration limits of members
    found = []
    for path in sorted(options.folder.glob("*.csv.gz")):
        name = path.name.removesuffix(".csv.gz")
        for seed in options.seeds if not options.sets or name in options.sets else ():
            X_train, y_train, *rest = split(*load(path, seed), seed)
            problem = Problem.of(fit_all(members(seed), X_train, y_train), rest)
            for n in [n for n in options.rows if n <= len(problem.y)]:
                part = problem.only(drawn(problem.y, n, 0))
                for method, params in METHODS.items():
                    z, ratio = compared(part, params)
                    found.append((method, n, z, ratio))
                    print(f"{name} {seed} {n} {method}: z {z:+.2f}, ratio {ratio:.3f}", flush=True)
    pairs = pd.DataFrame(found, columns=["method", "rows", "z", "ratio"])
    pairs = pairs.sort_values("rows", kind="stable")
    table = pairs.groupby(["method", "rows"], sort=False)["z"].agg(
        **{
            "pairs": lambda z: str(len(z)),
            "within 2": lambda z: f"{100 * (z.abs() < 2).mean():.0f} %",
            "mean z": lambda z: f"{z.mean():+.2f}",
        }
    )
    table = table.reset_index("rows")
    table["rows"] = table["rows"].astype(str)
    print(as_rst(table, "method"))


if __name__ == "__main__":
    main()
