"""Cache of member fits and member opinions, on top of joblib.Memory."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, Self
from weakref import WeakValueDictionary

import numpy as np
from sklearn.utils.validation import check_memory

from skmergecal._compat import _num_samples
from skmergecal._memory import (
    HashedRows,
    Memo,
    content_key,
    estimator_key,
    fingerprint,
    own_items,
    remember,
    settle,
)
from skmergecal._typing import Array, Estimator
from skmergecal._warnings import warn_user
from skmergecal.members._fit import FitTask
from skmergecal.members._member import Member, Opinion
from skmergecal.members._read import choose_reader

__all__ = ["Cache"]

#: What was fitted in this process, by process and identity. Nothing that a file contains gets in:
#: predictions of what was loaded read no folder (its files are pickles, which can run code) and
#: write none (they would hold the data of others).
_FITTED_HERE: WeakValueDictionary[tuple[int, int], Any] = WeakValueDictionary()

#: Predictions of fewer rows are not kept.
_ROWS_TO_KEEP = 20


def _fit(key: str, task: FitTask) -> Estimator:
    return task.run()


def _read(key: str, member: Member, X: Any) -> Array:
    try:
        return member.read(X)
    finally:
        settle(member.estimator)


def _resolve(key: str, name: str, estimator: Estimator, X: Any) -> str:
    try:
        return choose_reader(name, estimator, X)
    finally:
        settle(estimator)


class Cache:
    """Remembers what members answered.

    Parameters
    ----------
    memory : None, str, path or joblib.Memory
        Where to keep it; None keeps nothing.
    """

    def __init__(self, memory: Any) -> None:
        self.memory = check_memory(memory if memory is None else _as_memory(memory))

    @staticmethod
    def fitted_here(estimator: Estimator) -> None:
        """Note that an estimator was fitted in this process: its predictions may be kept."""
        _FITTED_HERE[os.getpid(), id(estimator)] = estimator

    @classmethod
    def for_prediction(cls, estimator: Estimator, X: Any) -> Self:
        """The cache in which an estimator with a parameter ``memory`` keeps predictions.

        There is none where the estimator was not fitted in this process, for few rows (one by one
        they would fill the folder), nor where the folder cannot be made.
        """
        here = _FITTED_HERE.get((os.getpid(), id(estimator))) is estimator
        memory = estimator.memory
        if not here or _num_samples(X) < _ROWS_TO_KEEP:
            return cls(None)
        try:
            return cls(memory)
        except OSError as error:
            warn_user(f"memory={memory!r} cannot be used ({error}): predicting without it")
            return cls(None)

    @property
    def active(self) -> bool:
        """Whether anything is kept."""
        return getattr(self.memory, "store_backend", None) is not None

    def key(self, *parts: Any) -> str | None:
        """Hash of the content of the parts; None where nothing is kept, or can be."""
        return content_key(*parts) if self.active else None

    def estimator_key(self, *parts: Any) -> str | None:
        """The same for an estimator and other parts, with the code that they refer to."""
        return estimator_key(*parts) if self.active else None

    def fingerprint(self, estimator: Estimator) -> str | None:
        """Hash of a fitted estimator, made again only where it was changed."""
        return fingerprint(estimator) if self.active else None

    def remember(self, fitted: Member, unfitted: Estimator) -> None:
        """Note what a member was made from, to see whether that is still so when it predicts."""
        if fitted.fingerprint is not None:
            remember(fitted.estimator, fitted.fingerprint, own_items(unfitted))

    def fit(self, task: FitTask) -> Estimator:
        """The fitted clone that a task makes, from the cache where it is there."""
        if not self.active or task.key is None:
            return task.run()
        return self._kept(_fit)(task.key, task)

    def source(self, name: str, estimator: Estimator, X: Any, fingerprint: str | None) -> str:
        """Where a fitted member is read: decided once, on the first rows that came."""
        if not self.active or fingerprint is None:
            return choose_reader(name, estimator, X)
        known = f"{fingerprint} by its family" if X is None else fingerprint
        memo = Memo((self.memory.location, known))
        return memo.result(("source",), lambda: self._kept(_resolve)(known, name, estimator, X))

    def data(self, X: Any) -> HashedRows:
        """Rows whose key is hashed when it is needed."""
        return HashedRows(X, hashed=self.active)

    def opinion(self, member: Member, data: HashedRows) -> Opinion:
        """The opinion of a member on some rows, from the cache where it is there."""
        return member.align(self._read(member, data), self._memo(member, data))

    def reader(self, X: Any) -> Callable[[Member], Opinion]:
        """Reads the opinions of members on X, one after the other.

        Members may have been changed since they were merged, or the code that they refer to.
        """
        data = self.data(X)

        def read(member: Member) -> Opinion:
            key = member.fingerprint and self.fingerprint(member.estimator)
            return self.opinion(replace(member, fingerprint=key), data)

        return read

    def gives_zeros(self, member: Member, data: HashedRows) -> bool:
        """Whether a member gives a probability of exactly 0 somewhere, or does not know a class.

        Rows are read only as far as it takes to see that, and what is in the cache is not read
        again. Log-probabilities hold no zeros.
        """
        if member.logarithmic or len(member.missing):
            return len(member.missing) > 0

        def look(rows: HashedRows) -> bool:
            whole = data if self._is_read(member, data) else rows
            raw = self._read(member, whole)[: _num_samples(rows.X)]
            return bool((raw == 0.0).any())

        def holds_zero(rows: HashedRows) -> bool:
            return self._memo(member, rows).result(("gives_zeros",), lambda: look(rows))

        # The first rows have a key of their own: training rows of different folds share them.
        if data.first is data:
            return holds_zero(data)
        kept = self._place(member, data) is not None
        return holds_zero(data.first) or holds_zero(data if kept else data.rest)

    def _read(self, member: Member, data: HashedRows) -> Array:
        """The member's own columns for some rows, from the cache where they are there."""
        place = self._place(member, data)
        if place is None:
            return member.read(data.X)
        call = _key(place), member, data.X
        return Memo(place).array(("read",), lambda: np.asarray(self._kept(_read)(*call)))

    def _is_read(self, member: Member, data: HashedRows) -> bool:
        place = self._place(member, data)
        if place is None:
            return False
        return bool(self._kept(_read).check_call_in_cache(_key(place), member, data.X))

    def _memo(self, member: Member, data: HashedRows) -> Memo:
        """Remembers what follows from a member's opinion of some rows, in the merged columns."""
        place = self._place(member, data)
        if place is None:
            return Memo.none()
        return Memo((*place, member.columns.tobytes(), member.n_classes))

    def _place(self, member: Member, data: HashedRows) -> tuple[Hashable, ...] | None:
        """What identifies a member's answer to some rows; None where it is not to be kept."""
        if member.fingerprint is None or data.key is None:
            return None
        return self.memory.location, member.fingerprint, member.source, data.key

    def _kept(self, function: Callable[..., Any]) -> Any:
        ignore = [name for name in inspect.signature(function).parameters if name != "key"]
        return self.memory.cache(function, ignore=ignore)


def _key(place: tuple[Hashable, ...]) -> str:
    """What identifies an answer within its folder."""
    return "-".join(map(str, place[1:]))


def _as_memory(memory: Any) -> Any:
    """Paths become strings, which `check_memory` turns into a silent joblib.Memory."""
    return str(memory) if hasattr(memory, "__fspath__") else memory
