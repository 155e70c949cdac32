"""Log loss of members that are cross-fitted, and of frozen ones merged on a fifth of the rows.

    python tests/benchmarks/study_cross_fitting.py FOLDER [--seeds 0 1] [--sets NAME ...] [--out F]

Sets, members and splits are those of study_quality.py. Frozen members are fitted on 60 % and merged
on 20 %; unfitted ones get the same 80 %, and are refitted on all of them, or kept as averages of
the models of five folds. All are scored on the last 20 %.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy counts the processors

import numpy as np
import pandas as pd

from skmergecal import MergedClassifier

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.merge_methods import log_losses
from tests.benchmarks.rst import as_rst
from tests.benchmarks.tabular import (
    KnownResults,
    fit_all,
    load,
    members,
    prepared,
    sets_in,
    split,
    study_parser,
)

FROZEN = "frozen"


def evaluate(path: Path, seed: int) -> dict[str, float]:
    """Log losses on the test rows."""
    X_train, y_train, X_held, y_held, X_test, y_test = split(*load(path, seed), seed)
    merged = {
        FROZEN: MergedClassifier.from_fitted(
            fit_all(members(seed), X_train, y_train), X_held, y_held
        )
    }
    X, y = pd.concat([X_train, X_held], ignore_index=True), np.r_[y_train, y_held]
    with tempfile.TemporaryDirectory() as folder:  # the models of the folds are fitted once
        for refit in (True, False):
            unfitted = list(prepared(members(seed), X).items())
            model = MergedClassifier(unfitted, refit=refit, memory=folder)
            merged[f"refit={refit}"] = model.fit(X, y)
    return {n: float(log_losses(y_test, m.predict_proba(X_test)).mean()) for n, m in merged.items()}


def summarise(losses: pd.DataFrame) -> None:
    """Losses by set, and how the means compare with those of frozen members."""
    by_set = losses.groupby(level=0).mean()
    print("\nLog loss, mean over splits.\n")
    print(as_rst(by_set, "set"))
    ratios = by_set.div(by_set[FROZEN], axis=0)
    summary = {
        "mean": by_set.mean() / by_set[FROZEN].mean(),
        "geometric mean": np.exp(np.log(ratios).mean()),
        "largest": ratios.max(),
    }
    print(f"\nRatios to the losses of frozen members over {len(by_set)} sets.\n")
    print(as_rst(pd.DataFrame(summary), "members", 3, ratios=True))


def main() -> None:
    options = study_parser(__doc__).parse_args()
    warnings.simplefilter("ignore")  # iteration limits of members
    known, paths = KnownResults(options.out), sets_in(options.folder)
    losses = {}
    for seed in options.seeds:
        for name in sorted(options.sets or paths):
            key = f"{name} {seed}"
            if key not in known:
                known[key] = evaluate(paths[name], seed)
                known.write()
            losses[name, seed] = known[key]
            print(f"{key:18s}  " + "  ".join(f"{v:.4f}" for v in known[key].values()), flush=True)
    summarise(pd.DataFrame(losses).T)


if __name__ == "__main__":
    main()
