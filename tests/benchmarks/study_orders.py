"""Orders of merging, calibrating, tuning and distilling on a folder of tabular data sets.

    python tests/benchmarks/study_orders.py FOLDER [--sets NAME ...] [--splits 5] [--regimes ...]

Each set is a gzipped CSV whose last column, ``target``, is the label. Of at most 2,500 rows 60 %
train four networks of 128-64 units, and train them further; 20 % merge and calibrate; 20 % score.
Networks of four regimes:

- ``epochs40``: 40 epochs of scikit-learn's MLPClassifier, from four seeds;
- ``early``: stopped by a tenth of their rows;
- ``converged``: 100 epochs at a rate that rises to 0.005 and falls to 0 (OneCycle), until they know
  their rows by heart;
- ``one_start``: one network of 5 epochs, trained on for 10 with each of four halves of the rows.

Log losses are those after a temperature, for every row alike, so that what is compared is not
calibration; "raw" is before it. "share" is
the share of the log-loss gain of the calibrated logit pool over the mean calibrated network: loss
differences are added up over splits before dividing. Costs are times of ``predict_proba`` (best of
twenty) relative to one network's, and of fitting relative to training one network.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import cross_val_predict, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmergecal import FineTunedClassifier, MergedClassifier, TemperatureCalibrator
from skmergecal._numerics import mean_and_error
from skmergecal.exceptions import MergeBarrierWarning
from skmergecal.metrics import expected_calibration_error

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.tabular import KnownResults

SETS = (
    "adult", "bank_marketing", "contraceptive", "ctg_nsp", "german_credit", "letter", "penbased",
    "satimage", "segment", "spambase", "splice", "vowel",
)  # fmt: skip
REGIMES = ("epochs40", "early", "converged", "one_start")
MAX_ROWS = 2500
MIN_CLASS = 10
N_NETS = 4


def load(path: Path, split: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows and labels for the networks, for merging, and for scoring."""
    frame = pd.read_csv(path)
    if len(frame) > MAX_ROWS:
        frame = frame.sample(MAX_ROWS, random_state=split)
    counts = frame["target"].value_counts()
    frame = frame[frame["target"].map(counts) >= MIN_CLASS]
    X, y = frame.drop(columns="target"), np.unique(frame["target"], return_inverse=True)[1]
    text = [c for c in X if not pd.api.types.is_numeric_dtype(X[c])]
    numbers = [c for c in X if c not in text]
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            ("text", OneHotEncoder(sparse_output=False, handle_unknown="ignore"), text),
        ]
    )
    X, rest, y, y_rest = train_test_split(X, y, train_size=0.6, stratify=y, random_state=split)
    X_held, X_test, y_held, y_test = train_test_split(
        rest, y_rest, train_size=0.5, stratify=y_rest, random_state=split
    )
    parts = [columns.fit_transform(X), columns.transform(X_held), columns.transform(X_test)]
    return list(zip(parts, (y, y_held, y_test), strict=True))


def mlp(seed: int, **params: object) -> MLPClassifier:
    return MLPClassifier((128, 64), batch_size=128, random_state=seed, **params)


def one_cycle(seed: int) -> FineTunedClassifier:
    return FineTunedClassifier(
        mlp(seed, max_iter=1), epochs=100, learning_rate=5e-3, schedule="one_cycle",
        weight_decay=1e-4, random_state=seed,
    )  # fmt: skip


def networks(regime: str, X: np.ndarray, y: np.ndarray, seed: int) -> list[MLPClassifier]:
    seeds = range(100 * seed, 100 * seed + N_NETS)
    if regime == "epochs40":
        return [mlp(s, max_iter=40).fit(X, y) for s in seeds]
    if regime == "early":
        return [mlp(s, max_iter=200, early_stopping=True).fit(X, y) for s in seeds]
    if regime == "converged":
        return [one_cycle(s).fit(X, y).estimator_ for s in seeds]
    start = FrozenEstimator(mlp(seeds[0], max_iter=5).fit(X, y))
    halves = [train_test_split(X, y, train_size=0.5, stratify=y, random_state=s) for s in seeds]
    return [
        FineTunedClassifier(start, epochs=10, random_state=s).fit(half[0], half[2]).estimator_
        for s, half in zip(seeds, halves, strict=True)
    ]


