"""Trainees: models in training, with one file per kind of model."""

from skmergecal._optional import optional_import
from skmergecal._typing import Estimator
from skmergecal.tuning.trainees._arrays import NetworkTrainee
from skmergecal.tuning.trainees._base import Trainee, cross_entropy
from skmergecal.tuning.trainees._partial_fit import IncrementalTrainee

__all__ = ["IncrementalTrainee", "NetworkTrainee", "Trainee", "cross_entropy", "torch_trainee"]


def torch_trainee(net: Estimator) -> Trainee:
    """A skorch net in training; torch is loaded with the first."""
    optional_import("torch", extra="neural", purpose="tuning skorch nets")
    from skmergecal.tuning.trainees._torch import TorchTrainee

    return TorchTrainee(net)
