"""Parameters of estimators: read them, average them, write them into one estimator."""

from skmergecal.parameters import _linear, _mlp, _naive_bayes, _pipeline  # they enter the registry
from skmergecal.parameters._average import (
    average_parameters,
    fold_affine_input,
    fold_temperature,
    register_wrapper,
)
from skmergecal.parameters._checkpoints import merge_checkpoints
from skmergecal.parameters._exact import merge_logits, merge_probabilities
from skmergecal.parameters._fisher import diagonal_fisher, fisher_average
from skmergecal.parameters._merge import MergedParameters, align_parameters, merge_parameters
from skmergecal.parameters._network import Network, dense_network
from skmergecal.parameters._registry import (
    FirstLayer,
    Parameters,
    read_parameters,
    write_parameters,
)
from skmergecal.parameters._select import select_units
from skmergecal.parameters._task_vectors import merge_task_vectors

__all__ = [
    "FirstLayer",
    "MergedParameters",
    "Network",
    "Parameters",
    "align_parameters",
    "average_parameters",
    "dense_network",
    "diagonal_fisher",
    "fisher_average",
    "fold_affine_input",
    "fold_temperature",
    "merge_checkpoints",
    "merge_logits",
    "merge_parameters",
    "merge_probabilities",
    "merge_task_vectors",
    "read_parameters",
    "register_wrapper",
    "select_units",
    "write_parameters",
]

del _linear, _mlp, _naive_bayes, _pipeline
