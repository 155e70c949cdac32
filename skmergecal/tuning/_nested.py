"""A tuned classifier among members whose parameters are merged: its trained model is taken."""

from __future__ import annotations

from skmergecal.parameters import register_wrapper
from skmergecal.tuning._classifier import FineTunedClassifier

register_wrapper(FineTunedClassifier, lambda tuned: tuned.estimator_)
