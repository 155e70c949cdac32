"""Reliability curves: bins, bands and histograms of a reliability diagram, without plotting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binom, norm

from skmergecal._partitions import Partitions
from skmergecal._typing import Array, IntArray
from skmergecal.metrics._bins import (
    Bins,
    Forecasts,
    bins_of_sums,
    check_bins,
    find_edges,
    sums_in_bins,
)
from skmergecal.metrics._checks import check_choice, check_level
from skmergecal.metrics._forecasts import Forecast, class_wise, top_label
from skmergecal.metrics._scored import Scored, reduce_scored

__all__ = ["HISTOGRAM_EDGES", "ReliabilityCurve", "check_curves", "reliability_curves"]

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

    See Also
    --------
    skmergecal.ReliabilityDisplay : Has them as ``curves``.

    Examples
    --------
    >>> from skmergecal import ReliabilityDisplay
    >>> y, p = ["no"] * 5 + ["yes"] * 5, [0.2] * 4 + [0.8] + [0.2] + [0.8] * 4
    >>> curve = ReliabilityDisplay.from_predictions(y, p, n_bins=2, plot=False).curves[0]
    >>> curve.facet, curve.bins.confidence.round(1), curve.bins.frequency.round(1)
    ('class yes', array([0.2, 0.8]), array([0.2, 0.8]))
    >>> curve.low.round(2), curve.high.round(2)  # five rows in each bin do not tell much
    (array([0.04, 0.38]), array([0.62, 0.96]))
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


def _second_class(y: IntArray, p: Array) -> list[Forecast]:
    return class_wise(y, p)[1:]


#: By the kind of curve.
FORECASTS: dict[str, Forecasts] = {
    "top-label": top_label,
    "class-wise": class_wise,
    "binary": _second_class,
}


def _facets(kind: str, classes: np.ndarray) -> list[str]:
    """Names of the forecasts of a kind."""
    if kind == "top-label":
        return ["most probable class"]
    every = [f"class {c}" for c in classes.tolist()]
    return every[1:] if kind == "binary" else every


#: Functions that give the lower and upper ends of a band.
BANDS = {"wilson": wilson_band, "consistency": consistency_band, None: wilson_band}


def _resolve(kind: str, n_classes: int) -> str:
    check_choice("kind", kind, KINDS)
    if kind == "binary" and n_classes != 2:
        msg = f'kind="binary" needs two classes; got {n_classes}: use "class-wise"'
        raise ValueError(msg)
    return kind if kind != "auto" else "binary" if n_classes == 2 else "top-label"


def reliability_curves(
    rows: Partitions[Scored],
    models: Sequence[str],
    classes: np.ndarray,
    *,
    kind: str,
    n_bins: int,
    strategy: str,
    band: str | None,
    confidence_level: float,
) -> list[ReliabilityCurve]:
    """One curve for each model and facet.

    Parameters
    ----------
    rows : Partitions of Scored
        With the probabilities of each model.
    models : sequence of str
        Their names.
    classes : ndarray of shape (n_classes,)
    kind, n_bins, strategy, band, confidence_level
        As for `check_curves`.
    """
    kind = _resolve(kind, len(classes))
    edges = find_edges(rows, FORECASTS[kind], n_bins, strategy)
    sums, histograms, total = reduce_scored(rows, _sums, kind, edges, what="reliability curves")
    names = [(model, facet) for model in models for facet in _facets(kind, classes)]
    curves = []
    for (model, facet), bins, histogram in zip(
        names, bins_of_sums(edges, sums), histograms, strict=True
    ):
        ends = BANDS[band](bins, confidence_level)
        curves.append(ReliabilityCurve(model, facet, bins, *ends, histogram / total))
    return curves


def check_curves(
    n_bins: int, strategy: str, band: str | None, confidence_level: float, *rows: Any
) -> None:
    """Raise an error if the settings of curves are invalid, or do not go with Dask collections."""
    check_bins(n_bins, strategy, *rows)
    check_choice("band", band, tuple(BANDS))
    check_level(confidence_level)


def _sums(rows: Scored, kind: str, edges: Sequence[Array]) -> tuple[Any, Array, float]:
    """Those in bins and histograms of each forecast of each model, and that of the weights."""
    every = [forecast for p in rows.probas for forecast in FORECASTS[kind](rows.y, p)]
    found = [np.histogram(f.confidence, HISTOGRAM_EDGES, weights=rows.weight)[0] for f in every]
    return sums_in_bins(rows, FORECASTS[kind], edges), np.array(found), rows.total()
