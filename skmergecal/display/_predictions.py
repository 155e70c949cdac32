"""Labels and predicted probabilities of one or several models, checked for the displays."""

from __future__ import annotations

from typing import Any

import numpy as np

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
from skmergecal.members import check_classes, freeze

__all__ = ["encode_predictions", "predict_models"]


def encode_predictions(
    y: Any, proba: Any, classes: Any, name: str | None
) -> tuple[IntArray, dict[str, Array], np.ndarray]:
    """Labels as column numbers, probabilities by model, and the classes.

    Probabilities of shape (n_samples,) are those of the second of two classes.
    """
    labels = check_labels(y)
    known = np.unique(labels) if classes is None else check_classes(classes)
    models = {}
    for key, values in as_models(proba, name).items():
        p = as_numbers("proba", values)
        p = np.column_stack([1 - p, p]) if p.ndim == 1 else p
        if p.ndim != 2 or p.shape[1] != len(known):
            msg = (
                f"proba should have one column per class, {len(known)} in all; got shape "
                f"{p.shape}: pass classes= in the order of the columns"
            )
            raise ValueError(msg)
        models[key] = check_proba(p)
    return encode_labels(labels, known, remedy="Pass classes= with every label."), models, known


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
    # Copies: models may write their outputs into one buffer.
    return {key: np.array(model.predict_proba(X)) for key, model in models.items()}, classes[0]
