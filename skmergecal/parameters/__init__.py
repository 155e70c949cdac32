"""Parameters of estimators: read them, average them, write them into one estimator."""

from skmergecal.parameters import _linear, _mlp, _pipeline  # they enter the registry
from skmergecal.parameters._average import (
    average_parameters,
    fold_affine_input,
    fold_temperature,
    register_scaled,
)
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
    "read_parameters",
    "register_scaled",
    "write_parameters",
]

del _linear, _mlp, _pipeline
