"""Monitoring: when the probabilities of a deployed model stop being true, and what to do."""

from skmergecal.calibration import ClassShift, adjust_prior
from skmergecal.monitoring._comparison import ModelComparison
from skmergecal.monitoring._monitor import CalibrationMonitor
from skmergecal.monitoring._null import Tolerance
from skmergecal.monitoring._pooled import PooledEvidence
from skmergecal.monitoring._unlabelled import Unlabelled

__all__ = [
    "CalibrationMonitor",
    "ClassShift",
    "ModelComparison",
    "PooledEvidence",
    "Tolerance",
    "Unlabelled",
    "adjust_prior",
]
