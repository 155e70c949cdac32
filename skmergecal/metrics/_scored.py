"""Scored rows: labels, probabilities of models and weights, in memory or in Dask partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from skmergecal._partitions import (
    DaskPartitions,
    DaskRun,
    InMemory,
    Partitions,
    Reduction,
    are_dask,
    delayed_partitions,
    in_partition,
    refuse_unlike_rows,
    tasks,
    weights_of_part,
)
from skmergecal._typing import Array, IntArray
from skmergecal._validation import check_sample_weight
from skmergecal._warnings import Gathered, Warned, warn_again
from skmergecal.metrics._checks import check_labelled

__all__ = ["Check", "Scored", "needs_arrays", "reduce_scored", "scored_rows"]

#: (y, matrices) -> column numbers and probabilities, checked.
Check: TypeAlias = Callable[[Any, Sequence[Any]], tuple[IntArray, Sequence[Array]]]


class Scored(NamedTuple):
    """Some rows that are scored.

    Attributes
    ----------
    y : ndarray of shape (n_rows,)
        Column numbers of the true classes.
    probas : sequence of ndarray of shape (n_rows, n_classes)
        Of one model, or of several.
    weight : ndarray of shape (n_rows,)
    number : int
        Of the partition.
    warned : list of Warned
        What the checks warned of.
    """

    y: IntArray
    probas: Sequence[Array]
    weight: Array
    number: int = 0
    warned: Sequence[Warned] = ()

    @property
    def p(self) -> Array:
        """The probabilities of the first model."""
        return self.probas[0]

    def take(self, rows: np.ndarray) -> Scored:
        """Some of the rows, by numbers or by a mask."""
        probas = [p[rows] for p in self.probas]
        return self._replace(y=self.y[rows], probas=probas, weight=self.weight[rows])

    def kept(self) -> Scored:
        """The rows of positive weight."""
        positive = self.weight > 0
        return self if positive.all() else self.take(positive)

    def total(self) -> float:
        """Sum of the weights."""
        return float(self.weight.sum())

    def mark(self) -> tuple[int, int, float]:
        """What shows whether the rows have come back as they were."""
        total = float(self.weight.sum()) + sum(float(p[:, 0].sum()) for p in self.probas)
        return len(self.y), int(self.y.sum()), total


@contextmanager
def scored_rows(
    y: Any, proba: Any, sample_weight: Any, check: Check = check_labelled
) -> Iterator[Partitions[Scored]]:
    """Rows to score; nothing of them stays on the workers afterwards.

    Rows of weight 0 are left out of Dask partitions, which are read again in each round.

    Parameters
    ----------
    y : array-like, Dask collection or None
    proba : array-like or Dask collection, or dict of such
        One matrix of probabilities, or those of several models by name.
    sample_weight : array-like, Dask collection or None
    check : callable
        Gets the labels and the matrices of all rows, or of those of one partition.
    """
    if not are_dask(y, proba, sample_weight):
        matrices = list(proba.values()) if isinstance(proba, Mapping) else [proba]
        labels, probas = check(y, matrices)
        weight = check_sample_weight(sample_weight, len(labels))
        yield InMemory(Scored(labels, probas, np.ones(len(labels)) if weight is None else weight))
        return
    run = DaskRun()
    parts = delayed_partitions(proba=proba, y=y, sample_weight=sample_weight)
    try:
        made = tasks("scored rows", _read, parts, check)
        yield DaskPartitions.of(run, made, kept=False)
    finally:
        run.release()


def _read(check: Check, number: int, proba: Any, y: Any, weight: Any) -> Scored:
    with in_partition(number), Gathered() as warned:
        refuse_unlike_rows(proba=proba, y=y, sample_weight=weight)
        matrices = list(proba.values()) if isinstance(proba, Mapping) else [proba]
        if not len(matrices[0]):
            return Scored(np.empty(0, dtype=np.intp), [], np.empty(0))
        labels, probas = check(y, matrices)
        weights = weights_of_part(weight, len(labels))
        weights = np.ones(len(labels)) if weights is None else weights
        return Scored(labels, probas, weights, number).kept()._replace(warned=warned)


def reduce_scored(
    rows: Partitions[Scored],
    function: Callable[..., Any],
    *arguments: Any,
    what: str = "scores",
) -> Any:
    """Sums of what a function makes of each part; warnings of the checks are repeated here."""
    how: Reduction = ("sum", "join")
    found, warned = rows.reduce(_with_warnings, function, arguments, how=how, what=what)
    warn_again(dict.fromkeys(warned))
    return found


def _with_warnings(
    rows: Scored, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> tuple[Any, list[Warned]]:
    return function(rows, *arguments), list(rows.warned)


def needs_arrays(what: str, *collections: Any, instead: str = "") -> None:
    """Raise TypeError for Dask collections where all rows have to be in memory at once.

    Parameters
    ----------
    what : str
        Begins the error: what needs them.
    *collections : Any
    instead : str, default=""
        Another way out, which begins with ", or".
    """
    if are_dask(*collections):
        msg = (
            f"{what} needs all rows at once, and they are in Dask partitions: pass "
            "y.compute(), proba.compute() and sample_weight.compute(), of a random sample of the "
            f"rows (DataFrame.sample) where they do not fit in memory{instead}"
        )
        raise TypeError(msg)
