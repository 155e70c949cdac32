"""Scores of predicted probabilities: functions that take arrays and return numbers."""

from skmergecal.metrics._calibration_error import (
    classwise_calibration_error,
    expected_calibration_error,
    maximum_calibration_error,
)
from skmergecal.metrics._checks import check_choice as check_choice
from skmergecal.metrics._checks import check_level as check_level
from skmergecal.metrics._checks import check_share as check_share
from skmergecal.metrics._decomposition import (
    LossDecomposition,
    decompose_brier_score,
    decompose_log_loss,
)
from skmergecal.metrics._diversity import (
    EnsembleDecomposition,
    decompose_ensemble_log_loss,
    disagreement,
    double_fault,
    error_correlation,
    q_statistic,
)
from skmergecal.metrics._reliability_curves import HISTOGRAM_EDGES as HISTOGRAM_EDGES
from skmergecal.metrics._reliability_curves import ReliabilityCurve as ReliabilityCurve
from skmergecal.metrics._reliability_curves import check_curves as check_curves
from skmergecal.metrics._reliability_curves import reliability_curves as reliability_curves
from skmergecal.metrics._risk_coverage import (
    RiskCoverageCurve,
    area_under_risk_coverage,
    risk_coverage_curve,
)
from skmergecal.metrics._scored import Check as Check
from skmergecal.metrics._scored import scored_rows as scored_rows
from skmergecal.metrics._significance import CalibrationTest, calibration_test
from skmergecal.metrics._smooth import smooth_calibration_error

__all__ = [
    "CalibrationTest",
    "EnsembleDecomposition",
    "LossDecomposition",
    "RiskCoverageCurve",
    "area_under_risk_coverage",
    "calibration_test",
    "classwise_calibration_error",
    "decompose_brier_score",
    "decompose_ensemble_log_loss",
    "decompose_log_loss",
    "disagreement",
    "double_fault",
    "error_correlation",
    "expected_calibration_error",
    "maximum_calibration_error",
    "q_statistic",
    "risk_coverage_curve",
    "smooth_calibration_error",
]
