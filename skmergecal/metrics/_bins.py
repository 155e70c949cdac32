"""Forecasts in bins of confidence: what reliability diagrams and binned errors are made of."""

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
    """Forecasts in bins, those without rows left out.

    Attributes
    ----------
    lower, upper : ndarray of shape (n_bins,)
        The bins (lower, upper]; the first one contains 0, too.
    weight : ndarray of shape (n_bins,)
        Sum of the weights of the rows.
    confidence, frequency : ndarray of shape (n_bins,)
        Weighted means: of the forecasts, and of what happened.
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
    """Raise ValueError where the settings of the bins are wrong."""
    if not isinstance(n_bins, Integral) or n_bins < 1:
        msg = f"n_bins should be a whole number, at least 1; got {n_bins!r}"
        raise ValueError(msg)
    check_choice("strategy", strategy, STRATEGIES)


def inner_edges(confidence: Array, weight: Array, n_bins: int, strategy: str) -> Array:
    """The edges between bins; several quantiles may be one value, and then are one edge."""
    parts = np.arange(1, n_bins)
    if strategy == "uniform":
        return parts / n_bins
    order = np.argsort(confidence, kind="stable")
    reached = np.cumsum(weight[order])
    # Multiplied out, so that whole-numbered weights are compared without rounding.
    places = np.searchsorted(n_bins * reached, parts * reached[-1])
    return np.unique(confidence[order][places])


def bin_forecast(forecast: Forecast, weight: Array, n_bins: int, strategy: str) -> Bins:
    """Put forecasts into bins that are closed on the right.

    Parameters
    ----------
    forecast : Forecast
    weight : ndarray of shape (n_samples,)
        Frequency weights; rows of weight 0 count as removed.
    n_bins : int
        At most so many bins.
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
