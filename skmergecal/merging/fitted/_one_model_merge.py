"""OneModelMerge: one model from the parameters of the members, with its barrier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from skmergecal._numerics import (
    add_weighted,
    log_softmax,
    mean_and_error,
    mean_loss,
    row_losses,
)
from skmergecal._partitions import InMemory, Partitions, Rows
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal._warnings import warn_user
from skmergecal.exceptions import IncompatibleEstimatorsError, MergeBarrierWarning
from skmergecal.members import FitRows, HeldOutMembers, Member, Opinion
from skmergecal.merging._greedy_loss import held_out_loss
from skmergecal.merging._merge_report import MergeReport
from skmergecal.merging._one_model import FoldMerges, check_rewriting, merge_members
from skmergecal.merging._settings import Settings
from skmergecal.merging.fitted._base import FittedMerge, OpinionReader
from skmergecal.merging.fitted._log_pool import LogPoolMerge
from skmergecal.merging.fitted._row_losses import (
    LossesOfRows,
    MergedLosses,
    RowLosses,
    Unscaled,
    join_losses,
    scaled_losses,
)
from skmergecal.merging.fitted._temperatures import (
    calibrated_rows,
    fit_scale,
    loo_opinions,
)
from skmergecal.pooling import fit_logarithmic_pool, greedy_soup, greedy_soup_with_replacement

__all__ = ["OneModelMerge"]

#: Losses that differ by less are the same, but for the rounding of parameters.
SAME_LOSS = 1e-6


@dataclass(frozen=True)
class OneModelMerge(FittedMerge):
    """One model of averaged parameters.

    Attributes
    ----------
    merged : Member
        The model.
    barrier : float
        Its loss minus the weighted mean loss of the members, in nats; NaN if not measured.
    member_loss : float
        That weighted mean loss.
    report : MergeReport or None
        Losses on the way to the model.
    """

    merged: Member
    barrier: float = np.nan
    member_loss: float = np.nan
    report: MergeReport | None = None

    @classmethod
    def learn(
        cls, held_out: HeldOutMembers, settings: Settings, rows: FitRows
    ) -> tuple[Self, Array, LossesOfRows]:
        """Learn the weights, merge within each fold to measure, and merge the final members.

        Returns
        -------
        OneModelMerge, ndarray of shape (n_held_out, n_classes), callable
            The held-out log-probabilities are those of the models merged within the folds.
        """
        y, weight = held_out.y, held_out.sample_weight
        _refuse_other_classes(held_out.members)
        calibrated, temperatures = calibrated_rows(held_out, settings)
        assert isinstance(calibrated, InMemory)
        z = list(calibrated.part.opinions)
        merges = FoldMerges(held_out, temperatures, settings, rows, z)
        try:
            check_rewriting(merges)
        except IncompatibleEstimatorsError as error:
            if not settings.distils:
                raise
            merges.obstacle = error

        def softened(opinion: Opinion) -> Array:
            return opinion.log_proba(opinion.softening(weight))

        def merged_opinion(weights: Array) -> Array:
            if merges.distils:  # not trained again for each choice: their pool is what they learn
                return add_weighted(z, weights)
            return softened(merges.opinion(weights))

        weights = _learn_weights(held_out, settings, z, merged_opinion)
        opinion = merges.opinion(weights)
        log_proba = softened(opinion)
        final = merges.final(weights)
        merged = final.member.with_softening(opinion, weight)
        losses = np.array([mean_loss(log_softmax(m), y, weight) for m in z])
        member_loss = float(weights @ losses)
        barrier = mean_loss(log_proba, y, weight) - member_loss
        if held_out.cross_fitted:
            # The model of all rows was not measured yet. On rows that it was trained on it must
            # do no worse than its members do on rows that they did not see.
            barrier = max(barrier, _training_loss(merged, held_out, rows) - member_loss)
        temperature = 1.0
        if settings.calibrates_merged:
            temperature = fit_scale(InMemory(Rows([log_proba], y, weight)))
        losses_of_stages = {
            final.label if name == final.chosen else name: mean_loss(softened(stage), y, weight)
            for name, stage in merges.stage_opinions(weights).items()
        }
        report = MergeReport(
            members={m.name: float(v) for m, v in zip(held_out.members, losses, strict=True)},
            stages=losses_of_stages,
            merged=mean_loss(log_proba, y, weight),
            pool=mean_loss(log_softmax(add_weighted(z, weights)), y, weight),
            chosen=final.label,
            barrier=barrier,
            **_against_best(log_proba, z, weights, y, weight),
        )
        fitted = cls(
            held_out.members,
            weights,
            temperatures,
            temperature,
            merged,
            barrier,
            member_loss,
            report,
        )
        merged_rows = InMemory(Rows([log_proba], y, weight))
        return fitted, log_proba, lambda: fitted._losses(merged_rows, calibrated, settings)

    def _losses(
        self, merged_rows: Partitions[Rows], calibrated: Partitions[Rows], settings: Settings
    ) -> Partitions[RowLosses]:
        """Losses of the held-out rows, temperatures learned without each row.

        The weights were learned from all of them, a few numbers for a whole model.
        """
        if settings.calibrates_merged:
            merged = scaled_losses(merged_rows.map(_unscaled), self.temperature)
        else:
            merged = merged_rows.map(MergedLosses.of)
        members = loo_opinions(calibrated, self.member_temperatures, settings)
        return members.map_with(merged, join_losses)

    @classmethod
    def without_rows(
        cls, members: Sequence[Member], weights: Array, settings: Settings | None = None
    ) -> Self:
        """Merge frozen members; without labelled rows nothing can be measured."""
        _refuse_other_classes(members)
        ones = np.ones(len(members))
        X = [] if settings is None or settings.unlabeled is None else [settings.unlabeled]
        found = merge_members(members, weights, ones, settings, X)
        merged = found.member.with_default_softening()
        warn_user(
            "without rows it cannot be measured how good the averaged parameters are "
            "(barrier_ is NaN): pass held-out X and y to from_fitted",
            MergeBarrierWarning,
        )
        unknown = dict.fromkeys([member.name for member in members], np.nan)
        report = MergeReport(unknown, {}, np.nan, np.nan, found.label, np.nan)
        return cls(members, weights, ones, 1.0, merged, report=report)

    def scores(self, read: OpinionReader) -> Array:
        """Log-probabilities of the merged model."""
        return self.merged.log_proba(read(self.merged))

    def read_scores(self, X: Any, owner: Estimator) -> Array:
        """Scores from the merged model alone, which no cache can make faster."""
        return self.merged.read_scores(X)

    def members_pool(self) -> FittedMerge:
        """The logit pool of the members, which the one model was made to follow."""
        return LogPoolMerge(self.members, self.weights, self.member_temperatures, 1.0)


def _against_best(
    log_proba: Array, z: Sequence[Array], weights: Array, y: IntArray, weight: Array | None
) -> dict[str, float]:
    """The loss of the best member that takes part, and how far the merged model is above it."""
    losses = [row_losses(log_softmax(m), y) for m, w in zip(z, weights, strict=True) if w > 0]
    best = min(losses, key=lambda own: float(np.average(own, weights=weight)))
    above, error = mean_and_error(row_losses(log_proba, y) - best, weight)
    if abs(above) < SAME_LOSS:
        above = 0.0
    with np.errstate(divide="ignore"):
        z_of_difference = float(np.divide(above, error)) if above else 0.0
    return {"best_member_loss": float(np.average(best, weights=weight)), "z": z_of_difference}


def _unscaled(rows: Rows) -> Unscaled:
    (log_proba,) = rows.opinions
    return Unscaled(log_proba, log_proba, rows.y, rows.weight)


def _learn_weights(
    held_out: HeldOutMembers,
    settings: Settings,
    z: Sequence[Array],
    merged: Callable[[Array], Array],
) -> Array:
    """Weights for the parameters; ``merged`` gives the held-out opinion of a merge with weights."""
    if not isinstance(settings.weights, str):
        return settings.weights
    if settings.weights == "log_loss":
        y, weight = held_out.y, held_out.sample_weight
        return fit_logarithmic_pool(z, y, weight, alpha=settings.alpha).weights
    soup = greedy_soup if settings.weights == "greedy" else greedy_soup_with_replacement
    loss = held_out_loss(held_out, settings.scoring)
    return soup([loss(log_softmax(m)) for m in z], lambda w: loss(merged(w)))


def _refuse_other_classes(members: Sequence[Member]) -> None:
    """Raise where a member lacks a class, or has its outputs in another order than the first."""
    first = members[0]
    for member in members:
        if not len(member.missing) and np.array_equal(member.columns, first.columns):
            continue
        what, other, instead = "has them in another order", first, "logits"
        if len(member.missing):
            wider = [m for m in members if np.isin(member.missing, m.columns).any()]
            what, other = "lacks a class that others know", (wider or members)[0]
            instead = "probabilities"
        msg = (
            f"estimator {member.name!r} has the classes {member.classes.tolist()}, estimator "
            f"{other.name!r} {other.classes.tolist()}: {member.name!r} {what}, and parameters can "
            f"be averaged only for the same classes in the same order. Use method={instead!r}."
        )
        raise IncompatibleEstimatorsError(msg)


def _training_loss(merged: Member, held_out: HeldOutMembers, rows: FitRows) -> float:
    model = merged.read_log_proba(rows.kept_X)
    columns = np.searchsorted(held_out.classes, rows.labels[rows.kept])
    weight = None if rows.sample_weight is None else rows.sample_weight[rows.kept]
    return mean_loss(model, columns, weight)
