"""Parameters of estimators: read them, average them, write them into one estimator."""

from skmergecal.parameters import _linear, _mlp, _naive_bayes, _pipeline  # they enter the registry
from skmergecal.parameters._average import (
    average_parameters,
    fold_affine_input,
    fold_temperature,
    register_scaled,
)
from skmergecal.parameters._checkpoints import merge_checkpoints
from skmergecal.parameters._exact import merge_logits, merge_probabilities
from skmergecal.parameters._registry import (
    FirstLayer,
    Parameters,
    read_parameters,
    write_parameters,
)

__all__ = [
    "FirstLayer",
    "Parameters",
    "average_parameters",
    "fold_affine_input",
    "fold_temperature",
    "merge_checkpoints",
    "merge_logits",
    "merge_probabilities",
    "read_parameters",
    "register_scaled",
    "write_parameters",
]

del _linear, _mlp, _naive_bayes, _pipeline
