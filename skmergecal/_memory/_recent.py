"""Cache of this process for recently computed arrays: bounded in bytes, keyed by content."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

import numpy as np

__all__ = ["RECENT", "Memo", "RecentArrays"]

Result = TypeVar("Result")


class RecentArrays:
    """Arrays by key; beyond a number of bytes, the least recently used ones are dropped.

    Parameters
    ----------
    capacity : int
        Maximum number of bytes of all arrays together.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._arrays: OrderedDict[tuple[Hashable, ...], np.ndarray] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: tuple[Hashable, ...]) -> np.ndarray | None:
        """The array of the key, or None."""
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
            return self._arrays.get(key)

    def put(self, key: tuple[Hashable, ...], array: np.ndarray) -> None:
        """Keep an array, unless it alone is too large. It becomes read-only, as it is shared."""
        array.flags.writeable = False
        with self._lock:
            if key in self._arrays or array.nbytes > self.capacity:
                return
            self._arrays[key] = array
            self._bytes += array.nbytes
            while self._bytes > self.capacity:
                _, dropped = self._arrays.popitem(last=False)
                self._bytes -= dropped.nbytes

    def __len__(self) -> int:
        return len(self._arrays)


#: The cache of this process: at most 256 MiB.
RECENT = RecentArrays(capacity=1 << 28)


@dataclass(frozen=True)
class Memo:
    """Caches results of pure functions of some data.

    Attributes
    ----------
    key : tuple or None
        Identifies the data by their content; None: nothing is cached. Arguments of the function
        that are not part of the data have to be in its name, ``what``.
    arrays : RecentArrays or None
        Where results are cached; None: in the cache of this process.
    """

    key: tuple[Hashable, ...] | None = None
    arrays: RecentArrays | None = None

    @classmethod
    def none(cls) -> Memo:
        """A memo that caches nothing."""
        return _NOTHING

    @classmethod
    def of_all(cls, memos: Iterable[Memo], *keys: str | None) -> Memo:
        """A memo for functions of several data together; caches nothing if any has no key."""
        memos = list(memos)
        parts = [*(memo.key for memo in memos), *keys]
        return (
            cls.none() if None in parts else cls(tuple(parts), *(memo.arrays for memo in memos[:1]))
        )

    def of_part(self, what: Hashable) -> Memo:
        """A memo for functions of something that was made of the data."""
        return self if self.key is None else Memo((*self.key, what), self.arrays)

    def array(self, what: tuple[Hashable, ...], make: Callable[[], np.ndarray]) -> np.ndarray:
        """The array that ``make`` returns; a cached one is read-only."""
        if self.key is None:
            return make()
        place = (*self.key, *what)
        arrays = RECENT if self.arrays is None else self.arrays
        known = arrays.get(place)
        if known is None:
            known = make()
            arrays.put(place, known)
        return known

    def result(self, what: tuple[Hashable, ...], make: Callable[[], Result]) -> Result:
        """The small object that ``make`` returns, as a new copy if it is cached."""
        if self.key is None:
            return make()
        packed = self.array(what, lambda: np.frombuffer(pickle.dumps(make()), dtype=np.uint8))
        made: Result = pickle.loads(packed.data)  # safe: pickled above, in this process
        return made


_NOTHING = Memo()
