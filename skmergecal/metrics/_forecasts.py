"""Binary forecasts of a multiclass classifier: the top label, or every class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from skmergecal._typing import Array, IntArray

__all__ = ["FORECASTS", "Forecast", "Kind", "class_wise", "top_label"]

#: Which binary forecasts of a multiclass classifier are scored.
Kind = Literal["top-label", "class-wise"]


class Forecast(NamedTuple):
    """Forecasts of a binary event: its predicted probability, and whether it happened."""

    confidence: Array
    """Shape (n_samples,)."""
    hit: Array
    """Shape (n_samples,): 1.0 where it happened, else 0.0."""


def top_label(labels: IntArray, p: Array) -> list[Forecast]:
    """One forecast: the most probable class is right (ties: the first of them)."""
    return [Forecast(p.max(axis=1), (p.argmax(axis=1) == labels).astype(np.float64))]


def class_wise(labels: IntArray, p: Array) -> list[Forecast]:
    """One forecast per class: the class is the true one."""
    return [Forecast(p[:, c], (labels == c).astype(np.float64)) for c in range(p.shape[1])]


FORECASTS: dict[str, Callable[[IntArray, Array], list[Forecast]]] = {
    "top-label": top_label,
    "class-wise": class_wise,
}
