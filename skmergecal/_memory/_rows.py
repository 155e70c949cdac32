"""Hashes of single rows: so that the output for a row is found in any other set of rows."""

from __future__ import annotations

import pickle
import secrets
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import issparse

__all__ = ["Words", "each", "find_rows", "kind_of_rows", "mixed", "row_hashes", "words_of"]

#: Hashes of rows: shape (n_rows, 2), 128 bits each.
Words = np.ndarray[tuple[int, int], np.dtype[np.uint64]]

#: Rows of more 64-bit words are hashed one by one, which is faster there.
_NARROW = 64
#: So many rows are mixed at a time, which stay in the cache of the processor.
_BLOCK = 4096
#: Odd numbers that are secret, so that no one can make two rows with one hash.
_SECRET = np.array([[secrets.randbits(64) | 1 for _ in range(2)] for _ in range(2)], np.uint64)


def kind_of_rows(X: Any) -> tuple[Any, ...]:
    """What rows have in common, from the kind of table to the types of its columns."""
    if hasattr(X, "dtypes") and hasattr(X, "columns"):
        return type(X), X.columns, list(X.dtypes)
    return type(X), getattr(X, "dtype", None), getattr(X, "shape", ())[1:]


def row_hashes(X: Any) -> Words | None:
    """Hashes of the rows of an array, a pandas frame, a sparse matrix by rows, or a list.

    None for other containers, and for rows that cannot be pickled. The hashes are those of this
    process. They tell apart whatever may tell on an output: types of numbers, and the index.
    """
    try:
        if hasattr(X, "iloc") and hasattr(X, "columns"):
            columns = [X.index, *(X.iloc[:, j] for j in range(X.shape[1]))]
            return mixed(np.column_stack([words_of(column.to_numpy()) for column in columns]))
        if issparse(X):
            return _of_sparse(X)
        if isinstance(X, list):
            return each(map(pickle.dumps, X))
        return mixed(words_of(X)) if type(X) is np.ndarray and X.ndim == 2 else None
    except (TypeError, AttributeError, pickle.PicklingError):
        return None


def find_rows(
    known: Words, rows: Words, marks: Sequence[tuple[np.ndarray, np.ndarray]] = ()
) -> np.ndarray:
    """Where each row is among the known ones; -1 for those that are not.

    Of equal rows, the first is found at the first of the known copies, and so on; where there are
    more than are known, they begin again.

    Parameters
    ----------
    known, rows : Words
    marks : sequence of (ndarray, ndarray)
        What tells known copies apart, and the same of the rows, as integers: a row is found at a
        copy that has as many of its marks, from the first on, as any has.
    """
    if not len(known) or not len(rows):
        return np.full(len(rows), -1)
    order = np.argsort(known[:, 0], kind="stable")
    ordered = known[order, 0]
    first = np.searchsorted(ordered, rows[:, 0])
    copied = bool((ordered[1:] == ordered[:-1]).any())
    if copied:
        copies = np.searchsorted(ordered, rows[:, 0], side="right") - first
        first += _number_of_copy(rows[:, 0]) % np.maximum(copies, 1)
    place = order[np.minimum(first, len(known) - 1)]
    place = np.where((known[place] == rows).all(axis=1), place, -1)
    if copied and marks:
        (of_known, of_rows), *rest = marks
        closer = find_rows(_marked(known, of_known), _marked(rows, of_rows), rest)
        place = np.where(closer >= 0, closer, place)
    return place


def _marked(hashes: Words, marks: np.ndarray) -> Words:
    return mixed(np.column_stack([hashes, marks.astype(np.int64).view(np.uint64)]))


def _number_of_copy(values: np.ndarray) -> np.ndarray:
    """How many equal values come before each."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    numbers = np.empty(len(values), dtype=np.intp)
    numbers[order] = np.arange(len(values)) - np.repeat(starts, np.diff(np.r_[starts, len(values)]))
    return numbers


def words_of(values: np.ndarray) -> Words:
    """The content of rows as 64-bit words."""
    if values.dtype.hasobject:
        return each(pickle.dumps(row) for row in values.tolist())
    raw = np.ascontiguousarray(values).reshape(len(values), -1)
    raw = raw.view(np.uint8).reshape(len(values), raw.shape[1] * raw.itemsize)
    missing = -raw.shape[1] % 8
    raw = np.pad(raw, ((0, 0), (0, missing))) if missing else raw
    return raw.view(np.uint64)


def each(rows: Iterable[bytes | memoryview]) -> Words:
    """Hashes of rows of bytes."""
    digests = b"".join(blake2b(row, digest_size=16).digest() for row in rows)
    return np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)


def mixed(words: Words) -> Words:
    """Two hashes of each row of words; overflow is part of the arithmetic."""
    if words.shape[1] > _NARROW:
        return each(row.data for row in np.ascontiguousarray(words).view(np.uint8))
    hashes = np.tile(_SECRET[0], (len(words), 1))
    for start in range(0, len(words), _BLOCK):
        block = hashes[start : start + _BLOCK]
        for column in words[start : start + _BLOCK].T:
            block ^= column[:, None]
            block *= _SECRET[1]
            block ^= block >> np.uint64(32)
    return hashes


def _of_sparse(X: Any) -> Words | None:
    if X.format != "csr":
        return None
    rows = [slice(a, b) for a, b in pairwise(X.indptr.tolist())]
    return each(X.indices[row].tobytes() + X.data[row].tobytes() for row in rows)
