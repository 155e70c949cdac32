"""RowLosses: log losses of held-out rows, each from what was learned without the row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from skmergecal._numerics import log_softmax, row_losses
from skmergecal._temperature import TEMPERATURE_ALPHA, loo_temperatures, slope_of_change
from skmergecal._typing import Array, IntArray

__all__ = ["LossesOfRows", "RowLosses", "scaled_losses"]


@dataclass(frozen=True)
class RowLosses:
    """Log losses of held-out rows, each from what was learned without the row.

    Attributes
    ----------
    merged : ndarray of shape (n_held_out,)
        Infinite where a linear pool gives the true class probability 0.
    members : sequence of ndarray of shape (n_held_out,)
        After each one's temperature; zeros are softened.
    pools : dict of str to ndarray of shape (n_held_out,)
        The pools that the merge is made of, where it is made of several.
    """

    merged: Array
    members: Sequence[Array]
    pools: Mapping[str, Array] = field(default_factory=dict)


#: Finds them when they are asked for.
LossesOfRows = Callable[[], RowLosses]


def scaled_losses(
    without_row: Array,
    scores: Array,
    y: IntArray,
    weight: Array | None,
    temperature: float,
    moves: Sequence[tuple[Array, Array]] = (),
    *,
    scale_learned: bool = False,
) -> Array:
    """Losses of log-probabilities of a fit without the row, after a temperature without it.

    Parameters
    ----------
    without_row : ndarray of shape (n_samples, n_classes)
    scores : ndarray of shape (n_samples, n_classes)
        Of the fit to all rows: the temperature was fitted to them.
    y, weight, temperature
        As for `loo_temperatures`.
    moves : sequence of (ndarray of shape (n_samples,), ndarray of shape (n_samples, n_classes))
        For each member with a temperature: by how much log(1 / T) is higher without the row, and
        the derivative of the scores in it.
    scale_learned : bool, default=False
        Whether the pool itself learned the scale of its scores, without a ridge that was given:
        without the row it finds another one, which leaves the temperature where it is.
    """
    if scale_learned:
        return row_losses(log_softmax(without_row / temperature), y)
    others: Any = 0.0
    for steps, change in moves:
        others = others + steps * slope_of_change(scores, y, weight, temperature, change)
    t = loo_temperatures(scores, y, weight, temperature, TEMPERATURE_ALPHA, others)
    return row_losses(log_softmax(without_row / t[:, None]), y)
