"""Calibration by one temperature, or class shifts: the estimators, and the pure fit of arrays."""

from skmergecal._temperature import TemperatureFit, fit_temperature
from skmergecal.calibration._calibrator import TemperatureCalibrator
from skmergecal.calibration._calibrator import calibrated_member as calibrated_member
from skmergecal.calibration._calibrator import soften_member as soften_member
from skmergecal.calibration._class_shift import ClassShift, adjust_prior
from skmergecal.calibration._class_shift import shifted_member as shifted_member
from skmergecal.calibration._class_shift import soften_shifted_member as soften_shifted_member
from skmergecal.calibration._shift_fit import ShiftFit as ShiftFit
from skmergecal.calibration._shift_fit import fit_shift as fit_shift
from skmergecal.calibration._statistics import TemperatureStatistics

__all__ = [
    "ClassShift",
    "TemperatureCalibrator",
    "TemperatureFit",
    "TemperatureStatistics",
    "adjust_prior",
    "fit_temperature",
]
