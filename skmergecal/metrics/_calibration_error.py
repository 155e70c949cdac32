"""Expected calibration error of the most probable class."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmergecal._validation import check_sample_weight

__all__ = ["expected_calibration_error"]


def expected_calibration_error(
    y: Any, proba: Any, *, n_bins: int = 15, sample_weight: Any = None
) -> float:
    """Mean gap between confidence and accuracy, over bins of the largest probability.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, already 0..n_classes-1.
    proba : array-like of shape (n_samples, n_classes)
        Probabilities.
    n_bins : int, default=15
        Number of bins of equal width on [0, 1], closed on the right.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    References
    ----------
    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.

    Examples
    --------
    >>> from skmergecal.metrics import expected_calibration_error
    >>> expected_calibration_error([0, 1], [[1.0, 0.0], [0.5, 0.5]])
    0.25
    """
    p = np.asarray(proba, dtype=np.float64)
    labels = np.asarray(y)
    if p.ndim != 2 or labels.shape != (len(p),):
        msg = (
            "proba should have shape (n_samples, n_classes) and y (n_samples,); "
            f"got {p.shape} and {labels.shape}"
        )
        raise ValueError(msg)
    weight = check_sample_weight(sample_weight, len(p))
    weight = np.ones(len(p)) if weight is None else weight
    confidence = p.max(axis=1)
    gap = confidence - (p.argmax(axis=1) == labels)
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    sums = np.bincount(bins, weights=weight * gap, minlength=n_bins)
    return float(np.abs(sums).sum() / weight.sum())
