"""What makes a measurement of calibration doubtful, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from skmergecal._temperature import minimise_temperature
from skmergecal._typing import Array, IntArray

__all__ = ["find_flags"]

#: A temperature rests on the rows where the classifier is wrong.
_FEW_ERRORS = 10
_FEW_ROWS = 10


def find_flags(
    y: IntArray,
    weight: Array,
    log_proba: Array,
    logits: Array,
    classes: np.ndarray,
    *,
    rejected: bool,
) -> Iterator[str]:
    """Sentences on degenerate data, probabilities and temperatures.

    ``rejected`` says whether the test finds the probabilities after calibration not calibrated.
    """
    bound = minimise_temperature(logits, y, weight).bound
    if bound == "lower":
        yield "No finite temperature is best: the loss falls as T goes to 0 (hardly any error)."
    if bound == "upper":
        yield "No finite temperature is best: the probabilities do not inform about the labels."
    wrong = float(weight @ (log_proba.argmax(axis=1) != y))
    if wrong < _FEW_ERRORS:
        yield (
            f"The classifier is wrong in {wrong:.4g} rows only: temperature and calibration "
            "errors rest on these."
        )
    counts = np.bincount(y, weights=weight, minlength=len(classes))
    missing = classes[counts == 0].tolist()
    if missing:
        yield f"Classes without a row: {missing}."
    rare = classes[(counts > 0) & (counts < _FEW_ROWS)].tolist()
    if rare:
        yield f"Classes with fewer than {_FEW_ROWS} rows: {rare}."
    zeros = np.isneginf(log_proba)
    if zeros.any():
        lost = float(weight @ zeros[np.arange(len(y)), y])
        yield (
            f"Probabilities of exactly 0 in {float(weight @ zeros.any(axis=1)):.4g} rows, for the "
            f"true class in {lost:.4g}" + (", so that the log loss is infinite." if lost else ".")
        )
    if len(y) > 1 and (log_proba == log_proba[0]).all():
        yield "All rows get the same probabilities."
    if rejected:
        yield (
            "After calibration the test still finds the probabilities not calibrated: one "
            "temperature is not enough; look at the reliability diagram, and class by class."
        )
