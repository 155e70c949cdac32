"""Merge and calibrate classifiers into one whose probabilities can be trusted."""

from skmergecal import (
    calibration,
    display,
    exceptions,
    merging,
    metrics,
    orders,
    parameters,
    pooling,
    report,
    tuning,
)
from skmergecal._version import __version__
from skmergecal.calibration import TemperatureCalibrator
from skmergecal.display import (
    FitOrderDisplay,
    MergePathDisplay,
    ReliabilityDisplay,
    RiskCoverageDisplay,
    WeightsDisplay,
)
from skmergecal.merging import MergedClassifier, merge_path
from skmergecal.orders import compare_fit_orders, fit_orders
from skmergecal.report import calibration_report
from skmergecal.tuning import FineTunedClassifier

__all__ = [
    "FineTunedClassifier",
    "FitOrderDisplay",
    "MergePathDisplay",
    "MergedClassifier",
    "ReliabilityDisplay",
    "RiskCoverageDisplay",
    "TemperatureCalibrator",
    "WeightsDisplay",
    "__version__",
    "calibration",
    "calibration_report",
    "compare_fit_orders",
    "display",
    "exceptions",
    "fit_orders",
    "merge_path",
    "merging",
    "metrics",
    "orders",
    "parameters",
    "pooling",
    "report",
    "tuning",
]
