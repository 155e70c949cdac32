"""Parameters of estimators: read them, average them, write them into one estimator."""

from skmergecal.parameters import _linear, _mlp, _pipeline  # they enter the registry
from skmergecal.parameters._average import (
    average_parameters,
    fold_affine_input,
    fold_temperature,
    register_scaled,
)
from skmergecal.parameters._merge import MergedParameters, align_parameters, merge_parameters
from skmergecal.parameters._network import Network, dense_network
from skmergecal.parameters._registry import (
    FirstLayer,
    Parameters,
    read_parameters,
    write_parameters,
)
from skmergecal.parameters._select import select_units

__all__ = [
    "FirstLayer",
    "MergedParameters",
    "Network",
    "Parameters",
    "align_parameters",
    "average_parameters",
    "dense_network",
    "fold_affine_input",
    "fold_temperature",
    "merge_parameters",
    "read_parameters",
    "register_scaled",
    "select_units",
    "write_parameters",
]

del _linear, _mlp, _pipeline
