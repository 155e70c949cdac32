"""Temperatures of members and of the merged classifier, fitted on held-out opinions."""

from __future__ import annotations

import numpy as np

from skmergecal._temperature import Bound, minimise_temperature, warn_at_bound
from skmergecal._typing import Array, IntArray
from skmergecal.members import HeldOutMembers
from skmergecal.merging._settings import Settings

__all__ = ["calibrated_opinions", "fit_scale", "warned"]


def warned(minimum: tuple[float, Bound], who: str) -> float:
    """The temperature of a minimum; a bound is warned about in the name of ``who``."""
    temperature, bound = minimum
    warn_at_bound(bound, who)
    return temperature


def fit_scale(z: Array, y: IntArray, sample_weight: Array | None) -> float:
    """Temperature of merged held-out logits; a bound is warned about."""
    return warned(minimise_temperature(z, y, sample_weight)[:2], "the merged classifier")


def calibrated_opinions(held_out: HeldOutMembers, settings: Settings) -> tuple[list[Array], Array]:
    """Held-out log-probabilities divided by each member's temperature, and the temperatures.

    These are all 1 unless members are to be calibrated.
    """
    z = [m.log_proba(o) for m, o in zip(held_out.members, held_out.opinions, strict=True)]
    if not settings.calibrates_members:
        return z, np.ones(len(z))
    minima = held_out.memo.result(
        ("member temperatures",),
        lambda: [minimise_temperature(m, held_out.y, held_out.sample_weight)[:2] for m in z],
    )
    temperatures = [
        warned(minimum, f"estimator {member.name!r}")
        for member, minimum in zip(held_out.members, minima, strict=True)
    ]
    return [m / t for m, t in zip(z, temperatures, strict=True)], np.array(temperatures)
