"""A calibrated classifier among members whose parameters are merged: T goes into its last layer."""

from __future__ import annotations

from skmergecal._typing import Estimator
from skmergecal.calibration._calibrator import TemperatureCalibrator
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import Parameters, fold_temperature, read_parameters, write_parameters


def _inner(calibrator: TemperatureCalibrator) -> Estimator:
    if calibrator.estimator_ is None:
        msg = "a TemperatureCalibrator on bare logits has no parameters to merge: wrap a classifier"
        raise IncompatibleEstimatorsError(msg)
    return calibrator.estimator_


def _read(calibrator: TemperatureCalibrator) -> Parameters:
    return fold_temperature(read_parameters(_inner(calibrator)), calibrator.temperature_)


def _write(calibrator: TemperatureCalibrator, parameters: Parameters) -> Estimator:
    return write_parameters(_inner(calibrator), parameters)


read_parameters.register(TemperatureCalibrator, _read)
write_parameters.register(TemperatureCalibrator, _write)
