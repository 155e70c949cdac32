"""What takes the place of a deployed model: it recalibrated, or its members merged again."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from skmergecal._typing import Array, Estimator, IntArray
from skmergecal.calibration import ClassShift, TemperatureCalibrator, TemperatureStatistics
from skmergecal.members import Member, unfrozen
from skmergecal.merging import MergedClassifier
from skmergecal.monitoring._members import learn_pool, pool_of
from skmergecal.monitoring._window import Window, recalibrate

__all__ = ["make_recalibrated", "make_remerged"]


def make_recalibrated(
    estimator: Estimator | None, window: Window, classes: np.ndarray, *, shift: bool
) -> Any:
    """A fitted calibrator around the frozen estimator, or a step on log-probabilities.

    With class shifts, these come first, and the temperature around them.
    """
    z, y, w = window.logits, window.y, window.weight
    fit = recalibrate(z, y, w, shift=shift)
    if not shift:
        return _scaled(z, y, w, classes, estimator)
    counts = np.bincount(y, weights=w, minlength=len(classes))
    shifted = ClassShift.from_shift(
        fit.shift,
        None if estimator is None else _frozen(estimator),
        classes=classes if estimator is None else None,
        interval=fit.shift_fit.interval * fit.temperature,
        class_counts=counts,
    )
    if estimator is None:
        return make_pipeline(shifted, _scaled(z + fit.shift, y, w, classes, None))
    return _scaled(z + fit.shift, y, w, classes, shifted)


def make_remerged(members: list[Member], window: Window, classes: np.ndarray) -> Any:
    """The members, frozen, with weights learned on the window, and a temperature around them."""
    opinions = window.member_logits()
    fit = learn_pool(opinions, window)
    merged = MergedClassifier.from_fitted(
        [(member.name, unfrozen(member.estimator)) for member in members],
        method="logits",
        weights=fit.weights,
    )
    z = pool_of(opinions, fit) * fit.temperature
    return _scaled(z, window.y, window.weight, classes, merged)


def _scaled(
    z: Array, y: IntArray, weight: Array, classes: np.ndarray, estimator: Estimator | None
) -> TemperatureCalibrator:
    statistics = TemperatureStatistics.of(z, y, weight, classes)
    frozen = None if estimator is None else _frozen(estimator)
    scaled = TemperatureCalibrator.from_statistics(statistics, frozen)
    scaled.class_counts_ = np.bincount(y, weight, len(classes)).astype(np.float64)
    return scaled


def _frozen(estimator: Estimator) -> FrozenEstimator:
    return FrozenEstimator(unfrozen(estimator))
