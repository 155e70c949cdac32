"""Fitted merges: members with what was learned about them, one file for each method."""

from skmergecal.merging.fitted._base import FittedMerge, OpinionReader
from skmergecal.merging.fitted._folds import losses_in_folds
from skmergecal.merging.fitted._linear_pool import LinearPoolMerge
from skmergecal.merging.fitted._log_pool import LogPoolMerge
from skmergecal.merging.fitted._one_model_merge import OneModelMerge
from skmergecal.merging.fitted._row_losses import LossesOfRows, RowLosses
from skmergecal.merging.fitted._stacked_pools import StackedPoolsMerge

__all__ = [
    "FittedMerge",
    "LinearPoolMerge",
    "LogPoolMerge",
    "LossesOfRows",
    "OneModelMerge",
    "OpinionReader",
    "RowLosses",
    "StackedPoolsMerge",
    "losses_in_folds",
]
