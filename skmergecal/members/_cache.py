"""Cache of member fits and member opinions, in a folder and in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, Self
from weakref import WeakValueDictionary

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skmergecal._compat import _num_samples
from skmergecal._memory import (
    HashedRows,
    Memo,
    Store,
    content_key,
    estimator_key,
    fingerprint,
    outputs_of_rows,
    own_items,
    remember,
    settle,
)
from skmergecal._numerics import holds_zeros, softening_of
from skmergecal._typing import Array, Estimator
from skmergecal._warnings import warn_user
from skmergecal.members._fit import FitTask
from skmergecal.members._member import Member, Opinion
from skmergecal.members._read import READERS, choose_reader

__all__ = ["Cache"]

#: What was fitted in this process, by process and identity. Nothing that a file contains gets in:
#: predictions of what was loaded read no folder (its files are pickles, which can run code) and
#: write none (they would hold the data of others).
_FITTED_HERE: WeakValueDictionary[tuple[int, int], Any] = WeakValueDictionary()

#: Predictions of fewer rows are not kept.
_ROWS_TO_KEEP = 20


class Cache:
    """Remembers what members answered.

    Parameters
    ----------
    memory : None, str, path or joblib.Memory
        Where to keep it; None keeps nothing.
    doing : str, default="fitting"
        What goes on without it where the folder cannot be used, for the warning.
    """

    def __init__(self, memory: Any, doing: str = "fitting") -> None:
        self.memory, self._doing = memory, doing
        self._store = Store.of(memory)

    @staticmethod
    def fitted_here(estimator: Estimator) -> None:
        """Note that an estimator was fitted in this process: its predictions may be kept."""
        _FITTED_HERE[os.getpid(), id(estimator)] = estimator

    @classmethod
    def for_prediction(cls, estimator: Estimator, X: Any) -> Self:
        """The cache in which an estimator with a parameter ``memory`` keeps predictions.

        There is none where the estimator was not fitted in this process, nor for few rows: one by
        one they would fill the folder.
        """
        if estimator.memory is None:
            return cls(None)
        here = _FITTED_HERE.get((os.getpid(), id(estimator))) is estimator
        keep = here and _num_samples(X) >= _ROWS_TO_KEEP
        return cls(estimator.memory if keep else None, "predicting")

    @property
    def active(self) -> bool:
        """Whether anything is kept."""
        return self._store is not None

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
            remember(fitted.estimator, fitted.fingerprint, own_items(clone(unfitted)))

    def fit(self, task: FitTask) -> Estimator:
        """The fitted clone that a task makes, from the cache where it is there."""
        kind = type(task.estimator)
        return self._kept("fit", task.key, task.fitted, lambda found: isinstance(found, kind))

    def source(self, name: str, estimator: Estimator, X: Any, fingerprint: str | None) -> str:
        """Where a fitted member is read: decided once, on the first rows that came."""

        def resolve() -> str:
            source = choose_reader(name, estimator, X)
            settle(estimator)
            return source

        if self._store is None or fingerprint is None:
            return choose_reader(name, estimator, X)
        known = f"{fingerprint} by its family" if X is None else fingerprint
        memo = Memo((self._store.location, known))
        is_source = READERS.__contains__
        return memo.result(("source",), lambda: self._kept("source", known, resolve, is_source))

    def data(self, X: Any) -> HashedRows:
        """Rows whose key is hashed when it is needed."""
        return HashedRows(X, hashed=self.active)

    def opinion(self, member: Member, data: HashedRows, *, normalised: bool = True) -> Opinion:
        """The opinion of a member on some rows, from the cache where it is there."""

        def read(model: Member) -> Opinion:
            memo = self._memo(model, data)
            return model.opinion_of(self._read(model, data), memo, normalised=normalised)

        return member.opinion_by(read)

    def reader(self, X: Any) -> Callable[[Member], Opinion]:
        """Reads the opinions of members on X, one after the other, for pools.

        Log-probabilities are those up to a constant per row. Members may have been changed since
        they were merged, or the code that they refer to.
        """
        if not self.active:
            return lambda member: member.opinion(X, normalised=False)
        data = self.data(X)

        def read(member: Member) -> Opinion:
            key = member.fingerprint and self.fingerprint(member.estimator)
            return self.opinion(replace(member, fingerprint=key), data, normalised=False)

        return lambda member: member.opinion_by(read)

    def softening(self, member: Member, data: HashedRows, sample_weight: Array | None) -> float:
        """The softening that a member's outputs for some rows call for: see `softening_of`.

        Rows are read only until a probability is exactly 0, and not for rounding, and what is in
        the cache is not read again. Log-probabilities hold no zeros.
        """
        if member.parts:
            return max(self.softening(part, data, sample_weight) for part in member.parts)
        zero = softening_of(np.zeros((_num_samples(data.X), 1)), sample_weight)
        if member.logarithmic or len(member.lacks):
            return zero if len(member.lacks) else 0.0
        if self._place(member, data) is None:
            first = self._read(member, data.first)
            if data.first is data:
                return softening_of(first, sample_weight)
            if holds_zeros(first):
                return zero
            rest = self._read(member, data.rest)
            return softening_of(np.concatenate([first, rest]), sample_weight)

        def has_zero() -> bool:
            whole = data if self._is_read(member, data) else data.first
            raw = self._read(member, whole)[: _num_samples(data.first.X)]
            return holds_zeros(raw)

        # The first rows have a key of their own: training rows of different folds share them.
        if self._memo(member, data.first).result(("has zero",), has_zero):
            return zero
        return self._memo(member, data).result(
            ("softening", self.key(sample_weight)),
            lambda: softening_of(self._read(member, data), sample_weight),
        )

    def _read(self, member: Member, data: HashedRows) -> Array:
        """The member's own columns for some rows, from the cache where they are there.

        Log-probabilities are not normalised.
        """
        place = self._place(member, data)
        if place is None:
            return member.read(data.X, normalised=False)
        shape = (_num_samples(data.X), len(member.columns))

        def fits(found: Any) -> bool:
            return isinstance(found, np.ndarray) and (found.shape, found.dtype) == (shape, float)

        def read() -> Array:
            return self._read_rows(member, data, place)

        return Memo(place).array(
            ("read",), lambda: np.asarray(self._kept("read", _key(place), read, fits))
        )

    def _read_rows(self, member: Member, data: HashedRows, place: tuple[Hashable, ...]) -> Array:
        """A member's outputs for some rows; those of a frozen one are the same in every fold."""

        def read(rows: Any) -> Array:
            outputs = member.read(rows, normalised=False)
            settle(member.estimator)
            return outputs

        if not isinstance(member.estimator, FrozenEstimator):
            return read(data.X)
        return outputs_of_rows(place[:-1], data, read)

    def _is_read(self, member: Member, data: HashedRows) -> bool:
        place = self._place(member, data)
        if place is None or self._store is None:
            return False
        return self._store.holds("read", _key(place))

    def _memo(self, member: Member, data: HashedRows) -> Memo:
        """Remembers what follows from a member's opinion of some rows, in the merged columns."""
        place = self._place(member, data)
        if place is None:
            return Memo.none()
        return Memo((*place, member.columns.tobytes(), member.n_classes, member.fill))

    def _place(self, member: Member, data: HashedRows) -> tuple[Hashable, ...] | None:
        """What identifies a member's output for some rows; None where it is not kept."""
        if self._store is None or member.fingerprint is None or data.key is None:
            return None
        return self._store.location, member.fingerprint, member.source, data.key

    def _kept(
        self, kind: str, key: str | None, make: Callable[[], Any], fits: Callable[[Any], bool]
    ) -> Any:
        """What was made before, if it is in the folder and fits; else it is made, and kept."""
        if self._store is None or key is None:
            return make()
        found = self._store.get(kind, key, fits)
        if found is not None:
            return found
        made = make()
        try:
            if self._store is not None:
                self._store.put(kind, key, made)
        except OSError as error:
            warn_user(
                f"memory={self.memory!r} cannot be used ({error}): {self._doing} without it. Name "
                "a folder that can be made, with room on its disk, or memory=None"
            )
            self._store = None
        return made


def _key(place: tuple[Hashable, ...]) -> str:
    """What identifies an output within its folder."""
    return "-".join(map(str, place[1:]))
