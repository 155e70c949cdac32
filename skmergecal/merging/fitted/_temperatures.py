"""Temperatures of members and of the merged classifier, fitted on held-out opinions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skmergecal._numerics import log_softmax
from skmergecal._temperature import Bound, loo_temperatures, minimise_temperature, warn_at_bound
from skmergecal._typing import Array, IntArray
from skmergecal.members import HeldOutMembers
from skmergecal.merging._settings import Settings

__all__ = ["calibrated_opinions", "fit_scale", "loo_opinions", "member_minimum", "warned"]


def warned(minimum: tuple[float, Bound], who: str) -> float:
    """The temperature of a minimum; a bound is warned about in the name of ``who``."""
    temperature, bound = minimum
    warn_at_bound(bound, who)
    return temperature


def fit_scale(z: Array, y: IntArray, sample_weight: Array | None) -> float:
    """Temperature of merged held-out logits; a bound is warned about."""
    return warned(minimise_temperature(z, y, sample_weight)[:2], "the merged classifier")


def member_minimum(
    held_out: HeldOutMembers, member: int, z: Array, alpha: float = 0.0
) -> tuple[float, Bound]:
    """Temperature of a member, and its bound, remembered whichever members are with it."""
    softening = held_out.members[member].softening
    return held_out.memo_of(member).result(
        ("temperature", softening, alpha),
        lambda: minimise_temperature(z, held_out.y, held_out.sample_weight, alpha)[:2],
    )


def calibrated_opinions(held_out: HeldOutMembers, settings: Settings) -> tuple[list[Array], Array]:
    """Held-out log-probabilities divided by each member's temperature, and the temperatures.

    These are all 1 unless members are to be calibrated.
    """
    z = [m.log_proba(o) for m, o in zip(held_out.members, held_out.opinions, strict=True)]
    if not settings.calibrates_members:
        return z, np.ones(len(z))
    temperatures = [
        warned(member_minimum(held_out, k, z[k]), f"estimator {member.name!r}")
        for k, member in enumerate(held_out.members)
    ]
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
        ratio = loo_temperatures(z * t, y, weight, float(t)) / t
        opinions.append(log_softmax(z / ratio[:, None]))
        steps.append(-np.log(ratio))
    return opinions, steps
