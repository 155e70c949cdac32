"""Calibration reports of classifiers, as text, numbers and plots."""

from skmergecal.report._assessment import Assessment, Interval
from skmergecal.report._calibration import calibration_report
from skmergecal.report._report import CalibrationReport

__all__ = ["Assessment", "CalibrationReport", "Interval", "calibration_report"]
