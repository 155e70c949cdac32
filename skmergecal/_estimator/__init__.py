"""Estimators of this package: what they share."""

from skmergecal._estimator._lazy_predictions import predict_lazily
from skmergecal._estimator._log_proba_classifier import HeldOutScores, LogProbaClassifier
from skmergecal._estimator._named_members import (
    NamedEstimatorsMixin,
    name_members,
    name_unnamed,
)

__all__ = [
    "HeldOutScores",
    "LogProbaClassifier",
    "NamedEstimatorsMixin",
    "name_members",
    "name_unnamed",
    "predict_lazily",
]
