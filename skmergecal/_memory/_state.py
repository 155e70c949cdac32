"""A cheap look at the state of an estimator, to see whether it was fitted again in place.

A hash of all content takes as long as pickling it. Here parts are compared by identity, arrays by a
checksum as well, large ones by one of a sample.
"""

from __future__ import annotations

import zlib
from collections import deque
from itertools import islice
from types import FunctionType, ModuleType
from typing import Any
from weakref import ReferenceType, ref

import numpy as np

__all__ = ["same_state", "state_of"]

_CONSTANTS = {type(None), bool, int, float, complex, str, bytes, np.float64, np.int64, np.bool_}
_CONTAINERS = (list, tuple, set, frozenset, deque)
_NAMED = (FunctionType, ModuleType, type)
#: Entries of a dict that are looked at. Of longer lists, about _FEW items, without their insides.
_ITEMS, _FEW = 1000, 16
#: Bytes of an array that take part in its checksum.
_BYTES = 1 << 18


def state_of(estimator: Any) -> list[Any]:
    """Weak references and checksums that say whether an estimator is what it was."""
    found: list[Any] = []
    seen: set[int] = set()
    waiting: list[Any] = [estimator]
    while waiting:
        value = waiting.pop()
        kind = type(value)
        if kind in _CONSTANTS:
            found.append(value)
        elif issubclass(kind, np.ndarray):
            found += (_reference(value), _checksum(value))
        elif issubclass(kind, dict):
            found.append(tuple(islice(value, _ITEMS)))
            waiting.extend(islice(value.values(), _ITEMS))
        elif issubclass(kind, _CONTAINERS):
            found.append(len(value))
            if len(value) <= _FEW:
                waiting.extend(value)
            else:
                found.extend(map(_shallow, islice(value, 0, None, len(value) // _FEW)))
        else:
            found.append(_reference(value))
            if not issubclass(kind, _NAMED) and id(value) not in seen:
                seen.add(id(value))
                found.append(getattr(value, "_version", None))  # of a tensor: changes in place
                waiting.append(getattr(value, "__dict__", None))
    return found


def _shallow(item: Any) -> Any:
    """An item of a long container: itself if it is a number, or a reference."""
    if type(item) in _CONSTANTS:
        return item
    return len(item) if isinstance(item, dict | list | tuple) else _reference(item)


def same_state(one: list[Any], other: list[Any]) -> bool:
    """Whether two states are those of the same parts with the same content."""
    return len(one) == len(other) and all(map(_same, one, other))


def _same(a: Any, b: Any) -> bool:
    # References are compared by identity: their own comparison is that of what they refer to.
    return a is b or (type(a) is type(b) and not isinstance(a, ReferenceType) and bool(a == b))


def _reference(value: Any) -> Any:
    """A weak reference: the same one as long as the object lives, and another one afterwards."""
    try:
        return ref(value)
    except TypeError:
        return id(value)


def _checksum(array: np.ndarray) -> int:
    if array.dtype.hasobject:
        return 0
    if array.nbytes > _BYTES:
        array = array.ravel(order="K")[:: array.nbytes // _BYTES + 1]  # "K": mostly no copy
    return zlib.crc32(array.tobytes("A"))
