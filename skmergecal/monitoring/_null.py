"""The null: laws that deviate from the probabilities by no more than is tolerated.

A law deviates in one direction: its logits are divided by a temperature, or one class has its logit
shifted; after that, a small share of the labels may be wrong. Everything here is enumerated over
the classes, so that the largest mean of a bet under these laws is known for each row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmergecal._numerics import log_softmax
from skmergecal._typing import Array

__all__ = ["WRONG_LABELS", "NullLaws", "Tolerance"]

#: Share of wrong labels that the null allows. Without it, one wrong label where p = 1e-12 would be
#: worth 20 nats.
WRONG_LABELS = 1e-3
#: Temperatures at which a mean is computed, between both ends of what is tolerated.
_N_TEMPERATURES = 7
#: Log-probabilities below this are those of 0.
_LOWEST = -745.0


@dataclass(frozen=True)
class Tolerance:
    """What is tolerated, in one direction at a time.

    Attributes
    ----------
    log_temperature : float
        Of abs(log T).
    shifts : ndarray of shape (n_classes,)
        Of the absolute shift of each class's logit.

    See Also
    --------
    skmergecal.monitoring.CalibrationMonitor : Has one as ``tolerance_``.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skmergecal import TemperatureCalibrator
    >>> from skmergecal.monitoring import CalibrationMonitor
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = FrozenEstimator(GaussianNB().fit(X[:200], y[:200]))
    >>> deployed = TemperatureCalibrator(model).fit(X[200:], y[200:])
    >>> tolerance = CalibrationMonitor(deployed).tolerance_
    >>> round(tolerance.log_temperature, 2), tolerance.shifts.round(2)  # by 369 rows
    (0.4, array([0.29, 0.19]))
    """

    log_temperature: float
    shifts: Array


class NullLaws:
    """The laws of the null for some rows.

    Wrong labels come on top of a deviation, or the deviation on top of them: both are among the
    laws, and so is every smaller share of wrong labels, as means are linear in it.

    Parameters
    ----------
    log_proba : ndarray of shape (n_samples, n_classes)
        Log-probabilities of the monitored model; -inf stands for 0.
    null : Tolerance
    """

    def __init__(self, log_proba: Array, null: Tolerance) -> None:
        k = log_proba.shape[1]
        self.null, self.n_classes = null, k
        self._raw = log_softmax(np.maximum(log_proba, _LOWEST))
        p = np.exp(self._raw)
        mixed = (1 - WRONG_LABELS) * p + WRONG_LABELS / k
        #: Log-probabilities with wrong labels, from which bets are made.
        self.log_proba: Array = np.log(mixed)
        self.proba: Array = mixed
        t = null.log_temperature
        self._betas = np.exp(np.linspace(-t, t, _N_TEMPERATURES)) if t else np.ones(1)
        #: What laws deviate from: log-probabilities, and those at all temperatures, the hottest
        #: first.
        self._bases = [(z, self._at_temperatures(z)) for z in (self.log_proba, self._raw)]

    def _at_temperatures(self, z: Array) -> Array:
        stacked = (self._betas[:, None, None] * z).reshape(-1, z.shape[1])
        return log_softmax(stacked).reshape(len(self._betas), *z.shape)

    @property
    def edges(self) -> Array:
        """Log-probabilities at the largest and the smallest temperature, the bets' denominators."""
        return self._bases[0][1][[0, -1]]

    def extremes(self) -> tuple[Array, Array]:
        """Smallest and largest probability of each class, each of shape (n_samples, n_classes).

        The probability of a class is log-concave in 1 / T, so that it is smallest at an end, and
        tangents bound it from above; in the shift of a class it is monotone.
        """
        shifts = self.null.shifts
        parts = [_extremes(z, laws, self._betas, shifts) for z, laws in self._bases]
        low = np.minimum(parts[0][0], self._noisy(parts[1][0], np.minimum))
        high = np.maximum(parts[0][1], self._noisy(parts[1][1], np.maximum))
        return low, high

    def _noisy(self, p: Array, extreme: np.ufunc) -> Array:
        """The extreme of probabilities without and with wrong labels."""
        return extreme(p, (1 - WRONG_LABELS) * p + WRONG_LABELS / self.n_classes)

    def largest_mean_of_monotone(self, h: Array, softer: np.ndarray) -> Array:
        """Largest means of h(y) that rise, or fall, with p(y), of shape (n_functions, n_samples).

        At temperatures they are largest at an end.

        Parameters
        ----------
        h : ndarray of shape (n_functions, n_samples, n_classes)
        softer : ndarray of bool, shape (n_functions,)
            Whether that end is the largest temperature.
        """
        found = []
        for z, laws in self._bases:
            at_end = np.exp(laws[[-1, 0]])[softer.astype(np.intp)]
            found.append(np.maximum(self._at_shifts(h, np.exp(z)), (h * at_end).sum(axis=-1)))
        return self._largest(found, h)

    def largest_mean(self, h: Array) -> Array:
        """Largest mean of any non-negative h(y), of shape (n_samples,)."""
        found = []
        for z, laws in self._bases:
            means = (h * np.exp(laws)).sum(axis=-1)
            best = np.maximum(self._at_shifts(h, np.exp(z)), means.max(axis=0))
            if len(self._betas) > 1:
                start = self._betas[means.argmax(axis=0)]
                ends = float(self._betas[0]), float(self._betas[-1])
                best = np.maximum(best, _refined(h, z, start, *ends))
            found.append(best)
        return self._largest(found, h)

    def _largest(self, found: list[Array], h: Array) -> Array:
        """The larger of means: wrong labels before a deviation, and after it."""
        noisy = (1 - WRONG_LABELS) * found[1] + WRONG_LABELS * h.mean(axis=-1)
        return np.asarray(np.maximum(found[0], np.maximum(found[1], noisy)))

    def _at_shifts(self, h: Array, p: Array) -> Array:
        """Largest mean of h under shifts of one class."""
        centre = (h * p).sum(axis=-1)
        best = centre
        for sign in (1.0, -1.0) if self.null.shifts.any() else ():
            m = np.expm1(sign * self.null.shifts) * p
            best = np.maximum(best, ((centre[..., None] + h * m) / (1 + m)).max(axis=-1))
        return np.asarray(best)


