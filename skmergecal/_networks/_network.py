"""Description of a network: its layers in order, with values, logits and gradients for arrays."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np

from skmergecal._compat import Interval, StrOptions
from skmergecal._networks._activations import ACTIVATIONS
from skmergecal._networks._axes import Columns, Reshape
from skmergecal._networks._nodes import (
    Activation,
    AffineLayer,
    Arrays,
    BatchNorm,
    Constant,
    Embedding,
    Gradients,
    InputNode,
    Node,
)
from skmergecal._typing import Array, IntArray
from skmergecal._validation import check_list, check_parameters

__all__ = ["BLOCK", "Network", "dense_network", "side_by_side", "takes_rows_by"]

#: Rows that go through a network at once where only some of its values are kept.
BLOCK = 1000


@dataclass(frozen=True)
class Network:
    """How the arrays of a net give its logits, independent of the library of the net.

    With such a description in `Parameters.network`, hidden units can be aligned, and the merged
    net repaired.

    Attributes
    ----------
    nodes : tuple of Node
        In the order of computation. The first is the input, the last gives the logits.
    n_features : int
        Columns of the input.

    See Also
    --------
    skmergecal.parameters.dense_network : Describes a net of dense layers.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.parameters import dense_network
    >>> network = dense_network([("w", "b"), ("v", "c")], "relu", n_features=2)
    >>> arrays = {"w": np.eye(2), "b": np.zeros(2), "v": np.ones((2, 1)), "c": np.array([0.5])}
    >>> network.logits(arrays, np.array([[3.0, -1.0]]))  # relu(3) + relu(-1) + .5
    array([[3.5]])
    """

    nodes: tuple[Node, ...]
    n_features: int

    @cached_property
    def users(self) -> tuple[tuple[int, ...], ...]:
        """For each node, the places of the nodes that use its value."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for place, node in enumerate(self.nodes):
            for i in dict.fromkeys(node.inputs):
                found[i].append(place)
        return tuple(map(tuple, found))

    @cached_property
    def statistics(self) -> frozenset[str]:
        """Names of the stored means and variances, and buffers, which no gradient moves."""
        norms = [node for node in self.nodes if isinstance(node, BatchNorm)]
        fixed = [n.name for n in self.nodes if isinstance(n, Constant) and not n.trained]
        return frozenset([*(name for norm in norms for name in (norm.mean, norm.var)), *fixed])

    def whole_columns(self) -> IntArray:
        """Columns of the input that hold whole numbers, because they are embedded.

        Returns
        -------
        ndarray of int
            Column numbers, ascending.
        """
        found: list[int] = []
        waiting = [node.inputs[0] for node in self.nodes if isinstance(node, Embedding)]
        while waiting:  # down to the columns that the numbers come from
            place = waiting.pop()
            columns = self._columns_at(place)
            if columns is None:
                waiting.extend(self.nodes[place].inputs)
            else:
                found.extend(columns.ravel())
        return np.unique(np.array(found, dtype=np.intp))

    def _columns_at(self, place: int) -> Any:
        """Which column of the input each number of a value is; None if it is none of them."""
        node = self.nodes[place]
        if isinstance(node, InputNode):
            return np.arange(self.n_features)[None]
        if not isinstance(node, Columns | Reshape):
            return None
        below = self._columns_at(node.inputs[0])
        return None if below is None else node.forward({}, below)

    def values(self, arrays: Arrays, X: Array) -> list[Array]:
        """The value of every node for the rows of X.

        Parameters
        ----------
        arrays : dict of str to ndarray
            The parameters, by name.
        X : ndarray of shape (n_rows, n_features)
            Rows.

        Returns
        -------
        list of ndarray
            One per node, in the order of the nodes.
        """
        return [*self._block(range(len(self.nodes)), arrays, X).values()]

    def logits(self, arrays: Arrays, X: Array) -> Array:
        """The value of the last node, in blocks of rows.

        Parameters
        ----------
        arrays : dict of str to ndarray
            The parameters, by name.
        X : ndarray of shape (n_rows, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_rows, n_outputs)
            Logits.
        """
        last = len(self.nodes) - 1
        return self.values_at([last], arrays, X)[last]

    def values_at(self, places: Collection[int], arrays: Arrays, X: Array) -> dict[int, Array]:
        """The values of some nodes; those of the others are kept for a block of rows at a time.

        Parameters
        ----------
        places : collection of int
            Numbers of the nodes, in their order from 0.
        arrays : dict of str to ndarray
            The parameters, by name.
        X : ndarray of shape (n_rows, n_features)
            Rows.

        Returns
        -------
        dict of int to ndarray
            By number of the node, what `values` gives for it.
        """
        if len(X) <= BLOCK:
            return self._block(places, arrays, X)
        found: dict[int, Array] = {}
        for start in range(0, len(X), BLOCK):
            rows = slice(start, start + BLOCK)
            for place, value in self._block(places, arrays, X[rows]).items():
                if len(value) != len(X[rows]):  # a constant, without rows
                    found[place] = value
                    continue
                if place not in found:
                    found[place] = np.empty((len(X), *value.shape[1:]), dtype=value.dtype)
                found[place][rows] = value
        return found

    def _block(self, places: Collection[int], arrays: Arrays, X: Array) -> dict[int, Array]:
        """What `values_at` returns, for few rows; other values are dropped after their last use."""
        values: dict[int, Array] = {}
        for place, node in enumerate(self.nodes):
            given = [X] if isinstance(node, InputNode) else [values[i] for i in node.inputs]
            values[place] = node.forward(arrays, *given)
            for i in node.inputs:
                if self.users[i][-1] == place and i not in places:
                    values.pop(i, None)
        return {place: values[place] for place in places}

    def gradients(self, arrays: Arrays, values: list[Array], gradient: Array) -> Gradients:
        """Gradients of a loss for every array, from its gradient for the logits.

        Parameters
        ----------
        arrays : dict of str to ndarray
            The parameters, by name.
        values : list of ndarray
            What `values` gave for some rows.
        gradient : ndarray of shape (n_rows, n_outputs)
            Derivative of the loss with respect to each logit.

        Returns
        -------
        dict of str to ndarray
            One per array, of its shape.
        """
        below: list[Array | None] = [None] * len(self.nodes)
        below[-1] = gradient
        found: Gradients = {}
        for place in range(len(self.nodes) - 1, -1, -1):
            node, g = self.nodes[place], below[place]
            below[place] = None
            if g is None:
                continue
            inner, grads = node.backward(arrays, g, [values[i] for i in node.inputs], values[place])
            for name, value in grads.items():
                found[name] = found[name] + value if name in found else value
            for i, part in zip(node.inputs, inner, strict=True):
                if part is not None:
                    old = below[i]
                    below[i] = part if old is None else old + part
        return found


