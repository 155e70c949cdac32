"""What a frozen member said to a row, whatever rows came with it."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from skmergecal._memory import _recent
from skmergecal._memory._keys import HashedRows, content_key
from skmergecal._memory._rows import find_rows, kind_of_rows
from skmergecal._typing import Array

__all__ = ["answer_rows"]

#: Sets of rows, by their keys, that somebody was asked about lately. The answers to them are in
#: RECENT as long as there is room.
_ASKED: OrderedDict[tuple[Hashable, ...], deque[str | None]] = OrderedDict()
_MOST_SETS, _MOST_MEMBERS = 16, 1000


def answer_rows(who: tuple[Hashable, ...], data: HashedRows, ask: Callable[[Any], Array]) -> Array:
    """Answers to rows; nobody is asked if all of them came before, among other rows.

    Where some are new all are asked about: the last bits of a matrix product depend on the number
    of its rows, and in a cross-validation the first fold has them all.

    Parameters
    ----------
    who : tuple
        Identifies who answers; ``(*who, key of the rows, "read")`` is the place of answers in
        RECENT.
    data : HashedRows
    ask : callable
        Gives the answers to some rows, one line for each.
    """
    hashes = data.row_hashes
    if hashes is None:
        return ask(data.X)
    asked = _sets_of((*who, content_key(kind_of_rows(data.X))))
    answers: list[tuple[np.ndarray, Array]] = []
    left = np.arange(len(hashes))
    for key in reversed(tuple(asked)):
        known = _recent.RECENT.get((key, "row hashes"))
        said = _recent.RECENT.get((*who, key, "read"))
        if known is None or said is None or not len(left):
            continue
        place = find_rows(known, hashes[left])
        answers.append((left[place >= 0], said[place[place >= 0]]))
        left = left[place < 0]
    if len(left) or not answers:
        asked.append(data.key)
        return ask(data.X)
    joined = np.empty((len(hashes), answers[0][1].shape[1]))
    for rows, said in answers:
        joined[rows] = said
    return joined


def _sets_of(who: tuple[Hashable, ...]) -> deque[str | None]:
    asked = _ASKED.setdefault(who, deque(maxlen=_MOST_SETS))
    _ASKED.move_to_end(who)
    if len(_ASKED) > _MOST_MEMBERS:
        _ASKED.popitem(last=False)
    return asked
