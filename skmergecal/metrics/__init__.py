"""Scores of probabilities. Arrays in, numbers out."""

from skmergecal.metrics._calibration_error import expected_calibration_error

__all__ = ["expected_calibration_error"]
