"""TreeEnsemble: trees of any library as arrays, and the node of a graph that adds them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skmergecal.onnx._graph import DOUBLE, FLOAT, ML, STRING, Graph, GraphTensor, need
from skmergecal.onnx._rows import InputRows

__all__ = ["LEAF", "LEQ", "LT", "Tree", "TreeEnsemble", "category_codes", "with_codes"]

LEAF, LEQ, LT, _EQ = "LEAF", "BRANCH_LEQ", "BRANCH_LT", "BRANCH_EQ"


@dataclass
class Tree:
    """One tree: a list for each column, with an entry for each node; node 0 is the root.

    Attributes
    ----------
    features, modes, thresholds, left, right, missing_left : list
        Rows go left where the comparison of a node holds, or the value is NaN and its
        ``missing_left`` is true.
    values : ndarray of shape (n_nodes, n_values)
        What a leaf adds to some of the sums.
    first : int
        The sum that the first of the values belongs to.
    """

    features: list[int]
    modes: list[str]
    thresholds: list[float]
    left: list[int]
    right: list[int]
    missing_left: list[bool]
    values: np.ndarray
    first: int = 0

    @classmethod
    def of_arrays(
        cls,
        feature: Any,
        threshold: Any,
        children: tuple[Any, Any],
        missing_left: Any,
        values: Any,
        *,
        leaf: Any,
        mode: str = LEQ,
        first: int = 0,
    ) -> Tree:
        """A tree from arrays with an entry for each node."""
        leaf = np.asarray(leaf, dtype=bool)
        columns = (feature, threshold, *children)
        f, t, left, right = (np.where(leaf, 0, np.asarray(column)).tolist() for column in columns)
        modes = np.where(leaf, LEAF, mode).tolist()
        missing = np.broadcast_to(missing_left, leaf.shape)
        missing = np.where(leaf, False, missing).astype(bool).tolist()
        values = np.asarray(values, dtype=np.float64).reshape(len(leaf), -1)
        return cls(f, modes, t, left, right, missing, values, first)

    def _append(self, like: int) -> int:
        """A new node with the comparison of another one; its number."""
        self.features.append(self.features[like])
        self.modes.append(self.modes[like])
        self.thresholds.append(self.thresholds[like])
        self.left.append(self.left[like])
        self.right.append(self.right[like])
        self.missing_left.append(self.missing_left[like])
        return len(self.modes) - 1

    def _set(self, node: int, value: float, equal: int, other: int) -> None:
        self.modes[node], self.thresholds[node] = _EQ, float(value)
        self.left[node], self.right[node], self.missing_left[node] = equal, other, False

    def split_by_membership(self, node: int, among: Sequence[float], inside: int, out: int) -> None:
        """Make a node go to one child for some values, and to the other for all else, and NaN.

        It becomes a chain of comparisons, each of which leads to the same child.
        """
        for value in among[:-1]:
            follows = self._append(node)
            self._set(node, value, inside, follows)
            node = follows
        self._set(node, among[-1] if among else np.nan, inside, out)  # nothing equals NaN

    def split_off(self, node: int, value: float, child: int) -> None:
        """Make rows with one value go to a child before a node compares."""
        self._set(node, value, child, self._append(node))


@dataclass
class TreeEnsemble:
    """Trees whose leaves are added up.

    Attributes
    ----------
    n_sums : int
        Number of sums.
    trees : list of Tree
    """

    n_sums: int
    trees: list[Tree] = field(default_factory=list)

    def emit(self, graph: Graph, x: GraphTensor) -> str:
        """The sums of the leaves for rows in double precision, (n_samples, n_sums).

        onnxruntime adds them up in double precision, and gives them rounded to single precision.
        """
        sizes = [len(tree.modes) for tree in self.trees]
        ids = np.repeat(np.arange(len(sizes)), sizes)
        node = np.concatenate([np.arange(size) for size in sizes])
        column = {
            name: [entry for tree in self.trees for entry in getattr(tree, name)]
            for name in ("features", "modes", "thresholds", "left", "right", "missing_left")
        }
        targets = [_leaves(number, tree) for number, tree in enumerate(self.trees)]
        tree_ids, node_ids, sums, weights = map(np.concatenate, zip(*targets, strict=True))
        tensor = need("onnx.numpy_helper").from_array
        name = graph.add(
            "TreeEnsembleRegressor",
            x.name,
            domain=ML,
            n_targets=self.n_sums,
            nodes_treeids=ids.tolist(),
            nodes_nodeids=node.tolist(),
            nodes_featureids=column["features"],
            nodes_modes=column["modes"],
            nodes_values_as_tensor=tensor(np.array(column["thresholds"], dtype=np.float64), "t"),
            nodes_truenodeids=column["left"],
            nodes_falsenodeids=column["right"],
            nodes_missing_value_tracks_true=[int(m) for m in column["missing_left"]],
            target_treeids=tree_ids.tolist(),
            target_nodeids=node_ids.tolist(),
            target_ids=sums.tolist(),
            target_weights_as_tensor=tensor(weights, "w"),
        )
        return graph.cast(GraphTensor(name, FLOAT, self.n_sums), DOUBLE).name


def _leaves(number: int, tree: Tree) -> tuple[np.ndarray, ...]:
    """Tree, node, sum and weight for each value of each leaf; zeros only where all are zero."""
    own = [node for node in range(len(tree.values)) if tree.modes[node] == LEAF]
    values = tree.values[own]
    given = values != 0
    given[:, 0] |= ~given.any(axis=1)  # each leaf has an entry
    rows, columns = np.nonzero(given)
    nodes = np.array(own)[rows]
    return np.full(len(rows), number), nodes, columns + tree.first, values[rows, columns]


def category_codes(graph: Graph, column: GraphTensor, categories: Any) -> str:
    """The places of categories in their list, (n_samples, 1); NaN for others."""
    labels = np.asarray(categories)
    if column.kind == STRING:
        keys = [str(label) for label in labels.tolist()]
        codes = graph.add(
            "LabelEncoder",
            column.name,
            domain=ML,
            keys_strings=keys,
            values_floats=[float(place) for place in range(len(keys))],
            default_float=float("nan"),
        )
        return graph.cast(GraphTensor(codes, FLOAT, 1), DOUBLE).name
    same = graph.add("Equal", graph.cast(column, DOUBLE).name, labels[None].astype(np.float64))
    same = graph.add("Cast", same, to=DOUBLE)
    places = np.arange(1, len(labels) + 1, dtype=np.float64)[:, None]
    place = graph.add("MatMul", same, places)
    known = graph.add("Greater", place, np.float64(0))
    return graph.add("Where", known, graph.shifted(place, -1.0), np.float64(np.nan))


def with_codes(
    graph: Graph, rows: InputRows, categories: dict[int, Any], order: Sequence[int]
) -> GraphTensor:
    """Rows in double precision, some columns replaced by the codes of their categories.

    Parameters
    ----------
    graph : Graph
    rows : InputRows
    categories : dict of int to array-like
        For columns with categories.
    order : sequence of int
        The columns in the order in which trees number them.
    """
    if not categories:
        return rows.matrix(graph)
    columns = rows.columns(graph, [str(place) for place in range(len(order))]).tensors
    parts = []
    for place in order:
        if place in categories:
            parts.append(category_codes(graph, columns[place], categories[place]))
        else:
            parts.append(graph.cast(columns[place], DOUBLE).name)
    return GraphTensor(graph.add("Concat", *parts, axis=1), DOUBLE, len(parts))
