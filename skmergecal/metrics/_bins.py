"""Binning of forecasts by confidence, for reliability diagrams and binned calibration errors."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from skmergecal._typing import Array
from skmergecal.metrics._checks import check_choice
from skmergecal.metrics._forecasts import Forecast

__all__ = ["Bins", "bin_forecast", "check_bins"]

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


def check_bins(n_bins: Any, strategy: Any) -> None:
    """Raise ValueError if the settings of the bins are invalid."""
    if not isinstance(n_bins, Integral) or n_bins < 1:
        msg = f"n_bins should be a whole number, at least 1; got {n_bins!r}"
        raise ValueError(msg)
    check_choice("strategy", strategy, STRATEGIES)


def inner_edges(confidence: Array, weight: Array, n_bins: int, strategy: str) -> Array:
    """Edges between bins; quantiles of equal value give a single edge."""
    parts = np.arange(1, n_bins)
    if strategy == "uniform":
        return parts / n_bins
    order = np.argsort(confidence, kind="stable")
    reached = np.cumsum(weight[order])
    # n_bins * reached >= k * total instead of reached >= k * total / n_bins: without the division,
    # integer weights are compared exactly.
    places = np.searchsorted(n_bins * reached, parts * reached[-1])
    return np.unique(confidence[order][places])


def bin_forecast(forecast: Forecast, weight: Array, n_bins: int, strategy: str) -> Bins:
    """Assign forecasts to bins that are closed on the right.

    Parameters
    ----------
    forecast : Forecast
    weight : ndarray of shape (n_samples,)
        Frequency weights; rows of weight 0 are removed.
    n_bins : int
        Maximum number of bins.
    strategy : {"uniform", "quantile"}
        Bins of equal width on [0, 1], or of about equal weight (equal forecasts share a bin).
    """
    kept = weight > 0
    confidence, hit, weight = forecast.confidence[kept], forecast.hit[kept], weight[kept]
    edges = inner_edges(confidence, weight, n_bins, strategy)
    place = np.searchsorted(edges, confidence, side="left")
    size = len(edges) + 1
    total: Array = np.bincount(place, weights=weight, minlength=size).astype(np.float64)
    filled = total > 0

    def means(values: Array) -> Array:
        sums = np.bincount(place, weights=weight * values, minlength=size)
        return np.asarray(sums[filled] / total[filled])

    return Bins(
        lower=np.concatenate([[0.0], edges])[filled],
        upper=np.concatenate([edges, [1.0]])[filled],
        weight=total[filled],
        confidence=means(confidence),
        frequency=means(hit),
    )
