"""Binning of forecasts by confidence, for reliability diagrams and binned calibration errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np

from skmergecal._partitions import Partitions
from skmergecal._typing import Array, IntArray
from skmergecal.metrics._checks import check_choice
from skmergecal.metrics._forecasts import Forecast
from skmergecal.metrics._scored import Scored, needs_arrays, reduce_scored

__all__ = [
    "Bins",
    "Forecasts",
    "bin_forecasts",
    "bins_of_sums",
    "check_bins",
    "find_edges",
    "sums_in_bins",
]

#: From labels and probabilities to binary forecasts.
Forecasts: TypeAlias = Callable[[IntArray, Array], list[Forecast]]

STRATEGIES = ("uniform", "quantile")


@dataclass(frozen=True)
class Bins:
    """Binned forecasts; empty bins are left out.

    Attributes
    ----------
    lower, upper : ndarray of shape (n_bins,)
        The bins (lower, upper]; the first one also contains 0.
    weight : ndarray of shape (n_bins,)
        Sum of the weights of the rows.
    confidence, frequency : ndarray of shape (n_bins,)
        Weighted means of the forecasts and of the outcomes.
    """

    lower: Array
    upper: Array
    weight: Array
    confidence: Array
    frequency: Array

    @property
    def gap(self) -> Array:
        """Mean confidence minus frequency: positive where the forecasts are too high."""
        return self.confidence - self.frequency


def check_bins(n_bins: Any, strategy: Any, *rows: Any) -> None:
    """Raise an error if the settings of the bins are invalid, or do not go with Dask collections.

    Raises
    ------
    TypeError, ValueError
    """
    if not isinstance(n_bins, Integral) or n_bins < 1:
        msg = f"n_bins should be a whole number, at least 1; got {n_bins!r}"
        raise ValueError(msg)
    check_choice("strategy", strategy, STRATEGIES)
    if strategy == "quantile":
        needs_arrays('strategy="quantile"', *rows, instead=', or strategy="uniform"')


def bin_forecasts(
    rows: Partitions[Scored], forecasts: Forecasts, n_bins: int, strategy: str
) -> list[Bins]:
    """Bins of each forecast of each model, as `find_edges` and `sums_in_bins` say."""
    edges = find_edges(rows, forecasts, n_bins, strategy)
    return bins_of_sums(edges, reduce_scored(rows, sums_in_bins, forecasts, edges, what="bins"))


def find_edges(
    rows: Partitions[Scored], forecasts: Forecasts, n_bins: int, strategy: str
) -> Sequence[Array]:
    """Edges between bins of each forecast of each model; of "uniform" one for all.

    Parameters
    ----------
    rows : Partitions of Scored
        Rows of weight 0 do not count.
    forecasts : callable
        From labels and probabilities to binary forecasts.
    n_bins : int
        Maximum number of bins.
    strategy : {"uniform", "quantile"}
        Bins of equal width on [0, 1], or of about equal weight (equal forecasts share a bin), for
        which all rows have to be in memory.
    """
    if strategy == "uniform":
        return [np.arange(1, n_bins) / n_bins]
    return rows.reduce(_quantiles, forecasts, n_bins, how="join")


def _quantiles(rows: Scored, forecasts: Forecasts, n_bins: int) -> list[Array]:
    """Quantiles of each forecast; those of equal value give a single edge."""
    kept = rows.kept()
    found = []
    for p in kept.probas:
        for confidence, _ in forecasts(kept.y, p):
            order = np.argsort(confidence, kind="stable")
            reached = np.cumsum(kept.weight[order])
            # n_bins * reached >= k * total instead of reached >= k * total / n_bins: without the
            # division, integer weights are compared exactly.
            places = np.searchsorted(n_bins * reached, np.arange(1, n_bins) * reached[-1])
            found.append(np.unique(confidence[order][places]))
    return found


def sums_in_bins(
    rows: Scored, forecasts: Forecasts, edges: Sequence[Array]
) -> tuple[np.ndarray, ...]:
    """For each forecast of each model and each bin sums of weights, confidences and outcomes.

    Bins are closed on the right.
    """
    kept = rows.kept()
    each = [forecast for p in kept.probas for forecast in forecasts(kept.y, p)]
    found = []
    for (confidence, hit), inner in zip(each, _for_each(edges, len(each)), strict=True):
        place = np.searchsorted(inner, confidence, side="left")
        columns = (kept.weight, kept.weight * confidence, kept.weight * hit)
        found.append(np.array([np.bincount(place, own, len(inner) + 1) for own in columns]))
    return tuple(found)


def bins_of_sums(edges: Sequence[Array], sums: Sequence[np.ndarray]) -> list[Bins]:
    """Bins from what `sums_in_bins` gives for all rows."""
    found = []
    for inner, (total, confidence, frequency) in zip(
        _for_each(edges, len(sums)), sums, strict=True
    ):
        filled = total > 0
        ends = np.concatenate([[0.0], inner, [1.0]])
        means = (values[filled] / total[filled] for values in (confidence, frequency))
        found.append(Bins(ends[:-1][filled], ends[1:][filled], total[filled], *means))
    return found


def _for_each(edges: Sequence[Array], number: int) -> Sequence[Array]:
    return edges if len(edges) == number else [edges[0]] * number
