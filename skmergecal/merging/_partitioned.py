"""A merge learned from rows in Dask partitions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from skmergecal._partitions import DaskRun
from skmergecal._typing import Estimator, NamedEstimators
from skmergecal.members import (
    PartitionedMembers,
    PartitionPlan,
    all_frozen,
    plan_partitions,
    read_partitions,
    read_parts,
    route_fit_params,
)
from skmergecal.merging._learn import LearnedMerge, learn_pool, warn_of_rows
from skmergecal.merging._loss_estimate import LossEstimate
from skmergecal.merging._settings import Settings

__all__ = [
    "LearnedInPartitions",
    "learn_one_each",
    "learn_partitions",
    "plan_one_each",
    "refuse_for_partitions",
]

#: So many held-out rows come into this process to merge parameters, which takes few numbers.
_MOST_ROWS = 100_000

LearnedInPartitions = tuple[LearnedMerge, PartitionedMembers, LossEstimate | str]


def learn_partitions(
    estimators: NamedEstimators,
    settings: Settings,
    rows: tuple[Any, Any, Any],
    missing_classes: str,
    drop_missing: bool,
    verbose: int = 0,
) -> LearnedInPartitions:
    """Read frozen members where the rows lie, and learn how to merge them.

    Nothing stays on the workers.

    Parameters
    ----------
    estimators : sequence of (str, FrozenEstimator)
    settings : Settings
    rows : tuple
        X, y and the weights.
    missing_classes, drop_missing
        As for `read_partitions`.
    verbose : int, default=0
        Above 0, a line is printed for each round.
    """
    run = DaskRun("MergedClassifier", verbose)
    try:
        held_out = read_partitions(estimators, run, *rows, missing_classes, drop_missing)
        return _learn(held_out, settings)
    finally:
        run.release()


def plan_one_each(
    merged: Estimator, unfitted: NamedEstimators, rows: Any, groups: Any, how: dict[str, Any]
) -> PartitionPlan:
    """Which rows each member is trained on.

    Parameters
    ----------
    merged : MergedClassifier
    unfitted : list of (str, estimator)
        The one estimator.
    rows : tuple
        X, y and the weights.
    groups : Dask collection or None
    how : dict
        Other parameters of `plan_partitions`.
    """
    ((name, estimator),) = unfitted
    if all_frozen(unfitted):
        msg = (
            "estimator is frozen, so that no clone of it is trained: pass the classifier without "
            "FrozenEstimator, or fitted members to MergedClassifier.from_fitted"
        )
        raise ValueError(msg)
    routed = route_fit_params(merged, unfitted, rows[2], {})[0][name]
    X, y, weight = rows
    weights_as = next(iter(routed), None)
    return plan_partitions(estimator, X, y, weight, groups, weights_as=weights_as, **how)


def learn_one_each(
    plan: PartitionPlan, settings: Settings, missing_classes: str, verbose: int = 0
) -> tuple[NamedEstimators, Any]:
    """Train a member on each partition, and learn from the rows that none has seen.

    Parameters
    ----------
    plan : PartitionPlan
    settings : Settings
    missing_classes : str
    verbose : int, default=0
        As for `learn_partitions`.

    Returns
    -------
    list of (str, FrozenEstimator), tuple
        What `learn_partitions` returns; for parameters, held-out rows, labels and weights.
    """
    run = DaskRun("MergedClassifier", verbose)
    try:
        members, rows = plan.train(run)
        if settings.method == "parameters":
            return members, rows.in_memory(_MOST_ROWS)
        given = rows.partitions, rows.meta, rows.weighted
        return members, _learn(read_parts(members, run, *given, missing_classes), settings)
    finally:
        run.release()


def _learn(held_out: PartitionedMembers, settings: Settings) -> LearnedInPartitions:
    if settings.learns_logits_only:
        held_out = replace(held_out, as_gaps=True)
    learned = learn_pool(held_out, settings)
    warn_of_rows(held_out, settings, learned.merge)
    estimate = learned.loss_estimate(held_out)
    assert not callable(estimate)
    return learned, held_out, estimate


def refuse_for_partitions(
    settings: Settings, memory: Any, params: dict[str, Any], *, one_model: bool = False
) -> None:
    """Raise ValueError for what needs all rows in one place.

    Parameters
    ----------
    settings : Settings
    memory : Any
    params : dict
        Parameters of ``fit``.
    one_model : bool, default=False
        Whether one model can be made of the parameters.
    """
    remedies = {}
    if settings.method == "parameters" and not one_model:
        remedies["method='parameters'"] = "use method='logits', or pass arrays of some of the rows"
    if settings.scoring is not None and settings.selects:
        remedies[f"scoring={settings.scoring!r}"] = "scoring=None selects by log loss"
    if memory is not None:
        remedies[f"memory={memory!r}"] = "pass memory=None; Dask keeps the opinions during fit"
    if settings.unlabeled is not None:
        remedies["X_unlabeled"] = "it is for method='parameters', which takes arrays"
    for name in params:
        remedies[f"{name}= of fit"] = "frozen members need no parameters of fit: leave it out"
    for what, remedy in remedies.items():
        msg = f"{what} does not go with Dask collections: {remedy}"
        raise ValueError(msg)
