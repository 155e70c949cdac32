"""Training of networks given as arrays: batches, one gradient step, and mixed rows.

Distillation after a merge and further training both use it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from skmergecal._networks._network import Network, two_columns
from skmergecal._networks._optimisers import Optimiser
from skmergecal._numerics import softmax
from skmergecal._typing import Array, IntArray

__all__ = ["batches", "draw_partners", "logit_gradient", "moved_towards", "train_on_batch"]


def batches(n_rows: int, size: int, rng: np.random.Generator) -> Iterator[IntArray]:
    """Rows in random order; a single row that is left over joins the batch before it."""
    order = rng.permutation(n_rows)
    cuts = np.arange(size, n_rows, size)
    if n_rows % size == 1:
        cuts = cuts[:-1]  # a single row has no variance, which BatchNorm needs
    yield from np.split(order, cuts)


def logit_gradient(
    logits: Array, goals: np.ndarray, weight: Array | None = None, temperature: float = 1.0
) -> Array:
    """Gradient of T^2 times the mean cross-entropy at temperature T with respect to the logits.

    With p = softmax(z / T), the gradient of the cross-entropy of a row with respect to z is
    (p - goal) / T. As p - goal is about proportional to 1 / T, the factor T^2 keeps the size of the
    gradient independent of T.

    Parameters
    ----------
    logits : ndarray of shape (n_rows, n_outputs)
        One output is the margin of the second of two classes.
    goals : ndarray of shape (n_rows, n_classes) or (n_rows,)
        Probabilities, or column numbers of the true classes.
    weight : ndarray of shape (n_rows,) or None
    temperature : float, default=1.0

    Returns
    -------
    ndarray of shape (n_rows, n_outputs)
    """
    proba = softmax(two_columns(logits) / temperature)
    if goals.ndim == 1:
        goals = np.eye(proba.shape[1])[goals]
    difference = temperature * (proba - goals)
    difference = difference[:, -logits.shape[1] :]  # one column of logits has its class last
    if weight is None:
        return difference / len(logits)
    return difference * (weight / weight.sum())[:, None]


def train_on_batch(
    network: Network,
    optimiser: Optimiser,
    X: Array,
    goals: np.ndarray,
    rate: float,
    *,
    weight: Array | None = None,
    temperature: float = 1.0,
    penalty: float = 0.0,
) -> Array:
    """One step of the optimiser's arrays down the cross-entropy of a batch.

    Parameters
    ----------
    network : Network
    optimiser : Optimiser
        Its arrays are moved.
    X : ndarray of shape (n_rows, n_features)
    goals, weight, temperature
        As for `logit_gradient`.
    rate : float
    penalty : float, default=0.0
        Ridge on the matrices, divided by the number of rows, as part of the gradient.

    Returns
    -------
    ndarray of shape (n_rows, n_outputs)
        Logits before the step.
    """
    arrays = optimiser.arrays
    values = network.values(arrays, X)
    gradient: Array = logit_gradient(values[-1], goals, weight, temperature)
    gradient = np.asarray(gradient, dtype=np.float32)
    gradients = network.gradients(arrays, values, gradient)
    if penalty:
        for name, array in arrays.items():
            if array.ndim > 1 and name in gradients:
                gradients[name] = gradients[name] + penalty / len(X) * array
    optimiser.move(gradients, rate)
    return values[-1]


def draw_partners(n_rows: int, rng: np.random.Generator) -> tuple[IntArray, Array]:
    """For each row a random partner, and the share of the way to go towards it, up to a half.

    References
    ----------
    Zhang et al., "mixup: Beyond empirical risk minimization", ICLR 2018.
    """
    return rng.permutation(n_rows), rng.uniform(0.0, 0.5, n_rows)


def moved_towards(values: Array, partner: IntArray, share: Array) -> Array:
    """Each row moved by a share of the way to its partner, in float64."""
    return values + share[:, None] * (values[partner] - values.astype(np.float64))
