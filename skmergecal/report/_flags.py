"""Flags: warnings about data and probabilities that make a calibration report unreliable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from skmergecal._temperature import minimise_temperature
from skmergecal._typing import Array, IntArray
from skmergecal.report._assessment import Assessment

__all__ = ["find_flags"]

#: Misclassified rows bound the temperature from below; with few of them its estimate is poor.
_FEW_ERRORS = 10
_FEW_ROWS = 10
#: Classes whose gaps are named at most.
_NAMED = 5


def find_flags(
    y: IntArray,
    weight: Array,
    log_proba: Array,
    logits: Array,
    classes: np.ndarray,
    before: Assessment,
    after: Assessment,
) -> Iterator[str]:
    """Sentences about degenerate data, probabilities and temperatures."""
    bound = minimise_temperature(logits, y, weight).bound
    if bound == "lower":
        yield "No temperature above 0 is best: the loss falls as T goes to 0 (hardly any error)."
    if bound == "upper":
        yield "No finite temperature is best: the probabilities are not informative of the labels."
    wrong = float(weight @ (log_proba.argmax(axis=1) != y))
    if wrong < _FEW_ERRORS:
        yield (
            f"The classifier is wrong in only {wrong:.4g} rows, so the temperature and the "
            "calibration errors are uncertain."
        )
    counts = np.bincount(y, weights=weight, minlength=len(classes))
    missing = classes[counts == 0].tolist()
    if missing:
        means = [float(f"{before.mean_proba[label].value:.4g}") for label in missing]
        yield f"Classes without rows: {missing}; their mean probabilities: {means}."
    rare = classes[(counts > 0) & (counts < _FEW_ROWS)].tolist()
    if rare:
        yield f"Classes with fewer than {_FEW_ROWS} rows: {rare}."
    zeros = np.isneginf(log_proba)
    if zeros.any():
        lost = float(weight @ zeros[np.arange(len(y)), y])
        yield (
            f"Probabilities of exactly 0 in {float(weight @ zeros.any(axis=1)):.4g} rows, for the "
            f"true class in {lost:.4g}" + (", so the log loss is infinite." if lost else ".")
        )
    if len(y) > 1 and (log_proba == log_proba[0]).all():
        yield "All rows get the same probabilities."
    shares = dict(zip(classes.tolist(), (counts / counts.sum()).tolist(), strict=True))
    yield from _gaps(before, after, shares)
    if after.rejected:
        yield (
            "After calibration, the test still rejects that the probabilities are calibrated: one "
            "temperature is not enough; look at reliability diagrams, overall and per class."
        )


def _gaps(before: Assessment, after: Assessment, shares: dict[Any, float]) -> Iterator[str]:
    """Classes whose share the mean probability misses, and what corrects that.

    What a temperature moved, for better or worse, is left to the table.
    """
    missed = [label for label in after.missed if label in before.missed]
    if not missed:
        return
    named = "; ".join(
        f"of {label!r} {before.mean_proba[label].value:.4g} before and "
        f"{after.mean_proba[label].value:.4g} after calibration, its share {shares[label]:.4g}"
        for label in missed[:_NAMED]
    )
    more = len(missed) - _NAMED
    yield (
        f"Mean probabilities miss the shares of classes: {named}"
        + (f"; and {more} more. " if more > 0 else ". ")
        + "Class weights, resampling or other shares in training cause that. No temperature "
        "corrects it. An intercept for each class does, as MergedClassifier.from_fitted([model], "
        "X, y) learns it from rows with the right shares, with method='auto', its default, or "
        "with method='logits', weights='classwise'."
    )
