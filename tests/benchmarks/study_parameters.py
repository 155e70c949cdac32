"""Nets of different seeds, and of one start, merged into one net: losses on fresh rows.

    python tests/benchmarks/study_parameters.py FOLDER --out ROWS.csv [--repeats 3]
        [--sets NAME ...] [--nets NAME ...] [--rows 16000] [--quick]

FOLDER holds gzipped CSV files whose last column, ``target``, is the label; the bundled digits are
added. Four members are fitted on 60 % of at most ``--rows`` rows, merged on 20 % and scored on
20 %. Losses are after a temperature, fitted on the 20 % of merging, for members and ensemble, too.
``merged`` is the default of ``method="parameters"`` with uniform weights, whose ``X_unlabeled`` are
the members' training rows; ``held-out rows only`` is the same without these. ``share`` is the part
of the ensemble's gain over the mean member that the merged net keeps (of the losses averaged over
the repeats), ``1 - KL`` is 1 - KL(ensemble, merged) / KL(ensemble, member), ``(se)`` the standard
error over repeats. Each repeat is a line of ROWS.csv; those that are there are not run again, and
the tables are of all that is there.
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
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skmergecal import MergedClassifier, TemperatureCalibrator

EPOCHS = 40
N_MEMBERS = 4
SETS = ("digits", "letter", "satimage", "segment", "penbased")


def load(folder: Path, name: str, max_rows: int) -> tuple[np.ndarray, np.ndarray]:
    if name == "digits":
        return load_digits(return_X_y=True)
    frame = pd.read_csv(folder / f"{name}.csv.gz")
    if len(frame) > max_rows:
        frame = frame.sample(max_rows, random_state=0)
    X = frame.drop(columns="target").to_numpy(dtype=float)
    return X, np.unique(frame["target"], return_inverse=True)[1]


def split(X: np.ndarray, y: np.ndarray, seed: int) -> list[np.ndarray]:
    X_train, X_rest, y_train, y_rest = train_test_split(
        X, y, train_size=0.6, stratify=y, random_state=seed
    )
    X_held, X_test, y_held, y_test = train_test_split(
        X_rest, y_rest, train_size=0.5, stratify=y_rest, random_state=seed
    )
    scaler = StandardScaler().fit(X_train)
    X_train, X_held, X_test = (scaler.transform(x) for x in (X_train, X_held, X_test))
    return [X_train, y_train, X_held, y_held, X_test, y_test]


def of_seeds(fit):
    """Members that differ by their seeds."""
    return lambda X, y, seed: [fit(X, y, 100 * seed + k) for k in range(N_MEMBERS)]


def mlp(*widths: int, epochs: int = EPOCHS, **params):
    def fit(X, y, seed):
        return MLPClassifier(widths, max_iter=epochs, random_state=seed, **params).fit(X, y)

    return of_seeds(fit)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)
        )

    def forward(self, x):
        return x + self.inner(x)


def skorch_net(residual: bool):
    """A net of two hidden layers with BatchNorm, or with two residual blocks."""

    def fit(X, y, seed):
        torch.manual_seed(seed)
        d, k = X.shape[1], len(np.unique(y))
        layers = [nn.Linear(d, 64)]
        for _ in range(2):
            layers += [Block(64)] if residual else [nn.BatchNorm1d(64), nn.ReLU()]
            layers += [] if residual else [nn.Linear(64, 64)]
        net = NeuralNetClassifier(
            nn.Sequential(*layers, nn.ReLU(), nn.Linear(64, k)),
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            lr=1e-3,
            max_epochs=EPOCHS,
            batch_size=128,
            train_split=None,
            verbose=0,
        )
        return net.fit(X.astype(np.float32), y)

    return of_seeds(fit)


def tuned(X: np.ndarray, y: np.ndarray, seed: int) -> list:
    """Nets of 128-64 units, tuned for ten epochs on bootstrap samples from one start."""
    start = MLPClassifier((128, 64), max_iter=10, random_state=seed).fit(X, y)
    nets = []
    for k in range(N_MEMBERS):
        net, rng = copy.deepcopy(start), np.random.default_rng(k)
        for _ in range(10):
            rows = rng.integers(0, len(X), len(X))
            net.partial_fit(X[rows], y[rows])
        nets.append(net)
    return nets


NETS = {
    "128-64": mlp(128, 64),
    "1x64": mlp(64),
    "2x64": mlp(64, 64),
    "2x64 to the end": mlp(64, 64, epochs=300),
    "2x256": mlp(256, 256),
    "3x128": mlp(128, 128, 128),
    "2x64 tanh": mlp(64, 64, activation="tanh"),
    "BatchNorm": skorch_net(residual=False),
    "residual": skorch_net(residual=True),
    "one start": tuned,
}


def score(model, X, y) -> tuple[float, float]:
    p = model.predict_proba(X)
    loss = -np.log(np.maximum(p[np.arange(len(y)), y], 1e-15)).mean()
    return float(loss), float((p.argmax(axis=1) == y).mean())


def divergence(ensemble, model, X) -> float:
    p, q = (np.log(np.maximum(m.predict_proba(X), 1e-30)) for m in (ensemble, model))
    return float((np.exp(p) * (p - q)).sum(axis=1).mean())


def variants(nets: list, X_train, X_held, y_held) -> dict[str, MergedClassifier]:
    """Merged classifiers by name, with a temperature."""
    common = {"weights": None, "calibrate": "merged"}
    parameters = {**common, "method": "parameters", "barrier_tolerance": 1e9}

    def merge(**params):
        return MergedClassifier.from_fitted(nets, X_held, y_held, **params)

    start = time.perf_counter()
    merged = merge(**parameters, X_unlabeled=X_train)
    merged.seconds = time.perf_counter() - start
    return {
        "ensemble": merge(**common),
        "plain average": merge(**parameters, alignment=None, repair=None),
        "aligned": merge(**parameters, alignment="weights", repair=None),
        "aligned + least squares": merge(
            **parameters, alignment="weights", repair="least_squares", X_unlabeled=X_train
        ),
        "held-out rows only": merge(**parameters),
        "merged": merged,
    }


def evaluate(nets: list, data: list, seconds: float) -> dict[str, float]:
    X_train, _, X_held, y_held, X_test, y_test = data
    models = variants(nets, X_train, X_held, y_held)
    members = [TemperatureCalibrator(FrozenEstimator(n)).fit(X_held, y_held) for n in nets]
    scores = [score(m, X_test, y_test) for m in members]
    row = {
        "member": np.mean([s[0] for s in scores]),
        "accuracy: member": np.mean(scores, axis=0)[1],
    }
    for name, model in models.items():
        row[name], accuracy = score(model, X_test, y_test)
        if name in ("ensemble", "merged"):
            row[f"accuracy: {name}"] = accuracy
    raw = MergedClassifier.from_fitted(nets, weights=None)
    own = [MergedClassifier.from_fitted([n], weights=None) for n in nets]
    far = np.mean([divergence(raw, m, X_test) for m in own])
    merged = MergedClassifier.from_fitted([models["merged"].merged_estimator_], weights=None)
    row["KL"] = divergence(raw, merged, X_test) / far
    row["time / member's"] = models["merged"].seconds / seconds
    row["raw loss: member"] = np.mean([score(m, X_test, y_test)[0] for m in own])
    row["raw loss: merged"] = score(merged, X_test, y_test)[0]
    return row


def run(options: argparse.Namespace) -> None:
    """Append a line for each set, net and repeat that is not in the file yet."""
    there = set()
    if options.out.exists():
        there = set(pd.read_csv(options.out)[["set", "net", "repeat"]].itertuples(index=False))
    for seed in range(options.repeats):
        for name in options.sets:
            X, y = load(options.folder, name, options.rows)
            for net in options.nets:
                if (name, net, seed) in there:
                    continue
                data = split(X, y, seed)
                start = time.perf_counter()
                nets = NETS[net](*data[:2], seed)
                seconds = (time.perf_counter() - start) / N_MEMBERS
                row = {"set": name, "net": net, "repeat": seed, **evaluate(nets, data, seconds)}
                header = not options.out.exists()
                pd.DataFrame([row]).to_csv(options.out, mode="a", header=header, index=False)
                print(
                    f"{name:10s} {net:16s} {seed} {row['merged'] / row['member']:.3f}", flush=True
                )


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over the repeats, and standard errors, for each set and net."""
    groups = rows.groupby(["set", "net"], sort=False)
    table = groups.mean().drop(columns="repeat")
    for name in ("member", "merged"):
        table[f"{name} (se)"] = groups[name].sem()
    ratio = (rows["merged"] / rows["member"]).groupby([rows["set"], rows["net"]], sort=False)
    table["share"] = (table["member"] - table["merged"]) / (table["member"] - table["ensemble"])
    table["merged / member"] = table["merged"] / table["member"]
    table["merged / member (se)"] = ratio.sem()
    table["merged / ensemble"] = table["merged"] / table["ensemble"]
    table["1 - KL"] = 1 - table.pop("KL")
    table["repeats"] = groups.size()
    return table


def report(table: pd.DataFrame) -> None:
    if table.empty:
        return
    print(table.round(4).T.to_string())
    ratio = table["merged / member"]
    near = (table["merged / ensemble"] <= 1.02).sum()
    print(f"of {len(ratio)} cells within 5 % of the mean member: {(ratio <= 1.05).sum()};")
    print(f"below it: {(ratio < 1).sum()}; within 2 % of the ensemble: {near}")
    print(f"median share {table['share'].median():.2f}, 1 - KL {table['1 - KL'].median():.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--nets", nargs="*", default=list(NETS))
    parser.add_argument("--rows", type=int, default=16_000)
    parser.add_argument("--quick", action="store_true", help="one repeat of two sets and two nets")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.quick:
        options.repeats, options.sets = 1, ["digits", "segment"]
        options.nets = ["1x64", "BatchNorm"]
    warnings.simplefilter("ignore")  # iteration limits of members, barriers of plain averages
    run(options)
    table = summary(pd.read_csv(options.out))
    of_one_start = table.index.get_level_values("net") == "one start"
    report(table[~of_one_start])
    report(table[of_one_start])


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
