"""Assessment: scores of one set of probabilities, each with an interval."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
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

#: Significance of the verdict's test, and of the gap between mean probability and share of a class,
#: in all classes together. Shares of training rows differ from the true ones by chance, too.
_REJECTED, _MISSED = 0.05, 0.01
#: Odds that differ by less than this factor are taken as equal: many rows make any gap significant.
_SAME_ODDS = 1.1
#: Classes that a verdict names at most.
_NAMED = 3

#: Calibration errors; they are not means over rows, so their intervals are bootstrapped.
_ERRORS = {
    "expected calibration error": expected_calibration_error,
    "class-wise calibration error": classwise_calibration_error,
    "smooth calibration error": smooth_calibration_error,
}


class Interval(NamedTuple):
    """A number and the interval around it.

    Attributes
    ----------
    value : float
        The number.
    low, high : float
        Ends of the interval.

    See Also
    --------
    skmergecal.report.Assessment : Consists of them.

    Examples
    --------
    >>> from skmergecal.report import Interval
    >>> print(Interval(0.125, 0.1, 0.15))
    0.125 (0.1 to 0.15)
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"

    @classmethod
    def holding(cls, value: float, low: float, high: float) -> Interval:
        """The interval, with an end moved to the value where it did not hold it.

        Parameters
        ----------
        value : float
            The number.
        low, high : float
            Ends of an interval that may miss it.

        Returns
        -------
        Interval
            With ``low <= value <= high``.
        """
        return cls(value, min(low, value), max(high, value))


@dataclass(frozen=True)
class Assessment:
    """Scores, temperature and calibration test of one set of probabilities.

    Attributes
    ----------
    scores : dict of str to Interval
        Log loss (infinite if the true class of a row has probability 0), Brier score (summed over
        classes), accuracy, and three calibration errors.
    temperature : Interval
        The temperature by which the logits of these probabilities would have to be divided, by
        maximum likelihood, and its 95 % profile-likelihood interval: 1 if they are neither over-
        nor under-confident.
    p_value : float
        p-value of Spiegelhalter's test that the probabilities are calibrated; NaN if it is not
        defined.
    mean_proba : dict of label to Interval
        Mean probability of each class. The interval holds the share of the class among the rows if
        the probabilities are calibrated.
    missed : tuple of label
        Classes with rows whose share the mean probability misses: by more than chance, and by
        more than a tenth in odds. Classes without rows are left out of the comparison.

    See Also
    --------
    skmergecal.calibration_report : Makes two, before and after calibration.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skmergecal import calibration_report
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = GaussianNB().fit(X[::2], y[::2])
    >>> before = calibration_report(model, X[1::2], y[1::2], n_resamples=9).before
    >>> print(before.temperature)
    7.685 (5.891 to 9.967)
    >>> print(before.scores["log loss"])
    0.6241 (0.2716 to 0.9766)
    >>> before.rejected
    True
    """

    scores: Mapping[str, Interval]
    temperature: Interval
    p_value: float
    mean_proba: Mapping[Hashable, Interval]
    missed: tuple[Hashable, ...] = ()

    @property
    def rejected(self) -> bool:
        """Whether the test rejects at 5 % that the probabilities are calibrated."""
        return self.p_value < _REJECTED

    @property
    def verdict(self) -> str:
        """Over-confident, under-confident or neither: whether the temperature's interval has 1.

        If it has 1, what else shows that the probabilities are not calibrated is added.
        """
        if self.temperature.low > 1:
            return "over-confident"
        if self.temperature.high < 1:
            return "under-confident"
        neither = "neither over- nor under-confident"
        if self.missed:
            named = ", ".join(repr(label) for label in self.missed[:_NAMED])
            more = ", ..." if len(self.missed) > _NAMED else ""
            return f"{neither} overall, but wrong about the share of {named}{more}"
        if self.rejected:
            return f"{neither} overall, but not calibrated"
        return f"{neither}, as far as these rows can tell"

    def as_dict(self) -> dict[str, Any]:
        """All values as a dict of types that ``json`` can serialise.

        Returns
        -------
        dict
            By the names of the attributes.
        """
        return {
            "scores": {name: score._asdict() for name, score in self.scores.items()},
            "temperature": self.temperature._asdict(),
            "verdict": self.verdict,
            "p_value": self.p_value,
            "mean_proba": [
                {"class": label, **mean._asdict()} for label, mean in self.mean_proba.items()
            ],
            "missed": list(self.missed),
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
    classes: np.ndarray,
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
        scores[name] = Interval.holding(test.statistic, *test.interval)
    minimum = minimise_temperature(logits, y, weight)
    temperature = Interval.holding(minimum.temperature, *minimum.interval())
    labels = classes.tolist()
    means = dict(zip(labels, mean_probabilities(p, y, weight, confidence_level), strict=True))
    missed = tuple(labels[c] for c in missed_shares(p, y, weight))
    return Assessment(scores, temperature, _spiegelhalter(y, p, weight), means, missed)


def _gaps(p: Array, y: IntArray, weight: Array) -> tuple[Array, Array]:
    """Mean probability of each class minus its share, and the standard deviation of that.

    The larger of two: that of labels drawn from the probabilities, which is right for classes of
    few rows, and that seen.
    """
    total = float(weight.sum())
    errors = p.copy()
    errors[np.arange(len(y)), y] -= 1
    gap = weight @ errors / total
    expected = weight @ (p * (1 - p))
    seen = weight @ (errors - gap) ** 2
    return gap, np.sqrt(np.maximum(expected, seen)) / total


def mean_probabilities(p: Array, y: IntArray, weight: Array, level: float) -> list[Interval]:
    """Mean probability of each class, with an interval for the share of the class."""
    margin = float(norm.ppf((1 + level) / 2)) * _gaps(p, y, weight)[1]
    means = weight @ p / weight.sum()
    ends = zip(means.tolist(), margin.tolist(), strict=True)
    return [Interval(mean, mean - m, mean + m) for mean, m in ends]


def missed_shares(p: Array, y: IntArray, weight: Array) -> list[int]:
    """Numbers of the classes whose share the mean probability misses, the largest gap first.

    Of two classes, whose gaps are the same, the rarer.
    """
    counts = np.bincount(y, weights=weight, minlength=p.shape[1])
    present = np.flatnonzero(counts)
    known = p[:, present]
    sums = known.sum(axis=1, keepdims=True)
    known = np.divide(known, sums, out=np.zeros_like(known), where=sums > 0)
    gap, deviation = _gaps(known, np.searchsorted(present, y), weight)
    share = counts[present] / counts.sum()
    mean = share + gap
    # By odds, both classes of two count alike.
    one, other = mean * (1 - share), share * (1 - mean)
    differ = (one > _SAME_ODDS * other) | (other > _SAME_ODDS * one)
    n_tests = len(present) if len(present) > 2 else 1
    beyond = np.abs(gap) > norm.isf(_MISSED / 2 / n_tests) * deviation
    found = np.flatnonzero(differ & beyond)
    if len(present) == 2:
        return present[found[np.argsort(share[found])][:1]].tolist()
    return present[found[np.argsort(-np.abs(gap[found]), kind="stable")]].tolist()


def _call(error: Any, y: Any, proba: Any, sample_weight: Any) -> float:
    return float(error(y, proba, sample_weight=sample_weight))


def _spiegelhalter(y: IntArray, p: Array, weight: Array) -> float:
    try:
        return calibration_test(y, p, sample_weight=weight).p_value
    except ValueError:  # every row is certain or uniform
        return math.nan
