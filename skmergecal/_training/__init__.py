"""Training of fitted models: opened, trained on a copy in one loop, and put back."""

from skmergecal._training._base import Trainee
from skmergecal._training._loop import DivergedError, Examples, History, train
from skmergecal._training._open import OpenedEstimator, open_estimator, torch_trainee
from skmergecal._training._schedule import SCHEDULES, TrainingPlan
from skmergecal._training._synthetic import (
    AUGMENTS,
    SETS,
    can_be_mixed,
    check_augmentable,
    check_same_inputs,
    combined_rows,
    draw_mixture,
    holds_numbers,
    stacked,
    synthetic_rows,
    whole_columns,
)

__all__ = [
    "AUGMENTS",
    "SCHEDULES",
    "SETS",
    "DivergedError",
    "Examples",
    "History",
    "OpenedEstimator",
    "Trainee",
    "TrainingPlan",
    "can_be_mixed",
    "check_augmentable",
    "check_same_inputs",
    "combined_rows",
    "draw_mixture",
    "holds_numbers",
    "open_estimator",
    "stacked",
    "synthetic_rows",
    "torch_trainee",
    "train",
    "whole_columns",
]
