"""Calibration test: p-value and interval of a calibration error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from scipy.stats import norm
from sklearn.utils import check_random_state

from skmergecal._typing import Array, IntArray
from skmergecal._validation import check_parameters
from skmergecal.metrics._checks import check_level, check_scored

__all__ = ["CalibrationTest", "calibration_test"]

#: ``score(y, proba, sample_weight=...)``: larger is worse.
Score = Callable[..., float]


@dataclass(frozen=True)
class CalibrationTest:
    """A test of the hypothesis that the probabilities are calibrated.

    Attributes
    ----------
    statistic : float
        Spiegelhalter's z, or the score.
    p_value : float
        Probability of a statistic as extreme as this one if labels are drawn from the
        probabilities. For a score it is exact, as such labels are simulated: P(p <= a) <= a for
        calibrated probabilities, at any sample size.
    interval : tuple of float
        Interval for the quantity that the statistic estimates. For a score it is the basic
        bootstrap interval, which corrects the upward bias seen in resampling, extended to the
        statistic where it does not hold it. It is somewhat too narrow: in simulations of 150 to
        2,000 rows, 90 % intervals of errors in 10 bins covered 81 to 90 %, least where the error
        was about as small as the noise of a bin.

    See Also
    --------
    skmergecal.metrics.calibration_test : Makes one.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.metrics import calibration_test
    >>> test = calibration_test([0] * 36 + [1] * 4, np.tile([0.9, 0.1], (40, 1)))
    >>> round(abs(test.statistic), 2), round(test.p_value, 2)  # 90 % are right, as predicted
    (0.0, 1.0)
    """

    statistic: float
    p_value: float
    interval: tuple[float, float]


@check_parameters(random_state=["random_state"])
def calibration_test(
    y: Any,
    proba: Any,
    *,
    score: str | Score = "spiegelhalter",
    n_resamples: int = 999,
    confidence_level: float = 0.95,
    random_state: Any = None,
    sample_weight: Any = None,
) -> CalibrationTest:
    """Test whether labels could have been drawn from the probabilities.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, already 0..n_classes-1.
    proba : array-like of shape (n_samples, n_classes)
        Probabilities.
    score : "spiegelhalter" or callable, default="spiegelhalter"
        Spiegelhalter's z: the Brier score minus its expectation under the probabilities, divided
        by its standard deviation. Positive if over-confident, negative if under-confident;
        two-sided p-value, no random numbers. Or a non-negative calibration error, larger for
        worse, that is called as ``score(y, proba, sample_weight=weights)``, such as
        `expected_calibration_error`: one-sided p-value and bootstrap interval.
    n_resamples : int, default=999
        For a callable: number of simulated label sets for the p-value, and of bootstrap samples
        for the interval.
    confidence_level : float, default=0.95
        Level of the interval.
    random_state : int, RandomState instance or None, default=None
        Used with a callable only.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights: 3 means three rows. A callable gets 2.5 as three rows of weight 5/6.

    Returns
    -------
    CalibrationTest
        Statistic, p-value and interval.

    See Also
    --------
    skmergecal.metrics.CalibrationTest : What it returns.
    skmergecal.calibration_report : Applies it to a classifier.

    References
    ----------
    Spiegelhalter, "Probabilistic prediction in patient management and clinical trials", Statistics
    in Medicine 1986, https://doi.org/10.1002/sim.4780050506.

    Bröcker and Smith, "Increasing the Reliability of Reliability Diagrams", Weather and
    Forecasting 2007 (consistency resampling; here the probabilities themselves are not resampled,
    so that p is exact), https://doi.org/10.1175/WAF993.1.

    Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 5.2,
    https://doi.org/10.1017/CBO9780511802843.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.metrics import calibration_test
    >>> result = calibration_test([0] * 25 + [1] * 15, np.tile([0.9, 0.1], (40, 1)))
    >>> round(result.statistic, 2), round(result.p_value, 4)  # predicted 0.9, observed 0.625
    (5.8, 0.0)
    """
    _check_settings(score, n_resamples, confidence_level)
    labels, p, weight = check_scored(y, proba, sample_weight)
    kept = weight > 0
    labels, p, weight = labels[kept], p[kept], weight[kept]
    if not callable(score):
        return _spiegelhalter(labels, p, weight, confidence_level)
    rng = check_random_state(random_state)
    return _by_resampling(labels, p, weight, score, n_resamples, confidence_level, rng)


def _check_settings(score: Any, n_resamples: Any, confidence_level: Any) -> None:
    if not callable(score) and score != "spiegelhalter":
        msg = f'score should be "spiegelhalter" or a callable (y, proba, sample_weight): {score!r}'
        raise ValueError(msg)
    if not isinstance(n_resamples, Integral) or n_resamples < 1:
        msg = f"n_resamples should be a whole number, at least 1; got {n_resamples!r}"
        raise ValueError(msg)
    check_level(confidence_level)


def _spiegelhalter(y: IntArray, p: Array, weight: Array, level: float) -> CalibrationTest:
    """Spiegelhalter's z test."""
    # Brier score of a row: b = 1 - 2 p_y + sum(p^2), where only p_y is random if y ~ p. Then
    # E[p_y] = sum(p^2), so b - E[b] = 2 (sum(p^2) - p_y) and
    # Var[b] = 4 Var[p_y] = 4 (sum(p^3) - sum(p^2)^2).
    squares = (p**2).sum(axis=1)
    excess = 2 * (squares - p[np.arange(len(y)), y])
    variance = 4 * np.maximum((p**3).sum(axis=1) - squares**2, 0.0)
    scale = np.sqrt(weight @ variance)
    total = float(weight @ excess)
    if scale <= np.finfo(float).eps * weight.sum():
        msg = (
            "Spiegelhalter's z is not defined if every row is certain or uniform, as the Brier "
            "score then has no variance; pass a callable as score"
        )
        raise ValueError(msg)
    z = total / scale
    observed = np.sqrt(weight @ (excess - total / weight.sum()) ** 2)
    margin = norm.ppf((1 + level) / 2) * observed / scale
    return CalibrationTest(
        float(z), float(2 * norm.sf(abs(z))), (float(z - margin), float(z + margin))
    )


