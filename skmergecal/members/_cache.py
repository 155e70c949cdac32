"""A cache of member fits and member opinions, on top of joblib.Memory."""

from __future__ import annotations

import pickle
import weakref
from typing import Any

import joblib
from sklearn.utils.validation import check_memory

from skmergecal._typing import Array, Estimator
from skmergecal.members._fit import FitTask
from skmergecal.members._member import Member
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
            return str(joblib.hash(parts))
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
        return self.memory.cache(_fit, ignore=["task"])(task.key, task)

    def source(self, name: str, estimator: Estimator, X: Any, fingerprint: str | None) -> str:
        """Where a fitted member is read: decided once, on the first rows that came."""
        if not self.active or fingerprint is None:
            return resolve_source(name, estimator, X)
        ignore = ["name", "estimator", "X"]
        return self.memory.cache(_resolve, ignore=ignore)(fingerprint, name, estimator, X)

    def read_member(self, member: Member, X: Any, data_key: str | None) -> Array:
        """What ``member.read(X)`` gives, from the cache where it is there.

        ``data_key`` is ``key(X)``, computed once for all members.
        """
        if member.fingerprint is None or data_key is None:
            return member.read(X)
        key = f"{member.fingerprint}-{member.source}-{data_key}"
        return self.memory.cache(_read, ignore=["member", "X"])(key, member, X)


def _as_memory(memory: Any) -> Any:
    """Paths become strings, which `check_memory` turns into a silent joblib.Memory."""
    return str(memory) if hasattr(memory, "__fspath__") else memory
