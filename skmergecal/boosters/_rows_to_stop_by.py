"""Arguments of ``fit`` by which each library gets the rows to stop by."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from skmergecal._optional import is_instance_of, optional_import
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal._warnings import warn_user
from skmergecal.members import clone_member, is_sklearn

__all__ = ["RowsToStopBy", "booster_arguments", "set_apart"]

#: Rounds without gain after which a booster stops that has no number of its own.
_PATIENCE = 50
#: Parameters by which LightGBM and CatBoost know when to stop.
_LIGHTGBM = {"early_stopping_round", "early_stopping_rounds", "early_stopping", "n_iter_no_change"}
_CATBOOST = {"early_stopping_rounds", "od_wait", "od_type", "od_pval"}
#: Parameters of CatBoost that say what columns are.
_COLUMNS = ("cat_features", "text_features", "embedding_features")


class RowsToStopBy(NamedTuple):
    """Rows that a booster is not fitted to."""

    X: Any
    labels: np.ndarray
    weight: Array | None


def set_apart(labels: np.ndarray, fraction: float, random_state: Any) -> tuple[IntArray, IntArray]:
    """Numbers of rows to fit to and to stop by, each class cut in the same proportion.

    The last row of a class is never set apart.

    Raises
    ------
    ValueError
        If no row can be.
    """
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    wanted = fraction * counts
    quota = np.minimum(wanted.astype(np.intp), counts - 1)
    rest = max(1, round(fraction * len(labels))) - int(quota.sum())
    for column in np.argsort(quota - wanted, kind="stable"):
        if rest > 0 and quota[column] < counts[column] - 1:
            quota[column] += 1
            rest -= 1
    if not quota.sum():
        msg = (
            f"n_samples={len(labels)} rows, one of each class, leave none to stop by: pass more "
            "rows, or the estimator without EarlyStopped"
        )
        raise ValueError(msg)
    shuffled = check_random_state(random_state).permutation(len(labels))
    in_classes = shuffled[np.argsort(codes[shuffled], kind="stable")]
    place = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    apart = place < np.repeat(quota, counts)
    return np.sort(in_classes[~apart]), np.sort(in_classes[apart])


def booster_arguments(
    estimator: Estimator, rows: RowsToStopBy, params: dict[str, Any]
) -> tuple[Estimator, dict[str, Any]]:
    """A clone that will stop by some rows, and the parameters for its ``fit``.

    Parameters
    ----------
    estimator : estimator
        Unfitted.
    rows : RowsToStopBy
    params : dict
        Other parameters of its ``fit``.

    Raises
    ------
    ValueError
        If its ``fit`` takes no rows to stop by.
    """
    booster = clone_member(estimator)
    if is_instance_of(booster, "catboost", "CatBoost"):
        return booster, {**params, **_for_catboost(booster, rows, params)}
    takes = inspect.signature(booster.fit).parameters
    if "eval_X" in takes and "eval_y" in takes:
        arguments: dict[str, Any] = {"eval_X": rows.X, "eval_y": rows.labels}
    elif "eval_set" in takes:
        arguments = {"eval_set": [(rows.X, rows.labels)]}
    else:
        raise ValueError(_remedy(estimator))
    if rows.weight is not None:
        arguments |= _weights(booster, rows.weight, takes)
    if is_instance_of(booster, "lightgbm", "LGBMModel"):
        callbacks = params.get("callbacks") or []
        if not _is_set(booster, _LIGHTGBM) and not _stops(callbacks):
            lightgbm = optional_import("lightgbm", extra="boosters", purpose="early stopping")
            stop = lightgbm.early_stopping(_PATIENCE, verbose=False)
            arguments["callbacks"] = [*callbacks, stop]
        return booster, {**params, **arguments}
    given = booster.get_params(deep=False)
    if given.get("early_stopping_rounds", 0) is None and not _stops(given.get("callbacks") or []):
        booster.set_params(early_stopping_rounds=_PATIENCE)
    if is_instance_of(booster, "xgboost", "XGBModel"):
        arguments["verbose"] = params.get("verbose", False)
    return booster, {**params, **arguments}


def _stops(callbacks: Any) -> bool:
    """Whether one of some callbacks stops early; both libraries call it so."""
    return any("EarlyStopping" in type(callback).__name__ for callback in callbacks)


def _is_set(booster: Estimator, names: set[str]) -> bool:
    """Whether one of some parameters has a value."""
    given = booster.get_params(deep=False)
    return any(given.get(name) is not None for name in names)


def _weights(booster: Estimator, weight: Array, takes: Any) -> dict[str, Any]:
    """Weights of the rows to stop by, under the name that ``fit`` has for them."""
    for name in ("eval_sample_weight", "sample_weight_eval_set"):
        if name in takes:
            return {name: [weight]}
    warn_user(
        f"{type(booster).__name__}.fit takes no weights of rows to stop by (eval_sample_weight, "
        "sample_weight_eval_set): it stops by rows that all count once"
    )
    return {}


def _for_catboost(booster: Estimator, rows: RowsToStopBy, params: dict[str, Any]) -> dict[str, Any]:
    """CatBoost takes weights, and what columns are, as part of the rows."""
    catboost = optional_import("catboost", extra="boosters", purpose="early stopping")
    given = booster.get_params(deep=False)
    columns = {name: params.get(name, given.get(name)) for name in _COLUMNS}
    columns = {name: value for name, value in columns.items() if value is not None}
    arguments = {"eval_set": catboost.Pool(rows.X, rows.labels, weight=rows.weight, **columns)}
    if not _is_set(booster, _CATBOOST) and params.get("early_stopping_rounds") is None:
        arguments["early_stopping_rounds"] = _PATIENCE
    return arguments


#: What to do with estimators that stop early by themselves, by the parameter that they have.
_BY_ITSELF: dict[str, Callable[[], str]] = {
    "early_stopping": lambda: "early_stopping=True",
    "n_iter_no_change": lambda: "n_iter_no_change=10",
}


def _remedy(estimator: Estimator) -> str:
    name = type(estimator).__name__
    what = f"EarlyStopped gives rows to stop by to an estimator, but {name}.fit takes no eval_set: "
    if is_sklearn(estimator, "BaseSearchCV"):
        return (
            f"{what}put it inside, {name}(EarlyStopped(estimator), ...), with estimator__ before "
            "the names of parameters"
        )
    params = estimator.get_params(deep=False) if hasattr(estimator, "get_params") else {}
    for param, setting in _BY_ITSELF.items():
        if param in params:
            return (
                f"{what}pass {name}({setting()}) without EarlyStopped; it sets rows apart by itself"
            )
    return (
        f"{what}pass {name} without EarlyStopped, or a booster of LightGBM, XGBoost or CatBoost in "
        "its place"
    )
