"""One model from the averaged parameters of the members, and whether that was a good idea."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from skmergecal._compat import _safe_indexing
from skmergecal._numerics import log_softmax, mean_loss, softmax
from skmergecal._typing import Array
from skmergecal._warnings import warn_user
from skmergecal.exceptions import (
    IncompatibleEstimatorsError,
    MergeBarrierError,
    MergeBarrierWarning,
)
from skmergecal.members import Collected, Fold, Member, Opinion, Rows, concatenate
from skmergecal.merging._combination import Combination, Reader
from skmergecal.merging._networks import MergedMember, merge_members, rows_to_merge_on
from skmergecal.merging._report import MergeReport
from skmergecal.merging._scoring import held_out_loss
from skmergecal.merging._settings import Settings, calibrated_opinions, fit_scale
from skmergecal.merging._soup import greedy_soup, greedy_soup_with_replacement
from skmergecal.pooling import fit_logarithmic_pool
from skmergecal.pooling._logarithmic import add_weighted

__all__ = ["ParameterCombination", "guard_barrier"]

#: A rewritten member may differ from itself by this in probability: rounding of float32 nets.
_SAME_PROBABILITY = 1e-4
_ROWS_TO_COMPARE = 100


def check_rewriting(found: Collected, temperatures: Array, rows: Rows) -> None:
    """Check that each member, written anew with all that is folded into it, says the same.

    Raises
    ------
    IncompatibleEstimatorsError
        If preprocessing or a temperature went into a layer where it does not belong.
    """
    fold = found.folds[0]
    places = slice(0, min(fold.places.stop, _ROWS_TO_COMPARE))
    X = _safe_indexing(rows.X, found.rows[places])
    for i, (member, t) in enumerate(zip(fold.members, temperatures, strict=True)):
        alone = merge_members([member], np.ones(1), np.array([t])).member
        raw = found.opinions[i].values[places][:, member.columns]
        expected = Opinion(raw, found.opinions[i].logarithmic).log_proba(0.0) / t
        rewritten = Opinion(alone.read(X), alone.logarithmic)
        error = float(np.abs(softmax(rewritten.log_proba(0.0)) - softmax(expected)).max())
        if error > _SAME_PROBABILITY:
            msg = (
                f"estimator {member.name!r} changes its probabilities by {error:.2g} when its "
                "preprocessing or temperature is folded into its layers: either its module does "
                "not begin or end with the linear layers that it defines first and last, or "
                "features of large means lose digits in its floating type (scale the data outside "
                "of the members then). Or use method='logits'."
            )
            raise IncompatibleEstimatorsError(msg)


@dataclass(frozen=True)
class ParameterCombination(Combination):
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
    def learn(cls, found: Collected, settings: Settings, rows: Rows) -> tuple[Self, Array]:
        """Learn the weights, merge within each fold to measure, and merge the final members.

        Returns
        -------
        ParameterCombination, ndarray of shape (n_held_out, n_classes)
            And the held-out log-probabilities of the models merged within the folds.
        """
        y, weight = found.y, found.sample_weight
        _refuse_other_classes(found.members)
        z, temperatures = calibrated_opinions(found, settings)
        check_rewriting(found, temperatures, rows)

        merges = _Merges(found, temperatures, settings, rows)

        def softened(opinion: Opinion) -> Array:
            return opinion.log_proba(1 / (found.total_weight + 1) if opinion.has_zeros else 0.0)

        weights = _learn_weights(found, settings, z, lambda w: softened(merges.opinion(w)))
        opinion = merges.opinion(weights)
        held_out = softened(opinion)
        final = merges.final(weights)
        merged = final.member.softened_for(opinion, found.total_weight)
        losses = np.array([mean_loss(log_softmax(m), y, weight) for m in z])
        member_loss = float(weights @ losses)
        barrier = mean_loss(held_out, y, weight) - member_loss
        if found.cross_fitted:
            # The model of all rows was not measured yet. On rows that it was trained on it must
            # do no worse than its members do on rows that they did not see.
            barrier = max(barrier, _training_loss(merged, found, rows) - member_loss)
        temperature = 1.0
        if settings.calibrates_merged:
            temperature = fit_scale(held_out, y, weight)
        losses_of_stages = {
            name: mean_loss(softened(stage), y, weight)
            for name, stage in merges.stage_opinions(weights).items()
        }
        report = MergeReport(
            members={m.name: float(v) for m, v in zip(found.members, losses, strict=True)},
            stages=losses_of_stages,
            merged=mean_loss(held_out, y, weight),
            pool=mean_loss(log_softmax(add_weighted(z, weights)), y, weight),
            chosen=final.chosen,
            barrier=barrier,
        )
        fitted = cls(
            found.members, weights, temperatures, temperature, merged, barrier, member_loss, report
        )
        return fitted, held_out

    @classmethod
    def without_rows(
        cls, members: Sequence[Member], weights: Array, settings: Settings | None = None
    ) -> Self:
        """Merge frozen members; without labelled rows nothing can be measured."""
        _refuse_other_classes(members)
        ones = np.ones(len(members))
        X = [] if settings is None or settings.unlabeled is None else [settings.unlabeled]
        merged = merge_members(members, weights, ones, settings, X).member.softened_by_default()
        warn_user(
            "without rows nobody can measure whether the averaged parameters are any good "
            "(barrier_ is NaN): pass held-out X and y to from_fitted",
            MergeBarrierWarning,
        )
        return cls(members, weights, ones, 1.0, merged)

    def scores(self, read: Reader) -> Array:
        """Log-probabilities of the merged model."""
        return self.merged.log_proba(read(self.merged))


@dataclass
class _Merges:
    """The merges within the folds, and of the final members, each made once."""

    found: Collected
    temperatures: Array
    settings: Settings
    rows: Rows
    latest: tuple[bytes, list[MergedMember]] = (b"", [])

    def within_folds(self, weights: Array) -> list[MergedMember]:
        """One merge for each fold; those of the latest weights are kept."""
        key = weights.tobytes()
        if self.latest[0] != key:
            self.latest = (
                key,
                [self._merge(fold.members, fold, weights) for fold in self.found.folds],
            )
        return self.latest[1]

    def _merge(self, members: Sequence[Member], fold: Fold | None, weights: Array) -> MergedMember:
        X = rows_to_merge_on(self.found, fold, self.rows, self.settings)
        return merge_members(members, weights, self.temperatures, self.settings, X)

    def final(self, weights: Array) -> MergedMember:
        """The merge of the final members: that of the only fold, if nothing is cross-fitted."""
        if not self.found.cross_fitted:
            return self.within_folds(weights)[0]
        return self._merge(self.found.members, None, weights)

    def opinion(self, weights: Array) -> Opinion:
        """Opinions of the merged models on the rows that their folds hold out."""
        return self._opinions([m.member for m in self.within_folds(weights)])

    def stage_opinions(self, weights: Array) -> dict[str, Opinion]:
        """The same for the stages that every fold went through."""
        merged = self.within_folds(weights)
        return {
            name: self._opinions([m.stages[name] for m in merged])
            for name in merged[0].stages
            if all(name in m.stages for m in merged)
        }

    def _opinions(self, models: Sequence[Member]) -> Opinion:
        parts = []
        for model, fold in zip(models, self.found.folds, strict=True):
            X = _safe_indexing(self.rows.X, self.found.rows[fold.places])
            parts.append(model.align(model.read(X)))
        return concatenate(parts)


def _learn_weights(
    found: Collected, settings: Settings, z: Sequence[Array], merged: Callable[[Array], Array]
) -> Array:
    """Weights for the parameters; ``merged`` gives the held-out opinion of a merge with weights."""

    def by_logit_pool() -> Array:
        return fit_logarithmic_pool(z, found.y, found.sample_weight, alpha=settings.alpha).weights

    def by_soup(soup: Callable[..., Array]) -> Array:
        loss = held_out_loss(found, settings.scoring)
        return soup([loss(log_softmax(m)) for m in z], lambda w: loss(merged(w)))

    return settings.learn_weights(
        {
            "log_loss": by_logit_pool,
            "greedy": lambda: by_soup(greedy_soup),
            "greedy_replacement": lambda: by_soup(greedy_soup_with_replacement),
        }
    )


def _refuse_other_classes(members: Sequence[Member]) -> None:
    """Raise where a member lacks a class, or has its outputs in another order than the first."""
    first = members[0]
    for member in members:
        missing = len(member.columns) < member.n_classes
        if missing or not np.array_equal(member.columns, first.columns):
            what = "lacks a class that others know" if missing else "has them in another order"
            msg = (
                f"estimator {member.name!r} has the classes {member.classes.tolist()}, estimator "
                f"{first.name!r} {first.classes.tolist()}: {member.name!r} {what}, and parameters "
                "can be averaged only for the same classes in the same order. Use method='logits'."
            )
            raise IncompatibleEstimatorsError(msg)


def _training_loss(merged: Member, found: Collected, rows: Rows) -> float:
    model = merged.read_log_proba(rows.kept_X)
    columns = np.searchsorted(found.classes, rows.labels[rows.kept])
    weight = None if rows.sample_weight is None else rows.sample_weight[rows.kept]
    return mean_loss(model, columns, weight)


def guard_barrier(combination: ParameterCombination, settings: Settings) -> bool:
    """Whether the merged model may be used; if not, what ``on_barrier`` says is done.

    Raises
    ------
    MergeBarrierError
        With ``on_barrier="raise"``.

    Warns
    -----
    MergeBarrierWarning
        With ``on_barrier="warn"`` (and the model is used), or ``"logits"`` (and it is not).
    """
    tolerated = settings.barrier_tolerance * combination.member_loss
    if not combination.barrier > tolerated:
        return True
    loss = combination.member_loss
    msg = (
        f"the averaged parameters make a model with log loss {loss + combination.barrier:.4g}, "
        f"while the members have {loss:.4g} on average (barrier {combination.barrier:.4g}, "
        f"tolerated {tolerated:.4g}): nets from different starts cannot be averaged as they are. "
        "Use alignment='auto' and repair='auto', with the members' training rows as X_unlabeled, "
        "or method='logits', or members trained from one start."
    )
    if settings.on_barrier == "raise":
        raise MergeBarrierError(msg)
    if settings.on_barrier == "logits":
        msg += " The logit pool is used instead."
    warn_user(msg, MergeBarrierWarning)
    return settings.on_barrier != "logits"
