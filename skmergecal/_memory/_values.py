"""Hashes of the values of rows, which are the same in an array, a frame and a list."""

from __future__ import annotations

import pickle
import secrets
from collections.abc import Mapping
from hashlib import blake2b
from itertools import pairwise
from numbers import Number
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

from skmergecal._memory._rows import Words, each, mixed, words_of

__all__ = ["RowValues", "row_values"]

#: Secret, so that no one can make two texts with one hash.
_KEY = secrets.token_bytes(16)
#: Types of numbers; of any type, so that type checkers leave it to NumPy what it converts.
_NUMBERS: Any = (Number, np.bool_)
_MISSING = int(np.float64("nan").view(np.uint64))


class RowValues(NamedTuple):
    """Hashes of rows, those of this process.

    Attributes
    ----------
    hashes : ndarray of shape (n_rows, 2)
        Of the values of each row. Numbers are compared as double precision, whatever their type,
        and missing values are equal; names of columns do not count.
    names : ndarray of shape (n_rows,) or None
        Of the index, in a table of pandas.
    """

    hashes: Words
    names: np.ndarray | None


def row_values(X: Any) -> RowValues | None:
    """Hashes of the rows of an array, a frame, a column, a dict of arrays, a list, a sparse matrix.

    None for other containers, and for rows that cannot be pickled. Rows of sparse matrices are
    equal to those of other sparse matrices alone.
    """
    try:
        names = _of_array(X.index.to_numpy())[:, 0] if hasattr(X, "iloc") else None
        return RowValues(mixed(_words(X)), names)
    except Exception:  # whatever the containers of others raise
        return None


def _words(X: Any) -> np.ndarray:
    """The values of rows as 64-bit words, of which each cell has one."""
    if issparse(X):
        return _of_sparse(X)
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        columns = [X.iloc[:, j] for j in range(X.shape[1])]  # names may be equal
    elif hasattr(X, "columns") or isinstance(X, Mapping):
        columns = [X[name] for name in getattr(X, "columns", X)]
    elif isinstance(X, list | tuple):
        return _of_array(_table(X))
    else:
        columns = [X]
    words = [_of_array(_as_array(column)) for column in columns]
    return words[0] if len(words) == 1 else np.column_stack(words)


def _as_array(column: Any) -> np.ndarray:
    if np.ma.isMaskedArray(column):
        msg = "what is masked is no value"
        raise TypeError(msg)
    return np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column)


def _table(rows: Any) -> np.ndarray:
    """A list of rows as an array in which no number becomes text."""
    try:
        if isinstance(rows[0], np.ndarray):
            return np.asarray(rows)
        if isinstance(rows[0], str | list | tuple | Number):
            return np.array(rows, dtype=object)
    except ValueError:  # of several lengths
        pass
    table = np.empty(len(rows), dtype=object)
    table[:] = rows
    return table


def _of_array(values: np.ndarray) -> np.ndarray:
    values = values.reshape(len(values), -1)
    kind = values.dtype.kind
    if kind in "biuf":
        return _of_numbers(values)
    if kind in "mM":
        return _of_numbers(values.astype(f"{kind}8[us]").astype(np.int64))
    if kind in "OUST":
        return np.column_stack([_of_objects(column) for column in values.T])
    return words_of(values)


def _of_numbers(values: np.ndarray) -> np.ndarray:
    values = np.ascontiguousarray(values, dtype=np.float64)
    missing = np.isnan(values)
    if missing.any():  # of whatever sign and payload
        values = np.where(missing, np.nan, values)
    return values.view(np.uint64)


def _of_objects(column: np.ndarray) -> np.ndarray:
    cells = column.tolist()
    if set(map(type, cells)) <= {int, float, bool}:
        try:
            return _of_numbers(np.array(cells, dtype=np.float64))
        except OverflowError:
            pass
    try:
        known = {cell: _word(cell) for cell in dict.fromkeys(cells)}
        found = [known[cell] for cell in cells]
    except TypeError:  # cells of a type that cannot be looked up
        found = [_word(cell) for cell in cells]
    return np.array(found, dtype=np.uint64)


def _word(cell: Any) -> int:
    if cell is None or type(cell).__name__ in {"NAType", "NaTType"}:
        return _MISSING
    if isinstance(cell, _NUMBERS):
        try:
            number = np.float64(cell)
            return _MISSING if number != number else int(number.view(np.uint64))
        except (TypeError, OverflowError):  # complex, or very long
            pass
    content = cell.encode(errors="surrogatepass") if isinstance(cell, str) else pickle.dumps(cell)
    return int.from_bytes(blake2b(content, digest_size=8, key=_KEY).digest(), "little")


def _of_sparse(X: Any) -> np.ndarray:
    X = X.tocsr(copy=True)
    X.sum_duplicates()
    X.eliminate_zeros()
    places, values = X.indices.astype(np.int64), _of_numbers(X.data.reshape(-1, 1))
    rows = [slice(a, b) for a, b in pairwise(X.indptr.tolist())]
    return each(places[row].tobytes() + values[row].tobytes() for row in rows)
