"""Repair of a merged network on rows without labels: refit its layers to target values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from skmergecal._networks._network import Network
from skmergecal._networks._nodes import Add, AffineLayer, Arrays, BatchNorm, InputNode, as_rows
from skmergecal._typing import Array

__all__ = ["least_squares", "mean_values", "member_moments", "refit_layers", "rescale", "ridge"]

#: Ridge of a refitted layer, as a share of the mean square of its inputs.
STRENGTH = 1e-2


def ridge(
    inputs: Array,
    targets: Array,
    prior: Array,
    sample_weight: Array | None = None,
    *,
    strength: float = STRENGTH,
    free_bias: bool = False,
) -> tuple[Array, Array]:
    """Ridge regression of targets on inputs, with a pull towards a prior instead of 0.

    With D = [inputs, 1], finds the minimum of mean ||D theta - targets||^2 + l ||theta - prior||^2,
    l = strength * trace(D'D / n) / dim.

    Parameters
    ----------
    inputs : ndarray of shape (n_rows, n_inputs)
    targets : ndarray of shape (n_rows, n_outputs)
    prior : ndarray of shape (n_inputs + 1, n_outputs)
        The last row is the bias.
    sample_weight : ndarray of shape (n_rows,), default=None
    strength : float, default=0.01
    free_bias : bool, default=False
        If True, the bias is fitted without a pull, and D holds the centred inputs only. The
        strength of the ridge then does not depend on the mean of the inputs.

    Returns
    -------
    weight : ndarray of shape (n_inputs, n_outputs)
    bias : ndarray of shape (n_outputs,)
    """
    share = np.full(len(inputs), 1 / len(inputs))
    if sample_weight is not None:
        share = sample_weight / sample_weight.sum()
    if free_bias:
        # For any W the best bias is mean(targets) - mean(inputs) W. Put in, it centres both sides.
        mean = share @ inputs
        weight = _towards(inputs - mean, targets - share @ targets, prior[:-1], share, strength)
        return weight, share @ targets - mean @ weight
    design = np.hstack([inputs, np.ones((len(inputs), 1))])
    theta = _towards(design, targets, prior, share, strength)
    return theta[:-1], theta[-1]


def _towards(design: Array, targets: Array, prior: Array, share: Array, strength: float) -> Array:
    # With theta = prior + delta and S = diag(share): (D'SD + l I) delta = D'S (T - D prior). The
    # right side is 0 for a layer that fits already, which so stays as it is.
    weighted = design.T * share
    gram = weighted @ design
    # The smallest positive number keeps the matrix invertible where all inputs are 0.
    pull = strength * np.trace(gram) / len(gram) + np.finfo(np.float64).tiny
    right = weighted @ (targets - design @ prior)
    return prior + np.linalg.solve(gram + pull * np.eye(len(gram)), right)


def mean_values(
    network: Network, members: Sequence[Arrays], weights: Any, X: Array
) -> dict[int, Array]:
    """Weighted mean, over aligned members, of the values that layers are fitted to."""
    places = [i for i, node in enumerate(network.nodes) if isinstance(node, AffineLayer | Add)]
    total: dict[int, Array] = {}
    for weight, arrays in zip(weights, members, strict=True):
        for place, value in network.values_at(places, arrays, X).items():
            total[place] = total.get(place, 0.0) + float(weight) * value
    return total


#: Fits one affine layer, given its place, the values of the nodes before it, and its current
#: weights and bias, shape (n_inputs + 1, n_outputs). With None the layer stays as it is.
Refit = Callable[[int, AffineLayer, Mapping[int, Array], Array], tuple[Array, Array] | None]


def least_squares(
    network: Network,
    targets: Mapping[int, Array],
    sample_weight: Array | None = None,
    **how: Any,
) -> Refit:
    """Refit layers by ridge regression on the targets of their nodes.

    The last layer of a residual branch is fitted to the target of the sum, and so corrects errors
    of the other term. ``how`` is passed to `ridge`.
    """

    def refit(
        place: int, node: AffineLayer, values: Mapping[int, Array], prior: Array
    ) -> tuple[Array, Array] | None:
        target = _target(network, place, targets, values)
        if target is None:
            return None
        inputs = as_rows(values[node.inputs[0]])
        weight = sample_weight
        if weight is not None:
            weight = np.repeat(weight, len(inputs) // len(weight))
        return ridge(inputs, as_rows(target), prior, weight, **how)

    return refit


def member_moments(
    network: Network, members: Sequence[Arrays], weights: Any, X: Array
) -> dict[int, tuple[Array, Array]]:
    """Weighted mean, over aligned members, of each unit's mean and deviation, by layer."""
    layers = [i for i, node in enumerate(network.nodes) if isinstance(node, AffineLayer)]
    totals: dict[int, tuple[Array, Array]] = {}
    for weight, arrays in zip(weights, members, strict=True):
        for place, value in network.values_at(layers, arrays, X).items():
            mean, deviation = _moments(value)
            before = totals.get(place, (0.0 * mean, 0.0 * deviation))
            totals[place] = before[0] + weight * mean, before[1] + weight * deviation
    return totals


def rescale(moments: Mapping[int, tuple[Array, Array]]) -> Refit:
    """Refit layers so that units have the given mean and deviation before the activation.

    References
    ----------
    Jordan et al., "REPAIR: REnormalizing Permuted Activations for Interpolation Repair", ICLR 2023.
    """

    def refit(
        place: int, node: AffineLayer, values: Mapping[int, Array], prior: Array
    ) -> tuple[Array, Array] | None:
        now, spread = _moments(values[node.inputs[0]] @ prior[:-1] + prior[-1])
        mean, deviation = moments[place]
        # z = x W + b with mean `now` becomes (z - now) f + mean = x (W f) + (b - now) f + mean,
        # with f = deviation / spread.
        factor = np.divide(deviation, spread, out=np.ones_like(spread), where=spread > 1e-12)
        return prior[:-1] * factor, (prior[-1] - now) * factor + mean

    return refit


def refit_layers(
    network: Network, arrays: Arrays, X: Array, refit: Refit | None, *, statistics: bool = False
) -> dict[str, Array]:
    """Refit the affine layers from the input upwards, each on the merged net's own activations.

    Layers without a bias, and layers that share their weights with another one, stay as they are.

    Parameters
    ----------
    network : Network
    arrays : dict of str to ndarray
        The arrays before the refit; not changed.
    X : ndarray of shape (n_rows, n_features)
    refit : callable or None
        Fits one layer; with None, all layers stay as they are.
    statistics : bool, default=False
        Whether to measure the means and variances of BatchNorm layers again, on all rows of X.

    Returns
    -------
    dict of str to ndarray
    """
    fitted = {name: array.copy() for name, array in arrays.items()}
    weights = [node.weight for node in network.nodes if isinstance(node, AffineLayer)]
    values: dict[int, Array] = {}
    for place, node in enumerate(network.nodes):
        if isinstance(node, InputNode):
            values[place] = X
            continue
        if isinstance(node, AffineLayer) and refit is not None and weights.count(node.weight) == 1:
            _refit(place, node, fitted, values, refit)
        if isinstance(node, BatchNorm) and statistics:
            _measure(node, fitted, values[node.inputs[0]])
        values[place] = node.forward(fitted, *(values[i] for i in node.inputs))
        for i in node.inputs:
            if network.users[i][-1] == place:
                values.pop(i, None)
    return fitted


def _target(
    network: Network, place: int, targets: Mapping[int, Array], values: Mapping[int, Array]
) -> Array | None:
    """Target of a layer. If its value only enters a sum, it follows from the sum's target."""
    users = network.users[place]
    if len(users) == 1 and isinstance(network.nodes[users[0]], Add):
        # sum = own + other, and a value that is computed before this layer is known exactly.
        others = [i for i in network.nodes[users[0]].inputs if i != place]
        target = targets.get(users[0])
        if len(others) == 1 and others[0] < place and target is not None:
            own = targets.get(place, target)
            return target - values[others[0]] if own.shape == target.shape else own
    return targets.get(place)


def _refit(
    place: int,
    node: AffineLayer,
    arrays: dict[str, Array],
    values: Mapping[int, Array],
    refit: Refit,
) -> None:
    if node.bias is None:
        return
    prior = np.vstack([node.matrix(arrays), arrays[node.bias]])
    found = refit(place, node, values, prior)
    if found is not None:
        weight, arrays[node.bias] = found
        arrays[node.weight] = weight if node.out_axis == 1 else np.ascontiguousarray(weight.T)


def _measure(node: BatchNorm, arrays: dict[str, Array], inputs: Array) -> None:
    rows = as_rows(np.moveaxis(inputs, 1, -1))
    arrays[node.mean] = rows.mean(axis=0)
    # As in torch, the stored variance is the unbiased one.
    arrays[node.var] = rows.var(axis=0, ddof=1 if len(rows) > 1 else 0)


def _moments(value: Array) -> tuple[Array, Array]:
    rows = as_rows(value)
    return rows.mean(axis=0), rows.std(axis=0)
