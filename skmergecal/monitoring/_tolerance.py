"""What a monitor tolerates: given, or from what is known of the deployed calibration."""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from skmergecal._typing import Array, Estimator
from skmergecal.members import LabelledEstimator, classes_of, fitted_last_step, unfrozen
from skmergecal.monitoring._null import Tolerance

__all__ = ["find_null", "inner_estimators"]

#: The least that is tolerated of log T, and of the shift of a class's logit.
LEAST = 0.05
#: Half-widths of the calibrator's 95 % interval, and standard errors of the log odds of a class.
_HALF_WIDTHS, _ERRORS = 1.5, 3.0


class Inner(NamedTuple):
    """An estimator inside of another one.

    Attributes
    ----------
    estimator : estimator
    labels : list
        What its classes are called outside: other labels, where it was trained on codes.
    around : tuple of estimator
        What it is the last step of, and what our calibrators around it are, from the outside in.
    """

    estimator: Estimator
    labels: list[Any]
    around: tuple[Estimator, ...]


def inner_estimators(estimator: Estimator | None) -> Iterator[Inner]:
    """The last step of an estimator, and what our calibrators have inside, from the outside in."""
    outside: dict[Any, Any] = {}
    around: tuple[Estimator, ...] = ()
    while estimator is not None:
        if isinstance(estimator, LabelledEstimator):
            codes = classes_of("estimator", unfrozen(estimator)).tolist()
            labels = estimator.classes_.tolist()
            outside = {c: outside.get(a, a) for c, a in zip(codes, labels, strict=True)}
        final, _ = fitted_last_step(unfrozen(estimator))
        own = np.asarray(getattr(final, "classes_", [])).tolist()
        around = (*around, estimator)
        yield Inner(final, [outside.get(label, label) for label in own], around)
        inside = hasattr(final, "fit_held_out") and not hasattr(final, "named_estimators_")
        estimator = getattr(final, "estimator_", None) if inside else None


def find_null(estimator: Estimator | None, tolerance: Any, classes: np.ndarray) -> Tolerance:
    """The null for a tolerance as the user gives it.

    Raises
    ------
    ValueError
        If the calibrator's interval has no bound, so that "auto" has no size.
    """
    k = len(classes)
    if isinstance(tolerance, Real):
        return Tolerance(float(tolerance), np.full(k, float(tolerance)))
    log_t, shifts = LEAST, np.full(k, LEAST)
    for inner, labels, _ in inner_estimators(estimator):
        interval = getattr(inner, "temperature_interval_", None)
        if interval is not None:
            log_t = max(log_t, _HALF_WIDTHS * _half_width(interval))
        counts = _counts(inner, labels, classes)
        if counts is not None:
            shifts = np.maximum(shifts, _ERRORS / np.sqrt(np.maximum(counts, 1.0)))
    return Tolerance(log_t, shifts)


def _half_width(interval: tuple[float, float]) -> float:
    low, high = interval
    if not (low > 0 and high < math.inf):
        msg = (
            f"tolerance='auto' takes the width of the calibrator's interval, but that is {low:.3g} "
            f"to {high:.3g}: calibrate on more rows, or pass tolerance= as a number"
        )
        raise ValueError(msg)
    return (math.log(high) - math.log(low)) / 2


def _counts(inner: Estimator, labels: list[Any], classes: np.ndarray) -> Array | None:
    """Held-out rows of each class, where a calibrator says so."""
    counts = getattr(inner, "class_counts_", None)
    if counts is None or not labels:
        return None
    by_label = dict(zip(labels, np.asarray(counts).tolist(), strict=True))
    return np.array([by_label.get(label, math.inf) for label in classes.tolist()])
