"""Checks of labels, probabilities, weights and settings that the scores share."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from skmergecal._typing import Array, IntArray
from skmergecal._validation import as_numbers, check_columns, check_proba, check_sample_weight

__all__ = ["check_choice", "check_labelled", "check_level", "check_scored", "check_share"]


def check_choice(name: str, value: Any, choices: Sequence[str | None]) -> None:
    """Raise ValueError if a setting is not one of its choices."""
    if value not in choices:
        msg = f"{name} should be one of {list(choices)}; got {value!r}"
        raise ValueError(msg)


def check_level(confidence_level: Any) -> None:
    """Raise ValueError if the level of an interval is not between 0 and 1."""
    check_share("confidence_level", confidence_level)


def check_share(name: str, value: Any) -> None:
    """Raise ValueError if a setting is not a number between 0 and 1."""
    if not (isinstance(value, Real) and 0 < float(value) < 1):
        msg = f"{name} should be between 0 and 1, 0.95 for instance; got {value!r}"
        raise ValueError(msg)


def check_scored(y: Any, proba: Any, sample_weight: Any) -> tuple[IntArray, Array, Array]:
    """Labels, probabilities and weights of matching shapes; weights are ones if None."""
    labels, (p,) = check_labelled(y, [proba])
    weight = check_sample_weight(sample_weight, len(p))
    return labels, p, np.ones(len(p)) if weight is None else weight


def check_labelled(y: Any, matrices: Sequence[Any]) -> tuple[IntArray, list[Array]]:
    """Labels and the probabilities of one model, of matching shapes.

    Raises
    ------
    ValueError
        If shapes do not match, or y does not contain column numbers of the probabilities.
    """
    (proba,) = matrices
    p: Array = as_numbers("proba", proba)
    if p.ndim != 2 or np.shape(y) != (len(p),):
        msg = (
            "proba should have shape (n_samples, n_classes) and y (n_samples,); "
            f"got {p.shape} and {np.shape(y)}"
        )
        raise ValueError(msg)
    p = check_proba(p)
    return check_columns(y, *p.shape), [p]
