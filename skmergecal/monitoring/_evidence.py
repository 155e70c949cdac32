"""Evidence of single rows: e-values of labels for alternatives on a grid.

Each alternative is a temperature or a shift of one class's logit beyond what is tolerated. Its
e-value is h(y) / max(1, largest mean of h under the null), with h the likelihood ratio of the
alternative to the edge of the null in its own direction: its mean is at most 1 whatever law of the
null holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmergecal._numerics import log_softmax
from skmergecal._typing import Array, IntArray
from skmergecal.monitoring._null import NullLaws, Tolerance

__all__ = ["Grid", "log_e_values"]

#: Beyond the edge of the null: log T, and shifts of a class's logit.
_LOG_TEMPERATURES = (0.1, 0.25, 0.5, 1.0)
_SHIFTS = (0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Grid:
    """Alternatives on a grid.

    Attributes
    ----------
    log_temperatures : ndarray of shape (n_temperatures,)
    columns : ndarray of shape (n_shifts,)
        The class of each shift.
    shifts : ndarray of shape (n_shifts,)
        Of its logit.
    """

    log_temperatures: Array
    columns: IntArray
    shifts: Array

    @classmethod
    def beyond(cls, null: Tolerance) -> Grid:
        """Temperatures and shifts beyond what is tolerated, in both directions.

        Of two classes, one is enough: a shift of one is that of the other, with the other sign.
        """
        k = len(null.shifts)
        sizes = np.array(_LOG_TEMPERATURES) + null.log_temperature
        shifted = [1] if k == 2 else range(k)
        shifts = [sign * (d + null.shifts[c]) for c in shifted for sign in (-1, 1) for d in _SHIFTS]
        columns = np.repeat(np.array(shifted, dtype=np.intp), 2 * len(_SHIFTS))
        return cls(np.concatenate([-sizes[::-1], sizes]), columns, np.array(shifts))

    def __len__(self) -> int:
        return len(self.log_temperatures) + len(self.shifts)

    @property
    def mass(self) -> Array:
        """Prior mass of the alternatives, adding up to 1: half for temperatures."""
        n_temperatures, n_shifts = len(self.log_temperatures), len(self.shifts)
        halves = [np.full(n, 0.5 / n) for n in (n_temperatures, n_shifts)]
        return np.concatenate(halves)

    def names(self, classes: np.ndarray) -> list[str]:
        """What the alternatives are, in words."""
        temperatures = [f"temperature {np.exp(t):.3g}" for t in self.log_temperatures]
        labels = classes.tolist()
        shifts = zip(self.columns, self.shifts, strict=True)
        return temperatures + [f"odds of {labels[c]!r} x {np.exp(s):.3g}" for c, s in shifts]


def log_e_values(laws: NullLaws, y: IntArray, grid: Grid) -> Array:
    """Logarithms of the e-values, of shape (n_samples, n_alternatives).

    Parameters
    ----------
    laws : NullLaws
    y : ndarray of shape (n_samples,)
        Column numbers.
    grid : Grid
    """
    return np.column_stack([_of_temperatures(laws, y, grid), _of_shifts(laws, y, grid)])


def _of_temperatures(laws: NullLaws, y: IntArray, grid: Grid) -> Array:
    """Those of temperatures: h is monotone in the probability."""
    log_t, z = grid.log_temperatures, laws.log_proba
    softer = log_t > 0
    stacked = (np.exp(-log_t)[:, None, None] * z).reshape(-1, z.shape[1])
    log_h = log_softmax(stacked).reshape(-1, *z.shape) - laws.edges[np.where(softer, 0, 1)]
    mean = laws.largest_mean_of_monotone(np.exp(log_h), softer)
    return np.asarray((log_h[:, np.arange(len(y)), y] - np.log(np.maximum(mean, 1.0))).T)


def _of_shifts(laws: NullLaws, y: IntArray, grid: Grid) -> Array:
    """Those of shifts, in closed form: h has one value for the class, and one for all others."""
    c, s = grid.columns, grid.shifts
    edge = np.copysign(laws.null.shifts[c], s)
    low, high = laws.extremes()
    p = laws.proba[:, c]
    others = np.log1p(p * np.expm1(edge)) - np.log1p(p * np.expm1(s))
    extreme = np.where(s > 0, high[:, c], low[:, c])
    log_mean = others + np.log1p(extreme * np.expm1(s - edge))
    return others + (y[:, None] == c) * (s - edge) - np.maximum(log_mean, 0.0)
