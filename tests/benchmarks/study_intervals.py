"""How often bootstrap intervals of pool weights cover, by simulation.

    python tests/benchmarks/study_intervals.py [--problems 100] [--rows 250 1000]

Labels are drawn from a logarithmic pool of three given members with known weights, so that the
weights to be found are known; a fourth member is noise of weight 0. For each problem the weights
are learned, and the middle 90 % of 200 bootstrap samples is their interval. Printed is the share of
problems where it holds the known weight.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from skmergecal import MergedClassifier

WEIGHTS = np.array([0.5, 0.3, 0.2, 0.0])
CLASSES = 3


class Column(ClassifierMixin, BaseEstimator):
    """A fitted member whose log-probabilities are columns of X."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.classes_ = np.arange(CLASSES)

    def fit(self, X: np.ndarray, y: np.ndarray) -> Column:
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        z = X[:, self.number * CLASSES : (self.number + 1) * CLASSES]
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)


def problem(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    z = random.normal(scale=2.0, size=(n, len(WEIGHTS), CLASSES))
    pooled = np.einsum("k,nkc->nc", WEIGHTS, z)
    p = np.exp(pooled)
    p /= p.sum(axis=1, keepdims=True)
    y = (random.uniform(size=(n, 1)) > p.cumsum(axis=1)).sum(axis=1)
    return z.reshape(n, -1), y


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--rows", type=int, nargs="+", default=[250, 1000])
    options = parser.parse_args()
    members = [Column(number) for number in range(len(WEIGHTS))]
    print(f"share of {options.problems} problems where the 90 % interval holds the weight")
    print("rows  ", *(f"w = {w:.1f}" for w in WEIGHTS))
    for n in options.rows:
        covered = np.zeros(len(WEIGHTS))
        for seed in range(options.problems):
            X, y = problem(np.random.default_rng(seed), n)
            merged = MergedClassifier.from_fitted(members, X, y, method="logits", alpha=1.0)
            report = merged.member_report(X, y, level=0.9, random_state=seed)
            low, high = report["weight_low"].to_numpy(), report["weight_high"].to_numpy()
            covered += (low <= WEIGHTS) & (high >= WEIGHTS)
        print(f"{n:5d} ", *(f"{share:7.2f}" for share in covered / options.problems))


if __name__ == "__main__":
    main()
