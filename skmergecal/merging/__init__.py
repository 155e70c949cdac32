"""Merging: one classifier from several."""

from skmergecal.members import FoldAverage
from skmergecal.merging._classifier import MergedClassifier
from skmergecal.merging._merge_report import MergeReport
from skmergecal.merging._path import MergePath, merge_path

__all__ = ["FoldAverage", "MergePath", "MergeReport", "MergedClassifier", "merge_path"]
