"""Recalibration maps for loss decompositions: temperature, isotonic and vector scaling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import check_cv

from skmergecal._numerics import log_softmax, soften, softmax
from skmergecal._partitions import InMemory, Partitions, Rows, together
from skmergecal._temperature import minimise_partitions, minimise_temperature
from skmergecal._typing import Array, IntArray
from skmergecal.metrics._folds import Folds
from skmergecal.metrics._scored import Scored

__all__ = ["RECALIBRATIONS", "recalibrate"]

#: Probabilities -> recalibrated probabilities.
Map = Callable[[Array], Array]


def fit_temperature_map(p: Array, y: IntArray, weight: Array) -> Map:
    """Softmax of log-probabilities divided by one temperature."""
    temperature = minimise_temperature(soften(p, 0.0), y, weight).temperature
    return lambda rows: softmax(soften(rows, 0.0) / temperature)


def fit_isotonic_map(p: Array, y: IntArray, weight: Array) -> Map:
    """One increasing function per class, then rows scaled to sum to 1; binary: one function."""
    n_classes = p.shape[1]
    columns = [1] if n_classes == 2 else range(n_classes)
    functions = [
        IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(
            p[:, c], (y == c).astype(np.float64), sample_weight=weight
        )
        for c in columns
    ]

    def apply(rows: Array) -> Array:
        fitted = [f.predict(rows[:, c]) for f, c in zip(functions, columns, strict=True)]
        if n_classes == 2:
            return np.column_stack([1 - fitted[0], fitted[0]])
        stacked = np.column_stack(fitted)
        total = stacked.sum(axis=1, keepdims=True)
        # Every class got 0 in this row: uniform, as scaling is impossible.
        return np.where(total > 0, stacked / np.where(total > 0, total, 1.0), 1 / n_classes)

    return apply


def fit_class_wise_map(p: Array, y: IntArray, weight: Array) -> Map:
    """Vector scaling: softmax(a_c log p_c + b_c), with a ridge penalty towards a = 1, b = 0.

    The penalty weighs as much as one row.
    """
    z = soften(p, 0.0)
    n_classes, total = z.shape[1], float(weight.sum())
    hit = np.eye(n_classes)[y]
    # L-BFGS needs parameters of similar scale. The gradient of slope c is proportional to
    # log p_c, which is -745 where p is 0, so its steps are divided by the RMS of log p_c.
    unit = np.maximum(np.sqrt(np.average(z**2, axis=0, weights=weight)), 1.0)
    unit = np.concatenate([1 / unit, np.ones(n_classes)])
    neutral = np.repeat([1.0, 0.0], n_classes)

    def loss(steps: Array) -> tuple[float, Array]:
        away = unit * steps
        slope, shift = np.split(neutral + away, 2)
        log_q = log_softmax(slope * z + shift)
        pull = weight[:, None] * (np.exp(log_q) - hit) / total
        value = -float(weight @ log_q[np.arange(len(y)), y]) / total + away @ away / (2 * total)
        gradient = np.concatenate([(pull * z).sum(0), pull.sum(0)]) + away / total
        return float(value), unit * gradient

    found = minimize(
        loss,
        np.zeros(2 * n_classes),
        jac=True,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 2000, "maxfun": 4000},
    )
    slope, shift = np.split(neutral + unit * found.x, 2)
    return lambda rows: softmax(slope * soften(rows, 0.0) + shift)


RECALIBRATIONS: dict[str, Callable[[Array, IntArray, Array], Map]] = {
    "temperature": fit_temperature_map,
    "isotonic": fit_isotonic_map,
    "class-wise": fit_class_wise_map,
}


def recalibrate(method: str, rows: Partitions[Scored], cv: Any) -> tuple[Partitions[Scored], float]:
    """Rows with recalibrated probabilities, and the amount by which to soften zeros.

    With ``cv`` each row's map is fitted on the other folds. An isotonic map may give probability 0
    to the true class of a held-out row; softening by 1 / (n + 1) keeps its log loss finite.
    Without ``cv``, one map is fitted on all rows.

    Parameters
    ----------
    method : {"temperature", "isotonic", "class-wise"}
        For rows in several partitions "temperature".
    rows : Partitions of Scored
    cv : int, splitter or None
        For rows in several partitions no splitter.
    """
    if not isinstance(rows, InMemory):
        return _in_partitions(rows, cv), 0.0
    fit, (y, (p, *_), weight, *_) = RECALIBRATIONS[method], rows.part
    if cv is None:
        return InMemory(rows.part._replace(probas=[fit(p, y, weight)(p)])), 0.0
    out = np.full(p.shape, np.nan)
    for fitted, held in check_cv(cv, y, classifier=True).split(p, y):
        out[held] = fit(p[fitted], y[fitted], weight[fitted])(p[held])
    if np.isnan(out).any():
        msg = f"cv should hold out every row once; {cv!r} skips rows: pass an integer or a KFold"
        raise ValueError(msg)
    amount = 1 / (float(weight.sum()) + 1) if method == "isotonic" else 0.0
    return InMemory(rows.part._replace(probas=[out])), amount


def _in_partitions(rows: Partitions[Scored], cv: Any) -> Partitions[Scored]:
    if cv is None:
        found = minimise_partitions(rows.map(_logits)).temperature
        return rows.map(_divided, None, [found])
    if not isinstance(cv, Integral):
        msg = (
            f"cv={cv!r} numbers all rows, and these are in Dask partitions: pass an integer or "
            "None, or y.compute() and proba.compute()"
        )
        raise ValueError(msg)
    folds = Folds.of(rows, int(cv))
    of_folds = [rows.map(_logits_without, folds, fold) for fold in range(int(cv))]
    minima = together(rows, [partial(minimise_partitions, logits) for logits in of_folds])
    return rows.map(_divided, folds, [minimum.temperature for minimum in minima])


def _logits(rows: Scored) -> Rows:
    return Rows([soften(rows.p, 0.0)], rows.y, rows.weight)


def _logits_without(rows: Scored, folds: Folds, fold: int) -> Rows:
    return _logits(rows.take(folds.of_rows(rows) != fold))


def _divided(rows: Scored, folds: Folds | None, temperatures: Sequence[float]) -> Scored:
    fold = np.zeros(len(rows.y), dtype=np.intp) if folds is None else folds.of_rows(rows)
    logits = soften(rows.p, 0.0) / np.array(temperatures)[fold][:, None]
    return rows._replace(probas=[softmax(logits)])
