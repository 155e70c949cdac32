"""Plug-in alternative: a temperature and class shifts, learned on past rows.

Logits are beta z + s. Value, gradient and Hessian of the log-likelihood of each block of rows are
added up as a quadratic function that forgets slowly; a ridge pulls its maximum to beta = 1, s = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skmergecal._numerics import log_softmax
from skmergecal._typing import Array, IntArray
from skmergecal.monitoring._null import NullLaws, Tolerance

__all__ = ["VARIANTS", "PlugIn"]

#: What is learned: both, and each alone.
VARIANTS = ("both", "temperature", "shift")

#: Rows from one update to the next, whatever the batches.
BLOCK = 25
#: What is left of a block's weight after the next one: about 2,000 rows count.
_KEPT = 1 - BLOCK / 2000
#: Ridge on beta - 1 and on shifts.
_RIDGE = 4.0
#: Bounds of the learned beta and of learned shifts.
_BETA, _SHIFT = (0.1, 10.0), 6.0


@dataclass(frozen=True)
class PlugIn:
    """What was learned from past rows, and the rows since the last update.

    Attributes
    ----------
    hessian : ndarray of shape (1 + n_classes, 1 + n_classes)
    linear : ndarray of shape (1 + n_classes,)
        The quadratic function is linear @ x - x @ hessian @ x / 2, x = (beta - 1, s).
    learned : ndarray of shape (3, 1 + n_classes)
        x at the last update, for each of `VARIANTS`.
    edge : ndarray of shape (1 + n_classes,)
        The law of the null that fitted best then.
    rows : ndarray of shape (n_rows, n_classes + 2)
        Log-probabilities, label and weight of the rows since.
    """

    hessian: Array
    linear: Array
    learned: Array
    edge: Array
    rows: Array

    @classmethod
    def of_nothing(cls, n_classes: int) -> PlugIn:
        """Before the first row: the probabilities themselves."""
        zeros = np.zeros(1 + n_classes)
        learned = np.zeros((len(VARIANTS), 1 + n_classes))
        rows = np.empty((0, n_classes + 2))
        return cls(np.zeros((1 + n_classes,) * 2), zeros, learned, zeros, rows)

    def after(self, laws: NullLaws, y: IntArray, weight: Array) -> tuple[PlugIn, Array, Array]:
        """What is known after more rows, and what was won on them by what was known before.

        Returns
        -------
        PlugIn
        log_e : ndarray of shape (n_samples,)
            Logs of the e-values, without weights.
        gains : ndarray of shape (n_samples, 3)
            By how much the log loss of each of `VARIANTS` is lower.
        """
        z, n = laws.log_proba, len(y)
        now = self
        learned, edge = np.empty((n, *self.learned.shape)), np.empty((n, len(self.linear)))
        new = np.column_stack([z, y, weight])
        at = 0
        while at < n:
            end = min(n, at + BLOCK - len(now.rows))
            learned[at:end], edge[at:end] = now.learned, now.edge
            now = replace(now, rows=np.vstack([now.rows, new[at:end]]))
            if len(now.rows) == BLOCK:
                now = now._update(laws.null)
            at = end
        q = [_law(z, learned[:, i]) for i in range(len(VARIANTS))]
        rows = np.arange(n)
        gains = np.column_stack([law[rows, y] for law in q]) - z[rows, y][:, None]
        return now, _log_e_values(laws, y, q[0], edge), gains

    def _update(self, null: Tolerance) -> PlugIn:
        z, y, w = self.rows[:, :-2], self.rows[:, -2].astype(np.intp), self.rows[:, -1]
        x = self.learned[0]
        q = np.exp(log_softmax((1 + x[0]) * z + x[1:]))
        mean = (q * z).sum(axis=1)
        rows = np.arange(len(y))
        residual = -q
        residual[rows, y] += 1
        gradient = np.append(w @ (z[rows, y] - mean), w @ residual)
        wq = w[:, None] * q
        k = z.shape[1]
        block = np.empty((1 + k, 1 + k))
        block[0, 0] = (wq * (z - mean[:, None]) ** 2).sum()
        block[0, 1:] = block[1:, 0] = (wq * (z - mean[:, None])).sum(axis=0)
        block[1:, 1:] = np.diag(wq.sum(axis=0)) - wq.T @ q
        hessian = _KEPT * self.hessian + block
        linear = _KEPT * self.linear + block @ x + gradient
        learned = np.zeros_like(self.learned)
        ridge = hessian + _RIDGE * np.eye(1 + k)
        for i, part in enumerate((slice(None), slice(0, 1), slice(1, None))):
            learned[i, part] = np.linalg.solve(ridge[part, part], linear[part])
        learned[:, 0] = np.clip(learned[:, 0], _BETA[0] - 1, _BETA[1] - 1)
        learned[:, 1:] = np.clip(learned[:, 1:], -_SHIFT, _SHIFT)
        edge = _best_of_null(hessian, linear, null)
        return PlugIn(hessian, linear, learned, edge, self.rows[:0])


def _best_of_null(hessian: Array, linear: Array, null: Tolerance) -> Array:
    """The law of the null that fits the quadratic function best."""
    t = null.log_temperature
    low = np.append(np.expm1(-t), -null.shifts)
    high = np.append(np.expm1(t), null.shifts)
    curvature = np.diag(hessian)
    best = np.divide(linear, curvature, out=np.zeros_like(linear), where=curvature > 0)
    best = np.clip(best, low, high)
    value = linear * best - curvature * best**2 / 2
    chosen = np.zeros_like(linear)
    i = int(value.argmax())
    chosen[i] = best[i]
    return chosen


def _law(z: Array, x: Array) -> Array:
    return log_softmax((1 + x[:, :1]) * z + x[:, 1:])


def _log_e_values(laws: NullLaws, y: IntArray, law: Array, edge: Array) -> Array:
    log_h = law - _law(laws.log_proba, edge)
    mean = laws.largest_mean(np.exp(log_h))
    return np.asarray(log_h[np.arange(len(y)), y] - np.log(np.maximum(mean, 1.0)))
