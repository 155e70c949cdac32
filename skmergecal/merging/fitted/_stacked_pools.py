"""StackedPoolsMerge: several pools of calibrated members, weighted by leave-one-out loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from skmergecal._numerics import softmax
from skmergecal._temperature import minimise_temperature
from skmergecal._typing import Array
from skmergecal.members import HeldOutMembers, Member, Opinion
from skmergecal.merging._settings import Settings
from skmergecal.merging.fitted._base import FittedMerge, OpinionReader
from skmergecal.merging.fitted._log_pool import refuse_missing_classes
from skmergecal.merging.fitted._temperatures import member_minimum, warned
from skmergecal.pooling import CombinedFit, fit_classwise_pool, fit_combined_pool

__all__ = ["StackedPoolsMerge"]

#: Strength of the penalty on the log of a member's temperature, as in `fit_temperature`: it keeps
#: members that make no mistake on the held-out rows finite.
_TEMPERATURE_ALPHA = 1.0


@dataclass(frozen=True)
class StackedPoolsMerge(FittedMerge):
    """Pools of calibrated and softened members, several at once.

    Attributes
    ----------
    fit : CombinedFit
    softening : float
        Share of the uniform distribution mixed into each member's calibrated probabilities.
    """

    fit: CombinedFit
    softening: float

    @classmethod
    def learn(cls, held_out: HeldOutMembers, settings: Settings, *, with_linear: bool) -> Self:
        """Learn temperatures, class-wise weights and, if wanted, a linear pool beside them."""
        refuse_missing_classes(held_out.members, held_out.classes, held_out.y)
        y, weight = held_out.y, held_out.sample_weight
        softening = 1 / (held_out.total_weight + 1)
        what = (with_linear, None if with_linear else settings.alpha)
        temperatures, fit = held_out.memo.result(
            ("combined pool", *what), lambda: _fit(held_out, softening, *what)
        )
        factors = fit.member_factors
        total = float(factors.sum())
        weights = factors / total if total else np.full(len(factors), 1 / len(factors))
        learned = cls(held_out.members, weights, temperatures, 1.0, fit, softening)
        if not settings.calibrates_merged:
            return learned
        minimum = held_out.memo.result(
            ("its temperature", *what),
            lambda: minimise_temperature(learned.held_out_scores(held_out), y, weight)[:2],
        )
        return replace(learned, temperature=warned(minimum, "the merged classifier"))

    def scores(self, read: OpinionReader) -> Array:
        """Scores of the pools; members are read one after the other."""

        def opinions() -> Iterator[tuple[int, Array, Array, Callable[[], Array]]]:
            for k, member in enumerate(self.members):
                if self.fit.uses(k):
                    opinion = read(member)
                    temperature = float(self.member_temperatures[k])
                    p, log_p = _calibrated(member, opinion, temperature, self.softening)
                    yield k, log_p, p, opinion.proba

        return self.fit.scores(opinions())


def _fit(
    held_out: HeldOutMembers, softening: float, with_linear: bool, alpha: Any
) -> tuple[Array, CombinedFit]:
    """The members' temperatures, and the pools."""
    y, weight = held_out.y, held_out.sample_weight
    logs, temperatures = [], []
    for k, (member, opinion) in enumerate(zip(held_out.members, held_out.opinions, strict=True)):
        z = member.log_proba(opinion)
        temperatures.append(member_minimum(held_out, k, z, _TEMPERATURE_ALPHA)[0])
        logs.append(_calibrated(member, opinion, temperatures[-1], softening)[1])
    if with_linear:
        proba = [opinion.proba() for opinion in held_out.opinions]
        fit = fit_combined_pool(logs, y, weight, proba=proba)
    elif alpha == "auto":
        fit = fit_combined_pool(logs, y, weight)
    else:
        fit = CombinedFit(fit_classwise_pool(logs, y, weight, alpha=float(alpha)))
    return np.array(temperatures), fit


def _calibrated(
    member: Member, opinion: Opinion, temperature: float, softening: float
) -> tuple[Array, Array]:
    """Calibrated probabilities, none far below the softening, and their logarithms."""

    def calibrate() -> Array:
        p = softmax(member.log_proba(opinion) / temperature)
        p *= 1.0 - softening
        p += softening / p.shape[1]
        return p

    how = member.softening, temperature, softening
    p = opinion.memo.array(("calibrated", *how), calibrate)
    return p, opinion.memo.array(("calibrated, log", *how), lambda: np.log(p))
