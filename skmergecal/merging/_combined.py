"""Class-wise and combined pools of calibrated members."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from skmergecal._numerics import softmax
from skmergecal._temperature import minimise_temperature
from skmergecal._typing import Array
from skmergecal.members import Collected
from skmergecal.merging._combination import Combination, Reader, refuse_missing_classes
from skmergecal.merging._settings import Settings, fit_scale
from skmergecal.pooling import CombinedFit, fit_classwise_pool, fit_combined_pool

__all__ = ["CombinedCombination"]

#: Strength of the penalty on the log of a member's temperature, as in `fit_temperature`: it keeps
#: members that make no mistake on the held-out rows finite.
_TEMPERATURE_ALPHA = 1.0


@dataclass(frozen=True)
class CombinedCombination(Combination):
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
    def learn(cls, found: Collected, settings: Settings, *, with_linear: bool) -> Self:
        """Learn temperatures, class-wise weights and, if wanted, a linear pool beside them."""
        refuse_missing_classes(found.members, found.classes)
        y, weight = found.y, found.sample_weight
        softening = 1 / (found.total_weight + 1)
        logs, temperatures = [], []
        for member, opinion in zip(found.members, found.opinions, strict=True):
            z = member.log_proba(opinion)
            minimum = minimise_temperature(z, y, weight, _TEMPERATURE_ALPHA)
            temperatures.append(minimum.temperature)
            logs.append(_prepared(z, temperatures[-1], softening))
        if with_linear:
            proba = [opinion.proba() for opinion in found.opinions]
            fit = fit_combined_pool(logs, y, weight, proba=proba)
        elif settings.alpha == "auto":
            fit = fit_combined_pool(logs, y, weight)
        else:
            fit = CombinedFit(fit_classwise_pool(logs, y, weight, alpha=float(settings.alpha)))
        factors = fit.member_factors
        total = float(factors.sum())
        weights = factors / total if total else np.full(len(factors), 1 / len(factors))
        learned = cls(found.members, weights, np.array(temperatures), 1.0, fit, softening)
        if not settings.calibrates_merged:
            return learned
        scale = fit_scale(learned.held_out_scores(found), y, weight, "the merged classifier")
        return replace(learned, temperature=scale)

    def scores(self, read: Reader) -> Array:
        """Scores of the pools; members are read one after the other."""

        def opinions() -> Iterator[tuple[int, Array, Callable[[], Array]]]:
            for k, member in enumerate(self.members):
                if self.fit.uses(k):
                    opinion = read(member)
                    z = member.log_proba(opinion)
                    yield (
                        k,
                        _prepared(z, self.member_temperatures[k], self.softening),
                        opinion.proba,
                    )

        return self.fit.scores(opinions())


def _prepared(z: Array, temperature: float, softening: float) -> Array:
    """Calibrated log-probabilities, none far below log(softening)."""
    p = softmax(z / temperature)
    p *= 1.0 - softening
    p += softening / p.shape[1]
    return np.log(p, out=p)
