"""Cross-fitting, searches and orders under a backend of joblib's, and predictions of its frames.

    python tests/benchmarks/study_backends.py --backend dask|ray|spark [--rows 2000]

Each result is compared with that of joblib's own processes (loky): the largest difference of
probabilities or scores. ``pip install ray[data]``, or ``pyspark joblibspark`` and a Java runtime,
in an environment of its own. Predictions are those of Spark's ``mapInPandas``, Ray Data's
``map_batches``, or of a Dask DataFrame.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy counts the processors

import joblib
import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB

sys.path.insert(0, str(Path(__file__).parents[2]))
from skmergecal import MergedClassifier, TemperatureCalibrator, compare_fit_orders

HERE = str(Path(__file__).parents[2])
PACKAGES = {
    "dask": ["dask", "distributed"],
    "ray": ["ray"],
    "spark": ["pyspark", "joblibspark"],
}
COLUMNS = [f"x{number}" for number in range(8)]


def rows(n_rows: int) -> tuple[pd.DataFrame, np.ndarray]:
    X, y = make_classification(
        n_rows, 8, n_informative=5, n_classes=3, flip_y=0.1, class_sep=0.7, random_state=0
    )
    return pd.DataFrame(X, columns=COLUMNS), np.array(["low", "middle", "high"])[y]


def members() -> dict[str, Any]:
    return {
        "forest": RandomForestClassifier(10, random_state=0),
        "linear": LogisticRegression(),
        "bayes": GaussianNB(),
    }


def cross_fitted(X: pd.DataFrame, y: np.ndarray) -> np.ndarray:
    return MergedClassifier(members(), n_jobs=2).fit(X, y).predict_proba(X)


def calibrated(X: pd.DataFrame, y: np.ndarray) -> np.ndarray:
    model = TemperatureCalibrator(RandomForestClassifier(10, random_state=0), n_jobs=2)
    return model.fit(X, y).predict_proba(X)


def searched(X: pd.DataFrame, y: np.ndarray) -> np.ndarray:
    grid = {"method": ["logits", "probabilities"], "calibrate": [None, "merged"]}
    search = GridSearchCV(
        MergedClassifier(members(), cv=3), grid, scoring="neg_log_loss", cv=3, n_jobs=2
    )
    return np.asarray(search.fit(X, y).cv_results_["mean_test_score"])


def orders(X: pd.DataFrame, y: np.ndarray) -> np.ndarray:
    table = compare_fit_orders(
        members(), X, y, method="logits", cv=3, random_state=0, n_jobs=2, scoring="neg_log_loss"
    )
    return table[["mean", "standard_error"]].to_numpy()


TASKS: dict[str, Callable[[pd.DataFrame, np.ndarray], np.ndarray]] = {
    "cross-fitted merge": cross_fitted,
    "cross-fitted temperature": calibrated,
    "grid search": searched,
    "compare_fit_orders": orders,
}


@contextmanager
def started(backend: str) -> Iterator[Any]:
    """The engine, with two workers, as joblib's backend; its client or session."""
    # Worker processes import the package from the same place.
    os.environ["PYTHONPATH"] = os.pathsep.join([HERE, os.environ.get("PYTHONPATH", "")])
    with ExitStack() as stack:
        if backend == "dask":
            from distributed import Client, LocalCluster

            how = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
            engine = stack.enter_context(Client(stack.enter_context(LocalCluster(**how))))
        elif backend == "ray":
            # A busy machine takes longer than Ray's 30 s to start a node.
            os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")
            import ray
            from ray.util.joblib import register_ray

            engine = ray.init(
                num_cpus=2,
                include_dashboard=False,
                log_to_driver=False,
                object_store_memory=200_000_000,
                _node_ip_address="127.0.0.1",
            )
            stack.callback(ray.shutdown)
            register_ray()
        else:
            engine = spark_session()
            stack.callback(engine.stop)
            from joblibspark import register_spark

            register_spark()
        stack.enter_context(joblib.parallel_config(backend=backend, n_jobs=2))
        yield engine


