"""Window: the last rows, and what can be learned from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from skmergecal._numerics import log_softmax, mean_loss, row_losses, soften, softening_of
from skmergecal._temperature import TEMPERATURE_ALPHA, minimise_temperature
from skmergecal._typing import Array, IntArray
from skmergecal.calibration import ShiftFit, fit_shift
from skmergecal.members import SOFTENING_WITHOUT_ROWS
from skmergecal.monitoring._inputs import LOWEST

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
        As the deployed model gives them: -inf for a probability of 0.
    y : ndarray of shape (n_rows,)
    weight : ndarray of shape (n_rows,)
    members : ndarray of shape (n_rows, n_members, n_classes), float32
        Softened as the members are in the deployed merge.
    from_proba : bool
        Whether a merge or a calibrator reads the deployed model as probabilities, and softens it if
        they call for that; not so log-probabilities, and what comes without a model.
    """

    size: int
    log_proba: np.ndarray
    y: IntArray
    weight: Array
    members: np.ndarray
    from_proba: bool = False

    @classmethod
    def empty(
        cls, size: int, n_classes: int, n_members: int = 0, *, from_proba: bool = False
    ) -> Window:
        """Before the first row."""
        return cls(
            size,
            np.empty((0, n_classes), dtype=np.float32),
            np.empty(0, dtype=np.intp),
            np.empty(0),
            np.empty((0, n_members, n_classes), dtype=np.float32),
            from_proba,
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
    def exact(self) -> Array:
        """Log-probabilities of the deployed model, in double precision."""
        return log_softmax(self.log_proba)

    @property
    def softening(self) -> float:
        """By how much a calibrator that is fitted to these rows softens the deployed model."""
        return softening_of(np.exp(self.exact), self.weight) if self.from_proba else 0.0

    @property
    def logits(self) -> Array:
        """Log-probabilities to fit to, finite: those of a calibrator fitted to these rows."""
        if self.from_proba:
            return soften(np.exp(self.exact), self.softening)
        z = self.exact
        zeros = np.isneginf(z).any(axis=1)
        # Other rows stay: what takes the place of the model gets them as they are.
        z[zeros] = soften(np.exp(z[zeros]), SOFTENING_WITHOUT_ROWS)
        return z

    def member_logits(self) -> list[Array]:
        """Log-probabilities of each member."""
        return [log_softmax(self.members[:, i]) for i in range(self.members.shape[1])]


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
    """Losses of rows recalibrated by what the other folds of neighbouring rows show."""
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
    return mean_loss(np.maximum(window.exact, LOWEST), window.y, window.weight)
