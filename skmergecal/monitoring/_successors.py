"""What takes the place of a deployed model: it recalibrated, or its members merged again."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from skmergecal._typing import Array, Estimator, IntArray
from skmergecal.calibration import (
    ClassShift,
    TemperatureCalibrator,
    TemperatureStatistics,
    soften_member,
    soften_shifted_member,
)
from skmergecal.members import Member
from skmergecal.merging import merge_again
from skmergecal.monitoring._members import learn_pool, pool_of
from skmergecal.monitoring._window import Window, recalibrate

__all__ = ["make_recalibrated", "make_remerged"]


def make_recalibrated(
    estimator: Estimator | None, window: Window, classes: np.ndarray, *, shift: bool
) -> Any:
    """A fitted calibrator around the frozen estimator, or a step on log-probabilities.

    With class shifts, these come first, and the temperature around them. The estimator keeps the
    labels that its columns stand for, and is softened as it was for the fit.
    """
    z, y, w = window.logits, window.y, window.weight
    fit = recalibrate(z, y, w, shift=shift)
    if not shift:
        scaled = _scaled(z, y, w, classes, estimator)
        if window.from_proba:
            soften_member(scaled, window.softening)
        return scaled
    counts = np.bincount(y, weights=w, minlength=len(classes))
    shifted = ClassShift.from_shift(
        fit.shift,
        estimator,
        classes=classes if estimator is None else None,
        interval=fit.shift_fit.interval * fit.temperature,
        class_counts=counts,
    )
    if estimator is None:
        return make_pipeline(shifted, _scaled(z + fit.shift, y, w, classes, None))
    if window.from_proba:
        soften_shifted_member(shifted, window.softening)
    return _scaled(z + fit.shift, y, w, classes, FrozenEstimator(shifted))


def make_remerged(members: list[Member], window: Window, classes: np.ndarray) -> Any:
    """The members, frozen, with weights learned on the window, and a temperature around them."""
    opinions = window.member_logits()
    fit = learn_pool(opinions, window)
    merged = merge_again(members, classes, fit.weights)
    z = pool_of(opinions, fit) * fit.temperature
    return _scaled(z, window.y, window.weight, classes, FrozenEstimator(merged))


def _scaled(
    z: Array, y: IntArray, weight: Array, classes: np.ndarray, estimator: Estimator | None
) -> TemperatureCalibrator:
    statistics = TemperatureStatistics.of(z, y, weight, classes)
    scaled = TemperatureCalibrator.from_statistics(statistics, estimator)
    scaled.class_counts_ = np.bincount(y, weight, len(classes)).astype(np.float64)
    return scaled
