"""Feature names of X and of the rows that fitted a member: made to agree, with one warning."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skmergecal._typing import Estimator
from skmergecal._warnings import warn_user

__all__ = ["in_known_form", "warn_of_names"]

#: What LightGBM calls the columns of an array.
_GENERATED = "Column_"
#: Kinds of types that are numbers.
_NUMBERS = "fiub"


def in_known_form(estimator: Estimator, X: Any) -> Any:
    """X with names where a fitted estimator knows some, without where it knows none.

    Columns are taken in their order, as every estimator does after a warning of its own. Each
    member would give one, at each reading.
    """
    inner = _inside(estimator)
    if isinstance(X, np.ndarray):
        names = _names(inner)
        frames = sys.modules.get("pandas")
        if names is None or X.ndim != 2 or len(names) != X.shape[1] or frames is None:
            return X
        return frames.DataFrame(X, columns=names, copy=False)
    return _without_names(X) if _knows_none(inner) and _is_named(X) else X


def warn_of_names(estimators: Iterable[tuple[str, Estimator]], X: Any) -> None:
    """Warn, once for all of them, where X has names that estimators do not know, or lacks them."""
    for name, estimator in estimators:
        inner, message = _inside(estimator), None
        if _is_named(X):
            if _knows_none(inner):
                message = "X has feature names, but the rows that fitted {who} had none"
        elif isinstance(X, np.ndarray) and X.ndim == 2:
            names = _names(inner)
            if names is not None and list(names) != [f"{_GENERATED}{i}" for i in range(len(names))]:
                message = "X does not have valid feature names, but the rows that fitted {who} had"
        if message is not None:
            remedy = "columns are taken in their order. Pass rows of the kind that fitted the model"
            warn_user(f"{message}: {remedy}.", who=f"estimator {name!r}")


def _without_names(X: Any) -> Any:
    """The numbers of a frame as an array; a frame that holds something else as it is."""
    values = X.to_numpy()
    if values.dtype.kind in _NUMBERS:
        return values
    # Columns of several types, and those of pandas, come as objects.
    numbers = all(getattr(dtype, "kind", "O") in _NUMBERS for dtype in X.dtypes)
    return X.to_numpy(dtype=np.float64, na_value=np.nan) if numbers else X


def _inside(estimator: Estimator) -> Estimator:
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator


def _names(estimator: Estimator) -> Any:
    return getattr(estimator, "feature_names_in_", None)


def _is_named(X: Any) -> bool:
    names = getattr(X, "columns", None)
    return (
        names is not None
        and hasattr(X, "to_numpy")
        and len(names) > 0
        and all(isinstance(name, str) for name in names)
    )


def _knows_none(estimator: Estimator) -> bool:
    """Whether it counted columns without names. Other libraries may keep names elsewhere."""
    ours = type(estimator).__module__.partition(".")[0] in ("sklearn", "skmergecal")
    return ours and _names(estimator) is None and hasattr(estimator, "n_features_in_")
