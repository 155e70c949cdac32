"""Cache keys: hashes of the content of estimators and rows."""

from __future__ import annotations

import pickle
import weakref
from functools import cached_property
from typing import Any

import joblib
import numpy as np

from skmergecal._compat import _num_samples, _safe_indexing
from skmergecal._memory._code import own_code
from skmergecal._typing import Estimator

__all__ = ["HashedRows", "content_key", "estimator_key", "fingerprint"]

#: Hashes of frozen estimators: computed once per process, dropped with the object.
_FINGERPRINTS: weakref.WeakKeyDictionary[Any, str | None] = weakref.WeakKeyDictionary()
#: Raised by hashing what cannot be pickled, e.g. a lambda: such things are not cached.
_CANNOT_BE_IDENTIFIED = (pickle.PicklingError, TypeError, AttributeError)
#: A search for zeros looks at this many rows first.
_ROWS_TO_PROBE = 100


def content_key(*parts: Any) -> str | None:
    """Hash of the content of the parts; None where they cannot be identified."""
    try:
        return str(joblib.hash(parts, hash_name="sha1"))
    except _CANNOT_BE_IDENTIFIED:
        return None


def estimator_key(*parts: Any) -> str | None:
    """Hash of an estimator and other parts, including the user's code that they refer to."""
    try:
        return content_key(own_code(parts), *parts)
    except _CANNOT_BE_IDENTIFIED:
        return None


def fingerprint(estimator: Estimator) -> str | None:
    """Hash of a frozen estimator, computed once per process; None if it cannot be identified."""
    if estimator not in _FINGERPRINTS:
        _FINGERPRINTS[estimator] = estimator_key(estimator)
    return _FINGERPRINTS[estimator]


class HashedRows:
    """Rows, and the hash that identifies them.

    Parameters
    ----------
    X : array-like
    hashed : bool
        Whether results are cached, so that a key is needed.
    """

    def __init__(self, X: Any, *, hashed: bool) -> None:
        self.X, self.hashed = X, hashed

    @cached_property
    def key(self) -> str | None:
        """Hash of the content, computed once; None if nothing is cached."""
        return content_key(self.X) if self.hashed else None

    @cached_property
    def first(self) -> HashedRows:
        """The first rows; all of them if there are few."""
        if _num_samples(self.X) <= _ROWS_TO_PROBE:
            return self
        few = _safe_indexing(self.X, np.arange(_ROWS_TO_PROBE))
        return HashedRows(few, hashed=self.hashed)

    @cached_property
    def rest(self) -> HashedRows:
        """The rows after the first ones, where there are such."""
        rest = _safe_indexing(self.X, np.arange(_ROWS_TO_PROBE, _num_samples(self.X)))
        return HashedRows(rest, hashed=self.hashed)
