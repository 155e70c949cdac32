"""scikit-learn's trees, forests and gradient boosting, as one node that adds up their leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from skmergecal._typing import Array, Estimator
from skmergecal.onnx._graph import DOUBLE, FLOAT, Graph, GraphTensor
from skmergecal.onnx._read import kind, registers
from skmergecal.onnx._rows import InputRows
from skmergecal.onnx._tree_ensemble import Tree, TreeEnsemble, with_codes

__all__ = ["as_single"]

_FORESTS = (
    "DecisionTreeClassifier",
    "ExtraTreeClassifier",
    "RandomForestClassifier",
    "ExtraTreesClassifier",
)


def as_single(graph: Graph, rows: InputRows) -> GraphTensor:
    """Rows rounded to single precision, as these trees take them, in double precision."""
    return graph.cast(rows.matrix(graph, FLOAT), DOUBLE)


def _tree(estimator: Estimator, values: Any, first: int = 0) -> Tree:
    tree = estimator.tree_
    missing = getattr(tree, "missing_go_to_left", 0)
    children = (tree.children_left, tree.children_right)
    leaf = tree.children_left == -1
    return Tree.of_arrays(
        tree.feature, tree.threshold, children, missing, values, leaf=leaf, first=first
    )


@registers("proba", kind(*_FORESTS))
def _forest(graph: Graph, forest: Estimator, rows: InputRows) -> str:
    # The votes are added up undivided, so that a class without votes has exactly 0. skl2onnx 1.20
    # computes 1 - p in single precision instead.
    trees = getattr(forest, "estimators_", [forest])
    n_classes = len(forest.classes_)
    own = [_tree(tree, tree.tree_.value[:, 0, :n_classes]) for tree in trees]
    votes = TreeEnsemble(n_classes, own).emit(graph, as_single(graph, rows))
    return graph.add("Div", votes, np.float64(len(own))) if len(own) > 1 else votes


def _margins(graph: Graph, sums: str, n_sums: int, baseline: Array) -> str:
    """Logits of raw scores; of one score, d, they are (0, d)."""
    sums = graph.shifted(sums, baseline)
    if n_sums > 1:
        return sums
    return graph.matmul(sums, np.array([[0.0, 1.0]]))


@registers("decision_function", kind("GradientBoostingClassifier"))
def _boosting(graph: Graph, model: Estimator, rows: InputRows) -> str:
    n_sums = model.estimators_.shape[1]
    trees = [
        _tree(tree, model.learning_rate * tree.tree_.value[:, 0, 0], first)
        for stage in model.estimators_
        for first, tree in enumerate(stage)
    ]
    sums = TreeEnsemble(n_sums, trees).emit(graph, as_single(graph, rows))
    return _margins(graph, sums, n_sums, _first_scores(model, n_sums))


def _first_scores(model: Estimator, n_sums: int) -> Array:
    """What the scores start from."""
    if model.init_ == "zero":
        return np.zeros(n_sums)
    if not kind("DummyClassifier")(model.init_):
        msg = "its init is an estimator of its own"
        raise TypeError(msg)
    epsilon = np.finfo(np.float64).eps
    prior = np.clip(model.init_.class_prior_, epsilon, 1 - epsilon)
    if n_sums == 1:
        return np.array([np.log(prior[1] / (1 - prior[1]))])
    return np.asarray(np.log(prior) - np.log(prior).mean())


@registers("decision_function", kind("HistGradientBoostingClassifier"))
def _histogram_boosting(graph: Graph, model: Estimator, rows: InputRows) -> str:
    # skl2onnx 1.20 writes a bool where the format has an int, and knows no categories.
    categories, order = _categories(model)
    n_sums = model.n_trees_per_iteration_
    trees = list(_histogram_trees(model, [categories.get(place, ()) for place in order]))
    x = with_codes(graph, rows, categories, order)
    baseline = np.asarray(model._baseline_prediction, dtype=np.float64).reshape(-1)
    return _margins(graph, TreeEnsemble(n_sums, trees).emit(graph, x), n_sums, baseline)


def _categories(model: Estimator) -> tuple[dict[int, Any], list[int]]:
    """Categories of columns, and the columns as the trees number them."""
    if model.is_categorical_ is None:
        return {}, list(range(model.n_features_in_))
    encoder = model._preprocessor.named_transformers_["encoder"]
    categorical = np.flatnonzero(model.is_categorical_).tolist()
    known = {
        place: [label for label in labels.tolist() if label == label and label is not None]
        for place, labels in zip(categorical, encoder.categories_, strict=True)
    }
    return known, categorical + np.flatnonzero(~np.asarray(model.is_categorical_)).tolist()


def _histogram_trees(model: Estimator, categories: list[Any]) -> Iterator[Tree]:
    for iteration in model._predictors:
        for first, predictor in enumerate(iteration):
            nodes = predictor.nodes
            tree = Tree.of_arrays(
                nodes["feature_idx"],
                nodes["num_threshold"],
                (nodes["left"], nodes["right"]),
                nodes["missing_go_to_left"],
                nodes["value"],
                leaf=nodes["is_leaf"],
                first=first,
            )
            for node in np.flatnonzero(nodes["is_categorical"] & ~nodes["is_leaf"].astype(bool)):
                bits = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]
                known = range(len(categories[nodes["feature_idx"][node]]))
                go_left = [c for c in known if bits[c // 32] >> (c % 32) & 1]
                left, right = int(nodes["left"][node]), int(nodes["right"][node])
                if nodes["missing_go_to_left"][node]:
                    others = [c for c in known if c not in go_left]
                    tree.split_by_membership(int(node), others, right, left)
                else:
                    tree.split_by_membership(int(node), go_left, left, right)
            yield tree


@registers("proba", kind("HistGradientBoostingClassifier"))
def _histogram_boosting_proba(graph: Graph, model: Estimator, rows: InputRows) -> str:
    return graph.softmax(_histogram_boosting(graph, model, rows))


@registers(
    "proba", lambda model: kind("GradientBoostingClassifier")(model) and model.loss == "log_loss"
)
def _boosting_proba(graph: Graph, model: Estimator, rows: InputRows) -> str:
    return graph.softmax(_boosting(graph, model, rows))
