"""What a monitor is given: opinions of the deployed model, labels and weights, checked."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skmergecal._numerics import log_of, log_softmax
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal._validation import (
    as_numbers,
    check_labels,
    check_lengths,
    check_proba,
    check_rows,
    check_sample_weight,
    count_rows,
    encode_labels,
)
from skmergecal.members import (
    Cache,
    Member,
    check_classes,
    fitted_last_step,
    freeze,
    freeze_labelled,
    frozen_members,
    has_held_out,
)

__all__ = ["LOWEST", "CountedRows", "Deployed", "floored", "read_log_proba", "read_rows"]

#: The log of the smallest positive float: what evidence and losses have in place of smaller ones.
LOWEST = -745.0
#: By how much the sum of a row's probabilities may differ from 1.
_ROUNDED = 0.02


class Deployed(NamedTuple):
    """A fitted classifier to read, and its labels."""

    estimator: Estimator
    member: Member
    classes: np.ndarray

    @classmethod
    def of(cls, estimator: Estimator, classes: Any) -> Deployed:
        """A fitted classifier, as it is."""
        frozen = freeze("estimator", estimator)
        if classes is not None:
            frozen = freeze_labelled("estimator", frozen, classes)
        (member,), known = frozen_members([("estimator", frozen)], Cache(None))
        return cls(frozen, member, known)

    @property
    def from_proba(self) -> bool:
        """Whether merges and calibrators read it as probabilities, which they may soften."""
        return not self.member.logarithmic

    def log_proba(self, X: Any) -> Array:
        """Log-probabilities as it gives them, not softened; -inf for a probability of 0."""
        final, _ = fitted_last_step(self.estimator)
        if has_held_out(final) or self.member.parts:
            return self._in_order(self.estimator.predict_log_proba(X))
        opinion = self.member.opinion(X)
        return opinion.log_proba(0.0) if opinion.logarithmic else log_of(opinion.proba())

    def _in_order(self, log_proba: Any) -> Array:
        """Its own columns where the labels have them."""
        found = np.empty(np.shape(log_proba))
        found[:, self.member.columns] = log_proba
        return found


class CountedRows(NamedTuple):
    """Rows that count: those of positive weight; their log-probabilities are at least -745."""

    log_proba: Array
    y: IntArray
    weight: Array
    kept: IntArray
    exact: Array  #: log-probabilities as they came


def read_log_proba(X: Any) -> Array:
    """Log-probabilities of probabilities, or of log-probabilities, where there is no estimator.

    Each row shows which it is: probabilities are not negative, their logarithms not positive.
    """
    check_rows(X)
    values: Array = np.ascontiguousarray(as_numbers("X", X), dtype=np.float64)
    if values.ndim == 2 and 0 not in values.shape and np.isnan(values).any():
        row = int(np.flatnonzero(np.isnan(values).any(axis=1))[0])
        msg = f"X contains NaN in row {row}: drop the row"
        raise ValueError(msg)
    if values.ndim != 2 or 0 in values.shape or not (values < 0).any():
        return log_of(check_proba(values, "X"))
    with np.errstate(over="ignore"):
        sums = np.exp(values).sum(axis=1)
    wrong = ~(np.abs(sums - 1) <= _ROUNDED)
    if wrong.any():
        row = int(np.argmax(wrong))
        msg = (
            "X should hold probabilities or log-probabilities, one column per class; in row "
            f"{row}, {values[row, :5].tolist()}, the probabilities add up to {sums[row]:.4g}: pass "
            "scipy.special.log_softmax(X, axis=1) of logits"
        )
        raise ValueError(msg)
    return log_softmax(values)


def floored(log_proba: Array) -> Array:
    """Log-probabilities of at least -745, which stands for 0."""
    return np.maximum(log_proba, LOWEST)


def read_rows(
    log_proba: Array, y: Any, sample_weight: Any, classes: np.ndarray, max_weight: float | None
) -> CountedRows:
    """Labels and weights of rows, checked against their log-probabilities.

    Raises
    ------
    ValueError
        If a label is unknown, or a weight is above 1 and no largest weight was named.
    """
    labels = check_labels(y)
    check_lengths(len(log_proba), y=labels)
    remedy = (
        "The monitored model gives these no probability: leave their rows out, and monitor a model "
        "that knows them."
    )
    codes = encode_labels(labels, classes, remedy=remedy)
    weight = check_sample_weight(sample_weight, len(log_proba))
    weight = np.ones(len(log_proba)) if weight is None else weight
    largest = 1.0 if max_weight is None else max_weight
    if weight.max() > largest:
        msg = (
            f"sample_weight should be at most {largest:g}; got {weight.max():.4g}. Larger weights "
            "make false alarms more likely: pass max_weight=, the largest weight that can come, to "
            "the monitor, which divides weights by it"
        )
        raise ValueError(msg)
    kept = np.flatnonzero(weight)
    exact = log_proba[kept]
    return CountedRows(floored(exact), codes[kept], weight[kept] / largest, kept, exact)


def find_classes(n_classes: int, classes: Any) -> np.ndarray:
    """Labels of the columns of bare probabilities: as given, or 0..k-1."""
    found = np.arange(n_classes) if classes is None else check_classes(classes)
    if len(found) != n_classes:
        msg = (
            f"X has {n_classes} columns, but there are {len(found)} classes "
            f"{found.tolist()[:10]}: pass classes= with one label for each column, in order"
        )
        raise ValueError(msg)
    return found


def check_bare_classes(y: Any, classes: np.ndarray, given: Any) -> None:
    """Raise ValueError if labels of rows without an estimator need ``classes``."""
    if given is None and not np.isin(check_labels(y), classes).all():
        msg = (
            f"y holds labels other than the column numbers {classes.tolist()[:10]}: pass classes= "
            "with one label for each column of X, in order"
        )
        raise ValueError(msg)


def count(X: Any) -> int:
    """Number of rows, at least one."""
    n = count_rows(X)
    if n == 0:
        msg = "X holds no rows: pass a cohort of at least one row"
        raise ValueError(msg)
    return n
