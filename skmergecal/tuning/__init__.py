"""Further training: of members before they are merged, or of the merged model."""

from skmergecal.tuning._classifier import FineTunedClassifier

__all__ = ["FineTunedClassifier"]
