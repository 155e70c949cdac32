"""Held-out opinions of one estimator: its own, where it cross-fits by itself, or made here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.metadata_routing import process_routing

from skmergecal._compat import _routing_enabled
from skmergecal._pipelines import is_pipeline, resamples, steps_before
from skmergecal._typing import Estimator, HeldOutLogProba
from skmergecal.members._cache import Cache
from skmergecal.members._collect import collect, frozen_members
from skmergecal.members._fit import cut_params
from skmergecal.members._fit_rows import FitRows
from skmergecal.members._member import Member
from skmergecal.members._read import has_held_out, unfitted_last_step
from skmergecal.members._routing import RoutedParams

__all__ = ["FittedWithHeldOut", "collect_one"]


class FittedWithHeldOut(NamedTuple):
    """A fitted estimator, and what models like it predict for rows that these did not see."""

    member: Member
    classes: np.ndarray
    """Shape (n_classes,)."""
    held: HeldOutLogProba
    """Rows are numbers of rows of ``fit``."""


def collect_one(
    name: str,
    estimator: Estimator,
    rows: FitRows,
    *,
    cv: Any,
    routed: RoutedParams,
    n_jobs: int | None,
    held_out: bool = True,
) -> FittedWithHeldOut:
    """Fit an estimator, or take a frozen one, and read its opinion of held-out rows.

    An estimator of this package, also at the end of a Pipeline, cross-fits by itself; any other is
    cross-fitted over ``cv``; a frozen one is read on all rows.

    Parameters
    ----------
    name : str
    estimator : classifier
    rows : FitRows
    cv : int, splitter or iterable of (train, test)
    routed : tuple
        Parameters of its ``fit`` by its name, and of the splitter.
    n_jobs : int or None
    held_out : bool, default=True
        Whether rows are to be held out. Else one that is fitted here is read on its own rows.
    """
    last = unfitted_last_step(estimator)
    # Held-out rows of a last step after a sampler would be rows that the sampler made.
    if held_out and has_held_out(last) and not resamples(estimator):
        params = cut_params(rows.X, {**routed[0].get(name, {}), **routed[1]}, rows.kept)
        labels = rows.labels[rows.kept]
        fitted, held = _fit_held_out(clone(estimator), rows.kept_X, labels, params)
        held = HeldOutLogProba(held.log_proba, rows.kept[held.rows])
        (member,), classes = frozen_members([(name, FrozenEstimator(fitted))], Cache(None))
        return FittedWithHeldOut(replace(member, estimator=fitted), classes, held)
    found = collect(
        [(name, estimator)],
        rows,
        cv=cv,
        routed=routed,
        cache=Cache(None),
        n_jobs=n_jobs,
        held_out=held_out,
    )
    (member,) = found.members
    held = HeldOutLogProba(member.log_proba(found.opinions[0]), found.rows)
    return FittedWithHeldOut(member, found.classes, held)


def _fit_held_out(
    estimator: Estimator, X: Any, y: Any, params: dict[str, Any]
) -> tuple[Estimator, HeldOutLogProba]:
    """Fit in place; the steps before the last one of a Pipeline are fitted on all rows.

    Parameters
    ----------
    estimator : estimator
        A clone; its last step has ``fit_held_out``, and no step before it is a sampler.
    X, y : array-like
        Rows and labels.
    params : dict
        Parameters of its ``fit``.

    Returns
    -------
    estimator, HeldOutLogProba
    """
    if not is_pipeline(estimator):
        return estimator, estimator.fit_held_out(X, y, **params)
    routed = process_routing(estimator, "fit", **params) if _routing_enabled() else None
    for name, step in steps_before(estimator):
        if hasattr(step, "fit_transform"):
            X = step.fit_transform(X, y, **(routed[name].fit_transform if routed else {}))
        else:
            fitted = step.fit(X, y, **(routed[name].fit if routed else {}))
            X = fitted.transform(X)
    name, last = estimator.steps[-1]
    own = {key.removeprefix(f"{name}__"): value for key, value in params.items()}
    _, held = _fit_held_out(last, X, y, dict(routed[name].fit) if routed else own)
    return estimator, held
