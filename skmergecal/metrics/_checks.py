"""Checks of labels, probabilities, weights and settings that the scores share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmergecal._typing import Array, IntArray
from skmergecal._validation import check_proba_rows, check_sample_weight

__all__ = ["check_choice", "check_level", "check_proba", "check_scored"]


def check_choice(name: str, value: Any, choices: Sequence[str | None]) -> None:
    """Raise ValueError if a setting is not one of its choices."""
    if value not in choices:
        msg = f"{name} should be one of {list(choices)}; got {value!r}"
        raise ValueError(msg)


def check_level(confidence_level: Any) -> None:
    """Raise ValueError if the level of an interval is not between 0 and 1."""
    if not 0 < confidence_level < 1:
        msg = f"confidence_level should be between 0 and 1; got {confidence_level!r}"
        raise ValueError(msg)


def check_proba(proba: Any, name: str = "proba") -> Array:
    """Probabilities as a C-contiguous float64 matrix.

    Raises
    ------
    ValueError
        If they are not a matrix, contain NaN or negative numbers, or their rows do not add up to
        1 within 0.02. Rows of rounded probabilities are divided by their sums.
    """
    p: Array = np.ascontiguousarray(proba, dtype=np.float64)
    if p.ndim != 2 or 0 in p.shape:
        msg = f"{name} should have shape (n_samples, n_classes); got {p.shape}"
        raise ValueError(msg)
    return check_proba_rows(
        p,
        name,
        "should hold probabilities, each row non-negative and adding up to 1",
        remedy="take the softmax of logits, one column per class",
        percent_remedy="divide percentages by 100",
    )


def check_scored(y: Any, proba: Any, sample_weight: Any) -> tuple[IntArray, Array, Array]:
    """Labels, probabilities and weights of matching shapes; weights are ones if None.

    Raises
    ------
    ValueError
        If shapes do not match, or y does not contain column numbers of ``proba``.
    """
    p: Array = np.asarray(proba, dtype=np.float64)
    labels = np.asarray(y)
    if p.ndim != 2 or labels.shape != (len(p),):
        msg = (
            "proba should have shape (n_samples, n_classes) and y (n_samples,); "
            f"got {p.shape} and {labels.shape}"
        )
        raise ValueError(msg)
    p = check_proba(p)
    if labels.dtype.kind not in "iub" or labels.min() < 0 or labels.max() >= p.shape[1]:
        msg = (
            f"y should hold column numbers 0..{p.shape[1] - 1} of proba; got {labels.dtype} labels "
            f"{np.unique(labels)[:5].tolist()}: encode labels by their index in classes_"
        )
        raise ValueError(msg)
    weight = check_sample_weight(sample_weight, len(p))
    return labels.astype(np.intp), p, np.ones(len(p)) if weight is None else weight
