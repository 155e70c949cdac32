"""Predictions of Dask collections: lazy, one task for each partition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import numpy as np
from sklearn import get_config

from skmergecal._optional import optional_import
from skmergecal._partitions import delayed, delayed_partitions
from skmergecal._typing import Estimator

__all__ = ["predict_lazily", "refuse_held_out", "score_in_partitions"]


def refuse_held_out(asked: bool) -> None:
    """Raise ValueError where held-out predictions of Dask collections are asked for."""
    if asked:
        msg = (
            "X is a Dask collection: what was learned from it is not handed on row by row, as "
            "fit_transform and estimators around this one ask for. Call fit, then transform or "
            "predict_proba; MergedClassifier(calibrate='merged') fits the temperature, too"
        )
        raise ValueError(msg)


def predict_lazily(estimator: Estimator, method: str, X: Any, meta: np.ndarray) -> Any:
    """A Dask Array of what a method of a fitted estimator gives for a Dask collection.

    The estimator goes along as one task of the graph; partitions without rows are not shown to it.

    Parameters
    ----------
    estimator : estimator
    method : str
    X : Dask collection, or dict of such
    meta : ndarray
        What the method gives for no rows.
    """
    if method == "transform":
        _refuse_containers(estimator)
    array = optional_import("dask.array", extra="distributed", purpose="a Dask collection")
    partitions = delayed_partitions(shared=True, X=X)
    name = f"{method}-{uuid4().hex}"
    model = delayed(estimator, name=f"{type(estimator).__name__}-{uuid4().hex}")
    blocks = []
    lengths = _lengths(X, partitions)
    for number, ((part,), length) in enumerate(zip(partitions, lengths, strict=True)):
        made = delayed(_predict)(model, method, part, meta, dask_key_name=(name, number))
        shape = (length, *meta.shape[1:])
        blocks.append(array.from_delayed(made, shape=shape, dtype=meta.dtype, meta=meta))
    return array.concatenate(blocks, allow_unknown_chunksizes=True)


def _lengths(X: Any, partitions: list[Any]) -> Any:
    """Numbers of rows of the partitions; NaN where they are not known."""
    chunks = getattr(X, "chunks", None)
    return chunks[0] if chunks is not None else [np.nan] * len(partitions)


def _predict(estimator: Estimator, method: str, X: Any, meta: np.ndarray) -> np.ndarray:
    first = next(iter(X.values())) if isinstance(X, dict) else X
    return np.asarray(getattr(estimator, method)(X)) if len(first) else meta


def _refuse_containers(estimator: Estimator) -> None:
    """Raise ValueError where `transform` is to give frames, which would hold all rows."""
    own = vars(estimator).get("_sklearn_output_config", {})
    wanted = own.get("transform", get_config()["transform_output"])
    if wanted != "default":
        msg = (
            f"transform of a Dask collection gives a Dask Array, but set_output asks for {wanted}: "
            "call set_output(transform='default')"
        )
        raise ValueError(msg)


def score_in_partitions(
    estimator: Estimator, X: Any, y: Any, sample_weight: Any, predict: Callable[..., Any]
) -> float:
    """Share of right labels, by one task for each partition."""
    dask = optional_import("dask", extra="distributed", purpose="a Dask collection")
    model = delayed(estimator, name=f"{type(estimator).__name__}-{uuid4().hex}")
    parts = delayed_partitions(X=X, y=y, sample_weight=sample_weight)
    found = dask.compute(*[delayed(_right)(model, *part, predict) for part in parts])
    right, total = np.sum(found, axis=0)
    return float(right / total)


def _right(
    estimator: Estimator, X: Any, y: Any, weight: Any, predict: Callable[..., Any]
) -> tuple[float, float]:
    if not len(y):
        return 0.0, 0.0
    right = np.asarray(predict(estimator, X)) == np.asarray(y).reshape(-1)
    counts = np.ones(len(right)) if weight is None else np.asarray(weight, dtype=np.float64)
    return float(right @ counts), float(counts.sum())
