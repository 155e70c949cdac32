"""Rows to train on: stacked, and synthetic ones for a teacher to label, of three kinds."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import scipy.sparse

from skmergecal._networks import draw_partners, moved_towards
from skmergecal._typing import Array, IntArray

__all__ = [
    "AUGMENTS",
    "SETS",
    "can_be_mixed",
    "check_augmentable",
    "check_same_inputs",
    "combined_rows",
    "draw_mixture",
    "holds_numbers",
    "stacked",
    "synthetic_rows",
    "whole_columns",
]

#: Number of sets of synthetic rows. In 50 epochs on two data sets a set for each epoch was better
#: by less than one part in 250, a single one worse by up to one in 20.
SETS = 8
AUGMENTS = ("mixup", "jitter", "both")
#: Deviation of the jitter, as a share of the column's own.
_JITTER = 0.2
#: Share of the rows that are mixed where rows are jittered, too.
_MIXED_OF_BOTH = 0.5
#: Share of the values of a combined row that come from other rows.
_FROM_OTHERS = 0.2
#: The most rows that are combined at once: beside many rows, more teach little.
_MOST_COMBINED = 10_000


def can_be_mixed(X: Any) -> bool:
    """Whether synthetic rows can be made of some rows: of a frame, or a dense array of numbers."""
    dense = isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "fiub"
    return dense or hasattr(X, "iloc")


def holds_numbers(X: Any) -> bool:
    """Whether rows are a SliceDict of dense arrays of numbers, which can be mixed, too."""
    return isinstance(X, Mapping) and all(
        isinstance(array, np.ndarray) and array.dtype.kind in "fiub" for array in X.values()
    )


def whole_columns(X: Any) -> IntArray:
    """Columns of whole numbers only: codes and counts, which are not mixed.

    Those of a SliceDict are counted through all its arrays.
    """
    if hasattr(X, "iloc"):
        columns = [X.iloc[:, i] for i in range(X.shape[1])]
    else:
        arrays = X.values() if isinstance(X, Mapping) else [X]
        columns = [column for array in arrays for column in array.reshape(len(array), -1).T]
    return np.array([i for i, column in enumerate(columns) if _is_whole(column)], dtype=np.intp)


def _is_whole(column: Any) -> bool:
    values = np.asarray(column)
    return values.dtype.kind not in "f" or bool((values == np.floor(values)).all())


def check_augmentable(X: Any) -> None:
    """Refuse rows that cannot be mixed."""
    if can_be_mixed(X):
        return
    msg = (
        f"augment mixes rows of numbers; got {type(X).__name__}: pass a dense numeric array or a "
        "DataFrame, or augment=None"
    )
    raise ValueError(msg)


def draw_mixture(n_rows: int, augment: str, rng: np.random.Generator) -> tuple[IntArray, Array]:
    """For each synthetic row the number of another row, and how far it moves towards that."""
    partner, share = draw_partners(n_rows, rng)
    if augment == "jitter":
        share[:] = 0.0
    elif augment == "both":
        share[rng.random(n_rows) >= _MIXED_OF_BOTH] = 0.0
    return partner, share


def synthetic_rows(X: Any, augment: str, whole: Collection[int], rng: np.random.Generator) -> Any:
    """Rows made of the rows of X, as many.

    Parameters
    ----------
    X : ndarray, DataFrame or SliceDict of shape (n_rows, n_features)
        Not changed.
    augment : {"mixup", "jitter", "both"}
        "mixup": each row moves up to half of the way to a random other one. "jitter": normal noise
        with a fifth of each column's deviation. "both": the noise, on rows half of which moved.
    whole : collection of int
        Columns that are not numbers to calculate with: they come from one of the two rows. In a
        DataFrame or a SliceDict so do all columns that are not of a floating type.
    rng : numpy Generator

    Returns
    -------
    ndarray, DataFrame or SliceDict
        Like X; whole numbers become floating ones where they are calculated with.

    References
    ----------
    Zhang et al., "mixup: Beyond empirical risk minimization", ICLR 2018.
    """
    n_rows = len(X)
    partner, share = draw_mixture(n_rows, augment, rng)
    swapped = np.where(rng.random(n_rows) < share, partner, np.arange(n_rows))
    noise = 0.0 if augment == "mixup" else _JITTER

    def drawn_from(values: Array, whole: Collection[int]) -> Array:
        drawn = values[swapped].astype(np.result_type(values.dtype, np.float32))
        numbers = np.setdiff1d(np.arange(values.shape[1]), list(whole))
        drawn[:, numbers] = _moved(values[:, numbers], partner, share, noise, rng)
        return drawn

    if isinstance(X, Mapping):
        parts, start = {}, 0
        for name, array in X.items():
            flat = array.reshape(n_rows, -1)
            first, start = start, start + flat.shape[1]
            floating = array.dtype.kind == "f"
            drawn = drawn_from(flat, [i - first for i in whole]) if floating else flat[swapped]
            parts[name] = drawn.astype(array.dtype, copy=False).reshape(array.shape)
        return type(X)(**parts)
    if not hasattr(X, "iloc"):
        return drawn_from(X, whole)
    drawn = X.iloc[swapped].reset_index(drop=True)
    for place, name in enumerate(X.columns):
        column = X.iloc[:, place]
        if place in whole or getattr(column.dtype, "kind", "O") != "f":
            continue
        values = column.to_numpy(dtype=np.float64)[:, None]
        drawn[name] = _moved(values, partner, share, noise, rng)[:, 0].astype(column.dtype)
    return drawn


def _moved(
    values: Array, partner: IntArray, share: Array, noise: float, rng: np.random.Generator
) -> Array:
    moved = moved_towards(values, partner, share)
    if noise:
        moved += noise * np.nanstd(values, axis=0) * rng.standard_normal(moved.shape)
    return moved


def combined_rows(X: Any, weight: Array | None, times: float, seed: int) -> tuple[Any, float]:
    """Rows of which each is a row of X with a fifth of its values from random other rows.

    Their numbers depend on what the rows are and how often each counts, not on their order: a
    weight of 2 gives what a row twice does.

    Parameters
    ----------
    X : ndarray or DataFrame of shape (n_rows, n_features)
        Not changed.
    weight : ndarray of shape (n_rows,) or None
        Positive: how often each row counts.
    times : float
        How many rows are made of each, 10,000 in all at most.
    seed : int

    Returns
    -------
    ndarray or DataFrame, float
        Like X, of the same types; and how often each of them counts.
    """
    rng = np.random.default_rng(seed)
    keys = _keys_of_rows(X)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    counts = np.bincount(inverse.ravel(), weight)
    n_made = min(round(times * len(first)), _MOST_COMBINED)
    ends = np.cumsum(counts)
    ends = ends / ends[-1]
    base = first[np.searchsorted(ends, (np.arange(n_made) + 0.5) / max(n_made, 1))]
    drawn = []
    for column in range(X.shape[1]):
        other = first[np.searchsorted(ends, rng.random(n_made), side="right")]
        rows = np.where(rng.random(n_made) < _FROM_OTHERS, other, base)
        drawn.append(X.iloc[rows, column] if hasattr(X, "iloc") else X[rows, column])
    each = float(counts.sum() / len(first))
    if not hasattr(X, "iloc"):
        return np.stack(drawn, axis=1), each
    parts = [column.reset_index(drop=True) for column in drawn]
    return sys.modules["pandas"].concat(parts, axis=1), each


def _keys_of_rows(X: Any) -> np.ndarray:
    """A number or some bytes for each row, which tell rows with other values apart."""
    if hasattr(X, "iloc") and any(getattr(t, "kind", "O") not in "fiub" for t in X.dtypes):
        return np.asarray(sys.modules["pandas"].util.hash_pandas_object(X, index=False))
    whole = np.ascontiguousarray(X)  # the same for a frame and an array of the same numbers
    return whole.view(np.dtype((np.void, whole.dtype.itemsize * X.shape[1])))[:, 0]


def check_same_inputs(X: Any, unlabeled: Any) -> None:
    """Check that rows without labels have the inputs of X, where X is a dict of inputs.

    Raises
    ------
    ValueError
        If they do not.
    """
    known = set(unlabeled) if isinstance(unlabeled, Mapping) else set()
    if isinstance(X, Mapping) and set(X) != known:
        msg = f"X_unlabeled should be a {type(X).__name__} with the inputs of X: {', '.join(X)}"
        raise ValueError(msg)


def stacked(X: Any, unlabeled: Any) -> Any:
    """Rows with further rows below them, in the container of the first.

    Raises
    ------
    ValueError
        If their columns differ.
    """
    if isinstance(X, list):
        return [*X, *unlabeled]
    if isinstance(X, Mapping):
        check_same_inputs(X, unlabeled)
        return type(X)(**{name: stacked(part, unlabeled[name]) for name, part in X.items()})
    if hasattr(X, "iloc"):
        if list(X.columns) != list(getattr(unlabeled, "columns", [])):
            msg = "X_unlabeled should be a DataFrame with the columns of X, in the same order"
            raise ValueError(msg)
        return sys.modules["pandas"].concat([X, unlabeled], ignore_index=True)
    if np.shape(X)[1:] != np.shape(unlabeled)[1:]:
        msg = (
            f"X_unlabeled should have {np.shape(X)[1:]} columns, as X; "
            f"it has {np.shape(unlabeled)[1:]}"
        )
        raise ValueError(msg)
    if hasattr(X, "toarray"):
        both: list[Any] = [X, unlabeled]
        return scipy.sparse.vstack(both, format="csr")
    return np.concatenate([X, unlabeled])
