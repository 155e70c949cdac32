"""One temperature for logits: minimise the log loss of softmax(logits / T) over T."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2
from sklearn.exceptions import ConvergenceWarning

from skmergecal._scaling import Bound, Objective, ScalingLoss, find_root
from skmergecal._typing import Array, IntArray
from skmergecal._validation import check_logits, check_sample_weight
from skmergecal._warnings import warn_user

__all__ = [
    "TemperatureFit",
    "fit_temperature",
    "minimise_temperature",
    "profile_interval",
    "summarise_fit",
    "warn_at_bound",
]

#: Rows beyond this number are fitted with a start from a subsample of about this size.
SUBSAMPLE = 16_384
_HALF_CHI2_95 = float(chi2.ppf(0.95, 1)) / 2


@dataclass(frozen=True)
class TemperatureFit:
    """A fitted temperature.

    Attributes
    ----------
    temperature : float
        T, the divisor of the logits.
    interval : tuple of float
        95 % interval of T from the profile likelihood, rows taken as independent. An end that
        the data do not bound is 0 or infinity.
    loss : float
        Mean log loss at T, in nats.
    loss_before : float
        Mean log loss at T = 1.
    bound : {None, "lower", "upper"}
        The bound at which T was stopped where no finite optimum exists.
    """

    temperature: float
    interval: tuple[float, float]
    loss: float
    loss_before: float
    bound: Bound


class _Objective:
    """The loss plus alpha * log(T)^2 / (2 n), as a function of t = log beta."""

    def __init__(self, loss: ScalingLoss, alpha: float) -> None:
        self.loss = loss
        self.penalty = alpha / loss.total

    def __call__(self, t: float) -> tuple[float, float, float]:
        """Value, derivative, and the curvature for a Newton step in t."""
        beta = float(np.exp(t))
        value, g, h = self.loss(beta)
        slope = beta * g + self.penalty * t
        curvature = beta * beta * h + self.penalty
        # Convex in beta, not in t: where the second derivative in t is small or negative, the
        # step of the convex problem is the safe one.
        full = curvature + beta * g
        curvature = full if g >= 0 or 2 * full > curvature else curvature
        return value + self.penalty / 2 * t * t, slope, curvature


def minimise_temperature(
    logits: np.ndarray, y: np.ndarray, sample_weight: Array | None = None, alpha: float = 0.0
) -> tuple[float, Bound, ScalingLoss]:
    """Temperature, the bound it stopped at, and the loss it minimises; no checks, no interval."""
    loss = ScalingLoss(logits, y, sample_weight)
    temperature, bound = loss.limits.temperature(
        alpha, _Objective(loss, alpha), lambda: _warm_start(logits, y, sample_weight, alpha)
    )
    return temperature, bound, loss


def _warm_start(
    logits: np.ndarray, y: np.ndarray, sample_weight: Array | None, alpha: float
) -> float:
    """Log beta of a subsample where there are many rows, else 0."""
    stride = len(y) // SUBSAMPLE
    if stride < 2:
        return 0.0
    rows = slice(None, None, stride)
    weight = None if sample_weight is None else sample_weight[rows]
    if weight is not None and not weight.any():
        return 0.0
    temperature, _, _ = minimise_temperature(logits[rows], y[rows], weight, alpha / stride)
    return -float(np.log(temperature))


def profile_interval(
    objective: Objective,
    total: float,
    temperature: float,
    reach: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[float, float]:
    """95 % interval of T: where 2 n (NLL(T) - min NLL) stays below chi2_1's quantile.

    An end is 0 or infinite where the loss never rises so far, or not within ``reach``, the values
    of t = log(1 / T) at which the objective is known.
    """
    centre = -float(np.log(temperature))
    best, _, curvature = objective(centre)
    width = float(np.sqrt(2 * _HALF_CHI2_95 / max(total * curvature, 1e-2)))

    def end(direction: int) -> float:
        def excess(t: float) -> tuple[float, float]:
            value, slope, _ = objective(t)
            rise = total * (value - best) - _HALF_CHI2_95
            return direction * rise, direction * total * slope

        near, step = centre, width
        while True:
            far = float(np.clip(near + direction * step, *reach))
            if direction * excess(far)[0] >= 0:
                return find_root(excess, min(near, far), max(near, far), far)
            if far in reach or abs(far - centre) > 50:
                return direction * np.inf
            near, step = far, 2 * step

    return float(np.exp(-end(+1))), float(np.exp(-end(-1)))


def warn_at_bound(bound: Bound, temperature: float, who: str = "") -> None:
    """Warn that no finite temperature is best, and say which way the data pull."""
    if bound is None:
        return
    why = {
        "lower": "the largest logit is the true class in (nearly) every row, so that the loss "
        "falls as T goes to 0",
        "upper": "the logits do not inform about the classes, so that the loss falls as T goes to "
        "infinity",
    }[bound]
    warn_user(
        f"{who}no finite temperature is best: {why}. T was stopped at its {bound} bound "
        f"{temperature:.4g}. Calibrate on more rows, or on rows that the model has not seen.",
        ConvergenceWarning,
    )


def fit_temperature(
    logits: Any, y: Any, sample_weight: Any = None, *, alpha: float = 0.0
) -> TemperatureFit:
    """Fit the temperature that minimises the log loss of softmax(logits / T).

    Newton steps in log(1 / T) inside a bracket, with exact derivatives in float64.

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes) or (n_samples,)
        Logits or log-probabilities; a 1-D array holds binary margins.
    y : array-like of shape (n_samples,)
        Labels, already 0..n_classes-1.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights: 2 means that the row counts twice, 0 that it is absent.
    alpha : float, default=0.0
        Strength of the penalty alpha * log(T)^2 / (2 n) that pulls T towards 1.

    Returns
    -------
    TemperatureFit
        The temperature, its 95 % interval, the losses and the bound it may have met.

    Warns
    -----
    ConvergenceWarning
        If no finite temperature is best. Where every row is right, so that T would fall to 0, it
        stops where all rows together lose log(2), as much as one undecided row, beyond what tied
        largest logits lose at any T (or at 1, if they lose less there). Where the logits do not
        inform, so that T would grow without bound, it stops at 1,000 times their scale (the
        geometric mean of the rows' mean gaps).

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.

    Examples
    --------
    >>> from skmergecal.calibration import fit_temperature
    >>> fit = fit_temperature([[3, 0], [3, 0], [0, 3], [3, 0]], [0, 0, 1, 1])
    >>> round(fit.temperature, 4)  # three of four are right: 3 / T = log(3)
    2.7307
    """
    z = check_logits(logits)
    labels = _check_columns(y, z)
    weight = check_sample_weight(sample_weight, len(z))
    temperature, bound, loss = minimise_temperature(z, labels, weight, alpha)
    warn_at_bound(bound, temperature)
    return summarise_fit(temperature, bound, loss, alpha)


def _check_columns(y: Any, z: np.ndarray) -> IntArray:
    """Labels that are column numbers of the logits."""
    labels = np.asarray(y)
    if labels.shape != (len(z),) or labels.dtype.kind not in "iub":
        msg = (
            f"y should hold {len(z)} whole numbers 0..{z.shape[1] - 1}; "
            f"got shape {labels.shape}, dtype {labels.dtype}"
        )
        raise ValueError(msg)
    if labels.min() < 0 or labels.max() >= z.shape[1]:
        msg = (
            f"y should hold column numbers 0..{z.shape[1] - 1}; got {labels.min()}..{labels.max()}"
        )
        raise ValueError(msg)
    return labels.astype(np.intp)


def summarise_fit(
    temperature: float, bound: Bound, loss: ScalingLoss, alpha: float
) -> TemperatureFit:
    """Complete a temperature to a `TemperatureFit`: interval and losses."""
    return TemperatureFit(
        temperature=temperature,
        interval=profile_interval(_Objective(loss, alpha), loss.total, temperature),
        loss=loss(1 / temperature)[0],
        loss_before=loss(1.0)[0],
        bound=bound,
    )