def _refined(h: Array, z: Array, beta: Array, low: float, high: float) -> Array:
    """Largest mean of h over 1 / T near some, by three steps of Newton's method."""
    best = np.zeros(len(h))
    reach = (high - low) / (_N_TEMPERATURES - 1)
    for _ in range(3):
        law = np.exp(log_softmax(beta[:, None] * z))
        mean = (h * law).sum(axis=1)
        np.maximum(best, mean, out=best)
        centred = z - (law * z).sum(axis=1, keepdims=True)
        slope = (law * h * centred).sum(axis=1)
        square = law * centred**2
        bend = (square * h).sum(axis=1) - mean * square.sum(axis=1)
        uphill = np.sign(slope) * reach
        step = np.divide(-slope, bend, out=uphill, where=bend < 0)
        beta = np.clip(beta + np.clip(step, -reach, reach), low, high)
    return np.maximum(best, (h * np.exp(log_softmax(beta[:, None] * z))).sum(axis=1))


def _extremes(z: Array, laws: Array, betas: Array, shifts: Array) -> tuple[Array, Array]:
    """Smallest and largest probability of each class under deviations from p = exp(z)."""
    low, high = _extremes_of_shifts(np.exp(z), shifts)
    low = np.minimum(low, np.exp(np.minimum(laws[0], laws[-1])))
    high = np.maximum(high, np.exp(laws.max(axis=0)))
    if len(betas) > 1:
        slopes = z - (np.exp(laws) * z).sum(axis=-1, keepdims=True)
        width = np.diff(betas)[:, None, None]
        a, b = slopes[:-1], slopes[1:]
        inside = (a > 0) & (b < 0)
        change = laws[1:] - laws[:-1] - b * width
        d = np.divide(change, a - b, out=np.zeros_like(a), where=inside)
        top = laws[:-1] + np.where(inside, a * np.clip(d, 0, width), 0.0)
        high = np.maximum(high, np.minimum(np.exp(top.max(axis=0)), 1.0))
    return low, high


def _extremes_of_shifts(p: Array, shifts: Array) -> tuple[Array, Array]:
    """The same under shifts alone."""
    up, down = np.expm1(shifts) * p, np.expm1(-shifts) * p
    low = np.minimum((p + down) / (1 + down), p / (1 + _largest_other(up)))
    high = np.maximum((p + up) / (1 + up), p / (1 - _largest_other(-down)))
    return low, high


def _largest_other(values: Array) -> Array:
    """For each column, the largest value of the row among the other columns."""
    top = np.partition(values, -2, axis=1)[:, -2:]
    return np.where(values == top[:, 1:], top[:, :1], top[:, 1:])
