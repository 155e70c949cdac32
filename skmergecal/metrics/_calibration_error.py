"""Binned calibration errors: expected, maximum and class-wise."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from skmergecal._typing import Array
from skmergecal._validation import check_parameters
from skmergecal.metrics._bins import Bins, bin_forecasts, check_bins
from skmergecal.metrics._checks import check_choice
from skmergecal.metrics._forecasts import FORECASTS, Kind
from skmergecal.metrics._scored import scored_rows

__all__ = ["classwise_calibration_error", "expected_calibration_error", "maximum_calibration_error"]

Strategy = Literal["uniform", "quantile"]
Norm = Literal["l1", "l2", "max"]
NORMS = ("l1", "l2", "max")


def _squared_bias(bins: Bins) -> Array:
    """Upward bias of each bin's squared gap due to sampling noise; 0 for a bin of one row."""
    # The frequency a of m rows has variance p (1 - p) / m, of which a (1 - a) / (m - 1) is the
    # unbiased estimate. One row gives no estimate.
    spread = bins.frequency * (1 - bins.frequency)
    return np.divide(spread, bins.weight - 1, out=np.zeros_like(spread), where=bins.weight > 1)


def _error(bins: Bins, norm: str, debias: bool) -> float:
    """Error of one forecast; its square for "l2", which may be negative if debiased."""
    if norm == "max":
        return float(np.abs(bins.gap).max())
    terms = np.abs(bins.gap) if norm == "l1" else bins.gap**2
    if debias:
        terms = terms - _squared_bias(bins)
    return float(np.average(terms, weights=bins.weight))


class _Binning(NamedTuple):
    """Settings of the bins, and of the norm that reduces the gaps to one number."""

    n_bins: int
    strategy: str
    norm: str
    debias: bool = False


def _binned_error(y: Any, proba: Any, sample_weight: Any, kind: str, binning: _Binning) -> float:
    n_bins, strategy, norm, debias = binning
    check_bins(n_bins, strategy, y, proba, sample_weight)
    check_choice("norm", norm, NORMS)
    check_choice("kind", kind, tuple(FORECASTS))
    if debias and norm != "l2":
        msg = f'debias=True needs norm="l2": only the squared error has a known bias; got {norm!r}'
        raise ValueError(msg)
    with scored_rows(y, proba, sample_weight) as rows:
        found = bin_forecasts(rows, FORECASTS[kind], n_bins, strategy)
    errors = [_error(bins, norm, debias) for bins in found]
    if norm == "max":
        return max(errors)
    mean = float(np.mean(errors))
    return mean if norm == "l1" else float(np.sqrt(max(mean, 0.0)))


@check_parameters(debias=["boolean"])
def expected_calibration_error(
    y: Any,
    proba: Any,
    *,
    n_bins: int = 15,
    strategy: Strategy = "uniform",
    norm: Norm = "l1",
    debias: bool = False,
    sample_weight: Any = None,
) -> float:
    """Mean gap between confidence and accuracy, over bins of the largest probability.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, already 0..n_classes-1.
    proba : array-like of shape (n_samples, n_classes)
        Probabilities.
    n_bins : int, default=15
        Number of bins, closed on the right.
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of equal width on [0, 1], or of about equal weight; equal confidences share a bin.
    norm : {"l1", "l2", "max"}, default="l1"
        Mean absolute gap, root of the mean squared gap, or largest gap.
    debias : bool, default=False
        With ``norm="l2"``: subtract from each bin's squared gap its bias due to sampling noise,
        a (1 - a) / (m - 1) for the accuracy a of m rows; if the result is negative, the error
        is 0. A bin of one row gives no estimate of its noise and is not corrected.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    Raises
    ------
    ValueError
        If ``debias`` is used with another norm, or labels, probabilities or weights are invalid.

    See Also
    --------
    skmergecal.metrics.classwise_calibration_error : Takes every class into account.
    skmergecal.metrics.smooth_calibration_error : Needs no bins.
    skmergecal.metrics.calibration_test : Whether an error is more than chance.

    References
    ----------
    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015,
    https://doi.org/10.1609/aaai.v29i1.9602.

    The debiased square: Kumar et al., "Verified Uncertainty Calibration", NeurIPS 2019, section 4,
    https://doi.org/10.48550/arXiv.1909.10155.

    Ferro and Fricker, "A bias-corrected decomposition of the Brier score", QJRMS 2012,
    https://doi.org/10.1002/qj.1924.

    Examples
    --------
    >>> from skmergecal.metrics import expected_calibration_error
    >>> expected_calibration_error([0, 1], [[1.0, 0.0], [0.5, 0.5]])
    0.25
    """
    binning = _Binning(n_bins, strategy, norm, debias)
    return _binned_error(y, proba, sample_weight, "top-label", binning)


