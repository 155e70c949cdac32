"""RowLosses: log losses of held-out rows, each from what was learned without the row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from skmergecal._numerics import log_softmax, row_losses
from skmergecal._partitions import Partitions, Rows
from skmergecal._temperature import (
    TEMPERATURE_ALPHA,
    FitsWithoutRows,
    SlopesOfRows,
    slope_of_change,
)
from skmergecal._typing import Array, IntArray
from skmergecal.merging.fitted._temperatures import LooOpinions

__all__ = [
    "LossesOfRows",
    "MergedLosses",
    "RowLosses",
    "Unscaled",
    "join_losses",
    "scaled_losses",
]


@dataclass(frozen=True)
class RowLosses:
    """Log losses of held-out rows, each from what was learned without the row.

    Attributes
    ----------
    merged : ndarray of shape (n_rows,)
        Infinite where a linear pool gives the true class probability 0.
    members : sequence of ndarray of shape (n_rows,)
        After each one's temperature; zeros are softened.
    weight : ndarray of shape (n_rows,) or None
    pools : dict of str to ndarray of shape (n_rows,)
        The pools that the merge is made of, where it is made of several.
    """

    merged: Array
    members: Sequence[Array]
    weight: Array | None
    pools: Mapping[str, Array] = field(default_factory=dict)

    @property
    def y(self) -> Array:
        """One number for each row: partitions ask how many there are."""
        return self.merged

    def mark(self) -> tuple[int, int, float]:
        """What shows whether the rows have come back as they were: their number."""
        return len(self.merged), 0, 0.0


#: Finds them when they are needed.
LossesOfRows = Callable[[], Partitions[RowLosses]]


class Unscaled(NamedTuple):
    """Predictions of rows before a temperature that is to scale them.

    Attributes
    ----------
    without_row : ndarray of shape (n_rows, n_classes)
        Log-probabilities of a fit without the row.
    scores : ndarray of shape (n_rows, n_classes)
        Of the fit to all rows: the temperature was fitted to them.
    y : ndarray of shape (n_rows,)
    weight : ndarray of shape (n_rows,) or None
    moves : sequence of (ndarray of shape (n_rows,), ndarray of shape (n_rows, n_classes))
        For each member with a temperature: by how much log(1 / T) is higher without the row, and
        the derivative of the scores in it.
    """

    without_row: Array
    scores: Array
    y: IntArray
    weight: Array | None
    moves: Sequence[tuple[Array, Array]] = ()


class MergedLosses(NamedTuple):
    """Losses of rows in the merge."""

    losses: Array
    y: IntArray

    @classmethod
    def of(cls, rows: Rows) -> MergedLosses:
        """Of log-probabilities that are the only opinion."""
        return cls(rows.losses()[0], rows.y)


def scaled_losses(
    rows: Partitions[Unscaled], temperature: float, *, scale_learned: bool = False
) -> Partitions[MergedLosses]:
    """Losses of the rows after a temperature that was fitted without each.

    Parameters
    ----------
    rows : Partitions of Unscaled
    temperature : float
    scale_learned : bool, default=False
        Whether the pool itself learned the scale of its scores, without a ridge that was given:
        without the row it finds another one, which leaves the temperature where it is.
    """
    if scale_learned:
        return rows.map(_after, temperature)
    slopes = rows.map(_slopes, temperature)
    fits = FitsWithoutRows.of(slopes, [temperature], TEMPERATURE_ALPHA)
    pulls = rows.reduce(_pulls, temperature, what="effect of temperatures on the scores")
    return rows.map_with(slopes, _after_its_own, fits, pulls)


def _after(rows: Unscaled, temperature: float) -> MergedLosses:
    return MergedLosses(row_losses(log_softmax(rows.without_row / temperature), rows.y), rows.y)


def _slopes(rows: Unscaled, temperature: float) -> SlopesOfRows:
    return SlopesOfRows(Rows([rows.scores], rows.y, rows.weight), [temperature])


def _pulls(rows: Unscaled, temperature: float) -> Array:
    fit = rows.scores, rows.y, rows.weight, temperature
    return np.array([slope_of_change(*fit, change) for _, change in rows.moves])


def _after_its_own(
    rows: Unscaled, slopes: SlopesOfRows, fits: FitsWithoutRows, pulls: Array
) -> MergedLosses:
    others: Any = 0.0
    for (steps, _), pull in zip(rows.moves, pulls, strict=True):
        others = others + steps * pull
    (t,) = slopes.temperatures(fits, [others])
    return MergedLosses(row_losses(log_softmax(rows.without_row / t[:, None]), rows.y), rows.y)


def join_losses(members: LooOpinions, merged: MergedLosses) -> RowLosses:
    """Losses of the rows in the merge, with those of the members."""
    of_members = members.rows._replace(opinions=members.opinions).losses()
    return RowLosses(merged.losses, of_members, members.rows.weight)