def _by_resampling(
    y: IntArray,
    p: Array,
    weight: Array,
    score: Score,
    n_resamples: int,
    level: float,
    rng: np.random.RandomState,
) -> CalibrationTest:
    copies = np.ceil(weight).astype(np.intp)
    rows = np.repeat(np.arange(len(y)), copies)
    y, p, weight = y[rows], p[rows], (weight / copies)[rows]
    statistic = float(score(y, p, sample_weight=weight))
    cumulative = np.cumsum(p, axis=1)
    cumulative /= cumulative[:, -1:]
    calibrated, resampled = np.empty(n_resamples), np.empty(n_resamples)
    for number in range(n_resamples):
        # The first class whose cumulative probability exceeds u: never one of probability 0.
        drawn = (cumulative <= rng.random_sample((len(y), 1))).sum(axis=1)
        calibrated[number] = score(drawn, p, sample_weight=weight)
        chosen = rng.randint(len(y), size=len(y))
        resampled[number] = score(y[chosen], p[chosen], sample_weight=weight[chosen])
    # Scores that differ by rounding only, from another order of summation, count as equal.
    as_large = np.count_nonzero(calibrated >= statistic - 1e-12)
    tail = (1 - level) / 2
    low, high = 2 * statistic - np.quantile(resampled, [1 - tail, tail], method="weibull")
    return CalibrationTest(
        statistic,
        (1 + as_large) / (1 + n_resamples),
        (min(max(float(low), 0.0), statistic), max(float(high), statistic)),
    )
