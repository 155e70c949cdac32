"""Rows in partitions: what is learned from them are sums, minima and maxima over all of them."""

from skmergecal._partitions._blocks import rows_in_blocks, weights_of_part
from skmergecal._partitions._collections import (
    are_dask,
    delayed_partitions,
    first_rows,
    meta_of,
    refuse_unlike_rows,
)
from skmergecal._partitions._dask import (
    DaskPartitions,
    DaskRun,
    delayed,
    has_client,
    in_partition,
    tasks,
)
from skmergecal._partitions._gaps import GapOpinions
from skmergecal._partitions._lazy import refuse_other_rows
from skmergecal._partitions._partitions import InMemory, Partitions, Reduction
from skmergecal._partitions._rounds import remembered, together
from skmergecal._partitions._rows import SIZES, Rows, Sizes, gathered, share_of
from skmergecal._partitions._softening import softenings
from skmergecal._partitions._stream import Stream

__all__ = [
    "SIZES",
    "DaskPartitions",
    "DaskRun",
    "GapOpinions",
    "InMemory",
    "Partitions",
    "Reduction",
    "Rows",
    "Sizes",
    "Stream",
    "are_dask",
    "delayed",
    "delayed_partitions",
    "first_rows",
    "gathered",
    "has_client",
    "in_partition",
    "meta_of",
    "refuse_other_rows",
    "refuse_unlike_rows",
    "remembered",
    "rows_in_blocks",
    "share_of",
    "softenings",
    "tasks",
    "together",
    "weights_of_part",
]
