"""Networks as arrays: their description, alignment, repair, merge and training."""

from skmergecal._networks._activations import ACTIVATIONS
from skmergecal._networks._align import align_networks
from skmergecal._networks._merge import (
    FEW_ROWS,
    RANDOM_ROWS,
    has_hidden,
    merge_networks,
    probe_rows,
    some_rows,
)
from skmergecal._networks._network import (
    Network,
    as_float64,
    dense_network,
    side_by_side,
    takes_rows_by,
    two_columns,
)
from skmergecal._networks._nodes import BatchNorm
from skmergecal._networks._optimisers import Adam, NesterovSGD, Optimiser
from skmergecal._networks._repair import refit_layers
from skmergecal._networks._select import select_units
from skmergecal._networks._training import batches, draw_partners, moved_towards, train_on_batch

__all__ = [
    "ACTIVATIONS",
    "FEW_ROWS",
    "RANDOM_ROWS",
    "Adam",
    "BatchNorm",
    "NesterovSGD",
    "Network",
    "Optimiser",
    "align_networks",
    "as_float64",
    "batches",
    "dense_network",
    "draw_partners",
    "has_hidden",
    "merge_networks",
    "moved_towards",
    "probe_rows",
    "refit_layers",
    "select_units",
    "side_by_side",
    "some_rows",
    "takes_rows_by",
    "train_on_batch",
    "two_columns",
]
