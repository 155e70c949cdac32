"""Modules of many kinds, merged into one: from two seeds and from one start, and tuned further.

    python tests/benchmarks/study_zoo.py FOLDER --out ROWS.csv [--kinds NAME ...] [--set satimage]
        [--rows 3000] [--repeats 2] [--width 32] [--epochs 25]

FOLDER holds gzipped CSV files whose last column, ``target``, is the label. Two members of each
kind of `zoo` are fitted on 60 % of the rows, merged with equal weights on 20 % and scored on 20 %.
From *seeds*, each starts from random weights of its own. From one *start*, both continue for half
of the epochs, on bootstrap samples, from a net that was trained for the other half. Losses are
after a temperature, fitted on the rows of merging. ``1 - KL`` is 1 - KL(pool, merged) /
KL(pool, member) before any temperature, from logits; ``z`` how many paired standard errors the
merged net is above the member that is best on the rows of merging; ``cost`` the processor time of
merging in trainings of one member; ``tuned`` the loss after three more epochs on the training rows.
Each line of ROWS.csv is one repeat; those that are there are not run again, and the table is of all
that is there.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skmergecal import FineTunedClassifier, MergedClassifier, TemperatureCalibrator
from tests.benchmarks.zoo import EMBEDS, KINDS, N_CATEGORIES, N_LEVELS

LOSSES = ["member", "best member", "pool", "plain", "merged", "tuned"]
COLUMNS = ["kind", "origin", "seed", *LOSSES, "z", "1 - KL", "cost", "way", "load"]


def load(path: Path, n_rows: int, seed: int) -> list[np.ndarray]:
    """Scaled features in single precision and labels: of training, merging and scoring."""
    frame = pd.read_csv(path)
    frame = frame.sample(min(n_rows, len(frame)), random_state=seed)
    X = frame.drop(columns="target").to_numpy(dtype=float)
    y = np.unique(frame["target"], return_inverse=True)[1]
    X_fit, X_rest, y_fit, y_rest = train_test_split(
        X, y, train_size=0.6, stratify=y, random_state=seed
    )
    X_held, X_test, y_held, y_test = train_test_split(
        X_rest, y_rest, train_size=0.5, stratify=y_rest, random_state=seed
    )
    scaler = StandardScaler().fit(X_fit)
    X_fit, X_held, X_test = (scaler.transform(x).astype("f4") for x in (X_fit, X_held, X_test))
    return [X_fit, y_fit, X_held, y_held, X_test, y_test]


def with_codes(X: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The first columns as the numbers of their quantiles."""
    X = X.copy()
    for i in range(N_CATEGORIES):
        cuts = np.quantile(like[:, i], np.arange(1, N_LEVELS) / N_LEVELS)
        X[:, i] = np.searchsorted(cuts, X[:, i])
    return X


def fitted(kind: str, X: np.ndarray, y: np.ndarray, seed: int, width: int, epochs: int):
    torch.manual_seed(seed)
    net = NeuralNetClassifier(
        KINDS[kind](X.shape[1], y.max() + 1, width),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=2e-3,
        max_epochs=epochs,
        batch_size=64,
        train_split=None,
        verbose=0,
    )
    return net.fit(X, y)


