"""Members that are networks: their rows as arrays, and the one network that they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skmergecal._compat import _num_samples, _safe_indexing
from skmergecal._numerics import softmax
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.members import Collected, Fold, Member, Opinion, Rows, fitted_member
from skmergecal.members._skorch import as_net_input, is_skorch
from skmergecal.members._sources import transform_to_final
from skmergecal.merging._settings import Settings
from skmergecal.parameters import (
    Parameters,
    fold_temperature,
    merge_parameters,
    read_parameters,
    write_parameters,
)
from skmergecal.parameters._network import as_float64, two_columns

__all__ = ["MergedMember", "merge_members", "rows_to_merge_on"]

#: A member and its description may differ by this in probability: rounding of float32 nets.
_SAME_PROBABILITY = 1e-4
_ROWS_TO_COMPARE = 100


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

    Raises
    ------
    IncompatibleEstimatorsError
        If the members are not of one architecture, or cannot be aligned.
    """
    parameters = [
        fold_temperature(read_parameters(member.estimator), float(t))
        for member, t in zip(members, temperatures, strict=True)
    ]
    alignment = None if settings is None else settings.alignment
    repair = None if settings is None else settings.repair
    first = members[0]
    rows = None
    if (weights > 0).sum() > 1 and parameters[0].network is not None and len(X):
        like = write_parameters(first.estimator, parameters[0])
        blocks = [network_rows(like, block) for block in X]
        _check_widths(blocks)
        rows = np.concatenate(blocks)
        if alignment is not None or repair is not None:
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


def rows_to_merge_on(
    found: Collected, fold: Fold | None, rows: Rows, settings: Settings
) -> list[Any]:
    """Rows without labels that a merge may look at.

    Those that were given as such; and, for the model of all rows and for frozen members, the rows
    of ``fit``, but within a fold those that it does not hold out.
    """
    kept = rows.kept
    if fold is not None and found.cross_fitted:
        inside = np.setdiff1d(kept, found.rows[fold.places])
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
    final, Z = transform_to_final(estimator, X)
    if is_skorch(final):
        Z = as_net_input(final, Z)
    return np.asarray(Z.toarray() if hasattr(Z, "toarray") else Z, dtype=np.float64)


def _check_descriptions(
    members: Sequence[Member], parameters: Sequence[Parameters], weights: Array, X: Any
) -> None:
    """Check that the description of each network says what the estimator says.

    Raises
    ------
    IncompatibleEstimatorsError
        If a module computes something else than its description.
    """
    few: IntArray = np.arange(min(_ROWS_TO_COMPARE, _num_samples(X)))
    X = _safe_indexing(X, few)
    for member, own, weight in zip(members, parameters, weights, strict=True):
        if weight == 0 or own.network is None:
            continue
        estimator = write_parameters(member.estimator, own)
        written = fitted_member(member.name, estimator, member)
        said = Opinion(written.read(X), written.logarithmic).proba()
        described = own.network.logits(as_float64(own.arrays), network_rows(estimator, X))
        error = float(np.abs(softmax(two_columns(described)) - said).max())
        if error > _SAME_PROBABILITY:
            msg = (
                f"the description of the network of estimator {member.name!r} differs from it by "
                f"{error:.2g} in probability: pass alignment=None, or use method='logits'"
            )
            raise IncompatibleEstimatorsError(msg)
