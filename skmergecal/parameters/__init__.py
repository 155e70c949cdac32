"""Parameters of estimators: read them, average them, write them into one estimator."""

from skmergecal._networks import Network, dense_network, select_units
from skmergecal.parameters._average import average_parameters
from skmergecal.parameters._fold import fold_affine_input, fold_temperature
from skmergecal.parameters._merge_networks import ALIGNMENTS as ALIGNMENTS
from skmergecal.parameters._merge_networks import REPAIRS as REPAIRS
from skmergecal.parameters._merge_networks import (
    MergedParameters,
    align_parameters,
    merge_parameters,
)
from skmergecal.parameters._parameters import FirstLayer, Parameters
from skmergecal.parameters._registry import read_parameters, write_parameters
from skmergecal.parameters._same_input import on_same_columns as on_same_columns
from skmergecal.parameters._same_input import take_same_rows as take_same_rows
from skmergecal.parameters._wrappers import register_wrapper
from skmergecal.parameters._wrappers import unwrap_one as unwrap_one
from skmergecal.parameters.averages import diagonal_fisher, fisher_average, merge_task_vectors
from skmergecal.parameters.checkpoints import merge_checkpoints
from skmergecal.parameters.exact import merge_logits, merge_probabilities
from skmergecal.parameters.families import only_drops_columns as only_drops_columns

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
