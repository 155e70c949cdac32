"""One model from the parameters of members: merged for each fold and for the final members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from skmergecal._compat import _num_samples, _safe_indexing
from skmergecal._networks import as_float64, side_by_side, two_columns
from skmergecal._numerics import (
    ROWS_TO_COMPARE,
    SAME_IN_SINGLE_PRECISION,
    add_weighted,
    log_softmax,
    softmax,
)
from skmergecal._training import check_same_inputs
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
from skmergecal.merging._distil_members import DistilledMerge, LogitPool, distil_members, nets_of
from skmergecal.merging._settings import Settings
from skmergecal.parameters import (
    Parameters,
    fold_temperature,
    merge_parameters,
    on_same_columns,
    read_parameters,
    take_same_rows,
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
    origin : str
        What a net was distilled from.
    """

    stages: Mapping[str, Member]
    chosen: str
    origin: str = ""

    @property
    def member(self) -> Member:
        """The result."""
        return self.stages[self.chosen]

    @property
    def label(self) -> str:
        """The name of the result."""
        if self.chosen == "member":
            return self.origin.removeprefix("from ")
        return f"{self.chosen} {self.origin}".strip() if self.chosen == "distilled" else self.chosen


def merge_members(
    members: Sequence[Member],
    weights: Array,
    temperatures: Array,
    settings: Settings | None = None,
    X: Sequence[Any] = (),
    parameters: Sequence[Parameters] | None = None,
    *,
    goals: Array | None = None,
    obstacle: IncompatibleEstimatorsError | None = None,
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
    goals : ndarray of shape (n_rows, n_classes), default=None
        Log-probabilities of the pool for the first rows, where these are known.
    obstacle : IncompatibleEstimatorsError, default=None
        Why parameters cannot be merged, where that is known.

    Raises
    ------
    IncompatibleEstimatorsError
        If the members are not of one architecture, or cannot be aligned, nor distilled.
    """
    if obstacle is None:
        try:
            if parameters is None:
                parameters = same_input(members, temperatures, X)
            return _merge_parameters(members, parameters, weights, settings, X)
        except IncompatibleEstimatorsError as error:
            obstacle = error
    if settings is None or not settings.distils:
        raise obstacle
    pool = LogitPool(members, weights, temperatures)
    return MergedMember(*_distil(pool, X, goals, obstacle))


def _distil(
    pool: LogitPool, X: Sequence[Any], goals: Array | None, obstacle: IncompatibleEstimatorsError
) -> DistilledMerge:
    """The way out where parameters cannot be merged: one of several nets learns from their pool.

    Raises
    ------
    IncompatibleEstimatorsError
        The obstacle, for other models than nets, and nets that take other rows.
    """
    nets = nets_of(pool.members)
    if nets is None or not take_same_rows([read_parameters(m.estimator) for m in pool.members]):
        raise obstacle
    if len(X) == 0:
        msg = f"{obstacle.reason}. Without rows, their pool cannot be distilled into one of them"
        remedy = "pass X, or X_unlabeled, or use alignment=None"
        raise IncompatibleEstimatorsError(msg, remedy) from obstacle
    try:
        parameters = same_input(pool.members, pool.temperatures, X)
        as_they_are = Settings("parameters", pool.weights, alignment=None, repair=None)
        plain = _merge_parameters(pool.members, parameters, pool.weights, as_they_are, X)
    except IncompatibleEstimatorsError:
        return distil_members(pool, nets, X, goals, None)
    return distil_members(pool, nets, X, goals, plain.member)


def _merge_parameters(
    members: Sequence[Member],
    parameters: Sequence[Parameters],
    weights: Array,
    settings: Settings | None,
    X: Sequence[Any],
) -> MergedMember:
    alignment = None if settings is None else settings.alignment
    repair = None if settings is None else settings.repair
    first = members[0]
    rows = None
    aligns = alignment is not None or repair in ("least_squares", "rescale")
    several = (weights > 0).sum() > 1 and len(X) > 0
    if several and (parameters[0].network is not None if aligns else parameters[0].has_statistics):
        like = write_parameters(first.estimator, parameters[0])
        for block in X[1:]:
            check_same_inputs(X[0], block)
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


def same_input(
    members: Sequence[Member], temperatures: Array, X: Sequence[Any] = ()
) -> list[Parameters]:
    """Parameters of members, temperatures folded in, all for the same input.

    Nets of several inputs are described for rows like those of X, a sequence of blocks.
    """
    few = _safe_indexing(X[0], np.arange(min(ROWS_TO_COMPARE, _num_samples(X[0])))) if X else None
    read = [
        fold_temperature(described_for(member.estimator, few), float(t))
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


def described_for(estimator: Estimator, X: Any) -> Parameters:
    """Parameters of an estimator; a net is described for rows like those of X."""
    parameters = read_parameters(estimator)
    if X is None or not is_skorch(fitted_last_step(estimator)[0]):
        return parameters
    return parameters.for_rows(_net_input(estimator, X))


def network_rows(estimator: Estimator, X: Any) -> Array:
    """The rows as the network of an estimator takes them, in float64: one matrix."""
    Z = _net_input(estimator, X)
    if isinstance(Z, Mapping) and len(Z) > 1:
        return side_by_side(Z)
    if isinstance(Z, Mapping):
        (Z,) = Z.values()
    return np.asarray(Z.toarray() if hasattr(Z, "toarray") else Z, dtype=np.float64)


def _net_input(estimator: Estimator, X: Any) -> Any:
    """The rows as the last step of an estimator takes them; of several inputs, by their names."""
    final, Z = fitted_last_step(estimator, in_known_form(estimator, X))
    return as_net_input(final, Z) if is_skorch(final) else Z


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
        rows = network_rows(estimator, X)
        try:
            described = own.network.logits(as_float64(own.arrays), rows)
        except (IndexError, ValueError):  # found for rows of another width, which it takes as well
            error = np.inf
        else:
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
    """The merges within the folds, and of the final members, each made once.

    Attributes
    ----------
    held_out : HeldOutMembers
    temperatures : ndarray of shape (n_members,)
    settings : Settings
    rows : FitRows
    opinions : sequence of ndarray of shape (n_held_out, n_classes)
        Log-probabilities of the members on the held-out rows, divided by their temperatures.
    obstacle : IncompatibleEstimatorsError or None
        Why their parameters cannot be merged, where that is known before.
    latest : tuple
        The latest weights with the merges within folds.
    """

    held_out: HeldOutMembers
    temperatures: Array
    settings: Settings
    rows: FitRows
    opinions: Sequence[Array]
    obstacle: IncompatibleEstimatorsError | None = None
    latest: tuple[bytes, list[MergedMember]] = (b"", [])
    read: dict[int, list[Parameters]] = field(default_factory=dict)

    def parameters_of(self, fold: Fold | None) -> list[Parameters]:
        """Parameters of the members of a fold, or of the final ones, read once."""
        key = -1 if fold is None else fold.places.start
        if key not in self.read:
            members = self.held_out.members if fold is None else fold.members
            few = _safe_indexing(self.rows.X, self.rows.kept[:ROWS_TO_COMPARE])
            self.read[key] = same_input(members, self.temperatures, [few])
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

    @cached_property
    def distils(self) -> bool:
        """Whether the nets are to learn from their pool, since parameters cannot be merged."""
        if self.obstacle is not None or not self.settings.distils:
            return self.settings.distils
        fold = self.held_out.folds[0]
        few = _safe_indexing(self.rows.X, self.rows.kept[:ROWS_TO_COMPARE])
        weights = np.full(len(fold.members), 1 / len(fold.members))
        cheap = replace(self.settings, alignment="weights", repair=None)
        try:
            _merge_parameters(fold.members, self.parameters_of(fold), weights, cheap, [few])
        except IncompatibleEstimatorsError:
            return True
        return False

    def _merge(self, members: Sequence[Member], fold: Fold | None, weights: Array) -> MergedMember:
        X = rows_to_merge_on(self.held_out, fold, self.rows, self.settings)
        parameters, obstacle = None, self.obstacle
        if obstacle is None:
            try:
                parameters = self.parameters_of(fold)
            except IncompatibleEstimatorsError as error:
                obstacle = error
        return merge_members(
            members,
            weights,
            self.temperatures,
            self.settings,
            X,
            parameters,
            goals=None if fold is not None and self.held_out.cross_fitted else self._goals(weights),
            obstacle=obstacle,
        )

    def _goals(self, weights: Array) -> Array | None:
        """What the pool predicts for rows of fit, out of fold; None if some are not held out."""
        kept, held = self.rows.kept, self.held_out.rows
        counts = np.bincount(np.searchsorted(kept, held), minlength=len(kept))
        if counts.min() == 0:
            return None
        total = np.zeros((len(kept), self.opinions[0].shape[1]))
        np.add.at(total, np.searchsorted(kept, held), add_weighted(self.opinions, weights))
        return log_softmax(total / counts[:, None])

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