@check_parameters(
    activation=[StrOptions(set(ACTIVATIONS))],
    n_features=[Interval(Integral, 1, None, closed="left")],
    out_axis=[Interval(Integral, 0, 1, closed="both")],
)
def dense_network(
    layers: list[tuple[str, str]], activation: str, n_features: int, *, out_axis: int = 1
) -> Network:
    """Affine layers with one activation between them.

    Parameters
    ----------
    layers : list of (weight, bias)
        Names of the arrays, from the input to the logits.
    activation : str
        One of "identity", "relu", "leaky_relu", "tanh", "logistic", "elu", "gelu", "silu".
    n_features : int
        Columns of the input.
    out_axis : int, default=1
        Axis of the weights along which the outputs run.

    Returns
    -------
    Network
        For `Parameters.network`.

    See Also
    --------
    skmergecal.parameters.Network : What it returns.
    skmergecal.parameters.Parameters : Takes it as ``network``.

    Examples
    --------
    >>> from skmergecal.parameters import dense_network
    >>> network = dense_network([("w", "b"), ("v", "c")], "tanh", n_features=4)
    >>> network.n_features, len(network.nodes)  # input, affine, tanh, affine
    (4, 4)
    """
    what = "(weight, bias) pair of names"
    for pair in check_list("layers", layers, what):
        if not (len(pair) == 2 and all(isinstance(name, str) for name in pair)):
            msg = f"layers should be a list of {what}; got {pair!r}"
            raise ValueError(msg)
    nodes: list[Node] = [InputNode()]
    for place, (weight, bias) in enumerate(layers):
        if place:
            nodes.append(Activation((len(nodes) - 1,), activation))
        nodes.append(AffineLayer((len(nodes) - 1,), weight, bias, out_axis))
    return Network(tuple(nodes), n_features)


def side_by_side(inputs: Mapping[str, Array]) -> Array:
    """Several inputs as one matrix in float64, as a network takes them: in the order of names."""
    values = [np.asarray(inputs[name], dtype=np.float64) for name in sorted(inputs)]
    return np.hstack([value.reshape(len(value), -1) for value in values])


def two_columns(logits: Array) -> Array:
    """Logits of two classes, also where a binary net has only one column."""
    # The one column is the logit of the second class: sigmoid(z) = softmax([0, z])[1].
    if logits.ndim == 1:
        logits = logits[:, None]
    if logits.shape[1] > 1:
        return logits
    return np.hstack([np.zeros_like(logits), logits])


def as_float64(arrays: Mapping[str, np.ndarray]) -> dict[str, Array]:
    """Floating arrays in float64; other arrays stay as they are."""
    return {
        name: array.astype(np.float64) if np.issubdtype(array.dtype, np.floating) else array
        for name, array in arrays.items()
    }


def as_float32(arrays: Mapping[str, np.ndarray]) -> dict[str, Array]:
    """Floating arrays in float32; other arrays stay as they are."""
    return {name: in_single(array) for name, array in arrays.items()}


def in_single(array: np.ndarray) -> Array:
    """Floating numbers in float32; others as they are."""
    return array.astype(np.float32) if np.issubdtype(array.dtype, np.floating) else array


def takes_rows_by(network: Network | None, weight: str) -> bool:
    """Whether the input goes into one affine layer only; True where there is no description."""
    if network is None:
        return True
    places = [i for i, node in enumerate(network.nodes) if isinstance(node, InputNode)]
    users = [network.nodes[user] for i in places for user in network.users[i]]
    return len(users) == 1 and isinstance(users[0], AffineLayer) and users[0].weight == weight
