"""Cache keys: hashes of the content of estimators and rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import ref

import joblib
import numpy as np

from skmergecal._compat import _num_samples, _safe_indexing
from skmergecal._memory import _recent
from skmergecal._memory._code import code_of, making_key, own_code, own_items
from skmergecal._memory._rows import Words, row_hashes
from skmergecal._memory._state import same_state, state_of
from skmergecal._typing import Estimator

__all__ = ["HashedRows", "content_key", "estimator_key", "fingerprint", "remember", "settle"]

#: A search for zeros looks at this many rows first.
_ROWS_TO_PROBE = 100


def content_key(*parts: Any) -> str | None:
    """Hash of the content of the parts; None where they cannot be identified."""
    try:
        with making_key():
            return str(joblib.hash(parts, hash_name="sha1"))
    except Exception:  # whatever the code of others raises when it is pickled
        return None


def estimator_key(*parts: Any) -> str | None:
    """Hash of an estimator and other parts, including the user's code that they refer to."""
    try:
        return content_key(own_code(parts), *parts)
    except Exception:
        return None


@dataclass
class _Known:
    """The key of a fitted estimator, and what it was made from.

    Attributes
    ----------
    estimator : weak reference
    key : str or None
    items : list
        The functions and classes of the user that the estimator refers to.
    code : list of str
        What they were, with all that they use.
    state : list
        What the estimator was.
    """

    estimator: ref[Any]
    key: str | None
    items: list[Any]
    code: list[str]
    state: list[Any]

    def still_holds(self, estimator: Estimator) -> bool:
        """Whether neither the estimator nor the code that it refers to were changed."""
        if self.estimator() is not estimator or not same_state(self.state, state_of(estimator)):
            return False
        return not self.items or self.code == code_of(self.items)


#: Keys of fitted estimators by identity, dropped with the object.
_KNOWN: dict[int, _Known] = {}


def fingerprint(estimator: Estimator) -> str | None:
    """Hash of a fitted estimator; None if it cannot be identified.

    All of its content is hashed once in a process, and again only if a look at its parts, or at
    the code that it refers to, shows that it was changed.
    """
    known = _KNOWN.get(id(estimator))
    try:
        if known is not None and known.still_holds(estimator):
            return known.key
        items = own_items(estimator)
        key = content_key(code_of(items), estimator)
    except Exception:
        return None
    remember(estimator, key, items)
    return key


def remember(
    estimator: Estimator, key: str | None, items: list[Any], code: list[str] | None = None
) -> None:
    """Note a key that identifies a fitted estimator, and its functions and classes."""
    place = id(estimator)
    try:
        code = code_of(items) if code is None else code
        reference = ref(estimator, lambda _: _KNOWN.pop(place, None))
        _KNOWN[place] = _Known(reference, key, items, code, state_of(estimator))
    except Exception:
        _KNOWN.pop(place, None)


def settle(estimator: Estimator) -> None:
    """Accept what an estimator did to itself while it was read, to a counter or a buffer."""
    known = _KNOWN.get(id(estimator))
    if known is not None and known.estimator() is estimator:
        remember(estimator, known.key, known.items, known.code)


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
    def row_hashes(self) -> Words | None:
        """A hash of each row; None where rows have none."""
        if self.key is None:
            return None
        place = self.key, "row hashes"
        hashes = _recent.RECENT.get(place)
        if hashes is None and (hashes := row_hashes(self.X)) is not None:
            _recent.RECENT.put(place, hashes)
        return hashes

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
