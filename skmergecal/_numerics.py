"""Row-wise arithmetic on log-probabilities.

Every function gives a row the same bits whether it comes alone or in a batch: element-wise
operations run on C-contiguous arrays, and sums run along the contiguous axis.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from skmergecal._typing import Array

__all__ = [
    "ROWS_TO_COMPARE",
    "SAME_IN_SINGLE_PRECISION",
    "SAME_PROBABILITY",
    "SMALLEST",
    "add_weighted",
    "log_softmax",
    "mean_loss",
    "soften",
    "softmax",
    "sum_of",
]

#: The smallest positive float: a probability of 0 that nothing softens is taken as this.
SMALLEST = float(np.nextafter(0.0, 1.0))
#: Probabilities of two forms of one model are taken as the same within this; models that compute in
#: single precision cannot do better than the second. Compared on so many rows.
SAME_PROBABILITY = 1e-6
SAME_IN_SINGLE_PRECISION = 1e-4
ROWS_TO_COMPARE = 100
#: Up to this many classes the largest of each row is found class by class.
_FEW_CLASSES = 16


def _shifted(z: Any) -> Array:
    rows: Array = np.ascontiguousarray(z, dtype=np.float64)
    if rows.shape[1] > _FEW_CLASSES:
        return rows - rows.max(axis=1, keepdims=True)
    # NumPy is slow along short rows; a maximum is exact in any order.
    return rows - np.ascontiguousarray(rows.T).max(axis=0)[:, None]


def softmax(z: Any) -> Array:
    """Probabilities of logits of shape (n_samples, n_classes)."""
    e = np.exp(_shifted(z))
    e /= e.sum(axis=1, keepdims=True)
    return e


def log_softmax(z: Any) -> Array:
    """Logits of shape (n_samples, n_classes), shifted so that each row's logsumexp is 0."""
    shifted = _shifted(z)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def soften(proba: Any, amount: float) -> Array:
    """Log of probabilities mixed with the uniform distribution: log((1 - d) p + d / k).

    With an amount of 0 the probabilities are taken as they are, down to the smallest positive
    float. Rows are normalised.
    """
    p: Array = np.ascontiguousarray(proba, dtype=np.float64)
    mixed = (1.0 - amount) * p + amount / p.shape[1]
    return log_softmax(np.log(np.maximum(mixed, SMALLEST)))


def mean_loss(log_proba: Array, y: Any, sample_weight: Array | None) -> float:
    """Weighted mean of -log p of the true class; ``y`` holds column numbers."""
    losses = -log_proba[np.arange(len(y)), y]
    return float(np.average(losses, weights=sample_weight))


def sum_of(parts: Iterable[Array]) -> Array:
    """Sum in the given order, one part in memory at a time beside the first, which is changed."""
    total: Array | None = None
    for part in parts:
        total = part if total is None else np.add(total, part, out=total)
    if total is None:
        msg = "there should be at least one member's opinion; got none"
        raise ValueError(msg)
    return total


def add_weighted(opinions: Iterable[Array], weights: Iterable[float]) -> Array:
    """Sum of weights times opinions, member by member, so that a row alone gives the same bits."""
    return sum_of(
        w * np.ascontiguousarray(z, dtype=np.float64)
        for z, w in zip(opinions, weights, strict=True)
    )