def spark_session() -> Any:
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    return builder.getOrCreate()


def predicted(backend: str, engine: Any, merged: Any, X: pd.DataFrame) -> np.ndarray:
    """Probabilities of rows that are in Parquet files, by the engine's own frames."""
    table = X.assign(row=np.arange(len(X)))
    ways = {"dask": of_dask, "ray": of_ray, "spark": of_spark}
    with tempfile.TemporaryDirectory() as folder:
        for number, part in enumerate(np.array_split(np.arange(len(X)), 4)):
            table.iloc[part].to_parquet(Path(folder) / f"{number}.parquet")
        found = ways[backend](engine, merged, folder).sort_values("row")
    return found.drop(columns="row").to_numpy()


def of_dask(client: Any, merged: Any, folder: str) -> pd.DataFrame:
    import dask.dataframe as dd

    frame = dd.read_parquet(folder)
    proba = merged.predict_proba(frame[COLUMNS]).compute()
    return pd.DataFrame(proba).assign(row=frame["row"].compute().to_numpy())


def of_ray(context: Any, merged: Any, folder: str) -> pd.DataFrame:
    import ray

    model = ray.put(merged)  # once for all workers, not once for each block

    def predict(batch: pd.DataFrame) -> pd.DataFrame:
        proba = ray.get(model).predict_proba(batch[COLUMNS])
        return pd.DataFrame(proba, columns=[*map(str, merged.classes_)]).assign(
            row=batch["row"].to_numpy()
        )

    rows_of_ray = ray.data.read_parquet(folder)
    return rows_of_ray.map_batches(predict, batch_format="pandas").to_pandas()


def of_spark(session: Any, merged: Any, folder: str) -> pd.DataFrame:
    model = session.sparkContext.broadcast(merged)  # once for each worker
    schema = ", ".join(f"`{label}` double" for label in merged.classes_) + ", row long"

    def predict(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for batch in batches:
            proba = model.value.predict_proba(batch[COLUMNS])
            yield pd.DataFrame(proba, columns=[*model.value.classes_]).assign(
                row=batch["row"].to_numpy()
            )

    return session.read.parquet(folder).mapInPandas(predict, schema).toPandas()


def timed(function: Callable[..., np.ndarray], *arguments: Any) -> tuple[np.ndarray, float]:
    started_at = time.perf_counter()
    return function(*arguments), time.perf_counter() - started_at


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backend", choices=[*PACKAGES], required=True)
    parser.add_argument("--rows", type=int, default=2_000)
    options = parser.parse_args()
    X, y = rows(options.rows)
    with joblib.parallel_config(backend="loky", n_jobs=2):
        expected = {name: timed(task, X, y) for name, task in TASKS.items()}
    merged = MergedClassifier(members(), cv=3).fit(X, y)
    own, seconds = timed(merged.predict_proba, X)
    names = [*PACKAGES[options.backend], "joblib", "scikit-learn", "pandas"]
    print(", ".join(f"{name} {version(name)}" for name in names))
    with started(options.backend) as engine:
        print(f"{'':26} {'difference':>10} {'loky, s':>8} {options.backend + ', s':>9}")
        # First: the workers of joblib's backend keep all processors of Ray.
        found, took = timed(predicted, options.backend, engine, merged, X)
        apart = float(np.abs(found - own).max())
        print(f"{'predictions of a frame':26} {apart:10.2g} {seconds:8.1f} {took:9.1f}", flush=True)
        for name, task in TASKS.items():
            found, took = timed(task, X, y)
            apart = float(np.abs(found - expected[name][0]).max())
            print(f"{name:26} {apart:10.2g} {expected[name][1]:8.1f} {took:9.1f}", flush=True)


if __name__ == "__main__":
    main()
