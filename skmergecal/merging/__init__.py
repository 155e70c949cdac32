"""Merging: one classifier from several."""

from skmergecal.merging import _nested  # enters the registry of parameters
from skmergecal.merging._classifier import MergedClassifier
from skmergecal.merging._path import MergePath, merge_path
from skmergecal.merging._report import MergeReport

__all__ = ["MergePath", "MergeReport", "MergedClassifier", "merge_path"]

del _nested
