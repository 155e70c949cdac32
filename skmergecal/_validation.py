"""Checks of labels, weights and logits, with errors that name the remedy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, unique_labels

from skmergecal._typing import Array, IntArray
from skmergecal._warnings import warn_user

__all__ = [
    "LARGEST_LOGIT",
    "check_labels",
    "check_logits",
    "check_member_weights",
    "check_proba_rows",
    "check_rows",
    "check_sample_weight",
    "encode_labels",
    "union_of_classes",
    "warn_if_few",
    "warn_if_probabilities",
]

#: Rows of probabilities that add up to 1 within this are left as they are: in single precision
#: they do no better.
_EXACT = 1e-6
#: Rows off by more than this are rounded, so that normalising them deserves a warning.
_PRECISE = 1e-3
#: Rows off by more than this are no probabilities. Of 5 classes, two decimals may be off by 0.025.
_ROUNDED = 0.02

#: Logits are clipped to this absolute value, so that their squares are finite.
LARGEST_LOGIT = 1e150


def check_rows(X: Any, name: str = "X") -> None:
    """Refuse containers whose rows cannot be counted and picked, with the one to pass instead.

    Raises
    ------
    TypeError
        If X is a dict, or a lazy frame.
    """
    msg = None
    if isinstance(X, Mapping) and not hasattr(X, "shape"):
        msg = (
            f"{name} is a {type(X).__name__}, whose rows cannot be picked: pass "
            f"skorch.helper.SliceDict(**{name}) to nets of several inputs, to others a DataFrame"
        )
    elif hasattr(X, "collect") and not hasattr(X, "__len__"):
        msg = f"{name} is a {type(X).__name__}, which holds no rows yet: pass {name}.collect()"
    if msg is not None:
        raise TypeError(msg)


def check_labels(y: Any) -> np.ndarray:
    """Labels as a 1-D array.

    Raises
    ------
    ValueError
        If y is None, multilabel or continuous, or contains missing values.
    """
    if y is None:
        msg = "requires y to be passed, but the target y is None: pass the labels of the rows"
        raise ValueError(msg)
    check_rows(y, "y")
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] > 1:
        msg = (
            f"y should hold one label per row, shape (n_samples,); got shape {labels.shape}. "
            "Multilabel and multioutput targets are not supported: fit one classifier per output."
        )
        raise ValueError(msg)
    if _few_whole_numbers(labels):
        return np.ascontiguousarray(labels)
    labels = _plain(column_or_1d(labels, warn=True))
    check_classification_targets(labels)
    return labels


def _few_whole_numbers(labels: np.ndarray) -> bool:
    """Whether labels are plainly valid, so that scikit-learn's slower checks can be skipped."""
    plain = labels.ndim == 1 and labels.dtype.kind in "biu"
    return plain and len(np.unique(labels)) <= len(labels) // 2


def _plain(labels: np.ndarray) -> np.ndarray:
    """Labels, checked for missing values; object arrays of numbers or bools get that dtype."""
    what = None
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        what = "NaN" if np.isnan(labels).any() else "infinity"
    if labels.dtype.kind == "O":
        if any(map(_is_missing, labels)):
            what = "NaN"
        else:
            labels = _unboxed(labels)
    if what is not None:
        msg = f"Input y contains {what}. Drop these rows, or label them."
        raise ValueError(msg)
    return labels


def _is_missing(value: object) -> bool:
    absent = value is None or type(value).__name__ in ("NAType", "NaTType")
    return absent or (isinstance(value, float) and value != value)


def _unboxed(labels: np.ndarray) -> np.ndarray:
    for kind, dtype in ((bool | np.bool_, bool), (Integral, np.int64), (Real, np.float64)):
        if all(isinstance(v, kind) for v in labels):
            try:
                return labels.astype(dtype)
            except OverflowError as error:
                msg = "y contains integers beyond 64 bits: pass them as strings"
                raise ValueError(msg) from error
    return labels


