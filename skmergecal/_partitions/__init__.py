"""Rows in partitions: what is learned from them are sums, minima and maxima over all of them."""

from skmergecal._partitions._blocks import rows_in_blocks, weights_of_part
from skmergecal._partitions._partitions import InMemory, Partitions, Reduction
from skmergecal._partitions._rows import SIZES, Rows, Sizes
from skmergecal._partitions._stream import Stream

__all__ = [
    "SIZES",
    "InMemory",
    "Partitions",
    "Reduction",
    "Rows",
    "Sizes",
    "Stream",
    "rows_in_blocks",
    "weights_of_part",
]
