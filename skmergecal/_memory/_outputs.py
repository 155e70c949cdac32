"""Outputs of frozen members, found again row by row, whatever rows came with them."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from skmergecal._memory import _recent
from skmergecal._memory._keys import HashedRows, content_key
from skmergecal._memory._rows import find_rows, kind_of_rows
from skmergecal._typing import Array

__all__ = ["outputs_of_rows"]

#: Keys of the sets of rows that a member was read on lately. The outputs are in RECENT as long as
#: there is room.
_READ: OrderedDict[tuple[Hashable, ...], deque[str | None]] = OrderedDict()
_MOST_SETS, _MOST_MEMBERS = 16, 1000


def outputs_of_rows(
    member: tuple[Hashable, ...], data: HashedRows, read: Callable[[Any], Array]
) -> Array:
    """Outputs for rows; the member is not read if all of them came before, among other rows.

    Where some are new it is read on all: the last bits of a matrix product depend on the number of
    its rows, and in a cross-validation the first fold has them all.

    Parameters
    ----------
    member : tuple
        Identifies it; ``(*member, key of the rows, "read")`` is the place of outputs in RECENT.
    data : HashedRows
    read : callable
        Returns the outputs for some rows, one line for each.
    """
    hashes = data.row_hashes
    if hashes is None:
        return read(data.X)
    sets = _sets_of((*member, content_key(kind_of_rows(data.X))))
    parts: list[tuple[np.ndarray, Array]] = []
    left = np.arange(len(hashes))
    for key in reversed(tuple(sets)):
        known = _recent.RECENT.get((key, "row hashes"))
        outputs = _recent.RECENT.get((*member, key, "read"))
        if known is None or outputs is None or not len(left):
            continue
        place = find_rows(known, hashes[left])
        parts.append((left[place >= 0], outputs[place[place >= 0]]))
        left = left[place < 0]
    if len(left) or not parts:
        sets.append(data.key)
        return read(data.X)
    joined = np.empty((len(hashes), parts[0][1].shape[1]))
    for rows, outputs in parts:
        joined[rows] = outputs
    return joined


def _sets_of(member: tuple[Hashable, ...]) -> deque[str | None]:
    sets = _READ.setdefault(member, deque(maxlen=_MOST_SETS))
    _READ.move_to_end(member)
    if len(_READ) > _MOST_MEMBERS:
        _READ.popitem(last=False)
    return sets
