"""Merge and calibrate classifiers into one whose probabilities can be trusted."""

from skmergecal import (
    calibration,
    display,
    exceptions,
    merging,
    metrics,
    parameters,
    pooling,
    report,
)
from skmergecal._version import __version__
from skmergecal.calibration import TemperatureCalibrator
from skmergecal.display import (
    MergePathDisplay,
    ReliabilityDisplay,
    RiskCoverageDisplay,
    WeightsDisplay,
)
from skmergecal.merging import MergedClassifier, merge_path
from skmergecal.report import calibration_report

__all__ = [
    "MergePathDisplay",
    "MergedClassifier",
    "ReliabilityDisplay",
    "RiskCoverageDisplay",
    "TemperatureCalibrator",
    "WeightsDisplay",
    "__version__",
    "calibration",
    "calibration_report",
    "display",
    "exceptions",
    "merge_path",
    "merging",
    "metrics",
    "parameters",
    "pooling",
    "report",
]