def tune(start: object, seed: int, **params: object) -> FineTunedClassifier:
    return FineTunedClassifier(FrozenEstimator(start), random_state=seed, **params)


def models(
    regime: str, nets: list, train: tuple, held: tuple, seed: int
) -> dict[str, tuple[object, float]]:
    """Fitted models by name, and the seconds that it took to make each from the networks."""
    (X, y), (X_held, y_held) = train, held
    found: dict[str, tuple[object, float]] = {}

    def add(name: str, make) -> object:
        start = time.perf_counter()
        found[name] = (make(), time.perf_counter() - start)
        return found[name][0]

    def merged(members: list, **params: object) -> MergedClassifier:
        return MergedClassifier.from_fitted(
            members, X_held, y_held, weights=None, X_unlabeled=X, **params
        )

    def tuned(start: object) -> FineTunedClassifier:
        return tune(start, seed).fit(X, y)

    distil = {"epochs": 30}
    if regime == "converged":
        distil = {"epochs": 45, "learning_rate": 0.01, "augment": "jitter"}
    add("pool", lambda: merged(nets, method="logits"))
    one = add("merge", lambda: merged(nets, method="parameters"))
    add("tune-then-merge", lambda: merged([tuned(n) for n in nets], method="parameters"))
    add("tune-then-pool", lambda: merged([tuned(n) for n in nets], method="logits"))
    add("merge-then-tune", lambda: tuned(one))
    add("merge-then-distil", lambda: tune(one, seed, target="members", **distil).fit(X))
    # The control: the same further training of the same net, with labels.
    add("merge-then-labels", lambda: tune(
        one, seed, epochs=distil["epochs"], learning_rate=distil.get("learning_rate", 5e-3),
        schedule="one_cycle", weight_decay=1e-4).fit(X, y))  # fmt: skip
    add("net-then-tune", lambda: tuned(nets[0]))
    # Labels and the pool's probabilities, half and half. Of all three, the first is kept unless
    # another one is better on held-out rows by a paired standard error.
    add("distil-with-labels", lambda: tune(
        one, seed, target="members", label_share=0.5, **distil).fit(X, y))  # fmt: skip
    shares = ("merge-then-distil", "distil-with-labels", "merge-then-labels")
    losses = {name: held_out_losses(found[name][0], X_held, y_held) for name in shares}
    best = min(losses, key=lambda name: losses[name].mean())
    gain, error = mean_and_error(losses[shares[0]] - losses[best], None)
    chosen = found[best if gain > error else shares[0]][0]
    found["chosen-share"] = chosen, sum(found[name][1] for name in shares)
    return found


