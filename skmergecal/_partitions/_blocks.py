"""Blocks of opinions, labels and weights that a function of the user's gives, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from skmergecal._partitions._rows import Rows
from skmergecal._partitions._stream import Stream
from skmergecal._typing import Array
from skmergecal._validation import check_columns, check_sample_weight

__all__ = ["rows_in_blocks", "weights_of_part"]


def rows_in_blocks(
    name: str,
    blocks: Callable[[], Iterable[Any]],
    y: Any,
    sample_weight: Any,
    check: Callable[[Any, bool], list[Any]],
) -> Stream[Rows]:
    """Rows of a fit that come in blocks.

    Parameters
    ----------
    name : str
        Of the argument, for errors.
    blocks : callable
        Returns a new iterable of (opinions, y) or (opinions, y, weight).
    y, sample_weight : None
        They are in the blocks.
    check : callable
        From the opinions of a block, and whether it is the first one ever, to checked matrices.

    Raises
    ------
    ValueError
        If labels or weights are given, too.
    """
    for other, values in (("y", y), ("sample_weight", sample_weight)):
        if values is not None:
            msg = f"{name} is a function that gives blocks, which hold {other}: pass {other}=None"
            raise ValueError(msg)
    return Stream(blocks, _CheckedBlocks(name, check))


class _CheckedBlocks:
    """Checks blocks: each by itself, and whether all have the same members and classes."""

    def __init__(self, name: str, check: Callable[[Any, bool], list[Any]]) -> None:
        self.name, self.check = name, check
        self.shape: tuple[int, int] | None = None

    def __call__(self, block: Any, number: int) -> Rows:
        if not isinstance(block, tuple | list) or len(block) not in (2, 3):
            msg = (
                f"{self.name} should give blocks ({self.name}, y) or ({self.name}, y, weight); "
                f"block {number} is a {type(block).__name__}"
            )
            raise ValueError(msg)
        opinions, y, weight = (*block, None)[:3]
        try:
            return self._rows(opinions, y, weight)
        except (TypeError, ValueError) as error:
            msg = f"block {number}: {error}"
            raise type(error)(msg) from error

    def _rows(self, opinions: Any, y: Any, weight: Any) -> Rows:
        if np.shape(y) == (0,):
            return Rows([np.empty((0, 1))], np.empty(0, dtype=np.intp), None)
        matrices = self.check(opinions, self.shape is None)
        shape = len(matrices), matrices[0].shape[1]
        self.shape = self.shape or shape
        if shape != self.shape:
            msg = (
                f"opinions of {shape[0]} members of {shape[1]} classes; the first block has "
                f"{self.shape[0]} of {self.shape[1]}: all blocks should have the same"
            )
            raise ValueError(msg)
        labels = check_columns(y, len(matrices[0]), shape[1])
        return Rows(matrices, labels, weights_of_part(weight, len(labels))).without_weightless()


def weights_of_part(weight: Any, n_rows: int) -> Array | None:
    """Weights of a part of the rows: all of them may be 0, and none is so large as to be scaled."""
    if weight is None:
        return None
    values = np.asarray(weight, dtype=np.float64)
    if values.shape == (n_rows,) and not values.any():
        return values
    checked = check_sample_weight(weight, n_rows)
    assert checked is not None
    if not np.array_equal(checked, np.broadcast_to(values, checked.shape)):
        msg = "sample_weight is too large or too small for floats: scale the weights of all rows"
        raise ValueError(msg)
    return checked
