"""Checks of rows, labels, probabilities and logits, with errors that name the remedy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, unique_labels

from skmergecal._compat import _num_samples
from skmergecal._optional import refuse_dask
from skmergecal._typing import Array, IntArray
from skmergecal._validation._parameters import LARGEST_LOGIT
from skmergecal._warnings import warn_user

__all__ = [
    "as_numbers",
    "check_columns",
    "check_labels",
    "check_lengths",
    "check_list",
    "check_logits",
    "check_matrix",
    "check_members",
    "check_names",
    "check_proba",
    "check_proba_rows",
    "check_rows",
    "count_rows",
    "encode_labels",
    "union_of_classes",
    "warn_if_probabilities",
]

#: Rows of probabilities that add up to 1 within this are left as they are: in single precision
#: they do no better.
_EXACT = 1e-6
#: Rows off by more than this are rounded, so that normalising them deserves a warning.
_PRECISE = 1e-3
#: Rows off by more than this are no probabilities. Of 5 classes, two decimals may be off by 0.025.
_ROUNDED = 0.02
#: Of so few numbers or columns, and of so many numbers, sums are added up in other ways.
_FEW_NUMBERS, _FEW_COLUMNS, _MANY_NUMBERS = 40, 5, 1 << 13


def as_numbers(name: str, values: Any) -> np.ndarray:
    """An array of floats; what is neither float32 nor float64 becomes float64.

    Raises
    ------
    TypeError
        If the array is sparse.
    ValueError
        If it holds text or other objects that are no numbers, or masked entries.
    """
    refuse_dask(name, values)
    if hasattr(values, "toarray"):
        msg = f"{name} should be a dense array; got a sparse matrix: pass {name}.toarray()"
        raise TypeError(msg)
    if np.ma.is_masked(values):
        msg = f"{name} has masked entries: fill them, or drop their rows"
        raise ValueError(msg)
    try:
        array = np.asarray(values)
        kind = array.dtype.kind
        text = kind in "USmMcV" or (kind == "O" and any(isinstance(v, str) for v in array.flat))
        if not text:
            if kind == "O" and hasattr(values, "isna"):  # pandas, whose NA is no number of NumPy's
                array = np.where(values.isna(), np.nan, array)
            wide = array.dtype in (np.float32, np.float64)
            return array if wide else array.astype(np.float64)
        found = f"dtype {array.dtype}"
    except (TypeError, ValueError) as error:  # rows of unequal lengths, objects
        found = str(error)
    msg = f"{name} should hold numbers; got {found}: convert the values first"
    raise ValueError(msg)


def check_matrix(values: Any, name: str, shape: str = "(n_samples, n_classes)") -> Array:
    """A C-contiguous float64 matrix with rows and columns, all finite; ``shape`` is for errors."""
    matrix: Array = np.ascontiguousarray(as_numbers(name, values), dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        msg = f"{name} should have shape {shape}; got {np.shape(values)}"
        raise ValueError(msg)
    if not np.isfinite(matrix).all():
        row = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        msg = (
            f"{name} contains NaN or infinity in row {row}: drop the row, or soften probabilities "
            "of 0 before the log"
        )
        raise ValueError(msg)
    return matrix


def check_proba(proba: Any, name: str = "proba") -> Array:
    """Probabilities as a C-contiguous float64 matrix.

    Raises
    ------
    ValueError
        If they are not a matrix, contain NaN or negative numbers, or their rows do not add up to
        1 within 0.02. Rows of rounded probabilities are divided by their sums.
    """
    p: Array = np.ascontiguousarray(as_numbers(name, proba), dtype=np.float64)
    if p.ndim != 2 or 0 in p.shape:
        msg = f"{name} should have shape (n_samples, n_classes); got {np.shape(proba)}"
        raise ValueError(msg)
    return check_proba_rows(
        p,
        name,
        "should hold probabilities, each row non-negative and adding up to 1",
        remedy="take the softmax of logits, one column per class",
        percent_remedy="divide percentages by 100",
    )


def check_list(name: str, values: Any, what: str) -> list[Any]:
    """A non-empty list of what the error says; no text, dict or single object."""
    single = isinstance(values, str | bytes | Mapping) or not hasattr(values, "__iter__")
    found = [] if single or getattr(values, "ndim", 1) == 0 else list(values)
    if not found:
        got = f"a {type(values).__name__}" if single else "none"
        msg = f"{name} should be a list of at least one {what}; got {got}"
        raise ValueError(msg)
    return found


def check_members(
    name: str, members: Any, check: Callable[[Any, str], Array] = check_matrix
) -> list[Array]:
    """The members' matrices of one shape, each checked under its number."""
    given = check_list(name, members, "member's matrix (n_samples, n_classes)")
    matrices = [check(values, f"{name}[{number}]") for number, values in enumerate(given)]
    for number, matrix in enumerate(matrices):
        if matrix.shape != matrices[0].shape:
            msg = (
                f"{name} should hold one matrix (n_samples, n_classes) per member, all of the same "
                f"shape {matrices[0].shape}; number {number} has {matrix.shape}"
            )
            raise ValueError(msg)
    return matrices


def check_names(names: Any, n_names: int) -> list[str]:
    """Names of estimators for errors, numbers if None."""
    if names is None:
        return [f"number {i}" for i in range(n_names)]
    found = check_list("names", names, "str, one per estimator")
    if len(found) != n_names or not all(isinstance(name, str) for name in found):
        msg = f"names should be a list of {n_names} str, one per estimator; got {found}"
        raise ValueError(msg)
    return found


