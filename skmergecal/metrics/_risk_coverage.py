"""Risk-coverage curve of selective prediction: the error rate of the most confident rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skmergecal._typing import Array
from skmergecal._validation import as_numbers
from skmergecal.metrics._checks import check_scored

__all__ = ["RiskCoverageCurve", "area_under_risk_coverage", "risk_coverage_curve"]


@dataclass(frozen=True)
class RiskCoverageCurve:
    """Risk as a function of coverage.

    Attributes
    ----------
    coverage : ndarray of shape (n_thresholds,)
        Share of the weight of rows with confidence at least the threshold, increasing up to 1.
    risk : ndarray of shape (n_thresholds,)
        Error rate of these rows.
    threshold : ndarray of shape (n_thresholds,)
        The distinct confidences, decreasing.

    See Also
    --------
    skmergecal.metrics.risk_coverage_curve : Makes one.
    skmergecal.RiskCoverageDisplay : Draws it.

    Examples
    --------
    >>> from skmergecal.metrics import risk_coverage_curve
    >>> curve = risk_coverage_curve([0, 1, 1], [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    >>> curve.threshold.tolist(), curve.coverage.round(2).tolist(), curve.risk.round(2).tolist()
    ([0.9, 0.8, 0.7], [0.33, 0.67, 1.0], [0.0, 0.0, 0.33])
    >>> round(curve.area, 3)
    0.063
    """

    coverage: Array
    risk: Array
    threshold: Array

    @property
    def area(self) -> float:
        """Area under the curve.

        Between two thresholds, rows of equal confidence are added with equal shares of their
        errors, so that the errors are a + s c at coverage c and the risk is a / c + s: the
        integral is exact, and the order of tied rows does not matter.
        """
        errors = self.coverage * self.risk
        start, done = np.r_[0.0, self.coverage[:-1]], np.r_[0.0, errors[:-1]]
        width = self.coverage - start
        slope = (errors - done) / width
        # The first block starts at coverage 0 with 0 errors: its risk is constant, a = 0.
        ratio = np.divide(self.coverage, start, out=np.ones_like(start), where=start > 0)
        return float(((done - slope * start) * np.log(ratio) + slope * width).sum())

    @property
    def excess_area(self) -> float:
        """Area in excess of the optimum, in which all errors have the lowest confidence."""
        # Accuracy r: the risk is 0 up to coverage r and 1 - r / c above, so the optimum is
        # integral_r^1 (1 - r / c) dc = 1 - r + r log r.
        right = 1 - float(self.risk[-1])
        best = 1 - right + (right * float(np.log(right)) if right > 0 else 0.0)
        return self.area - best


def risk_coverage_curve(
    y: Any, proba: Any, *, confidence: Any = None, sample_weight: Any = None
) -> RiskCoverageCurve:
    """Error rate among the most confident rows, for every share of rows kept.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, already 0..n_classes-1.
    proba : array-like of shape (n_samples, n_classes)
        Probabilities; the prediction is the most probable class (ties: the first).
    confidence : array-like of shape (n_samples,), default=None
        Rows with larger values are kept first. None: the largest probability.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.

    Returns
    -------
    RiskCoverageCurve
        One point for each distinct confidence: tied rows are added together.

    See Also
    --------
    skmergecal.metrics.RiskCoverageCurve : What it returns.
    skmergecal.metrics.area_under_risk_coverage : The curve in one number.
    skmergecal.RiskCoverageDisplay : Draws the curves of several models.

    References
    ----------
    El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification", JMLR 2010.

    Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks", NeurIPS 2017,
    https://doi.org/10.48550/arXiv.1705.08500.

    Examples
    --------
    >>> from skmergecal.metrics import risk_coverage_curve
    >>> curve = risk_coverage_curve([0, 1, 1], [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    >>> curve.risk.round(2).tolist()
    [0.0, 0.0, 0.33]
    """
    labels, p, weight = check_scored(y, proba, sample_weight)
    confident = p.max(axis=1) if confidence is None else as_numbers("confidence", confidence)
    if confident.shape != labels.shape or not np.isfinite(confident).all():
        msg = f"confidence should hold {len(labels)} finite numbers; got shape {confident.shape}"
        raise ValueError(msg)
    kept = weight > 0
    threshold, block = np.unique(-confident[kept], return_inverse=True)
    wrong = (p.argmax(axis=1) != labels)[kept]
    total = np.cumsum(np.bincount(block, weights=weight[kept]))
    errors = np.cumsum(np.bincount(block, weights=weight[kept] * wrong))
    return RiskCoverageCurve(total / total[-1], errors / total, -threshold)


def area_under_risk_coverage(
    y: Any, proba: Any, *, confidence: Any = None, sample_weight: Any = None
) -> float:
    """Mean error rate over all shares of rows kept, the most confident first.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, already 0..n_classes-1.
    proba : array-like of shape (n_samples, n_classes)
        Probabilities; the prediction is the most probable class (ties: the first).
    confidence : array-like of shape (n_samples,), default=None
        Rows with larger values are kept first. None: the largest probability.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.

    Returns
    -------
    float
        In [0, 1]; 0 is best. The integral over coverage, ties handled exactly; the usual sum over
        rows differs from it by an amount of order log(n) / n.

    See Also
    --------
    skmergecal.metrics.risk_coverage_curve : The curve.

    References
    ----------
    Geifman, Uziel and El-Yaniv, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers",
    ICLR 2019, https://doi.org/10.48550/arXiv.1805.08206.

    Examples
    --------
    >>> from skmergecal.metrics import area_under_risk_coverage
    >>> round(area_under_risk_coverage([0, 1], [[0.9, 0.1], [0.7, 0.3]]), 4)  # 1/2 - log(2) / 2
    0.1534
    """
    curve = risk_coverage_curve(y, proba, confidence=confidence, sample_weight=sample_weight)
    return curve.area
