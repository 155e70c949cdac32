"""A calibrated classifier among members whose parameters are merged: T goes into its last layer."""

from __future__ import annotations

from operator import attrgetter

from skmergecal._typing import Estimator
from skmergecal.calibration._calibrator import TemperatureCalibrator
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import register_wrapper


def _inner(calibrator: TemperatureCalibrator) -> Estimator:
    if calibrator.estimator_ is None:
        msg = "a TemperatureCalibrator on bare logits has no parameters to merge: wrap a classifier"
        raise IncompatibleEstimatorsError(msg)
    return calibrator.estimator_


register_wrapper(TemperatureCalibrator, _inner, temperature=attrgetter("temperature_"))
