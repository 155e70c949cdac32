"""One model from the parameters of members: merged for each fold and for the final members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skmergecal._compat import _num_samples, _safe_indexing
from skmergecal._networks import as_float64, two_columns
from skmergecal._numerics import ROWS_TO_COMPARE, SAME_IN_SINGLE_PRECISION, softmax
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.members import (
    FitRows,
    Fold,
    HeldOutMembers,
    Member,
    Opinion,
    as_net_input,
    concatenate,
    fitted_last_step,
    fitted_member,
    in_known_form,
    is_skorch,
)
from skmergecal.merging._settings import Settings
from skmergecal.parameters import (
    Parameters,
    fold_temperature,
    merge_parameters,
    on_same_columns,
    read_parameters,
    write_parameters,
)

__all__ = [
    "FoldMerges",
    "MergedMember",
    "check_rewriting",
    "merge_members",
    "rows_to_merge_on",
]


@dataclass(frozen=True)
class MergedMember:
    """The merged model, and the models on the way to it.

    Attributes
    ----------
    stages : dict of str to Member
    chosen : str
        The stage that is the result.
    """

    stages: Mapping[str, Member]
    chosen: str

    @property
    def member(self) -> Member:
        """The result."""
        return self.stages[self.chosen]


def merge_members(
    members: Sequence[Member],
    weights: Array,
    temperatures: Array,
    settings: Settings | None = None,
    X: Sequence[Any] = (),
    parameters: Sequence[Parameters] | None = None,
) -> MergedMember:
    """Merge the parameters of fitted members, temperatures folded in.

    Parameters
    ----------
    members : sequence of Member
    weights, temperatures : ndarray of shape (n_members,)
    settings : Settings, default=None
        With ``alignment`` and ``repair``; None averages the parameters as they are.
    X : sequence of array-like
        Blocks of rows for alignment and repair, as the members take them.
    parameters : sequence of Parameters, default=None
        Those of the members as `same_input` gives them, where they are at hand.

    Raises
    ------
    IncompatibleEstimatorsError
        If the members are not of one architecture, or cannot be aligned.
    """
    if parameters is None:
        parameters = same_input(members, temperatures)
    alignment = None if settings is None else settings.alignment
    repair = None if settings is None else settings.repair
    first = members[0]
    rows = None
    aligns = alignment is not None or repair in ("least_squares", "rescale")
    several = (weights > 0).sum() > 1 and len(X) > 0
    if several and (parameters[0].network is not None if aligns else parameters[0].has_statistics):
        like = write_parameters(first.estimator, parameters[0])
        blocks = [network_rows(like, block) for block in X]
        _check_widths(blocks)
        rows = np.concatenate(blocks)
        if aligns:
            _check_descriptions(members, parameters, weights, X[0])
    merged = merge_parameters(
        parameters,
        weights,
        alignment=alignment,
        repair=repair,
        X=rows,
        names=[member.name for member in members],
    )
    stages = {
        name: fitted_member("merged", write_parameters(first.estimator, stage), first)
        for name, stage in merged.stages.items()
    }
    return MergedMember(stages, merged.chosen)


def same_input(members: Sequence[Member], temperatures: Array) -> list[Parameters]:
    """Parameters of members, temperatures folded in, all for the same input."""
    read = [
        fold_temperature(read_parameters(member.estimator), float(t))
        for member, t in zip(members, temperatures, strict=True)
    ]
    return on_same_columns(read, [member.name for member in members])


def rows_to_merge_on(
    held_out: HeldOutMembers, fold: Fold | None, rows: FitRows, settings: Settings
) -> list[Any]:
    """Rows without labels that a merge may look at.

    Those that were given as such; and, for the model of all rows and for frozen members, the rows
    of ``fit``, but within a fold those that it does not hold out.
    """
    kept = rows.kept
    if fold is not None and held_out.cross_fitted:
        inside = np.setdiff1d(kept, held_out.rows[fold.places])
        kept = inside if len(inside) else kept
    blocks = [_safe_indexing(rows.X, kept)]
    return blocks if settings.unlabeled is None else [*blocks, settings.unlabeled]


def _check_widths(blocks: Sequence[Array]) -> None:
    for block in blocks[1:]:
        if block.shape[1:] != blocks[0].shape[1:]:
            msg = (
                f"X_unlabeled should have {blocks[0].shape[1]} columns, as X; "
                f"it has {block.shape[1]}"
            )
            raise ValueError(msg)


def network_rows(estimator: Estimator, X: Any) -> Array:
    """The rows as the network of an estimator takes them, in float64."""
    final, Z = fitted_last_step(estimator, in_known_form(estimator, X))
    if is_skorch(final):
        Z = as_net_input(final, Z)
    return np.asarray(Z.toarray() if hasattr(Z, "toarray") else Z, dtype=np.float64)


def _check_descriptions(
    members: Sequence[Member], parameters: Sequence[Parameters], weights: Array, X: Any
) -> None:
    """Check that the description of each network gives what the estimator gives.

    Raises
    ------
    IncompatibleEstimatorsError
        If a module computes something else than its description.
    """
    few: IntArray = np.arange(min(ROWS_TO_COMPARE, _num_samples(X)))
    X = _safe_indexing(X, few)
    for member, own, weight in zip(members, parameters, weights, strict=True):
        if weight == 0 or own.network is None:
            continue
        estimator = write_parameters(member.estimator, own)
        written = fitted_member(member.name, estimator, member)
        given = Opinion(written.read(X), written.logarithmic).proba()
        described = own.network.logits(as_float64(own.arrays), network_rows(estimator, X))
        error = float(np.abs(softmax(two_columns(described)) - given).max())
        if error > SAME_IN_SINGLE_PRECISION:
            msg = (
                f"the description of the network of estimator {member.name!r} differs from it by "
                f"{error:.2g} in probability: pass alignment=None, or use method='logits'"
            )
            raise IncompatibleEstimatorsError(msg)


def check_rewriting(merges: FoldMerges) -> None:
    """Check that each member, written again with all that is folded into it, gives the same.

    Raises
    ------
    IncompatibleEstimatorsError
        If preprocessing or a temperature went into a layer where it does not belong.
    """
    held_out = merges.held_out
    fold = held_out.folds[0]
    places = slice(0, min(fold.places.stop, ROWS_TO_COMPARE))
    X = _safe_indexing(merges.rows.X, held_out.rows[places])
    parameters = merges.parameters_of(fold)
    for i, (member, t) in enumerate(zip(fold.members, merges.temperatures, strict=True)):
        written = write_parameters(member.estimator, parameters[i])
        alone = fitted_member(member.name, written, member)
        rewritten = Opinion(alone.read(X), alone.logarithmic)
        raw = held_out.opinions[i].values[places][:, member.columns]
        error = _difference(Opinion(raw, held_out.opinions[i].logarithmic), rewritten, t)
        if error > SAME_IN_SINGLE_PRECISION:  # its output may depend on the rows beside a row
            error = _difference(Opinion(member.read(X), member.logarithmic), rewritten, t)
        if error > SAME_IN_SINGLE_PRECISION:
            msg = (
                f"estimator {member.name!r} changes its probabilities by {error:.2g} when its "
                "preprocessing or temperature is folded into its layers. Its module may not begin "
                "and end with the linear layers that it defines first and last, or lose digits of "
                "features with large means. Scale the data before they reach the members, use "
                "calibrate='merged' for temperatures, or use method='logits'."
            )
            raise IncompatibleEstimatorsError(msg)


def _difference(before: Opinion, after: Opinion, t: float) -> float:
    expected = before.log_proba(0.0) / t
    return float(np.abs(softmax(after.log_proba(0.0)) - softmax(expected)).max())


@dataclass
class FoldMerges:
    """The merges within the folds, and of the final members, each made once."""

    held_out: HeldOutMembers
    temperatures: Array
    settings: Settings
    rows: FitRows
    latest: tuple[bytes, list[MergedMember]] = (b"", [])
    read: dict[int, list[Parameters]] = field(default_factory=dict)

    def parameters_of(self, fold: Fold | None) -> list[Parameters]:
        """Parameters of the members of a fold, or of the final ones, read once."""
        key = -1 if fold is None else fold.places.start
        if key not in self.read:
            members = self.held_out.members if fold is None else fold.members
            self.read[key] = same_input(members, self.temperatures)
        return self.read[key]

    def within_folds(self, weights: Array) -> list[MergedMember]:
        """One merge for each fold; those of the latest weights are kept."""
        key = weights.tobytes()
        if self.latest[0] != key:
            self.latest = (
                key,
                [self._merge(fold.members, fold, weights) for fold in self.held_out.folds],
            )
        return self.latest[1]

    def _merge(self, members: Sequence[Member], fold: Fold | None, weights: Array) -> MergedMember:
        X = rows_to_merge_on(self.held_out, fold, self.rows, self.settings)
        parameters = self.parameters_of(fold)
        return merge_members(members, weights, self.temperatures, self.settings, X, parameters)

    def final(self, weights: Array) -> MergedMember:
        """The merge of the final members: that of the only fold, if nothing is cross-fitted."""
        if not self.held_out.cross_fitted:
            return self.within_folds(weights)[0]
        return self._merge(self.held_out.members, None, weights)

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
        for model, fold in zip(models, self.held_out.folds, strict=True):
            X = _safe_indexing(self.rows.X, self.held_out.rows[fold.places])
            parts.append(model.align(model.read(X)))
        return concatenate(parts)
