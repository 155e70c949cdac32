"""Forward selection of candidates by what each adds to the pool of those before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skmergecal._typing import NamedEstimators
from skmergecal.members import Cache, FitRows, collect, route_fit_params
from skmergecal.merging import MergedClassifier
from skmergecal.pooling import fit_logarithmic_pool

__all__ = ["select_by_gain"]


def select_by_gain(
    members: NamedEstimators,
    n: int,
    rows: tuple[Any, Any, Any],
    params: Mapping[str, Any],
    *,
    cv: Any,
    n_jobs: int | None,
) -> NamedEstimators:
    """Choose n members: the best one, then always the one with which the pool is best.

    Each pool has weights and a temperature of its own, so that an opinion counts that is useful
    without being calibrated. Ties go to the member that comes first.

    Parameters
    ----------
    members : sequence of (str, classifier)
    n : int
        At most as many as there are.
    rows : tuple
        X, y and sample_weight.
    params : Mapping of str to object
        Of ``fit`` and of the splitter.
    cv, n_jobs
        As for `MergedClassifier`.
    """
    owner = MergedClassifier(list(members), method="logits", cv=cv, n_jobs=n_jobs)
    held_out = collect(
        members,
        FitRows.check(*rows),
        cv=cv,
        routed=route_fit_params(owner, members, rows[2], dict(params)),
        cache=Cache(None),
        n_jobs=n_jobs,
        average="logits",  # without a last fit on all rows
    )
    read = zip(held_out.opinions, held_out.members, strict=True)
    z = [opinion.log_proba(member.softening) for opinion, member in read]

    def loss(chosen: list[int]) -> float:
        pooled = [z[k] for k in chosen]
        return fit_logarithmic_pool(pooled, held_out.y, held_out.sample_weight).loss

    chosen: list[int] = []
    while len(chosen) < n:
        left = [k for k in range(len(members)) if k not in chosen]
        chosen.append(min(left, key=lambda k: loss([*chosen, k])))
    return [members[k] for k in chosen]
