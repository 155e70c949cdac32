"""A tuned classifier among members whose parameters are merged: its trained model is taken."""

from __future__ import annotations

from skmergecal._typing import Estimator
from skmergecal.parameters import Parameters, read_parameters, write_parameters
from skmergecal.parameters._registry import unwrap
from skmergecal.tuning._classifier import FineTunedClassifier


@read_parameters.register(FineTunedClassifier)
def _(tuned: FineTunedClassifier) -> Parameters:
    return read_parameters(tuned.estimator_)


@write_parameters.register(FineTunedClassifier)
def _(tuned: FineTunedClassifier, parameters: Parameters) -> Estimator:
    return write_parameters(tuned.estimator_, parameters)


@unwrap.register
def _(tuned: FineTunedClassifier) -> tuple[Estimator, float]:
    return tuned.estimator_, 1.0
