"""StackedPoolsMerge: several pools of calibrated members, weighted by leave-one-out loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

from skmergecal._numerics import log_softmax, row_losses, softmax
from skmergecal._partitions import Partitions, Rows
from skmergecal._temperature import TEMPERATURE_ALPHA, FitsWithoutRows, SlopesOfRows
from skmergecal._typing import Array, IntArray
from skmergecal.members import HeldOutMembers, HeldOutPart, Member, Opinion
from skmergecal.merging._settings import Settings
from skmergecal.merging.fitted._base import FittedMerge, OpinionReader, scores_of_part
from skmergecal.merging.fitted._log_pool import refuse_missing_classes
from skmergecal.merging.fitted._row_losses import (
    LossesOfRows,
    MergedLosses,
    RowLosses,
    Unscaled,
    scaled_losses,
)
from skmergecal.merging.fitted._temperatures import fit_scale, member_temperatures
from skmergecal.pooling import (
    CombinedFit,
    LooPredictions,
    learn_classwise_pool,
    learn_combined_pool,
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
        refuse_missing_classes(held_out.members, held_out.classes, held_out)
        softening = 1 / (held_out.total_weight + 1)
        what = (with_linear, None if with_linear else settings.alpha)
        temperatures, fit, loo = held_out.memo.result(
            ("combined pool", *what), lambda: _fit(held_out, softening, *what)
        )
        factors = fit.member_factors
        total = float(factors.sum())
        weights = factors / total if total else np.full(len(factors), 1 / len(factors))
        learned = cls(held_out.members, weights, temperatures, 1.0, fit, softening)
        unscaled = learned

        def merged() -> Partitions[Rows]:
            return held_out.parts.map(_scores_as_rows, unscaled.light())

        if settings.calibrates_merged:
            scale = held_out.memo.result(("its temperature", *what), lambda: fit_scale(merged()))
            learned = replace(learned, temperature=scale)

        def losses() -> Partitions[RowLosses]:
            logs = held_out.log_rows
            slopes = logs.map(SlopesOfRows, temperatures.tolist())
            fits = FitsWithoutRows.of(slopes, temperatures.tolist(), _alpha(held_out))
            members = logs.map_with(slopes, _member_losses, fits).map_with(loo, _with_pools)
            if settings.calibrates_merged:
                scaled = scaled_losses(
                    merged().map_with(loo, _unscaled),
                    learned.temperature,
                    scale_learned=with_linear or settings.alpha == "auto",
                )
                members = members.map_with(scaled, _with_merged)
            return members

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
) -> tuple[Array, CombinedFit, Partitions[LooPredictions]]:
    """The members' temperatures, the pools, and what these predict of each row without it."""
    rows = held_out.log_rows
    members = [member.without_estimator() for member in held_out.members]
    temperatures = member_temperatures(held_out, rows, _alpha(held_out))
    logs = held_out.parts.map(_calibrated_rows, members, temperatures, softening)
    logs = logs.stored("calibrated opinions")
    if with_linear:
        fit, loo = learn_combined_pool(logs, held_out.parts.map(HeldOutPart.proba_rows))
    elif alpha == "auto":
        fit, loo = learn_combined_pool(logs, None, cross_class=False)
        loo = loo.map(_without_pools)
    else:
        classwise, loo = learn_classwise_pool(logs, float(alpha))
        fit = CombinedFit(classwise)
    return np.array(temperatures), fit, loo


def _calibrated_rows(
    part: HeldOutPart, members: Sequence[Member], temperatures: Sequence[float], softening: float
) -> Rows:
    known = zip(members, part.opinions, temperatures, strict=True)
    logs = [_calibrated(member, opinion, t, softening)[1] for member, opinion, t in known]
    return Rows(logs, part.y, part.weight)


def _without_pools(loo: LooPredictions) -> LooPredictions:
    return replace(loo, pools={})


def _scores_as_rows(part: HeldOutPart, merge: StackedPoolsMerge) -> Rows:
    """Scores of the pools as the only opinion."""
    return Rows([scores_of_part(part, merge)], part.y, part.weight)


def _unscaled(merged: Rows, loo: LooPredictions) -> Unscaled:
    return Unscaled(loo.log_proba, merged.opinions[0], merged.y, merged.weight)


def _alpha(held_out: HeldOutMembers) -> float:
    """Strength of the penalty on the log of each member's temperature.

    Each member gets a temperature and a weight.
    """
    return penalty_strength(TEMPERATURE_ALPHA, 2 * len(held_out.members), held_out.total_weight)


class _MemberLosses(NamedTuple):
    losses: Sequence[Array]
    y: IntArray
    weight: Array | None


def _member_losses(rows: Rows, slopes: SlopesOfRows, fits: FitsWithoutRows) -> _MemberLosses:
    """Losses of each member's rows after its temperature, which was fitted without the row."""
    each = zip(rows.opinions, slopes.temperatures(fits), strict=True)
    losses = [row_losses(log_softmax(z / without[:, None]), rows.y) for z, without in each]
    return _MemberLosses(losses, rows.y, rows.weight)


def _with_pools(members: _MemberLosses, loo: LooPredictions) -> RowLosses:
    merged = row_losses(loo.log_proba, members.y)
    return RowLosses(merged, members.losses, members.weight, loo.pools)


def _with_merged(losses: RowLosses, merged: MergedLosses) -> RowLosses:
    return replace(losses, merged=merged.losses)


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