def members(kind: str, origin: str, X: np.ndarray, y: np.ndarray, seed: int, args) -> list:
    if origin == "seeds":
        return [fitted(kind, X, y, 100 * seed + k, args.width, args.epochs) for k in range(2)]
    start = fitted(kind, X, y, 100 * seed, args.width, args.epochs - args.epochs // 2)
    nets = []
    for k in range(2):
        net, rows = copy.deepcopy(start), np.random.default_rng(k).integers(0, len(X), len(X))
        torch.manual_seed(k)
        net.partial_fit(X[rows], y[rows], epochs=args.epochs // 2)
        nets.append(net)
    return nets


def log_proba(net, X: np.ndarray) -> np.ndarray:
    """From logits: in single precision, probabilities of confident rows are rounded to 1."""
    frozen = TemperatureCalibrator(FrozenEstimator(net), temperature=1.0)
    return frozen.fit(X, np.resize(net.classes_, len(X))).predict_log_proba(X)


def losses(model, data: list[np.ndarray]) -> np.ndarray:
    """Log loss of each row of scoring, after a temperature."""
    _, _, X_held, y_held, X_test, y_test = data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = TemperatureCalibrator(FrozenEstimator(model)).fit(X_held, y_held)
    return -model.predict_log_proba(X_test)[np.arange(len(y_test)), y_test]


def divergence(pool: np.ndarray, other: np.ndarray) -> float:
    return float((np.exp(pool) * (pool - other)).sum(axis=1).mean())


def run(kind: str, origin: str, seed: int, data: list[np.ndarray], args) -> dict:
    X, y, X_held, y_held, X_test, _ = data
    begun = time.process_time()
    nets = members(kind, origin, X, y, seed, args)
    training = (time.process_time() - begun) / (2 if origin == "seeds" else 1.5)
    settings = {"weights": None, "on_barrier": "warn"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pool = MergedClassifier.from_fitted(nets, X_held, y_held, method="logits", **settings)
        begun = time.process_time()
        merged = MergedClassifier(
            [(f"net{i}", FrozenEstimator(net)) for i, net in enumerate(nets)],
            method="parameters",
            **settings,
        ).fit(X_held, y_held, X_unlabeled=X)
        cost = (time.process_time() - begun) / training
        plain = MergedClassifier.from_fitted(
            nets, X_held, y_held, method="parameters", alignment=None, **settings
        )
        tuned = FineTunedClassifier(FrozenEstimator(merged), epochs=3, random_state=0).fit(X, y)
    own = [log_proba(net, X_test) for net in nets]
    pooled = np.mean(own, axis=0)
    pooled -= np.log(np.exp(pooled).sum(axis=1, keepdims=True))
    left = divergence(pooled, log_proba(merged.merged_estimator_, X_test))
    held_out = list(merged.merge_report_.members.values())
    of_members = [losses(net, data) for net in nets]
    best, of_merged = of_members[int(np.argmin(held_out))], losses(merged, data)
    difference = of_merged - best
    return {
        "member": np.mean(of_members),
        "best member": best.mean(),
        "pool": losses(pool, data).mean(),
        "plain": losses(plain, data).mean(),
        "merged": of_merged.mean(),
        "tuned": losses(tuned, data).mean(),
        "z": difference.mean() / difference.std(ddof=1) * len(difference) ** 0.5,
        "1 - KL": 1 - left / np.mean([divergence(pooled, z) for z in own]),
        "cost": cost,
        "way": merged.merge_report_.chosen,
    }


def table(found: pd.DataFrame) -> str:
    """Means over repeats, as docs/merged_nets.rst has them."""
    from tests.benchmarks.rst import as_rst

    numbers = ["member", "pool", "plain", "merged", "z", "tuned", "1 - KL", "cost"]
    parts = []
    for origin, rows in found.groupby("origin", sort=False):
        means = rows.groupby("kind", sort=False)[numbers].mean()
        means.insert(4, "ratio", means["merged"] / means["member"])
        for name in ("z", "cost"):
            means[name] = means[name].map("{:.1f}".format)
        parts.append(f"From {origin}\n\n{as_rst(means, 'kind', 3)}")
        within = (means["ratio"] <= 1.02).sum()
        distilled = rows["way"].str.startswith("distilled from")
        medians = rows.groupby(distilled)["1 - KL"].median()
        parts.append(
            f"merged / member: at most 1.02 in {within} of {len(means)}, largest "
            f"{means['ratio'].max():.3f}; z above 2 in {(rows['z'] > 2).sum()} of {len(rows)} "
            f"runs, largest {rows['z'].max():.1f}; 1 - KL: median "
            f"{medians.get(False, np.nan):.2f}, of distilled modules "
            f"{medians.get(True, np.nan):.2f}; cost: largest {rows['cost'].max():.1f}"
        )
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--origins", nargs="+", default=["seeds", "start"])
    parser.add_argument("--set", default="satimage")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=25)
    args = parser.parse_args()
    torch.set_num_threads(1)
    there = pd.read_csv(args.out) if args.out.exists() else pd.DataFrame()
    done = (
        set(zip(there["kind"], there["origin"], there["seed"], strict=True))
        if len(there)
        else set()
    )
    for seed in range(args.repeats):
        data = load(args.folder / f"{args.set}.csv.gz", args.rows, seed)
        codes = [with_codes(part, data[0]) if part.ndim > 1 else part for part in data]
        for kind in args.kinds:
            for origin in args.origins:
                if (kind, origin, seed) in done:
                    continue
                row = {"kind": kind, "origin": origin, "seed": seed}
                try:
                    row |= run(kind, origin, seed, codes if kind in EMBEDS else data, args)
                except Exception as error:  # what cannot be merged is a result, too
                    row["way"] = f"{type(error).__name__}: {error}"
                row["load"] = os.getloadavg()[0]
                pd.DataFrame([row], columns=COLUMNS).to_csv(
                    args.out, mode="a", header=not args.out.exists(), index=False
                )
                print(row, flush=True)
    print(table(pd.read_csv(args.out)))


if __name__ == "__main__":
    main()
