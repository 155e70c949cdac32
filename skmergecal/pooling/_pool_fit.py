"""Result of the fit of a pool, and the validation of members' opinions, labels and weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skmergecal._temperature import Bound
from skmergecal._typing import Array, IntArray
from skmergecal._validation import check_sample_weight, warn_if_probabilities

__all__ = ["PoolFit", "check_opinions", "classes_with_rows"]


@dataclass(frozen=True)
class PoolFit:
    """Fitted weights of a pool.

    Attributes
    ----------
    weights : ndarray of shape (n_members,)
        Non-negative, with sum 1.
    temperature : float
        Divisor of the weighted logits (1 for the linear pool).
    loss : float
        Mean log loss of the pool on the rows it was fitted on, in nats, without the ridge.
    bound : {None, "lower", "upper"}
        The bound at which the temperature was stopped if no finite optimum exists.
    """

    weights: Array
    temperature: float
    loss: float
    bound: Bound = None


def check_opinions(
    opinions: Sequence[Any], y: Any, sample_weight: Any, *, logs: bool = True
) -> tuple[list[Array], IntArray, Array | None]:
    """Opinions as C-contiguous float64 matrices of one shape, labels and weights.

    Rows of weight 0 are removed. With ``logs``, opinions that look like probabilities are warned
    about.
    """
    matrices = [np.ascontiguousarray(z, dtype=np.float64) for z in opinions]
    if not matrices:
        msg = "there should be at least one member's opinion; got none"
        raise ValueError(msg)
    shape = matrices[0].shape
    for number, z in enumerate(matrices):
        if z.ndim != 2 or z.shape != shape:
            msg = (
                f"opinions should all have shape (n_samples, n_classes) = {shape}; "
                f"number {number} has {z.shape}"
            )
            raise ValueError(msg)
        if not np.isfinite(z).all():
            msg = f"opinion number {number} contains NaN or infinity: soften zeros before the log"
            raise ValueError(msg)
        if logs:
            warn_if_probabilities(z, f"the log-probabilities of opinion number {number}")
    labels = np.asarray(y, dtype=np.intp)
    if labels.shape != shape[:1] or labels.min() < 0 or labels.max() >= shape[1]:
        msg = f"y should hold {shape[0]} column numbers 0..{shape[1] - 1}; got shape {labels.shape}"
        raise ValueError(msg)
    weight = check_sample_weight(sample_weight, shape[0])
    if weight is not None and not weight.all():
        kept = weight > 0
        matrices, labels, weight = [z[kept] for z in matrices], labels[kept], weight[kept]
    return matrices, labels, weight


def classes_with_rows(y: IntArray, n_classes: int) -> tuple[IntArray, IntArray | None]:
    """The columns of classes that have rows, and y in these; None where all have."""
    counts = np.bincount(y, minlength=n_classes)
    present = np.flatnonzero(counts)
    if len(present) == n_classes:
        return present, None
    return present, np.searchsorted(present, y)
