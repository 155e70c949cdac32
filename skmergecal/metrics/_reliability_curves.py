"""Reliability curves: bins, bands and histograms of a reliability diagram, without plotting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binom, norm

from skmergecal._typing import Array, IntArray
from skmergecal.metrics._bins import Bins, bin_forecast, check_bins
from skmergecal.metrics._checks import check_choice, check_level, check_scored
from skmergecal.metrics._forecasts import Forecast, class_wise, top_label

__all__ = ["HISTOGRAM_EDGES", "ReliabilityCurve", "reliability_curves"]

KINDS = ("auto", "binary", "top-label", "class-wise")
HISTOGRAM_EDGES = np.linspace(0, 1, 21)


@dataclass(frozen=True)
class ReliabilityCurve:
    """Reliability curve of one model in one facet of the diagram.

    Attributes
    ----------
    model, facet : str
        The model's name, and the event that is forecast.
    bins : Bins
        Weight, mean confidence and frequency of each bin.
    low, high : ndarray of shape (n_bins,)
        Lower and upper ends of the band.
    histogram : ndarray of shape (20,)
        Share of the weight in bins of confidence of width 0.05.
    """

    model: str
    facet: str
    bins: Bins
    low: Array
    high: Array
    histogram: Array


def wilson_band(bins: Bins, level: float) -> tuple[Array, Array]:
    """Wilson's score interval for the frequency of each bin."""
    z2 = float(norm.ppf((1 + level) / 2)) ** 2
    n, f = bins.weight, bins.frequency
    centre = (f + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * f * (1 - f) / n + z2**2 / (4 * n**2)) / (1 + z2 / n)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def consistency_band(bins: Bins, level: float) -> tuple[Array, Array]:
    """Binomial quantiles of the frequency, assuming that the mean confidence is correct."""
    n = np.maximum(np.round(bins.weight), 1)
    tail = (1 - level) / 2
    p = np.clip(bins.confidence, 0.0, 1.0)
    return binom.ppf(tail, n, p) / n, binom.ppf(1 - tail, n, p) / n


def _forecasts(kind: str, y: IntArray, p: Array, classes: np.ndarray) -> dict[str, Forecast]:
    """Binary forecasts of a kind, by facet name."""
    if kind == "top-label":
        return {"most probable class": top_label(y, p)[0]}
    every = {f"class {c}": f for c, f in zip(classes.tolist(), class_wise(y, p), strict=True)}
    return dict([list(every.items())[1]]) if kind == "binary" else every


#: Functions that give the lower and upper ends of a band.
BANDS = {"wilson": wilson_band, "consistency": consistency_band, None: wilson_band}


def _resolve(kind: str, n_classes: int) -> str:
    check_choice("kind", kind, KINDS)
    if kind == "binary" and n_classes != 2:
        msg = f'kind="binary" needs two classes; got {n_classes}: use "class-wise"'
        raise ValueError(msg)
    return kind if kind != "auto" else "binary" if n_classes == 2 else "top-label"


def reliability_curves(
    y: IntArray,
    models: dict[str, Array],
    classes: np.ndarray,
    sample_weight: Any,
    *,
    kind: str,
    n_bins: int,
    strategy: str,
    band: str | None,
    confidence_level: float,
) -> list[ReliabilityCurve]:
    """One curve for each model and facet."""
    check_bins(n_bins, strategy)
    check_choice("band", band, tuple(BANDS))
    check_level(confidence_level)
    kind = _resolve(kind, len(classes))
    curves = []
    for model, proba in models.items():
        codes, p, weight = check_scored(y, proba, sample_weight)
        for facet, forecast in _forecasts(kind, codes, p, classes).items():
            bins = bin_forecast(forecast, weight, n_bins, strategy)
            ends = BANDS[band](bins, confidence_level)
            histogram, _ = np.histogram(forecast.confidence, HISTOGRAM_EDGES, weights=weight)
            curves.append(ReliabilityCurve(model, facet, bins, *ends, histogram / weight.sum()))
    return curves