def union_of_classes(*labels: Any) -> np.ndarray:
    """Sorted union of several sets of labels; a mix of strings and numbers raises ValueError."""
    if len(labels) == 1 and np.asarray(labels[0]).dtype.kind in "biu":
        return np.unique(labels[0])
    return np.asarray(unique_labels(*(np.asarray(part) for part in labels)))


def encode_labels(y: np.ndarray, classes: np.ndarray, *, remedy: str) -> IntArray:
    """Labels as column numbers.

    Raises
    ------
    ValueError
        If y holds a label that is not among the classes; the message ends with the remedy.
    """
    if _are_columns(y, classes):
        return y.reshape(-1).astype(np.intp)
    found, inverse = np.unique(y, return_inverse=True)
    position = {label: code for code, label in enumerate(classes.tolist())}
    codes = np.array([position.get(label, -1) for label in found.tolist()], dtype=np.intp)
    if (codes < 0).any():
        unknown = found[codes < 0].tolist()
        msg = f"y contains labels {unknown[:5]} that are not among the classes {classes.tolist()}. "
        raise ValueError(msg + remedy)
    return codes[inverse.reshape(-1)]


def _are_columns(y: np.ndarray, classes: np.ndarray) -> bool:
    """Whether the classes are 0, 1, 2 ..., so that labels are column numbers already."""
    if not (y.dtype.kind in "iu" and classes.dtype.kind in "iu" and len(y)):
        return False
    inside = y.min() >= 0 and y.max() < len(classes)
    return bool(inside and np.array_equal(classes, np.arange(len(classes))))


def check_sample_weight(sample_weight: Any, n_samples: int) -> Array | None:
    """Frequency weights as a float64 array of shape (n_samples,), or None.

    Raises
    ------
    ValueError
        If the shape is wrong, or a weight is negative or not finite, or all are 0.
    """
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.ndim == 0:
        weights = np.full(n_samples, float(weights))
    if weights.ndim != 1:
        msg = f"Sample weights must be 1D array or scalar, got {weights.ndim}D array"
        raise ValueError(msg)
    if weights.shape != (n_samples,):
        msg = f"sample_weight should have shape ({n_samples},), one per row; got {weights.shape}"
        raise ValueError(msg)
    if not np.isfinite(weights).all() or (weights < 0).any():
        msg = (
            "sample_weight should be finite and non-negative: drop the rows or correct the weights"
        )
        raise ValueError(msg)
    if not weights.any():
        msg = "sample_weight is zero for every row: at least one row must have a positive weight"
        raise ValueError(msg)
    return weights


def warn_if_few(total_weight: float, n_classes: int) -> None:
    """Warn if the weights, as frequencies, sum to less than one row per class."""
    if total_weight < n_classes:
        warn_user(
            f"sample_weight adds up to fewer than the {n_classes} classes. Weights are frequencies "
            "here (2 means that the row counts twice), so this is almost no data: scale them so "
            "that they add up to the number of rows."
        )


def check_member_weights(weights: Any, names: Sequence[str]) -> Array:
    """Weights given as an array or a dict by name, scaled to sum to 1.

    Parameters
    ----------
    weights : array-like of shape (n_members,) or dict
        Non-negative, finite, not all 0.
    names : sequence of str
        The names of the members, in order.

    Raises
    ------
    ValueError
        If the weights are invalid.
    """
    if isinstance(weights, dict):
        if set(weights) != set(names):
            unknown = sorted(map(str, set(weights) - set(names)))
            missing = sorted(set(names) - set(weights))
            msg = (
                f"weights should name each estimator once: {list(names)}; "
                f"unknown names {unknown}, missing names {missing}"
            )
            raise ValueError(msg)
        weights = [weights[name] for name in names]
    try:
        values = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"weights should be numbers, one per estimator; got {weights!r}"
        raise ValueError(msg) from error
    if values.shape != (len(names),):
        msg = f"weights should have shape ({len(names)},), one per estimator; got {values.shape}"
        raise ValueError(msg)
    if not np.isfinite(values).all() or (values < 0).any():
        msg = f"weights should be finite and non-negative; got {values.tolist()}"
        raise ValueError(msg)
    if not values.any():
        msg = "weights are all 0: at least one estimator must have a positive weight"
        raise ValueError(msg)
    scaled = values / values.max()
    return scaled / math.fsum(scaled)  # fsum is exact: the order of the members has no effect


