"""Batches: their labels, and what is recorded of each."""

from __future__ import annotations

import datetime
from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np

from skmergecal._typing import Array, IntArray

__all__ = ["RECORDED", "Batches", "describe"]

#: Batches whose records and labels are kept.
RECORDED = 1000


def _comparable(label: Any) -> Any:
    """A label as it is kept: a date as datetime64, numbers and text as they are."""
    if isinstance(label, datetime.datetime) and label.tzinfo is not None:
        label = label.astimezone(datetime.UTC).replace(tzinfo=None)
    if isinstance(label, np.datetime64 | datetime.date):
        date = np.datetime64(label).astype("datetime64[us]")
        if not np.isnat(date):
            return date
    if isinstance(label, np.generic):
        label = label.item()
    if not isinstance(label, str | int | float) or label != label:
        msg = (
            "label should be a str, a number, a date or a datetime that names the cohort; got "
            f"{label!r}: pass str(label)"
        )
        raise TypeError(msg)
    return label


def _kind(label: Any) -> str:
    """What a label can be compared with."""
    if isinstance(label, np.datetime64):
        return "date"
    return "text" if isinstance(label, str) else "number"


class Batches:
    """Records of the last batches.

    Parameters
    ----------
    records : iterable of dict
    n_batches : int
        Batches so far.
    """

    def __init__(self, records: Iterable[dict[str, Any]] = (), n_batches: int = 0) -> None:
        self.records: deque[dict[str, Any]] = deque(records, maxlen=RECORDED)
        self.n_batches = n_batches

    def check(self, label: Any) -> tuple[Any, bool]:
        """The label as it is kept, and whether a later one has come already.

        Raises
        ------
        ValueError
            If the label has come already.
        """
        if label is None:
            return None, False
        label = _comparable(label)
        known = [record["label"] for record in self.records if record["label"] is not None]
        known = [other for other in known if _kind(other) == _kind(label)]
        if label in known:
            msg = (
                f"the batch {str(label)!r} has come already: rows that count twice are false "
                "evidence. Leave it out, or give other rows another label"
            )
            raise ValueError(msg)
        return label, any(other > label for other in known)

    def add(self, record: dict[str, Any]) -> None:
        """Add what is recorded of a batch."""
        self.records.append({"batch": self.n_batches, **record})
        self.n_batches += 1

    def columns(self) -> dict[str, Any]:
        """What is recorded, by name."""
        names = list(self.records[0]) if self.records else ["batch", "label"]
        return {name: _column([record[name] for record in self.records]) for name in names}


def _column(values: list[Any]) -> np.ndarray:
    kinds = {type(value) for value in values}
    if len(kinds) == 1 and kinds <= {bool, int, float, str, np.datetime64}:
        return np.array(values)
    if kinds <= {int, float}:
        return np.array(values, dtype=np.float64)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def describe(log_proba: Array, y: IntArray, weight: Array) -> dict[str, float]:
    """Log loss, Brier score and mean entropy of the rows of a batch."""
    p = np.exp(log_proba)
    rows = np.arange(len(y))
    brier = (p**2).sum(axis=1) - 2 * p[rows, y] + 1
    values = {
        "log_loss": -log_proba[rows, y],
        "brier_score": brier,
        "expected_log_loss": -(p * log_proba).sum(axis=1),
    }
    return {name: float(weight @ v / weight.sum()) for name, v in values.items()}
