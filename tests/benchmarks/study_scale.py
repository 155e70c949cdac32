"""Merges of more and more rows on a local cluster of Dask's: time, rounds, bytes, memory.

    python -m tests.benchmarks.study_scale FOLDER [--rows 1000000 2000000] [--methods logits auto]

Opinions of eight members on rows of two classes are drawn, written to FOLDER as Parquet files of
float32, and merged by ``MergedClassifier.from_predictions``. Printed are seconds, the processor
time of the workers, rounds, bytes that went between workers, and the peak of memory of one worker.
Up to ``--most-in-memory`` rows the same fit in memory stands beside it; ``--stored`` puts the
columns into the workers' memory first, so that reading does not count. With ``--errors`` the
standard errors of weights are printed instead, from fits to independent samples.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skmergecal import MergedClassifier
from skmergecal.pooling import fit_logarithmic_pool
from tests.benchmarks.rst import as_rst

MEMBERS = [f"m{k}" for k in range(8)]


def draw(seed: int, n: int) -> pd.DataFrame:
    """Rows of two classes, and what members say of them: each knows something of its own."""
    random = np.random.default_rng(seed)
    t, common = random.standard_normal((2, n), dtype=np.float32)
    y = t + random.logistic(size=n) / 1.7 > 0
    columns = {}
    for k, name in enumerate(MEMBERS):
        own = random.standard_normal(n, dtype=np.float32)
        columns[name] = 1 / (1 + np.exp(-(1 + 0.1 * k) * (t + 0.3 * common + 0.6 * own)))
    return pd.DataFrame(columns, dtype=np.float32).assign(y=y.astype(np.int8))


def settings(method: str) -> dict[str, Any]:
    return {"weights": "greedy", "method": "logits"} if method == "greedy" else {"method": method}


def facts_of(client: Any, what: Any) -> np.ndarray:
    return np.array(list(client.run(what).values()), dtype=float)


def peak() -> float:
    """In MB; what the module resource says can be that of the parent of a process."""
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if "VmHWM" in line) / 1e6


def sent(dask_worker: Any) -> float:
    return dask_worker.transfer_outgoing_bytes_total


def fit_in_partitions(folder: Path, n: int, method: str, options: argparse.Namespace) -> dict:
    """One fit on a new cluster, as peaks of memory do not fall."""
    import dask.dataframe as dd
    from distributed import Client, LocalCluster, wait

    rounds = []

    class Counts(Client):  # a method: with a function in its place Dask persists in this process
        def get(self, *args: Any, **kwargs: Any) -> Any:
            rounds.append(None)
            return super().get(*args, **kwargs)

    how = {"n_workers": options.workers, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(memory_limit=options.memory, **how) as cluster, Counts(cluster) as client:
        rows = dd.read_parquet(folder / str(n))
        if options.stored:
            rows = rows.persist()
            wait(rows)
        pids = set(client.run(os.getpid).values())
        before, start = facts_of(client, time.process_time), time.perf_counter()
        stored = {name: rows[name] for name in MEMBERS}
        merged = MergedClassifier.from_predictions(
            stored, rows["y"], classes=[0, 1], verbose=options.verbose, **settings(method)
        )
        seconds = time.perf_counter() - start
        return {
            "partitions": rows.npartitions,
            "seconds": seconds,
            "processor s": (facts_of(client, time.process_time) - before).sum(),
            "rounds": len(rounds),
            "MB sent": facts_of(client, sent).sum() / 1e6,
            "peak MB": facts_of(client, peak).max(),
            "killed": len(pids - set(client.run(os.getpid).values())),
            "weights": merged.weights_,
        }


def fit_in_memory(folder: Path, n: int, method: str) -> dict:
    frame = pd.read_parquet(folder / str(n))
    y, stored = frame.pop("y").to_numpy(), {name: frame[name].to_numpy() for name in MEMBERS}
    start, before = time.perf_counter(), time.process_time()
    merged = MergedClassifier.from_predictions(stored, y, **settings(method))
    loss = merged.loss_estimate_.loss  # found when it is asked for, in partitions during fit
    return {
        "loss": loss,
        "in memory": time.perf_counter() - start,
        "processor s in memory": time.process_time() - before,
        "weights": merged.weights_,
    }


def write(folder: Path, n: int, size: int) -> None:
    """Parquet files with so many rows each."""
    (folder / str(n)).mkdir(parents=True)
    for number, first in enumerate(range(0, n, size)):
        path = folder / str(n) / f"part.{number:05d}.parquet"
        draw(number, min(size, n - first)).to_parquet(path, compression=None)


def learned_weights(seed: int, n: int) -> np.ndarray:
    """Of the logarithmic pool, from a sample of its own."""
    rows = draw(1000 + seed, n)
    p = [rows[name].to_numpy(np.float64) for name in MEMBERS]
    z = [np.log(np.column_stack([1 - own, own])) for own in p]
    return fit_logarithmic_pool(z, rows["y"].to_numpy()).weights


def standard_errors(n_samples: int, n: int) -> None:
    """Spread of the weights over samples, and what it costs: half a nat for each weight and row."""
    found = [learned_weights(seed, n) for seed in range(n_samples)]
    error = np.std(found, axis=0, ddof=1).mean()
    print(f"{n_samples} samples of {n} rows: mean standard error of a weight {error:.5f}, ", end="")
    print(f"log loss lost {len(MEMBERS) / 2 / n:.1e}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=float, nargs="+", default=[1e6, 2e6])
    parser.add_argument("--methods", nargs="+", default=["logits", "auto"])
    parser.add_argument("--size", type=float, default=125_000, help="rows of a file")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--verbose", type=int, default=0)
    parser.add_argument("--most-in-memory", type=float, default=2e6)
    parser.add_argument("--stored", action="store_true")
    parser.add_argument("--keep", action="store_true", help="the files, for another run")
    parser.add_argument("--errors", type=int, metavar="SAMPLES")
    options = parser.parse_args()
    if options.errors:
        for n in map(int, options.rows):
            standard_errors(options.errors, n)
        return
    found = []
    for n in map(int, options.rows):
        if not (options.folder / str(n)).exists():
            write(options.folder, n, int(options.size))
        for method in options.methods:
            facts = {"rows": f"{n:.0e}", "method": method}
            facts |= fit_in_partitions(options.folder, n, method, options)
            weights = facts.pop("weights")
            if n <= options.most_in_memory:
                facts |= fit_in_memory(options.folder, n, method)
                facts["ratio"] = facts["seconds"] / facts["in memory"]
                facts["difference"] = f"{np.abs(weights - facts.pop('weights')).max():.1e}"
            print(facts, os.getloadavg(), flush=True)
            found.append(facts)
        if not options.keep:
            shutil.rmtree(options.folder / str(n))
    table = pd.DataFrame(found).set_index("rows").fillna("")
    print(as_rst(table, "rows", 1, ratios=True))


if __name__ == "__main__":
    main()
