"""What was answered lately, in this process: reading it again from a folder costs more."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from skmergecal._typing import Array

__all__ = ["Recent"]


class Recent:
    """Arrays by key, the least recently used ones dropped beyond a number of bytes.

    Parameters
    ----------
    capacity : int
        Bytes of all arrays together.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._arrays: OrderedDict[tuple[str, ...], Array] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: tuple[str, ...]) -> Array | None:
        """The array of the key, or None."""
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
            return self._arrays.get(key)

    def put(self, key: tuple[str, ...], array: Array) -> None:
        """Keep an array, from now on read-only, unless it alone is too large."""
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
