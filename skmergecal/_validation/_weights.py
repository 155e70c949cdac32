"""Checks of weights of rows and of members."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from skmergecal._typing import Array
from skmergecal._validation._data import as_numbers
from skmergecal._warnings import warn_user

__all__ = [
    "by_label",
    "check_factors",
    "check_member_weights",
    "check_sample_weight",
    "check_shares",
    "warn_if_few",
]

#: Sample weights whose largest lies beyond 2 to these powers are scaled towards them, so that
#: neither their products nor their sums overflow or lose digits.
_WEIGHT_EXPONENTS = -200, 200
#: Weights add up to 1 within this.
_ADDED_UP = 1e-5


def check_sample_weight(sample_weight: Any, n_samples: int) -> Array | None:
    """Frequency weights as a float64 array of shape (n_samples,), or None.

    Raises
    ------
    ValueError
        If the shape is wrong, or a weight is negative or not finite, or all are 0, or their sum
        is not finite.
    """
    if sample_weight is None:
        return None
    weights: Array = as_numbers("sample_weight", sample_weight).astype(np.float64, copy=False)
    if weights.ndim == 0:
        weights = np.full(n_samples, float(weights))
    if weights.ndim != 1:
        msg = (
            f"Sample weights must be 1D array or scalar, got {weights.ndim}D array: pass "
            f"sample_weight of shape ({n_samples},)"
        )
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
    largest = float(weights.max())
    if largest > 1.0 and not math.isfinite(largest * float((weights / largest).sum())):
        msg = (
            "sample_weight adds up to more than the largest float: divide the weights by their "
            "largest"
        )
        raise ValueError(msg)
    exponent = math.frexp(largest)[1]
    beyond = exponent - min(max(exponent, _WEIGHT_EXPONENTS[0]), _WEIGHT_EXPONENTS[1])
    return np.ldexp(weights, -beyond) if beyond else weights


def warn_if_few(total_weight: float, n_classes: int) -> None:
    """Warn if the weights, as frequencies, sum to less than one row per class."""
    if total_weight < n_classes:
        warn_user(
            f"sample_weight adds up to fewer than the {n_classes} classes. Weights are frequencies "
            "here (2 means that the row counts twice), so this is almost no data: scale them so "
            "that they add up to the number of rows."
        )


def by_label(values: Any, labels: Collection[Any]) -> Any:
    """A Series of pandas whose index has labels as a dict; anything else as it is.

    ``value_counts`` sorts by frequency: read by position, its shares would go to other classes. An
    index that only counts, or has the numbers of picked rows, holds no labels.
    """
    if not hasattr(values, "iloc") or values.ndim != 1 or not values.index.is_unique:
        return values
    index = values.index
    keys = index.tolist()
    counts = type(index).__name__ == "RangeIndex" and keys == list(range(len(keys)))
    picked = set(keys) != set(labels) and all(isinstance(key, Integral) for key in keys)
    return values if counts or picked else dict(zip(keys, values.tolist(), strict=True))


def check_member_weights(weights: Any, names: Sequence[str]) -> Array:
    """Weights given as an array or by name, scaled to sum to 1.

    Parameters
    ----------
    weights : array-like of shape (n_members,), dict, or Series with an index of names
        Non-negative, finite, not all 0.
    names : sequence of str
        The names of the members, in order.

    Raises
    ------
    ValueError
        If the weights are invalid.
    """
    weights = by_label(weights, names)
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
    values = check_factors(weights, len(names))
    scaled = values / values.max()
    return scaled / math.fsum(scaled)  # fsum is exact: the order of the members has no effect


def check_factors(weights: Any, n_members: int, name: str = "weights") -> Array:
    """Non-negative factors of members, as they are: finite, and not all 0."""
    values: Array = as_numbers(name, weights).astype(np.float64, copy=False)
    if values.shape != (n_members,):
        msg = f"{name} should have shape ({n_members},), one per estimator; got {values.shape}"
        raise ValueError(msg)
    if not np.isfinite(values).all() or (values < 0).any():
        msg = f"{name} should be finite and non-negative; got {values.tolist()}"
        raise ValueError(msg)
    if not values.any():
        msg = f"{name} are all 0: at least one estimator must have a positive weight"
        raise ValueError(msg)
    return values


def check_shares(weights: Any, n_members: int) -> Array:
    """Weights that add up to 1 already, as they are."""
    values = check_factors(weights, n_members)
    if abs(math.fsum(values) - 1) > _ADDED_UP:
        msg = (
            f"weights should add up to 1; got {values.tolist()}, which add up to "
            f"{math.fsum(values):.6g}: divide them by their sum"
        )
        raise ValueError(msg)
    return values
