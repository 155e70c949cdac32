"""Monitoring: when the probabilities of a deployed model stop being true, and what to do."""

from skmergecal.calibration import ClassShift, adjust_prior
from skmergecal.monitoring._monitor import CalibrationMonitor
from skmergecal.monitoring._null import Tolerance
from skmergecal.monitoring._pooled import PooledEvidence

__all__ = ["CalibrationMonitor", "ClassShift", "PooledEvidence", "Tolerance", "adjust_prior"]