def maximum_calibration_error(
    y: Any,
    proba: Any,
    *,
    n_bins: int = 15,
    strategy: Strategy = "uniform",
    kind: Kind = "top-label",
    sample_weight: Any = None,
) -> float:
    """Largest gap between mean confidence and frequency, over bins.

    Bins with few rows have large gaps by chance: prefer ``strategy="quantile"`` or few bins.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, already 0..n_classes-1.
    proba : array-like of shape (n_samples, n_classes)
        Probabilities.
    n_bins : int, default=15
        Number of bins, closed on the right.
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of equal width on [0, 1], or of about equal weight; equal confidences share a bin.
    kind : {"top-label", "class-wise"}, default="top-label"
        Bins of the largest probability, or of each class's probability.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    See Also
    --------
    skmergecal.metrics.expected_calibration_error : The mean gap.

    References
    ----------
    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015,
    https://doi.org/10.1609/aaai.v29i1.9602.

    Examples
    --------
    >>> from skmergecal.metrics import maximum_calibration_error
    >>> maximum_calibration_error([0, 1], [[1.0, 0.0], [0.5, 0.5]])
    0.5
    """
    binning = _Binning(n_bins, strategy, "max")
    return _binned_error(y, proba, sample_weight, kind, binning)


@check_parameters(debias=["boolean"])
def classwise_calibration_error(
    y: Any,
    proba: Any,
    *,
    n_bins: int = 15,
    strategy: Strategy = "uniform",
    norm: Norm = "l1",
    debias: bool = False,
    sample_weight: Any = None,
) -> float:
    """Mean over classes of the gap between each class's probability and its frequency.

    `expected_calibration_error` uses the most probable class only; this uses every class, so that
    small probabilities have to be calibrated, too.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, already 0..n_classes-1.
    proba : array-like of shape (n_samples, n_classes)
        Probabilities.
    n_bins : int, default=15
        Number of bins for each class, closed on the right.
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of equal width on [0, 1], or of about equal weight for each class.
    norm : {"l1", "l2", "max"}, default="l1"
        Mean absolute gap, root of the mean squared gap, or largest gap, over bins and classes.
    debias : bool, default=False
        As in `expected_calibration_error`.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.

    Returns
    -------
    float
        In [0, 1]; 0 is best.

    See Also
    --------
    skmergecal.metrics.expected_calibration_error : Of the most probable class alone.

    References
    ----------
    Kull et al., "Beyond temperature scaling", NeurIPS 2019, equation 2 (uniform bins),
    https://doi.org/10.48550/arXiv.1910.12656.

    Nixon et al., "Measuring Calibration in Deep Learning", CVPR workshops 2019 (quantile bins:
    adaptive calibration error), https://doi.org/10.48550/arXiv.1904.01685.

    Examples
    --------
    >>> from skmergecal.metrics import classwise_calibration_error
    >>> classwise_calibration_error([0, 1], [[1.0, 0.0], [0.5, 0.5]])
    0.25
    """
    binning = _Binning(n_bins, strategy, norm, debias)
    return _binned_error(y, proba, sample_weight, "class-wise", binning)
