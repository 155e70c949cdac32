"""Window: the last rows, and what can be learned from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from skmergecal._numerics import log_softmax, mean_loss, row_losses, soften
from skmergecal._temperature import TEMPERATURE_ALPHA, minimise_temperature
from skmergecal._typing import Array, IntArray
from skmergecal.calibration import ShiftFit, fit_shift
from skmergecal.members import SOFTENING_WITHOUT_ROWS

__all__ = ["Recalibration", "Window", "cross_validated_losses", "recalibrate", "window_loss"]

#: Folds of neighbouring rows in which losses are cross-validated.
_N_FOLDS = 5
_MOST_ROUNDS = 30


@dataclass(frozen=True)
class Window:
    """The last rows of a stream, in single precision.

    Attributes
    ----------
    size : int
        Rows that are kept.
    log_proba : ndarray of shape (n_rows, n_classes), float32
    y : ndarray of shape (n_rows,)
    weight : ndarray of shape (n_rows,)
    members : ndarray of shape (n_rows, n_members, n_classes), float32
    """

    size: int
    log_proba: np.ndarray
    y: IntArray
    weight: Array
    members: np.ndarray

    @classmethod
    def empty(cls, size: int, n_classes: int, n_members: int = 0) -> Window:
        """Before the first row."""
        return cls(
            size,
            np.empty((0, n_classes), dtype=np.float32),
            np.empty(0, dtype=np.intp),
            np.empty(0),
            np.empty((0, n_members, n_classes), dtype=np.float32),
        )

    def after(self, log_proba: Array, y: IntArray, weight: Array, members: Array) -> Window:
        """The last rows after more of them."""
        new = {"log_proba": log_proba, "y": y, "weight": weight, "members": members}
        parts: dict[str, Any] = {}
        for name, values in new.items():
            old = getattr(self, name)
            recent = np.asarray(values[-self.size :], dtype=old.dtype)
            kept = old[max(0, len(old) + len(recent) - self.size) :]
            parts[name] = np.concatenate([kept, recent])
        return replace(self, **parts)

    def __len__(self) -> int:
        return len(self.y)

    @property
    def logits(self) -> Array:
        """Log-probabilities to fit to: finite, zeros softened as everywhere without rows."""
        return _to_fit(self.log_proba)

    def member_logits(self) -> list[Array]:
        """The same of each member."""
        return [_to_fit(self.members[:, i]) for i in range(self.members.shape[1])]


def _to_fit(log_proba: np.ndarray) -> Array:
    z: Array = np.asarray(log_proba, dtype=np.float64)
    if z.min(initial=0.0) > np.log(SOFTENING_WITHOUT_ROWS / z.shape[1]):
        return log_softmax(z)
    return soften(np.exp(log_softmax(z)), SOFTENING_WITHOUT_ROWS)


class Recalibration(NamedTuple):
    """A temperature, and shifts of the logits before it."""

    temperature: float
    shift: Array
    interval: tuple[float, float]
    shift_fit: ShiftFit

    def of(self, z: Array) -> Array:
        """Recalibrated log-probabilities."""
        return log_softmax((z + self.shift) / self.temperature)


def recalibrate(z: Array, y: IntArray, weight: Array, *, shift: bool) -> Recalibration:
    """Fit a temperature, and if asked for class shifts, in turn until both stay.

    Parameters
    ----------
    z : ndarray of shape (n_samples, n_classes)
    y : ndarray of shape (n_samples,)
        Column numbers.
    weight : ndarray of shape (n_samples,)
    shift : bool
    """
    k = z.shape[1]
    fit = ShiftFit(np.zeros(k), np.zeros((k, 2)))
    moved, temperature = np.zeros(k), 1.0
    for _ in range(_MOST_ROUNDS if shift else 1):
        if shift:
            fit = fit_shift(z / temperature, y, weight)
            moved = fit.shift * temperature
        minimum = minimise_temperature(z + moved, y, weight, TEMPERATURE_ALPHA)
        done = abs(np.log(minimum.temperature / temperature)) < 1e-6
        temperature = minimum.temperature
        if done:
            break
    return Recalibration(temperature, moved, minimum.interval(), fit)


def cross_validated_losses(z: Array, y: IntArray, weight: Array, *, shift: bool) -> Array:
    """Losses of rows recalibrated by what the other folds of neighbouring rows say."""
    out = np.empty(len(y))
    for rows in np.array_split(np.arange(len(y)), min(_N_FOLDS, len(y))):
        rest = np.setdiff1d(np.arange(len(y)), rows)
        if not len(rest):
            return row_losses(z, y)
        fit = recalibrate(z[rest], y[rest], weight[rest], shift=shift)
        out[rows] = row_losses(fit.of(z[rows]), y[rows])
    return out


def window_loss(window: Window) -> float:
    """Mean log loss of the deployed model on the window."""
    z = np.asarray(window.log_proba, dtype=np.float64)
    return mean_loss(log_softmax(z), window.y, window.weight)
