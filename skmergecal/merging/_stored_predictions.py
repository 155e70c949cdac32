"""Members and rows of MergedClassifier.from_predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skmergecal._compat import StrOptions
from skmergecal._partitions import are_dask
from skmergecal._typing import NamedEstimators
from skmergecal._validation import (
    check_labels,
    check_parameters,
    check_sample_weight,
    union_of_classes,
)
from skmergecal.members import PredictionColumn, Predictions, check_classes, classes_in_partitions

__all__ = ["stored_members"]


@check_parameters(logarithmic=["boolean"], missing=[StrOptions({"error", "drop_rows"})])
def stored_members(
    predictions: Any,
    y: Any,
    sample_weight: Any,
    params: Mapping[str, Any],
    *,
    classes: Any,
    logarithmic: bool,
    missing: str,
) -> tuple[NamedEstimators, tuple[Any, Any, Any]]:
    """Frozen members that return stored predictions, and the rows to fit on.

    Parameters
    ----------
    predictions, y, sample_weight, classes, logarithmic, missing
        As documented there.
    params : mapping
        Other parameters of the merge.

    Returns
    -------
    list of (str, FrozenEstimator), (Predictions, ndarray, array-like or None)
    """
    if params.get("method", "auto") == "parameters":
        msg = (
            "method='parameters' makes one model of the members' parameters, which stored "
            "predictions do not have: use another method, or pass the fitted models to "
            "MergedClassifier.from_fitted"
        )
        raise ValueError(msg)
    if are_dask(predictions, y, sample_weight):
        names = [*predictions] if isinstance(predictions, Mapping) else [*predictions.columns]
        known = classes_in_partitions(y) if classes is None else check_classes(classes)
        return _columns(names, known, logarithmic), (predictions, y, sample_weight)
    stored = predictions if isinstance(predictions, Predictions) else Predictions(predictions)
    labels = check_labels(y)
    if len(stored) != len(labels):
        msg = (
            f"predictions have {len(stored)} rows, but y has {len(labels)} labels: pass those of "
            "the same rows. A list of arrays is taken for several models, not for rows: pass "
            "np.array(rows)"
        )
        raise ValueError(msg)
    known = union_of_classes(labels) if classes is None else check_classes(classes)
    estimators = _columns(stored, known, logarithmic)
    if missing == "error":
        return estimators, (stored, labels, sample_weight)
    weight = check_sample_weight(sample_weight, len(stored))
    complete = np.ones(len(stored), dtype=bool)
    for values in stored.values():
        array = np.asarray(values)
        complete &= ~np.isnan(array.reshape(len(array), -1)).any(axis=1)
    if not complete.any():
        msg = (
            "missing='drop_rows' leaves no row: in each of them a member's prediction is NaN. "
            "Leave out the members that have few predictions"
        )
        raise ValueError(msg)
    if complete.all():
        return estimators, (stored, labels, sample_weight)
    weight = None if weight is None else weight[complete]
    return estimators, (stored[complete], labels[complete], weight)


def _columns(names: Iterable[str], classes: np.ndarray, logarithmic: bool) -> NamedEstimators:
    """A frozen member for each name, which returns the predictions of this name."""
    columns = {n: PredictionColumn(n, classes=classes, logarithmic=logarithmic) for n in names}
    return [(name, FrozenEstimator(column)) for name, column in columns.items()]