def check_columns(y: Any, n_samples: int, n_classes: int) -> IntArray:
    """Labels that are column numbers already, as the functions on arrays take them.

    Raises
    ------
    ValueError
        If their shape or type is wrong, or they are beyond the columns.
    """
    expected = (
        f"y should hold {n_samples} column numbers 0..{n_classes - 1} (whole numbers, one per "
        "row); got"
    )
    remedy = "encode labels by their index in classes_"
    if np.ma.is_masked(y):
        msg = "y has masked entries: drop their rows"
        raise ValueError(msg)
    labels = np.asarray(refuse_dask("y", y))
    if labels.shape != (n_samples,):
        msg = f"{expected} shape {labels.shape}"
        raise ValueError(msg)
    if labels.dtype.kind not in "iub":
        msg = f"{expected} {labels.dtype} labels {labels[:5].tolist()}: {remedy}"
        raise ValueError(msg)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= n_classes:
        msg = f"{expected} labels from {low} to {high}: {remedy}"
        raise ValueError(msg)
    return labels.astype(np.intp, copy=False)


def check_rows(X: Any, name: str = "X") -> None:
    """Refuse containers whose rows cannot be counted and picked, with the one to pass instead.

    Raises
    ------
    TypeError
        If X is a dict, or a lazy frame.
    """
    refuse_dask(name, X)
    msg = None
    if isinstance(X, Mapping) and not hasattr(X, "shape"):
        msg = (
            f"{name} is a {type(X).__name__}, whose rows cannot be picked: pass "
            f"skorch.helper.SliceDict(**{name}) to nets of several inputs, stored predictions as "
            f"skmergecal.merging.Predictions({name}), to others a DataFrame"
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
    if np.ma.is_masked(y):
        msg = "y has masked entries: drop their rows, or label them"
        raise ValueError(msg)
    labels = np.asarray(y)
    _refuse_null_characters(y, labels)
    if labels.ndim == 2 and labels.shape[1] > 1:
        msg = (
            f"y should hold one label per row, shape (n_samples,); got shape {labels.shape}. "
            "Multilabel and multioutput targets are not supported: fit one classifier per output."
        )
        raise ValueError(msg)
    if _few_whole_numbers(labels):
        return np.ascontiguousarray(labels)
    labels = _plain(column_or_1d(labels, warn=True))
    try:
        check_classification_targets(labels)
    except ValueError as error:
        msg = f"{error} The values of y should be labels."
        raise ValueError(msg) from error
    return labels


def count_rows(X: Any, name: str = "X") -> int:
    """Number of rows of any container; the error names it, and what to pass instead."""
    check_rows(X, name)
    if isinstance(X, str | bytes):
        msg = f"{name} should hold rows; got {X!r}"
        raise TypeError(msg)
    try:
        return int(_num_samples(X))
    except TypeError as error:
        msg = f"{name} should hold rows: {error}"
        raise TypeError(msg) from error


def check_lengths(n_samples: int, **others: Any) -> None:
    """Raise ValueError if something does not have one entry per row of X."""
    for name, values in others.items():
        if values is not None and np.shape(values)[:1] != (n_samples,):
            msg = (
                "Found input variables with inconsistent numbers of samples: X has "
                f"{n_samples} rows, but {name} has shape {np.shape(values)}"
            )
            raise ValueError(msg)


def _refuse_null_characters(y: Any, labels: np.ndarray) -> None:
    """Raise ValueError if a label ends in a null character, which NumPy drops."""
    kind = labels.dtype.kind
    if kind == "O" or (kind in "US" and not isinstance(y, np.ndarray)):
        for label in np.asarray(y, dtype=object).flat:
            if isinstance(label, str | bytes) and label[-1:] in ("\0", b"\0"):
                msg = (
                    f"y contains the label {label!r}, which NumPy takes for {label[:-1]!r}: rename "
                    "labels that end in a null character"
                )
                raise ValueError(msg)


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
    if _are_surely_proba(proba):
        return proba
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


def _are_surely_proba(proba: Array) -> bool:
    """Whether no row is near a bound, quicker than looking closely."""
    if proba.size <= _FEW_NUMBERS:  # less than NumPy takes to begin
        rows = proba.tolist()
        return all(abs(sum(row) - 1) <= _EXACT / 2 and min(row) >= 0 for row in rows)
    if proba.dtype != np.float64:
        return False
    sums = _quick_sums(proba)
    if not (sums.min() >= 1 - _EXACT / 2 and sums.max() <= 1 + _EXACT / 2):
        return False
    # The first bit of a float is its sign.
    return bool(np.bitwise_or.reduce(proba.view(np.int64), axis=None) >= 0)


def _quick_sums(matrix: Array) -> Array:
    """Sums of rows, up to rounding, in the quickest way for their shape."""
    n_columns = matrix.shape[1]
    if n_columns <= _FEW_COLUMNS:  # a pass for each column is less than to begin with each row
        sums = matrix[:, 0].copy()
        for column in matrix.T[1:]:
            sums += column
        return sums
    # BLAS would ask several threads for the sums of many rows, and mostly wait for them.
    many = matrix.size > _MANY_NUMBERS
    return np.einsum("ij->i", matrix) if many else matrix @ np.ones(n_columns)


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
    z = as_numbers("logits", logits)
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
