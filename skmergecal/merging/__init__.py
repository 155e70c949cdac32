"""Merging: one classifier from several."""

from skmergecal.merging import _nested  # enters the registry of parameters
from skmergecal.merging._classifier import MergedClassifier

__all__ = ["MergedClassifier"]

del _nested
