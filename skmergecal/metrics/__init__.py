"""Scores of probabilities. Arrays in, numbers out."""

from skmergecal.metrics._calibration_error import (
    classwise_calibration_error,
    expected_calibration_error,
    maximum_calibration_error,
)
from skmergecal.metrics._calibration_test import CalibrationTest, calibration_test
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
from skmergecal.metrics._risk_coverage import (
    RiskCoverageCurve,
    area_under_risk_coverage,
    risk_coverage_curve,
)
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
