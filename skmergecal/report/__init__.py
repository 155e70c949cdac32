"""Reports: whether to trust the probabilities of a classifier, in words, numbers and pictures."""

from skmergecal.report._assessment import Assessment, Interval
from skmergecal.report._calibration import CalibrationReport, calibration_report

__all__ = ["Assessment", "CalibrationReport", "Interval", "calibration_report"]
