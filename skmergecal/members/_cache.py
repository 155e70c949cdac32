"""A cache of member fits and member opinions, on top of joblib.Memory."""

from __future__ import annotations

import inspect
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
from sklearn.utils.validation import check_memory

from skmergecal._typing import Array, Estimator
from skmergecal.members._fit import FitTask
from skmergecal.members._member import Member, Opinion
from skmergecal.members._recent import Memo
from skmergecal.members._sources import resolve_source

__all__ = ["Cache"]

#: Fingerprints of frozen estimators: computed once a process, dropped with the object.
_FINGERPRINTS: weakref.WeakKeyDictionary[Any, str | None] = weakref.WeakKeyDictionary()


def _fit(key: str, task: FitTask) -> Estimator:
    return task.run()


def _read(key: str, member: Member, X: Any) -> Array:
    return member.read(X)


def _resolve(key: str, name: str, estimator: Estimator, X: Any) -> str:
    return resolve_source(name, estimator, X)


class Cache:
    """Remembers what members answered.

    Parameters
    ----------
    memory : None, str, path or joblib.Memory
        Where to keep it; None keeps nothing.
    """

    def __init__(self, memory: Any) -> None:
        self.memory = check_memory(memory if memory is None else _as_memory(memory))

    @property
    def active(self) -> bool:
        """Whether anything is kept."""
        return getattr(self.memory, "store_backend", None) is not None

    def key(self, *parts: Any) -> str | None:
        """Hash of the content of the parts; None where nothing is kept, or can be."""
        if not self.active:
            return None
        try:
            return str(joblib.hash(parts, hash_name="sha1"))
        except (pickle.PicklingError, TypeError, AttributeError):
            return None  # a lambda, say: what cannot be identified is not cached

    def fingerprint(self, estimator: Estimator) -> str | None:
        """Hash of a frozen estimator, computed once a process."""
        if not self.active:
            return None
        if estimator not in _FINGERPRINTS:
            _FINGERPRINTS[estimator] = self.key(estimator)
        return _FINGERPRINTS[estimator]

    def fit(self, task: FitTask) -> Estimator:
        """The fitted clone that a task makes, from the cache where it is there."""
        if not self.active or task.key is None:
            return task.run()
        return self._kept(_fit)(task.key, task)

    def source(self, name: str, estimator: Estimator, X: Any, fingerprint: str | None) -> str:
        """Where a fitted member is read: decided once, on the first rows that came."""
        if not self.active or fingerprint is None:
            return resolve_source(name, estimator, X)
        return str(self._answer(_resolve, fingerprint, name, estimator, X))

    def opinion(self, member: Member, X: Any, data_key: str | None) -> Opinion:
        """What a member says of X, from the cache where it is there.

        ``data_key`` is ``key(X)``, computed once for all members.
        """
        raw = self._read(member, X, data_key)
        return member.align(raw, self._memo(member, data_key))

    def says_zero(self, member: Member, X: Any, data_key: str | None) -> bool:
        """What ``member.says_zero(X)`` gives; what is in the cache is not read again.

        The first rows, which are looked at first, are known by their own content: training rows
        of different folds share them.
        """

        def read(rows: Any) -> Array:
            return self._read(member, rows, data_key if rows is X else self.key(rows))

        def look() -> bool:
            if self._is_read(member, X, data_key):
                return member.holds_zero(read(X))
            return member.says_zero(X, read)

        return self._memo(member, data_key).result(("says_zero",), look)

    def _memo(self, member: Member, data_key: str | None) -> Memo:
        """Remembers what follows from a member's opinion of some rows."""
        if member.fingerprint is None or data_key is None:
            return Memo()
        columns = f"{member.columns.tolist()} of {member.n_classes}"
        return Memo(f"{self.memory.location} {_key(member, data_key)} {columns}")

    def _read(self, member: Member, X: Any, data_key: str | None) -> Array:
        """What ``member.read(X)`` gives, from the cache where it is there."""
        if member.fingerprint is None or data_key is None:
            return member.read(X)
        return self._answer(_read, _key(member, data_key), member, X)

    def _is_read(self, member: Member, X: Any, data_key: str | None) -> bool:
        if member.fingerprint is None or data_key is None:
            return False
        key = _key(member, data_key)
        return bool(self._kept(_read).check_call_in_cache(key, member, X))

    def _answer(self, function: Callable[..., Any], key: str, *arguments: Any) -> Array:
        """The answer of a function, from this process or from the folder where it is there."""
        return Memo(f"{self.memory.location} {key}").array(
            (function.__name__,), lambda: np.asarray(self._kept(function)(key, *arguments))
        )

    def _kept(self, function: Callable[..., Any]) -> Any:
        ignore = [name for name in inspect.signature(function).parameters if name != "key"]
        return self.memory.cache(function, ignore=ignore)


def _key(member: Member, data_key: str) -> str:
    return f"{member.fingerprint}-{member.source}-{data_key}"


def _as_memory(memory: Any) -> Any:
    """Paths become strings, which `check_memory` turns into a silent joblib.Memory."""
    return str(memory) if hasattr(memory, "__fspath__") else memory
