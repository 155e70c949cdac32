"""Members of a merge, fitted or read as the parameters of MergedClassifier say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from skmergecal._typing import Estimator, IntArray, NamedEstimators
from skmergecal.members import (
    SOFTENING_WITHOUT_ROWS,
    Cache,
    FitRows,
    HeldOutMembers,
    Member,
    all_frozen,
    collect,
    frozen_members,
    refuse_lacking,
    route_fit_params,
)
from skmergecal.merging._settings import Settings

__all__ = ["collect_members", "members_without_rows", "what_is_averaged"]


def collect_members(
    merged: Estimator,
    estimators: NamedEstimators,
    settings: Settings,
    rows: FitRows,
    params: dict[str, Any],
    held_out: bool,
    held_by: Mapping[str, list[IntArray]] | None,
) -> HeldOutMembers:
    """Members of rows in memory.

    Parameters
    ----------
    merged : MergedClassifier
    estimators, rows, held_by
        As for `collect`.
    settings : Settings
    params : dict
        Parameters of ``fit``; among them the weights, if there are some.
    held_out : bool
        Whether held-out opinions are needed in any case.
    """
    return collect(
        estimators,
        rows,
        cv=merged.cv,
        routed=route_fit_params(merged, estimators, params.pop("sample_weight"), params),
        cache=Cache(merged.memory),
        n_jobs=merged.n_jobs,
        held_out=settings.needs_held_out() or merged.method == "parameters" or held_out,
        opinions=merged.method not in ("auto", "logits") or all_frozen(estimators),
        average=None if merged.refit else what_is_averaged(merged.method),
        held_by=held_by,
        missing_classes=merged.missing_classes,
    )


def members_without_rows(
    merged: Estimator, estimators: NamedEstimators
) -> tuple[list[Member], np.ndarray]:
    """Frozen members where there are no rows, and the merged classes."""
    members, classes = frozen_members(estimators, Cache(merged.memory))
    if merged.missing_classes == "error":
        refuse_lacking(members, classes)
    elif merged.missing_classes == "soften":
        fill = SOFTENING_WITHOUT_ROWS / len(classes)
        members = [member.filled(fill) for member in members]
    return [member.with_default_softening() for member in members], classes


def what_is_averaged(method: str) -> str:
    """What averages of models of folds give by themselves."""
    return "probabilities" if method == "probabilities" else "logits"
