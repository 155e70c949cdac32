"""Students of the default merge of eight members, beside the same students with labels only.

    python tests/benchmarks/study_distil.py FOLDER [--seeds 0 1] [--sets NAME ...] [--rows 1500]
        [--students tree boosting ...] [--label-share auto 0.5] [--synthetic 3] [--out FILE]

Sets and members are those of study_quality.py. The teacher is the default merge of eight members,
cross-fitted over three folds; it and the student are fitted on at most ``--rows`` rows, and scored
on at most 4,000 others. Each ``--label-share`` has its tables. ``share`` is the part of the
teacher's gain over the student with labels that the distilled student keeps, where the teacher is
better at all; that of a set is the ratio of the means over splits, and ``+-`` the standard error of
the gain over splits. ``z`` is the loss of the student above that with labels, in paired standard
errors; ``times`` is how many times a prediction of the student takes as long as one of the teacher.
``bound`` is the share that a tree of the same size keeps which learns the teacher's probabilities
of the test rows themselves: what is lost beyond it, the tree is too small for.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy counts the processors

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from skmergecal import DistilledClassifier, MergedClassifier
from skmergecal._numerics import mean_and_error

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.merge_methods import log_losses
from tests.benchmarks.rst import as_rst
from tests.benchmarks.tabular import (
    KnownResults,
    drawn,
    load,
    members,
    prepared,
    sets_in,
    study_parser,
)

N_TEST = 4_000


def students(seed: int) -> dict[str, object]:
    """Small classifiers, by name."""
    tree = partial(DecisionTreeClassifier, random_state=seed)
    return {
        "tree": tree(max_depth=6),
        "tree-8": tree(max_depth=8),
        "tree-10": tree(max_depth=10),
        "tree-leaf": tree(min_samples_leaf=5),
        "tree-log": tree(max_depth=6, criterion="log_loss"),
        "boosting": HistGradientBoostingClassifier(random_state=seed),
        "logistic": LogisticRegression(max_iter=2000),
        "net": MLPClassifier(random_state=seed),
    }


def losses_of(model: object, X: pd.DataFrame, y: np.ndarray) -> np.ndarray:
    """Log losses of rows; a probability of 0, which a tree gives, counts as 1 / 10,000."""
    return log_losses(y, np.clip(model.predict_proba(X), 1e-4, None))


def compared(
    distilled: DistilledClassifier, plain: Pipeline, X: pd.DataFrame, y: np.ndarray
) -> dict[str, float]:
    """Losses of test rows, of a student and of the same with labels only."""
    teaches, labels = losses_of(distilled.teacher_, X, y), losses_of(plain, X, y)
    learned = losses_of(distilled, X, y)
    difference, error = mean_and_error(learned - labels, None)
    report = distilled.report_
    found = {
        "teacher": float(teaches.mean()),
        "labels": float(labels.mean()),
        "distilled": float(learned.mean()),
        "z": difference / error if error > 0 else 0.0,
        "label share": report.label_share,
        "times": report.student_seconds / report.teacher_seconds,
    }
    if isinstance(plain[-1], DecisionTreeClassifier):
        known = clone(distilled).set_params(
            teacher=FrozenEstimator(distilled.teacher_), label_share=0, synthetic_rows=0
        )
        found["known"] = float(losses_of(known.fit(X), X, y).mean())
    return found


def evaluate(
    path: Path, seed: int, n_rows: int, lacking: dict[float | str, list[str]], synthetic: float
) -> dict[float | str, dict[str, dict[str, float]]]:
    """Results by the share of the labels, and the name of the student."""
    X, y = load(path, seed)
    train = drawn(y, min(n_rows, int(0.7 * len(y))), seed)
    rest = np.setdiff1d(np.arange(len(y)), train)
    test = rest[drawn(y[rest], N_TEST, seed)]
    X_test, y_test = X.iloc[test], y[test]
    X, y = X.iloc[train].reset_index(drop=True), y[train]
    found: dict[float | str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:  # the teacher's members are fitted once
        pool = list(prepared(members(seed), X).items())
        teacher = MergedClassifier(pool, cv=3, memory=folder)
        fitted = prepared(students(seed), X)
        for share, names in lacking.items():
            found[share] = {}
            for name in names:
                found[share][name] = compared(
                    DistilledClassifier(
                        fitted[name],
                        teacher,
                        label_share=share,
                        cv=3,
                        synthetic_rows=synthetic,
                        random_state=seed,
                    ).fit(X, y),
                    clone(fitted[name]).fit(X, y),
                    X_test,
                    y_test,
                )
    return found


def summarise(results: dict[tuple[str, int, str], dict[str, float]]) -> None:
    """Tables by student, and by set."""
    table = pd.DataFrame(results).T
    gain, possible = table["labels"] - table["distilled"], table["labels"] - table["teacher"]
    table["share"] = (gain / possible).where(possible > 0)
    if "known" in table:
        table["bound"] = ((table["labels"] - table["known"]) / possible).where(possible > 0)
    by_student = table.groupby(level=2)
    summary = pd.DataFrame(
        {
            "median share": by_student["share"].median(),
            "labels": by_student["labels"].mean(),
            "distilled": by_student["distilled"].mean(),
            "teacher": by_student["teacher"].mean(),
            "z above 2": by_student["z"].agg(lambda z: float((z > 2).sum())),
            "z below -2": by_student["z"].agg(lambda z: float((z < -2).sum())),
            "times": by_student["times"].median(),
        }
    )
    print(f"\nMeans over {len(table) // len(summary)} sets and splits.\n")
    print(as_rst(summary, "student", 3))
    table["gain"], table["possible"] = gain, possible
    for name, part in table.groupby(level=2):
        print(f"\n{name}\n")
        splits = part.dropna(axis="columns", how="all").groupby(level=0)
        means = splits.mean()
        means["+-"] = splits["gain"].sem()  # not known from one split
        means["share"] = (means["gain"] / means["possible"]).where(means["possible"] > 0)
        columns = ["labels", "distilled", "+-", "teacher", "share", "bound", "label share"]
        columns = [c for c in columns if c in means]
        print(as_rst(means[columns].dropna(axis="columns", how="all"), "set", 3))
        print(f"\nMedian share: {means['share'].median():.3f}")


def main() -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--students", nargs="*", default=list(students(0)))
    parser.add_argument("--rows", type=int, default=1_500)
    parser.add_argument(
        "--label-share", nargs="+", default=["auto"], help="or numbers, four times as fast"
    )
    parser.add_argument("--synthetic", type=float, default=3, help="synthetic rows per row")
    options = parser.parse_args()
    shares = [s if s == "auto" else float(s) for s in options.label_share]
    warnings.simplefilter("ignore")  # iteration limits of members
    known, paths = KnownResults(options.out), sets_in(options.folder)
    results = {share: {} for share in shares}
    for seed in options.seeds:
        for name in sorted(options.sets or paths):
            keys = {s: f"{name} {seed} {options.rows} {s} {options.synthetic:g}" for s in shares}
            done = {share: known.setdefault(key, {}) for share, key in keys.items()}
            lacking = {s: [n for n in options.students if n not in done[s]] for s in shares}
            if any(lacking.values()):
                found = evaluate(paths[name], seed, options.rows, lacking, options.synthetic)
                for share in shares:
                    done[share] |= found[share]
                known.write()
            for share, key in keys.items():
                for student in options.students:
                    results[share][name, seed, student] = done[share][student]
                    values = "  ".join(f"{k} {v:.4f}" for k, v in done[share][student].items())
                    print(f"{key:32s} {student:9s} {values}", flush=True)
    for share in shares:
        print(f"\nLabel share {share}:")
        summarise(results[share])


if __name__ == "__main__":
    main()
