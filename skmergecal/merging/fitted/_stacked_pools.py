"""StackedPoolsMerge: several pools of calibrated members, weighted by leave-one-out loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Self

import numpy as np

from skmergecal._numerics import log_softmax, row_losses, softmax
from skmergecal._partitions import InMemory, Partitions, Rows
from skmergecal._temperature import TEMPERATURE_ALPHA, loo_temperatures
from skmergecal._typing import Array
from skmergecal.members import HeldOutMembers, HeldOutPart, Member, Opinion, PartitionedMembers
from skmergecal.merging._settings import Settings
from skmergecal.merging.fitted._base import FittedMerge, OpinionReader
from skmergecal.merging.fitted._log_pool import refuse_missing_classes
from skmergecal.merging.fitted._row_losses import LossesOfRows, RowLosses, Unscaled, scaled_losses
from skmergecal.merging.fitted._temperatures import fit_scale, member_temperature
from skmergecal.pooling import (
    CombinedFit,
    LooPredictions,
    classwise_pool_with_loo,
    combined_pool_with_loo,
    penalty_strength,
)

__all__ = ["StackedPoolsMerge"]


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
    def learn(
        cls, held_out: HeldOutMembers, settings: Settings, *, with_linear: bool
    ) -> tuple[Self, LossesOfRows]:
        """Learn temperatures, class-wise weights and, if wanted, a linear pool beside them."""
        if isinstance(held_out, PartitionedMembers):
            msg = (
                "method='auto' and weights='classwise' learn from arrays, and X is a Dask "
                "collection: use method='logits' or method='probabilities' with "
                "weights='log_loss', or pass arrays of some of the rows"
            )
            raise ValueError(msg)
        refuse_missing_classes(held_out.members, held_out.classes, held_out)
        y, weight = held_out.y, held_out.sample_weight
        softening = 1 / (held_out.total_weight + 1)
        what = (with_linear, None if with_linear else settings.alpha)
        temperatures, fit, loo = held_out.memo.result(
            ("combined pool", *what), lambda: _fit(held_out, softening, *what)
        )
        factors = fit.member_factors
        total = float(factors.sum())
        weights = factors / total if total else np.full(len(factors), 1 / len(factors))
        learned = cls(held_out.members, weights, temperatures, 1.0, fit, softening)
        scores = cache(partial(learned.held_out_scores, held_out))
        if settings.calibrates_merged:
            scale = held_out.memo.result(
                ("its temperature", *what),
                lambda: fit_scale(InMemory(Rows([scores()], y, weight))),
            )
            learned = replace(learned, temperature=scale)

        def losses() -> Partitions[RowLosses]:
            members = _member_losses(held_out, temperatures)
            if not settings.calibrates_merged:
                merged = row_losses(loo.log_proba, y)
                return InMemory(RowLosses(merged, members, weight, loo.pools))
            unscaled = Unscaled(loo.log_proba, scores(), y, weight)
            scaled = scaled_losses(
                InMemory(unscaled),
                learned.temperature,
                scale_learned=with_linear or settings.alpha == "auto",
            )
            return scaled.map(lambda m: RowLosses(m.losses, members, weight, loo.pools))

        return learned, losses

    def scores(self, read: OpinionReader) -> Array:
        """Scores of the pools; members are read one after the other."""

        def opinions() -> Iterator[tuple[int, Array, Array, Callable[[], Array]]]:
            for k, member in enumerate(self.members):
                if self.weights[k] > 0 or self.fit.uses(k):
                    opinion = read(member)
                    temperature = float(self.member_temperatures[k])
                    p, log_p = _calibrated(member, opinion, temperature, self.softening)
                    yield k, log_p, p, opinion.proba

        return self.fit.scores(opinions())


def _fit(
    held_out: HeldOutMembers, softening: float, with_linear: bool, alpha: Any
) -> tuple[Array, CombinedFit, LooPredictions]:
    """The members' temperatures, the pools, and what these predict of each row without it."""
    y, weight = held_out.y, held_out.sample_weight
    logs, temperatures = [], []
    rows = held_out.parts.map(HeldOutPart.log_rows, held_out.softenings)
    for k, (member, opinion) in enumerate(zip(held_out.members, held_out.opinions, strict=True)):
        temperatures.append(member_temperature(held_out, k, rows, _alpha(held_out)))
        logs.append(_calibrated(member, opinion, temperatures[-1], softening)[1])
    if with_linear:
        proba = [opinion.proba() for opinion in held_out.opinions]
        fit, loo = combined_pool_with_loo(logs, y, weight, proba=proba)
    elif alpha == "auto":
        fit, loo = combined_pool_with_loo(logs, y, weight, cross_class=False)
        loo = replace(loo, pools={})
    else:
        classwise, loo = classwise_pool_with_loo(logs, y, weight, float(alpha))
        fit = CombinedFit(classwise)
    return np.array(temperatures), fit, loo


def _alpha(held_out: HeldOutMembers) -> float:
    """Strength of the penalty on the log of each member's temperature.

    Each member gets a temperature and a weight.
    """
    return penalty_strength(TEMPERATURE_ALPHA, 2 * len(held_out.members), held_out.total_weight)


def _member_losses(held_out: HeldOutMembers, temperatures: Array) -> list[Array]:
    """Losses of each member's rows after its temperature, which was fitted without the row."""
    y, weight = held_out.y, held_out.sample_weight
    losses = []
    for member, opinion, t in zip(held_out.members, held_out.opinions, temperatures, strict=True):
        z = member.log_proba(opinion)
        without = loo_temperatures(z, y, weight, float(t), _alpha(held_out))
        losses.append(row_losses(log_softmax(z / without[:, None]), y))
    return losses


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