def held_out_losses(model: object, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Log losses of rows, each scaled by a temperature of other rows."""
    p = model.predict_proba(X)
    logits = np.log(np.maximum(p, np.finfo(float).tiny))
    calibrator = TemperatureCalibrator(classes=np.arange(p.shape[1]))
    scaled = cross_val_predict(calibrator, logits, y, cv=5, method="predict_proba")
    return -np.log(np.maximum(scaled[np.arange(len(y)), y], np.finfo(float).tiny))


def predict_time(model: object, X: np.ndarray) -> float:
    times = []
    for _ in range(20):
        start = time.perf_counter()
        model.predict_proba(X)
        times.append(time.perf_counter() - start)
    return min(times)


def scored(model: object, held: tuple, test: tuple) -> dict[str, float]:
    calibrated = TemperatureCalibrator(FrozenEstimator(model)).fit(*held)
    raw, p = model.predict_proba(test[0]), calibrated.predict_proba(test[0])
    labels = np.arange(p.shape[1])
    return {
        "raw": log_loss(test[1], raw, labels=labels),
        "loss": log_loss(test[1], p, labels=labels),
        "accuracy": accuracy_score(test[1], p.argmax(axis=1)),
        "ece": expected_calibration_error(test[1], p),
        "predict": predict_time(getattr(model, "merged_estimator_", model), test[0]),
    }


def run(path: Path, regime: str, split: int) -> dict[str, dict[str, float]]:
    train, held, test = load(path, split)
    start = time.perf_counter()
    nets = networks(regime, *train, split)
    per_net = (time.perf_counter() - start) / N_NETS
    of_nets = [scored(net, held, test) for net in nets]
    rows = {"net": {k: float(np.mean([r[k] for r in of_nets])) for k in of_nets[0]}}
    rows["net"]["fit"] = 1.0
    for name, (model, seconds) in models(regime, nets, train, held, split).items():
        rows[name] = scored(getattr(model, "estimator_", model), held, test)
        rows[name]["fit"] = seconds / per_net
    cost = rows["net"]["predict"]
    for row in rows.values():
        row["predict"] /= cost
    return rows


def printed(results: dict[str, dict[str, list[dict]]]) -> None:
    """For each regime: means over sets, standard errors over splits, shares."""
    for regime, by_set in results.items():
        if not by_set:
            continue
        print(f"\n{regime}: {len(by_set)} sets, {len(next(iter(by_set.values())))} splits")
        print(f"{'':20}{'loss (se)':>16}{'raw':>8}{'acc':>7}{'ECE':>7}{'predict':>9}{'fit':>7}"
              f"{'share':>7}{'below net':>11}")  # fmt: skip
        names = list(next(iter(by_set.values()))[0])
        for name in names:
            means = {
                key: np.array([[s[name][key] for s in splits] for splits in by_set.values()])
                for key in ("loss", "raw", "accuracy", "ece", "predict", "fit")
            }
            error = means["loss"].mean(axis=0).std(ddof=1) / np.sqrt(means["loss"].shape[1])
            shares, below = [], []
            for splits in by_set.values():
                net, pool, own = (
                    np.array([s[n]["loss"] for s in splits]) for n in ("net", "pool", name)
                )
                shares.append((net - own).sum() / (net - pool).sum())
                below.extend(own < net)
            print(f"{name:20}{means['loss'].mean():9.4f} ({error:.4f}){means['raw'].mean():8.4f}"
                  f"{means['accuracy'].mean():7.4f}{means['ece'].mean():7.4f}"
                  f"{np.median(means['predict']):9.2f}{np.median(means['fit']):7.2f}"
                  f"{np.median(shares):7.2f}{np.mean(below):11.0%}")  # fmt: skip
        for one, other in (("merge-then-tune", "tune-then-merge"),
                           ("merge-then-distil", "merge-then-labels")):  # fmt: skip
            lower = [
                np.mean([s[one]["loss"] for s in splits])
                < np.mean([s[other]["loss"] for s in splits])
                for splits in by_set.values()
            ]
            print(f"{one} below {other} on {sum(lower)} of {len(lower)} sets")
        for path, splits in by_set.items():
            net, pool = (np.mean([s[n]["loss"] for s in splits]) for n in ("net", "pool"))
            own = {n: np.mean([s[n]["loss"] for s in splits]) for n in names[2:]}
            print(f"  {path:15} net {net:.4f} pool {pool:.4f} "
                  + " ".join(f"{n} {v:.4f}" for n, v in own.items()))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--regimes", nargs="+", default=REGIMES, choices=REGIMES)
    parser.add_argument("--splits", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, help="a JSON file that is read, and gets new results")
    arguments = parser.parse_args()
    for kind in (ConvergenceWarning, MergeBarrierWarning):
        warnings.filterwarnings("ignore", category=kind)
    results = KnownResults(arguments.out)
    for split in arguments.splits:
        for regime in arguments.regimes:
            for name in arguments.sets:
                done = results.setdefault(regime, {}).setdefault(name, [])
                if len(done) > arguments.splits.index(split):
                    continue
                done.append(run(arguments.folder / f"{name}.csv.gz", regime, split))
                results.write()
    printed({regime: results[regime] for regime in arguments.regimes})


if __name__ == "__main__":
    main()
