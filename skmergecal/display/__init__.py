"""Plots as scikit-learn Display objects; matplotlib is imported only when one is drawn."""

from skmergecal.display._fit_orders import FitOrderDisplay
from skmergecal.display._merge_path import MergePathDisplay
from skmergecal.display._monitor import MonitorDisplay
from skmergecal.display._reliability import ReliabilityDisplay
from skmergecal.display._risk_coverage import RiskCoverageDisplay
from skmergecal.display._weights import WeightsDisplay
from skmergecal.metrics import ReliabilityCurve

__all__ = [
    "FitOrderDisplay",
    "MergePathDisplay",
    "MonitorDisplay",
    "ReliabilityCurve",
    "ReliabilityDisplay",
    "RiskCoverageDisplay",
    "WeightsDisplay",
]
