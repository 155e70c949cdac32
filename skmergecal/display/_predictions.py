"""Labels and predicted probabilities of one or several models, checked for the displays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from skmergecal._estimator import predict_lazily
from skmergecal._partitions import are_dask
from skmergecal._typing import Array, IntArray
from skmergecal._validation import (
    as_numbers,
    check_labels,
    check_lengths,
    check_proba,
    count_rows,
    encode_labels,
)
from skmergecal.display._style import as_models
from skmergecal.members import check_classes, classes_in_partitions, freeze
from skmergecal.metrics import Check

__all__ = ["encode_predictions", "predict_models", "predictions_to_check"]


def encode_predictions(
    y: Any, proba: Any, classes: Any, name: str | None
) -> tuple[IntArray, dict[str, Array], np.ndarray]:
    """Labels as column numbers, probabilities by model, and the classes.

    Probabilities of shape (n_samples,) are those of the second of two classes.
    """
    labels = check_labels(y)
    models, known, check = predictions_to_check(labels, proba, classes, name)
    codes, matrices = check(labels, list(models.values()))
    return codes, dict(zip(models, matrices, strict=True)), known


def predictions_to_check(
    y: Any, proba: Any, classes: Any, name: str | None
) -> tuple[dict[str, Any], np.ndarray, Check]:
    """Probabilities by model, the classes, and how some rows of them, and of y, are checked."""
    if classes is not None:
        known = check_classes(classes)
    elif are_dask(y):
        known = classes_in_partitions(y)
    else:
        known = np.unique(check_labels(y))
    return as_models(proba, name), known, partial(_encoded, classes=known)


def _encoded(
    y: Any, matrices: Sequence[Any], classes: np.ndarray
) -> tuple[IntArray, Sequence[Array]]:
    labels = check_labels(y)
    found = []
    for values in matrices:
        p = as_numbers("proba", values)
        p = np.column_stack([1 - p, p]) if p.ndim == 1 else p
        if p.ndim != 2 or p.shape[1] != len(classes):
            msg = (
                f"proba should have one column per class, {len(classes)} in all; got shape "
                f"{p.shape}: pass classes= in the order of the columns"
            )
            raise ValueError(msg)
        found.append(check_proba(p))
        check_lengths(len(p), y=labels)
    return encode_labels(labels, classes, remedy="Pass classes= with every label."), found


def predict_models(
    estimator: Any, X: Any, y: Any, name: str | None
) -> tuple[dict[str, Any], np.ndarray]:
    """Probabilities of one fitted estimator, or of a dict of estimators with the same classes.

    Raises
    ------
    TypeError, ValueError
        If one is no fitted classifier, their classes differ, or X and y differ in rows.
    """
    models = as_models(estimator, name, "estimator")
    for key, model in models.items():
        freeze(key or "estimator", model)
    lazy = are_dask(X)
    if not lazy:
        check_lengths(count_rows(X), y=y)
    classes = [np.asarray(model.classes_) for model in models.values()]
    if any(not np.array_equal(classes[0], other) for other in classes[1:]):
        msg = (
            f"estimators in one plot should have the same classes_; got {classes}: plot them "
            "separately"
        )
        raise ValueError(msg)
    if list(models) == [""]:
        models = {type(estimator).__name__: estimator}
    if lazy:
        meta = np.empty((0, len(classes[0])))
        made = {
            key: predict_lazily(model, "predict_proba", X, meta) for key, model in models.items()
        }
        return made, classes[0]
    # Copies: models may write their outputs into one buffer.
    return {key: np.array(model.predict_proba(X)) for key, model in models.items()}, classes[0]
