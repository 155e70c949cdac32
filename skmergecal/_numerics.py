"""Arithmetic on rows of log-probabilities: softmax, softening, weighted sums, log loss.

The result for a row is bitwise the same whether it is passed alone or in a batch: element-wise
operations run on C-contiguous arrays, and sums run along the contiguous axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from skmergecal._typing import Array, IntArray

__all__ = [
    "ROWS_TO_COMPARE",
    "SAME_IN_SINGLE_PRECISION",
    "SAME_PROBABILITY",
    "SMALLEST",
    "add_weighted",
    "error_of_mean",
    "holds_zeros",
    "log_of",
    "log_of_softened",
    "log_softmax",
    "mean_and_error",
    "mean_loss",
    "row_losses",
    "shifted",
    "soften",
    "softening_of",
    "softmax",
    "sum_by_weight",
    "sum_of",
]

#: The smallest positive float, which replaces probabilities of 0 that are not softened.
SMALLEST = float(np.nextafter(0.0, 1.0))
#: Tolerances within which two forms of one model give the same probabilities, the second one for
#: models that compute in single precision; and the number of rows to compare on.
SAME_PROBABILITY = 1e-6
SAME_IN_SINGLE_PRECISION = 1e-4
ROWS_TO_COMPARE = 100
#: The smallest of some probabilities stands for 0 if it occurs twice, softening would raise it by
#: the factor RAISED or more, and the next larger one, at least GAP times as large, by less.
#: Rows divided by their sums repeat it only roughly: up to ALIKE times it counts as equal.
RAISED = 10.0
GAP = 100.0
ALIKE = 1.1
#: Distance from a whole number of units within which a probability counts as rounded to it, which
#: allows for single precision; and the number of different values that show it.
_ROUNDED_UNITS = 0.01
#: Units of three and of four decimals.
ROUNDED_TO = (1000, 10_000)
_FEW_VALUES = 10
#: Up to this many classes, row maxima are computed column by column, which is faster.
_FEW_CLASSES = 16
#: Up to this many numbers NumPy adds one after the other: many rows are summed column by column.
_ADDED_IN_ORDER, _MANY_ROWS = 7, 1000
#: Up to this many products, columns are combined at once: by accumulation, which adds in order.
_FEW_PRODUCTS = 1 << 13
#: Of more, so many rows are combined at once: their sums stay in the processor's cache.
_ROWS_TO_COMBINE = 2048


def shifted(z: Any) -> Array:
    """Logits of shape (n_samples, n_classes) minus the largest of each row."""
    rows: Array = np.ascontiguousarray(z, dtype=np.float64)
    if rows.shape[1] > _FEW_CLASSES:
        return rows - np.maximum.reduce(rows, axis=1, keepdims=True)
    # NumPy is slow along short rows; a maximum is the same in any order, so the bits are, too.
    return rows - np.maximum.reduce(np.ascontiguousarray(rows.T), axis=0)[:, None]


def softmax(z: Any) -> Array:
    """Probabilities of logits of shape (n_samples, n_classes)."""
    e: Array = shifted(z)
    np.exp(e, out=e)
    e /= _sums_of_rows(e)
    return e


def log_softmax(z: Any) -> Array:
    """Log-probabilities: logits (n_samples, n_classes) minus the logsumexp of each row."""
    log_proba = shifted(z)
    log_proba -= np.log(_sums_of_rows(np.exp(log_proba)))
    return log_proba


def _sums_of_rows(values: Array) -> Array:
    """Sums of rows, shape (n_samples, 1), with the bits of a row alone."""
    if len(values) < _MANY_ROWS or values.shape[1] > _ADDED_IN_ORDER:
        return np.asarray(np.add.reduce(values, axis=1, keepdims=True))
    sums = values[:, :1].copy()  # NumPy is slow along short rows
    for column in range(1, values.shape[1]):
        sums += values[:, column : column + 1]
    return sums


def log_of(proba: Array) -> Array:
    """Logarithms of probabilities in their precision, -inf for 0."""
    found = np.full(proba.shape, -np.inf, dtype=np.result_type(proba, np.float32))
    return np.log(proba, out=found, where=proba > 0)


def soften(proba: Any, amount: float) -> Array:
    """Log of probabilities mixed with the uniform distribution: log((1 - d) p + d / k).

    With an amount of 0, probabilities are unchanged except that zeros become the smallest positive
    float. Rows are normalised.
    """
    return log_softmax(log_of_softened(proba, amount))


def log_of_softened(proba: Any, amount: float) -> Array:
    """The same up to a constant per row: rows are not normalised."""
    p: Array = np.ascontiguousarray(proba, dtype=np.float64)
    mixed = (1.0 - amount) * p + amount / p.shape[1]
    np.maximum(mixed, SMALLEST, out=mixed)
    return np.log(mixed, out=mixed)


def softening_of(proba: Array, sample_weight: Array | None = None) -> float:
    """The amount by which to soften a member that gives these probabilities.

    It is 1 / (n + 1), with n the total weight of the rows, where probabilities are exactly 0, or
    where the smallest one stands for 0, as after ``np.clip(p, 1e-15, 1)``: it occurs at least
    twice, and there is nothing else that softening would raise much, and nothing near it. Between
    the small probabilities of a smooth member there is no such gap: they are left as they are.
    A smooth member that was rounded to three or four decimals may have zeros in other rows even if
    these have none; its zeros stand for less than half a unit: see `soften_rounded`.

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_classes)
    sample_weight : ndarray of shape (n_samples,), default=None
        Frequency weights; rows of weight 0 do not count.
    """
    if sample_weight is not None and not sample_weight.all():
        proba, sample_weight = proba[sample_weight > 0], sample_weight[sample_weight > 0]
    total = float(len(proba) if sample_weight is None else sample_weight.sum())
    smallest = float(proba.min(initial=1.0))
    much = raised_much(total, proba.shape[1])
    counts = np.zeros(3)
    if 0 < smallest < much:
        counts = near_zero(proba, sample_weight, smallest, much)
    amount = decide_softening(total, smallest, much, counts)
    units = rounded_to(proba)
    if units is None:
        return amount
    return soften_rounded(total, units, zeros_and_ones(proba, sample_weight, units), proba.shape[1])


def holds_zeros(proba: Array) -> bool:
    """Whether some of these probabilities are 0, and other rows will not show that by rounding.

    Shares of votes are multiples of a coarser unit, but 0 and 1 alone tell nothing.
    """
    if not (proba == 0.0).any():
        return False
    _, found = _units_of(proba)
    return found is None or (len(found) > 2 and int(np.gcd.reduce(found)) > 1)


def raised_much(total: float, n_classes: int) -> float:
    """Probabilities below this would be raised much by softening, for rows of so much weight."""
    return 1 / (total + 1) / n_classes / RAISED


def near_zero(proba: Array, sample_weight: Array | None, smallest: float, much: float) -> Array:
    """Numbers of probabilities like the smallest, near it, and like it by weight, as an array."""
    alike = proba <= ALIKE * smallest
    near = np.count_nonzero(proba < max(much, GAP * smallest))
    number = float(np.count_nonzero(alike))
    weighted = number if sample_weight is None else float((sample_weight @ alike).sum())
    return np.array([number, near, weighted])


def decide_softening(total: float, smallest: float, much: float, counts: Array) -> float:
    """The result of `softening_of`, from sums over all rows, but for rounded members.

    Parameters
    ----------
    total : float
        Weight of all rows.
    smallest : float
        Smallest probability.
    much : float
        What `raised_much` gives.
    counts : ndarray of shape (3,)
        What `near_zero` gives, where the smallest one is positive and below ``much``.
    """
    amount = 1 / (total + 1)
    if smallest == 0:
        return amount
    alike, near, weighted = counts
    if smallest >= much or near > alike:
        return 0.0
    return amount if weighted >= 2 else 0.0


def zeros_and_ones(proba: Array, sample_weight: Array | None, units: int) -> Array:
    """How many of these probabilities are rounded to 0 and to one unit, by weight."""
    nearest = np.rint(units * proba)
    per_row = [np.count_nonzero(nearest == number, axis=1) for number in (0, 1)]
    return np.array([sum_by_weight(number, sample_weight) for number in per_row])


def soften_rounded(total: float, units: int, counts: Array, n_classes: int) -> float:
    """The softening of a member whose probabilities are whole numbers of units.

    Its zeros become what they were in the mean, if the number of probabilities below p grows as
    some power of p: of all below 1.5 units, so many are below half a unit. Without a probability of
    one unit, as of votes that were rounded, nothing is known of what the zeros were.

    Parameters
    ----------
    total : float
        Weight of all rows.
    units : int
        Number of units in a probability of 1.
    counts : ndarray of shape (2,)
        What `zeros_and_ones` gives.
    n_classes : int
    """
    amount = 1 / (total + 1)
    zeros, ones = counts.tolist()
    if ones == 0:
        return amount
    power = math.log1p(ones / max(zeros, 1.0)) / math.log(3)
    mean = 0.5 / units * power / (1 + power)
    return min(amount, n_classes * mean)


def rounded_to(proba: Array) -> int | None:
    """Units of which these probabilities are whole numbers, perhaps divided by row sums, or None.

    Shares of votes are not meant, which are multiples of a coarser unit, nor a few values that
    are repeated.
    """
    units, found = _units_of(proba)
    return units if found is not None and are_units_of_decimals(found) else None


def _units_of(proba: Array) -> tuple[int, IntArray | None]:
    """The first units of which all are whole numbers, and these numbers; None if there are none."""
    for units in ROUNDED_TO:
        found = whole_units(proba, units)
        if found is not None:
            return units, found
    return 0, None


def are_units_of_decimals(found: IntArray) -> bool:
    """Whether these numbers of units are many, and no multiples of a coarser unit."""
    return len(found) >= _FEW_VALUES and int(np.gcd.reduce(found)) == 1


def whole_units(proba: Array, units: int) -> IntArray | None:
    """Different numbers of units in probabilities that are rounded to these; None for others."""
    # First a few rows, so that other members cost little.
    if any(_whole_units(proba[:few], units) is None for few in (1, 10)):
        return None
    return _whole_units(proba, units)


def _whole_units(rows: Array, units: int) -> IntArray | None:
    """Different numbers of units in rows of whole ones, divided by their sums; None for others."""
    seen = np.zeros(2 * units, dtype=bool)
    off = min(rows.shape[1] // 2, units // 50)
    for total in sorted(range(units - off, units + off + 1), key=lambda total: abs(total - units)):
        values = rows * total
        whole = np.rint(values)
        values -= whole
        fits = np.abs(values, out=values) < _ROUNDED_UNITS
        if fits.all():
            seen[whole.astype(np.intp)] = True
            return np.flatnonzero(seen)
        in_row = fits.all(axis=1)
        seen[whole[in_row].astype(np.intp)] = True
        rows = rows[~in_row]
    return None


def row_losses(log_proba: Array, y: Any) -> Array:
    """-log p of the true class of each row; ``y`` holds column numbers."""
    return np.asarray(-log_proba[np.arange(len(y)), y])


def mean_loss(log_proba: Array, y: Any, sample_weight: Array | None) -> float:
    """Weighted mean of -log p of the true class; ``y`` holds column numbers."""
    return float(np.average(row_losses(log_proba, y), weights=sample_weight))


def sum_by_weight(values: Array, weight: Array | None) -> float:
    """Sum of values, each as often as its weight says."""
    return float((values if weight is None else np.multiply(values, weight)).sum())


def mean_and_error(values: Array, weight: Array | None) -> tuple[float, float]:
    """Weighted mean and its standard error; weights count as repetitions."""
    total = float(len(values) if weight is None else weight.sum())
    mean = sum_by_weight(values, weight) / total
    with np.errstate(invalid="ignore"):  # of infinite values
        return mean, error_of_mean(mean, total, sum_by_weight((values - mean) ** 2, weight))


def error_of_mean(mean: float, total: float, squares: float) -> float:
    """Standard error of a mean, from the weighted sum of squared differences to it."""
    if not math.isfinite(mean):
        return math.inf
    if total <= 1:
        return math.nan
    return math.sqrt(squares / total * total / (total - 1) / total)


def sum_of(parts: Iterable[Array]) -> Array:
    """Sum in the given order, in place in the first part, with one further part in memory."""
    total: Array | None = None
    for part in parts:
        total = part if total is None else np.add(total, part, out=total)
    if total is None:
        msg = "at least one member's probabilities are needed; got none"
        raise ValueError(msg)
    return total


def combine_columns(values: Array, factors: Array) -> Array:
    """The product of (n_samples, n_columns) and (n_columns, n_out) matrices, added up in order.

    A row alone gives the same bits as among others, which products by BLAS do not promise.
    """
    if values.size * factors.shape[1] <= _FEW_PRODUCTS:  # one call is faster than one per column
        products = np.ascontiguousarray(values.T)[:, :, None] * factors[:, None]
        return np.asarray(np.add.accumulate(products)[-1])
    out: Array = np.empty((len(values), factors.shape[1]))
    for start in range(0, len(values), _ROWS_TO_COMBINE):
        part = slice(start, start + _ROWS_TO_COMBINE)
        columns = np.ascontiguousarray(values[part].T)  # NumPy is slow along short rows
        out[part] = sum_of(f[:, None] * c for c, f in zip(columns, factors, strict=True)).T
    return out


def add_weighted(opinions: Iterable[Array], weights: Iterable[float]) -> Array:
    """Weighted sum of opinions, member by member, so that a row alone gives the same bits."""
    return sum_of(
        w * np.ascontiguousarray(z, dtype=np.float64)
        for z, w in zip(opinions, weights, strict=True)
    )
