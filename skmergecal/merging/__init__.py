"""Merging: one classifier from several."""

from skmergecal.members import FoldAverage, PredictionColumn, Predictions
from skmergecal.merging._again import merge_again as merge_again
from skmergecal.merging._classifier import MergedClassifier
from skmergecal.merging._classifier import fitted_merge as fitted_merge
from skmergecal.merging._loss_estimate import LossEstimate
from skmergecal.merging._merge_report import MergeReport
from skmergecal.merging._path import MergePath, merge_path
from skmergecal.merging._settings import VALID_WEIGHTS as VALID_WEIGHTS
from skmergecal.merging._settings import refuse_weights as refuse_weights
from skmergecal.merging._settings import table_of_weights as table_of_weights

__all__ = [
    "FoldAverage",
    "LossEstimate",
    "MergePath",
    "MergeReport",
    "MergedClassifier",
    "PredictionColumn",
    "Predictions",
    "merge_path",
]