def check_proba_rows(
    proba: Array, whose: str, problem: str, *, remedy: str, percent_remedy: str
) -> Array:
    """Probabilities whose rows add up to 1: those of rounded ones are divided by their sums.

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_classes)
    whose, problem : str
        Begin the error.
    remedy, percent_remedy : str
        End the error; the second where the rows add up to about 100.

    Warns
    -----
    UserWarning
        If rows are off by more than single or half precision explains.

    Raises
    ------
    ValueError
        If a row is off by more than rounding explains, has negative numbers or NaN.
    """
    sums = proba.sum(axis=1)
    off = np.abs(sums - 1)
    largest = off.max(initial=0.0)
    if largest <= _EXACT and proba.min(initial=0.0) >= 0:
        return proba
    wrong = ~((off <= _ROUNDED) & (proba >= 0).all(axis=1))
    if wrong.any():
        row = int(np.argmax(wrong))
        percent = abs(sums[row] / 100 - 1) <= _ROUNDED and (proba[row] >= 0).all()
        msg = (
            f"{whose} {problem}: row {row} is {proba[row, :5].tolist()}, with sum {sums[row]:.4g}: "
            f"{percent_remedy if percent else remedy}"
        )
        raise ValueError(msg)
    if largest > _PRECISE:
        warn_user(
            "rounded probabilities: the rows from {who} add up to 1 only within "
            f"{_ROUNDED}; each is divided by its sum",
            who=whose,
        )
    return np.where((off > _EXACT)[:, None], proba / sums[:, None], proba)


def check_logits(logits: Any) -> np.ndarray:
    """Logits as a 2-D float array; binary margins d of shape (n,) or (n, 1) become (0, d).

    Float32 and float64 keep their type, everything else becomes float64. Logits are clipped to
    +-1e150, because squares of larger ones would overflow.

    Raises
    ------
    TypeError
        If the logits are sparse.
    ValueError
        If the logits are of another shape, or not finite.
    """
    check_rows(logits, "logits")
    if hasattr(logits, "toarray"):
        msg = "logits should be a dense array; got a sparse matrix: pass logits.toarray()"
        raise TypeError(msg)
    z = np.asarray(logits)
    if z.dtype not in (np.float32, np.float64):
        z = z.astype(np.float64)
    if z.ndim == 1:
        z = z.reshape(-1, 1)
    if z.ndim != 2 or 0 in z.shape:
        msg = f"logits should have shape (n_samples, n_classes) or (n_samples,); got {z.shape}"
        raise ValueError(msg)
    low, high = float(z.min()), float(z.max())  # NaN if there is one
    if not (math.isfinite(low) and math.isfinite(high)):
        row = int(np.flatnonzero(~np.isfinite(z).all(axis=1))[0])
        msg = f"logits should be finite; row {row} contains NaN or infinity: clip or drop it"
        raise ValueError(msg)
    if max(-low, high) > LARGEST_LOGIT:
        z = np.clip(z, -LARGEST_LOGIT, LARGEST_LOGIT)
    if z.shape[1] == 1:
        z = np.column_stack([np.zeros_like(z), z])
    return z


def warn_if_probabilities(z: np.ndarray, what: str = "the logits") -> None:
    """Warn if all rows of logits are those of probabilities: not negative, with sum 1.

    Rounded ones have sums near 1. Logits of a binary margin, (0, d), are left alone.
    """

    def like(rows: np.ndarray) -> bool:
        return bool(rows.min() >= 0 and np.abs(rows.sum(axis=1) - 1).max() <= 0.02)

    if like(z[:1]) and like(z) and z[:, 0].any():
        warn_user(
            f"{what} look like probabilities: none is negative, and each row adds up to 1. Pass "
            "their logarithm, np.log(np.clip(probabilities, 1e-15, None)) for instance."
        )
