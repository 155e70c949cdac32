"""Scores of probabilities. Arrays in, numbers out."""

from skmergecal.metrics._calibration_error import (
    classwise_calibration_error,
    expected_calibration_error,
    maximum_calibration_error,
)
from skmergecal.metrics._smooth import smooth_calibration_error

__all__ = [
    "classwise_calibration_error",
    "expected_calibration_error",
    "maximum_calibration_error",
    "smooth_calibration_error",
]
