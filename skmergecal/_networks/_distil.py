"""Distillation of a merged network: fit it to the pool of its members, on rows without labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.optimize import minimize

from skmergecal._networks._network import Network, in_single, two_columns
from skmergecal._networks._nodes import AffineLayer, Arrays
from skmergecal._networks._optimisers import Adam
from skmergecal._networks._training import (
    batches,
    draw_partners,
    logit_gradient,
    moved_towards,
    train_on_batch,
)
from skmergecal._numerics import log_softmax, softmax
from skmergecal._typing import Array

__all__ = ["distil", "mixed_rows"]

#: Divides logits before they are compared: the pool's less likely classes then count for more.
TEMPERATURE = 2.0
#: Least and most epochs; between these limits, as many as are needed to see ``ROWS_TO_SEE`` rows.
EPOCHS = (8, 40)
ROWS_TO_SEE = 20_000
BATCH = 100
STEP = 4e-3
#: Share of a mixed row's numbers that are taken from other rows.
SWAPPED = 0.2
#: Adam's decay of the moments. The second is short (0.999 is usual). Otherwise a weight with few
#: gradients, such as that of a sparse column, would take a long step at each of them: for a first
#: one after many steps, (1 - 0.9) / sqrt(1 - 0.999) = 3.2 times the rate, instead of 0.45.
DECAY = (0.9, 0.95)
#: Ridge, and maximum number of steps, of the fit of the last layer alone.
HEAD = 1e-4
HEAD_STEPS = 30


def mixed_rows(network: Network, X: Array, rng: np.random.Generator) -> Array:
    """Mix each row with a random other one, up to half of the way, and swap some numbers.

    The pool gives goals for such rows, too, without any labels: they show what the members predict
    between the rows. A fifth of the numbers is then taken from other rows, one row per number, so
    that columns also vary independently. Columns that are embedded are all taken from one of the
    two rows.

    References
    ----------
    Zhang et al., "mixup: Beyond empirical risk minimization", ICLR 2018; Bucila, Caruana and
    Niculescu-Mizil, "Model compression", KDD 2006, section 3.
    """
    partner, share = draw_partners(len(X), rng)
    mixed = moved_towards(X, partner, share)
    whole = network.whole_columns()
    swapped_whole = np.where(rng.random(len(X)) < share, partner, np.arange(len(X)))
    mixed[:, whole] = X[np.ix_(swapped_whole, whole)]
    swapped = rng.random(X.shape) < SWAPPED
    swapped[:, whole] = False
    mixed[swapped] = X[rng.integers(0, len(X), swapped.sum()), np.nonzero(swapped)[1]]
    return mixed


def distil(
    network: Network, arrays: Arrays, pool: Callable[[Array], Array], X: Array
) -> dict[str, Array]:
    """Fit all layers to the pooled probabilities, in a few epochs from a network that is near them.

    Minimises T^2 times the cross-entropy to the pooled probabilities, both at the temperature
    T = 2. Epochs over the rows alternate with epochs over as many mixed rows, drawn again each
    time. Adam's rate falls to 0 along a half cosine. The seed is fixed: the same input gives the
    same network. Stored means and variances of BatchNorm layers stay as they are.

    Parameters
    ----------
    network : Network
    arrays : dict of str to ndarray
        The arrays at the start; not changed.
    pool : callable
        Gives the pooled logits of rows.
    X : ndarray of shape (n_rows, n_features)

    Returns
    -------
    dict of str to ndarray

    References
    ----------
    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015; Kingma and Ba,
    "Adam", ICLR 2015.
    """
    adam = Adam(arrays, network.statistics, betas=DECAY)
    rng = np.random.default_rng(0)
    goal = softmax(two_columns(pool(X)) / TEMPERATURE)
    epochs = int(np.clip(-(-ROWS_TO_SEE // len(X)), *EPOCHS))
    batch = min(BATCH, max(1, len(X) // 8))
    n_steps = epochs * 2 * -(-len(X) // batch)
    for epoch in range(2 * epochs):
        rows, goals = X, goal
        if epoch % 2:
            rows = mixed_rows(network, X, rng)
            goals = softmax(two_columns(pool(rows)) / TEMPERATURE)
        for few in batches(len(X), batch, rng):
            rate = STEP * 0.5 * (1 + np.cos(np.pi * adam.count / n_steps))
            rows_of_batch = in_single(rows[few])
            train_on_batch(network, adam, rows_of_batch, goals[few], rate, temperature=TEMPERATURE)
    return adam.like(arrays)


def fit_head(
    network: Network, arrays: Mapping[str, Array], pooled: Array, X: Array
) -> dict[str, Array]:
    """Fit the last layer alone to the pooled probabilities, which is a convex problem.

    Minimises the cross-entropy of `distil`, with a weak ridge towards the start. A network that
    does not end in an affine layer with a bias stays as it is.

    Parameters
    ----------
    network : Network
    arrays : dict of str to ndarray
        Not changed.
    pooled : ndarray of shape (n_rows, n_outputs)
        Logits of the pool.
    X : ndarray of shape (n_rows, n_features)

    Returns
    -------
    dict of str to ndarray
    """
    fitted = dict(arrays)
    node = network.nodes[-1]
    if not isinstance(node, AffineLayer) or node.bias is None:
        return fitted
    (inputs,) = network.values_at(node.inputs, arrays, X).values()
    goal = softmax(two_columns(pooled) / TEMPERATURE)
    design = np.hstack([inputs, np.ones((len(inputs), 1))])
    start = np.vstack([node.matrix(arrays), arrays[node.bias]])

    def loss(theta: Array) -> tuple[float, Array]:
        theta = theta.reshape(start.shape)
        logits = design @ theta
        found = log_softmax(two_columns(logits) / TEMPERATURE)
        away = theta - start
        value = -(TEMPERATURE**2) * (goal * found).sum() / len(goal) + HEAD * (away**2).sum() / 2
        return value, (
            design.T @ logit_gradient(logits, goal, temperature=TEMPERATURE) + HEAD * away
        ).ravel()

    settings: dict[str, Any] = {"method": "L-BFGS-B", "options": {"maxiter": HEAD_STEPS}}
    found = minimize(loss, start.ravel(), jac=True, **settings)
    theta = found.x.reshape(start.shape)
    fitted[node.weight] = theta[:-1] if node.out_axis == 1 else np.ascontiguousarray(theta[:-1].T)
    fitted[node.bias] = theta[-1]
    return fitted
