"""Time and peak memory of aligning and merging nets, against their number and width.

    python tests/benchmarks/time_parameters.py [--members 2 4 8 16 32] [--widths 64 ... 2048]

Nets of two hidden layers with random weights, 32 features, 10 classes and 2,000 rows. ``align`` is
alignment by weights without rows, ``merge`` the default with rows, ``epoch`` one epoch of training
one MLPClassifier of that size: the ratio to it is what a user compares. Peak memory, in MB, is that
of the arrays that NumPy allocates (tracemalloc), members not counted.
"""

from __future__ import annotations

import argparse
import os
import time
import tracemalloc
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.neural_network import MLPClassifier

from skmergecal.parameters import merge_parameters, read_parameters

N_ROWS, N_FEATURES, N_CLASSES = 2000, 32, 10


def make_net(width: int, seed: int, X: np.ndarray, y: np.ndarray) -> tuple[MLPClassifier, float]:
    """A net after one epoch, and the seconds it took."""
    net = MLPClassifier((width, width), random_state=seed, max_iter=1)
    start = time.perf_counter()
    net.fit(X, y)
    return net, time.perf_counter() - start


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds and peak megabytes, in separate runs: tracing memory costs time."""
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, peak / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, nargs="*", default=[2, 4, 8, 16, 32])
    parser.add_argument("--widths", type=int, nargs="*", default=[64, 256, 1024, 2048])
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # one epoch only
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, N_FEATURES))
    y = (X @ rng.normal(size=(N_FEATURES, N_CLASSES))).argmax(axis=1)
    pairs = [(k, options.widths[0]) for k in options.members]
    pairs += [(options.members[0], w) for w in options.widths[1:]]
    print(
        f"{'K':>3s} {'width':>6s} {'epoch s':>8s} {'align s':>8s} {'MB':>7s} {'merge s':>8s} "
        f"{'MB':>7s} {'epochs':>7s}"
    )
    for n_members, width in pairs:
        made = [make_net(width, seed, X, y) for seed in range(n_members)]
        parameters = [read_parameters(net) for net, _ in made]
        epoch = float(np.median([seconds for _, seconds in made]))
        weights = np.full(n_members, 1 / n_members)

        def align(parameters=parameters, weights=weights):
            return merge_parameters(parameters, weights, alignment="weights", repair=None)

        def merge(parameters=parameters, weights=weights):
            return merge_parameters(parameters, weights, X=X)

        (align_s, align_mb), (merge_s, merge_mb) = measured(align), measured(merge)
        print(
            f"{n_members:3d} {width:6d} {epoch:8.3f} {align_s:8.2f} {align_mb:7.0f} "
            f"{merge_s:8.2f} {merge_mb:7.0f} {merge_s / epoch:7.1f}",
            flush=True,
        )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
