"""Merge and calibrate classifiers into one whose probabilities can be trusted."""

from skmergecal import calibration, exceptions, merging, metrics, parameters, pooling
from skmergecal._version import __version__
from skmergecal.calibration import TemperatureCalibrator
from skmergecal.merging import MergedClassifier, merge_path

__all__ = [
    "MergedClassifier",
    "TemperatureCalibrator",
    "__version__",
    "calibration",
    "exceptions",
    "merge_path",
    "merging",
    "metrics",
    "parameters",
    "pooling",
]
