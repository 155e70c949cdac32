"""Temperatures of members and of the merged classifier, fitted on held-out opinions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from skmergecal._numerics import log_softmax
from skmergecal._partitions import Partitions, Rows, together
from skmergecal._temperature import (
    TEMPERATURE_ALPHA,
    FitsWithoutRows,
    SlopesOfRows,
    minimise_partitions,
)
from skmergecal._typing import Array, IntArray
from skmergecal.members import HeldOutMembers
from skmergecal.merging._settings import Settings

__all__ = ["LooOpinions", "calibrated_rows", "fit_scale", "loo_opinions", "member_temperatures"]


def fit_scale(rows: Partitions[Rows]) -> float:
    """Temperature of merged held-out logits."""
    return minimise_partitions(rows, TEMPERATURE_ALPHA).temperature


def member_temperatures(
    held_out: HeldOutMembers, rows: Partitions[Rows], alpha: float = TEMPERATURE_ALPHA
) -> list[float]:
    """Temperature of each member, remembered whichever members are with it.

    The rows have the log-probabilities of all members.
    """
    members = range(len(held_out.members))
    found = [partial(_member_temperature, held_out, k, rows, alpha) for k in members]
    return together(rows, found)


def _member_temperature(
    held_out: HeldOutMembers, member: int, rows: Partitions[Rows], alpha: float
) -> float:
    softening = held_out.members[member].softening
    return held_out.memo_of(member).result(
        ("temperature", softening, alpha),
        lambda: minimise_partitions(rows.map(_of_member, member), alpha).temperature,
    )


def _of_member(rows: Rows, member: int) -> Rows:
    return Rows([rows.opinions[member]], rows.y, rows.weight)


def calibrated_rows(held_out: HeldOutMembers, settings: Settings) -> tuple[Partitions[Rows], Array]:
    """Held-out log-probabilities divided by each member's temperature, and the temperatures.

    These are all 1 unless members are to be calibrated.
    """
    rows = held_out.log_rows
    n_members = len(held_out.members)
    if not settings.calibrates_members:
        return rows, np.ones(n_members)
    temperatures = member_temperatures(held_out, rows)
    return rows.map(divided, temperatures), np.array(temperatures)


def divided(rows: Rows, temperatures: Sequence[float]) -> Rows:
    """Log-probabilities, or logits, divided by temperatures."""
    scaled = [z / t for z, t in zip(rows.opinions, temperatures, strict=True)]
    return Rows(scaled, rows.y, rows.weight)


class LooOpinions(NamedTuple):
    """Log-probabilities of members, each row after a temperature that was fitted without it.

    Attributes
    ----------
    rows : Rows
        With the log-probabilities after temperatures that were fitted to all rows.
    opinions : sequence of ndarray of shape (n_rows, n_classes)
    steps : sequence of ndarray of shape (n_rows,)
        By how much log(1 / T) of each member is higher there; empty without temperatures.
    """

    rows: Rows
    opinions: Sequence[Array]
    steps: Sequence[Array]

    @property
    def y(self) -> IntArray:
        """Column numbers of the true classes."""
        return self.rows.y


def loo_opinions(
    calibrated: Partitions[Rows], temperatures: Array, settings: Settings
) -> Partitions[LooOpinions]:
    """What members give for each row after a temperature that was fitted without it.

    Parameters
    ----------
    calibrated : Partitions of Rows
        What `calibrated_rows` has returned.
    temperatures : ndarray of shape (n_members,)
    """
    if not settings.calibrates_members:
        return calibrated.map(_as_they_are)
    slopes = calibrated.map(_slopes, temperatures)
    fits = FitsWithoutRows.of(slopes, temperatures.tolist(), TEMPERATURE_ALPHA)
    return calibrated.map_with(slopes, _without_rows, fits)


def _as_they_are(rows: Rows) -> LooOpinions:
    return LooOpinions(rows, rows.opinions, [])


def _slopes(rows: Rows, temperatures: Array) -> SlopesOfRows:
    logits = [z * t for z, t in zip(rows.opinions, temperatures, strict=True)]
    return SlopesOfRows(Rows(logits, rows.y, rows.weight), temperatures.tolist())


def _without_rows(rows: Rows, slopes: SlopesOfRows, fits: FitsWithoutRows) -> LooOpinions:
    opinions, steps = [], []
    found = zip(rows.opinions, fits.temperatures, slopes.temperatures(fits), strict=True)
    for z, t, without in found:
        ratio = without / t
        opinions.append(log_softmax(z / ratio[:, None]))
        steps.append(-np.log(ratio))
    return LooOpinions(rows, opinions, steps)
