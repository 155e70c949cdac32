"""Temperatures of members and of the merged classifier, fitted on held-out opinions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skmergecal._numerics import log_softmax
from skmergecal._temperature import TEMPERATURE_ALPHA, loo_temperatures, minimise_temperature
from skmergecal._typing import Array, IntArray
from skmergecal.members import HeldOutMembers
from skmergecal.merging._settings import Settings

__all__ = ["calibrated_opinions", "fit_scale", "loo_opinions", "member_temperature"]


def fit_scale(z: Array, y: IntArray, sample_weight: Array | None) -> float:
    """Temperature of merged held-out logits."""
    return minimise_temperature(z, y, sample_weight, TEMPERATURE_ALPHA).temperature


def member_temperature(
    held_out: HeldOutMembers, member: int, z: Array, alpha: float = TEMPERATURE_ALPHA
) -> float:
    """Temperature of a member, remembered whichever members are with it."""
    softening = held_out.members[member].softening
    return held_out.memo_of(member).result(
        ("temperature", softening, alpha),
        lambda: minimise_temperature(z, held_out.y, held_out.sample_weight, alpha).temperature,
    )


def calibrated_opinions(held_out: HeldOutMembers, settings: Settings) -> tuple[list[Array], Array]:
    """Held-out log-probabilities divided by each member's temperature, and the temperatures.

    These are all 1 unless members are to be calibrated.
    """
    z = [m.log_proba(o) for m, o in zip(held_out.members, held_out.opinions, strict=True)]
    if not settings.calibrates_members:
        return z, np.ones(len(z))
    temperatures = [member_temperature(held_out, k, own) for k, own in enumerate(z)]
    return [m / t for m, t in zip(z, temperatures, strict=True)], np.array(temperatures)


def loo_opinions(
    calibrated: Sequence[Array], temperatures: Array, held_out: HeldOutMembers, settings: Settings
) -> tuple[list[Array], list[Array]]:
    """Held-out log-probabilities, each row after a temperature that was fitted without it.

    Also by how much log(1 / T) is higher there, shape (n_held_out,) for each member.

    Parameters
    ----------
    calibrated : sequence of ndarray of shape (n_held_out, n_classes)
        What `calibrated_opinions` has returned.
    temperatures : ndarray of shape (n_members,)
    """
    if not settings.calibrates_members:
        return list(calibrated), []
    y, weight = held_out.y, held_out.sample_weight
    opinions, steps = [], []
    for z, t in zip(calibrated, temperatures, strict=True):
        ratio = loo_temperatures(z * t, y, weight, float(t), TEMPERATURE_ALPHA) / t
        opinions.append(log_softmax(z / ratio[:, None]))
        steps.append(-np.log(ratio))
    return opinions, steps
