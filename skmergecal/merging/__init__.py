"""Merging: one classifier from several."""

from skmergecal.merging import _registration  # enters the registry of parameters
from skmergecal.merging._classifier import MergedClassifier

__all__ = ["MergedClassifier"]

del _registration
