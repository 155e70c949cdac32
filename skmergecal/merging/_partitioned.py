"""A merge learned from rows in Dask partitions."""

from __future__ import annotations

from typing import Any

from skmergecal._partitions import DaskRun
from skmergecal._typing import NamedEstimators
from skmergecal.members import PartitionedMembers, read_partitions
from skmergecal.merging._learn import LearnedMerge, learn_pool, warn_of_rows
from skmergecal.merging._loss_estimate import LossEstimate
from skmergecal.merging._settings import Settings

__all__ = ["learn_partitions", "refuse_for_partitions"]


def learn_partitions(
    estimators: NamedEstimators,
    settings: Settings,
    rows: tuple[Any, Any, Any],
    missing_classes: str,
    drop_missing: bool,
) -> tuple[LearnedMerge, PartitionedMembers, LossEstimate | str]:
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
    """
    run = DaskRun()
    try:
        how = missing_classes, drop_missing
        held_out = read_partitions(estimators, run, *rows, *how)
        learned = learn_pool(held_out, settings)
        warn_of_rows(held_out, settings, learned.merge)
        estimate = learned.loss_estimate(held_out)
    finally:
        run.release()
    assert not callable(estimate)
    return learned, held_out, estimate


def refuse_for_partitions(settings: Settings, memory: Any, params: dict[str, Any]) -> None:
    """Raise ValueError for what needs all rows in one place."""
    remedies = {}
    if settings.method == "parameters":
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
