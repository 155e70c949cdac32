"""Comparison of fitted transformers: parameters and fitted attributes, by value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import joblib
import numpy as np
from scipy import sparse

__all__ = ["are_identical"]


def are_identical(a: Any, b: Any) -> bool:
    """Whether two objects have the same state.

    Arrays are compared entry by entry (NaN equals NaN), containers and the attributes of objects
    recursively, functions by identity, and anything else by the hash of its pickle.
    """
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray) and a.dtype != object:
        return a.dtype == b.dtype and a.shape == b.shape and _same_bits_or_nan(a, b)
    if sparse.issparse(a):
        return _same_sparse(a, b)
    if isinstance(a, dict):
        return _all_identical(list(a), list(b)) and _all_identical([*a.values()], [*b.values()])
    if isinstance(a, list | tuple):
        return _all_identical(a, b)
    if callable(a):
        return bool(a == b)
    if hasattr(a, "get_params"):
        return _all_identical(sorted(vars(a)), sorted(vars(b))) and all(
            are_identical(value, getattr(b, name)) for name, value in vars(a).items()
        )
    return bool(joblib.hash(a) == joblib.hash(b))


def _all_identical(a: Sequence[Any], b: Sequence[Any]) -> bool:
    return len(a) == len(b) and all(map(are_identical, a, b))


def _same_sparse(a: Any, b: Any) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and (a != b).nnz == 0


def _same_bits_or_nan(a: np.ndarray, b: np.ndarray) -> bool:
    if a.dtype.kind in "fc":
        return np.array_equal(a, b, equal_nan=True)
    return a.tobytes() == b.tobytes()
