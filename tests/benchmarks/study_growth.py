"""How the cost of fitting and of applying grows with rows, classes and members.

    python tests/benchmarks/study_growth.py [--most-rows 10000000]

Each line varies one size. Printed are the best seconds at each value and the slope of their
logarithm in the logarithm of the size: over all values, and over the upper half, where what a call
costs whatever its size no longer counts. A slope of 1 is proportional growth.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy counts the processors

from collections.abc import Callable

import numpy as np

from skmergecal._numerics import log_softmax
from skmergecal._temperature._fit import fit_temperature
from skmergecal.pooling import (
    fit_classwise_pool,
    fit_combined_pool,
    fit_linear_pool,
    fit_logarithmic_pool,
    logarithmic_pool,
)
from tests.benchmarks.conftest import timed
from tests.strategies import draw_labels

Opinions = tuple[list[np.ndarray], np.ndarray]

WORK: dict[str, Callable[[list[np.ndarray], np.ndarray], object]] = {
    "fit_temperature": lambda z, y: fit_temperature(z[0], y),
    "fit_logarithmic_pool": lambda z, y: fit_logarithmic_pool(z, y),
    "the same, auto": lambda z, y: fit_logarithmic_pool(z, y, alpha="auto"),
    "fit_classwise_pool": lambda z, y: fit_classwise_pool(z, y),
    "fit_combined_pool": lambda z, y: fit_combined_pool(z, y, proba=[np.exp(m) for m in z]),
    "logarithmic_pool": lambda z, _: logarithmic_pool(z, [1 / len(z)] * len(z)),
}
LINEAR = {"fit_linear_pool": lambda p, y: fit_linear_pool(p, y)}


def opinions(n: int, k: int, n_members: int) -> Opinions:
    """Members that see one truth through noise of their own, and labels."""
    rng = np.random.default_rng(0)
    truth = 2 * rng.normal(size=(n, k))
    y = draw_labels(rng, log_softmax(truth))
    z = []
    for _ in range(n_members):
        noisy = rng.normal(size=(n, k))
        noisy += truth
        z.append(log_softmax(noisy))
    return z, y


def best_seconds(function: Callable[[], object]) -> float:
    """The least of up to seven calls, fewer where they take long."""
    seconds = [timed(function)]
    while len(seconds) < 7 and sum(seconds) < 2.0:
        seconds.append(timed(function))
    return min(seconds)


def slope(sizes: list[int], seconds: list[float]) -> float:
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def grow(what: str, sizes: list[int], shape: Callable[[int], tuple[int, int, int]]) -> None:
    """Time all work at each size and print a line for each."""
    seconds: dict[str, list[float]] = {name: [] for name in (*WORK, *LINEAR)}
    for size in sizes:
        z, y = opinions(*shape(size))
        for name, function in WORK.items():
            seconds[name].append(best_seconds(lambda f=function, z=z, y=y: f(z, y)))
        for m in z:
            np.exp(m, out=m)
        for name, function in LINEAR.items():
            seconds[name].append(best_seconds(lambda f=function, p=z, y=y: f(p, y)))
    print(f"{what}: {', '.join(f'{size:,}' for size in sizes)}")
    half = len(sizes) // 2
    for name, values in seconds.items():
        if what.startswith("members") and name == "fit_temperature":
            continue
        measured = "  ".join(f"{value:8.2g}" for value in values)
        upper = slope(sizes[half:], values[half:])
        print(f"  {name:22s} {measured}   slope {slope(sizes, values):.2f}, upper half {upper:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most-rows", type=int, default=10**7)
    options = parser.parse_args()
    rows = [10**e for e in range(3, 8) if 10**e <= options.most_rows]
    grow("rows (2 classes, 2 members)", rows, lambda n: (n, 2, 2))
    grow("classes (5,000 rows, 2 members)", [2, 8, 32, 128, 500, 1000], lambda k: (5_000, k, 2))
    grow("members (20,000 rows, 3 classes)", [2, 4, 8, 16, 32, 64], lambda k: (20_000, 3, k))


if __name__ == "__main__":
    main()
