"""Assessment: scores of one set of probabilities, each with an interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm

from skmergecal._temperature import minimise_temperature
from skmergecal._typing import Array, IntArray
from skmergecal.metrics import (
    calibration_test,
    classwise_calibration_error,
    expected_calibration_error,
    smooth_calibration_error,
)

__all__ = ["Assessment", "Interval", "assess", "mean_interval", "row_scores"]

#: Calibration errors; they are not means over rows, so their intervals are bootstrapped.
_ERRORS = {
    "expected calibration error": expected_calibration_error,
    "class-wise calibration error": classwise_calibration_error,
    "smooth calibration error": smooth_calibration_error,
}


class Interval(NamedTuple):
    """A number and the interval around it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True)
class Assessment:
    """Scores, temperature and calibration test of one set of probabilities.

    Attributes
    ----------
    scores : dict of str to Interval
        Log loss (infinite if the true class of a row has probability 0), Brier score (summed over
        classes), accuracy, and three calibration errors.
    temperature : Interval
        The temperature by which the logits of these probabilities would have to be divided, and
        its 95 % profile-likelihood interval: 1 if they are neither over- nor under-confident.
    p_value : float
        p-value of Spiegelhalter's test that the probabilities are calibrated; NaN if it is not
        defined.
    """

    scores: Mapping[str, Interval]
    temperature: Interval
    p_value: float

    @property
    def verdict(self) -> str:
        """Over-confident, under-confident or neither: whether the temperature's interval has 1."""
        if self.temperature.low > 1:
            return "over-confident"
        if self.temperature.high < 1:
            return "under-confident"
        return "neither over- nor under-confident, as far as these rows can tell"

    def as_dict(self) -> dict[str, Any]:
        """All values as a dict of types that ``json`` can serialise."""
        return {
            "scores": {name: score._asdict() for name, score in self.scores.items()},
            "temperature": self.temperature._asdict(),
            "verdict": self.verdict,
            "p_value": self.p_value,
        }


def row_scores(log_proba: Array, y: IntArray) -> dict[str, Array]:
    """Scores of each row, whose means over rows are the scores of the assessment."""
    p = np.exp(log_proba)
    rows = np.arange(len(y))
    errors = p.copy()
    errors[rows, y] -= 1
    return {
        "log loss": -log_proba[rows, y],
        "Brier score": (errors**2).sum(axis=1),
        "accuracy": (p.argmax(axis=1) == y).astype(np.float64),
    }


def mean_interval(values: Array, weight: Array, confidence_level: float) -> Interval:
    """Weighted mean with its interval under the normal approximation; weights are frequencies."""
    total = float(weight.sum())
    if not np.isfinite(values).all():  # the variance is not defined
        mean = float(values.sum())
        return Interval(mean, -math.inf, math.inf)
    mean = float(weight @ values) / total
    variance = float(weight @ (values - mean) ** 2) / max(total - 1, 1.0)
    margin = float(norm.ppf((1 + confidence_level) / 2)) * math.sqrt(variance / total)
    return Interval(mean, mean - margin, mean + margin)


def assess(
    log_proba: Array,
    y: IntArray,
    weight: Array,
    *,
    logits: Array,
    confidence_level: float,
    n_resamples: int,
    random_state: Any,
) -> Assessment:
    """Assess probabilities; ``logits`` are finite log-probabilities to fit a temperature to."""
    p = np.exp(log_proba)
    scores = {
        name: mean_interval(values, weight, confidence_level)
        for name, values in row_scores(log_proba, y).items()
    }
    for name, error in _ERRORS.items():
        test = calibration_test(
            y,
            p,
            score=partial(_call, error),
            n_resamples=n_resamples,
            confidence_level=confidence_level,
            random_state=random_state,
            sample_weight=weight,
        )
        scores[name] = Interval(test.statistic, *test.interval)
    minimum = minimise_temperature(logits, y, weight)
    temperature = Interval(minimum.temperature, *minimum.interval())
    return Assessment(scores, temperature, _spiegelhalter(y, p, weight))


def _call(error: Any, y: Any, proba: Any, sample_weight: Any) -> float:
    return float(error(y, proba, sample_weight=sample_weight))


def _spiegelhalter(y: IntArray, p: Array, weight: Array) -> float:
    try:
        return calibration_test(y, p, sample_weight=weight).p_value
    except ValueError:  # every row is certain or uniform
        return math.nan
