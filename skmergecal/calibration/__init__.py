"""Calibration by one temperature: the estimator, and the pure fit of arrays."""

from skmergecal._temperature import TemperatureFit, fit_temperature
from skmergecal.calibration._calibrator import TemperatureCalibrator
from skmergecal.calibration._statistics import TemperatureStatistics

__all__ = ["TemperatureCalibrator", "TemperatureFit", "TemperatureStatistics", "fit_temperature"]
