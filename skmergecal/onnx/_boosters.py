"""LightGBM and XGBoost: their trees as one node, read from what the libraries write."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from skmergecal._optional import is_instance_of
from skmergecal._typing import Estimator
from skmergecal.onnx._forests import as_single
from skmergecal.onnx._graph import DOUBLE, FLOAT, Graph, GraphTensor
from skmergecal.onnx._read import registers
from skmergecal.onnx._rows import InputRows
from skmergecal.onnx._tree_ensemble import LT, Tree, TreeEnsemble, with_codes

__all__: list[str] = []


@registers("proba", lambda model: is_instance_of(model, "lightgbm", "LGBMClassifier"))
def _lightgbm(graph: Graph, model: Estimator, rows: InputRows) -> str:
    if model.get_params().get("pred_early_stop"):
        msg = (
            "its pred_early_stop=True leaves out trees, and an ONNX model takes all: call "
            "set_params(pred_early_stop=False)"
        )
        raise TypeError(msg)
    dump = model.booster_.dump_model()
    objective, *settings = dump["objective"].split()
    n_sums, n_trees = dump["num_tree_per_iteration"], len(dump["tree_info"])
    in_categories: set[int] = set()
    trees = [
        _lightgbm_tree(info["tree_structure"], number % n_sums, in_categories)
        for number, info in enumerate(dump["tree_info"])
    ]
    x = with_codes(graph, rows, *_lightgbm_categories(model, rows))
    x = _without_decimals(graph, x, in_categories)
    scores = TreeEnsemble(n_sums, trees).emit(graph, x)
    if dump.get("average_output"):
        scores = graph.scaled(scores, n_sums / n_trees)
    if objective == "binary":
        slope = float(dict(s.split(":") for s in settings)["sigmoid"])
        p = graph.add("Sigmoid", graph.scaled(scores, slope))
        return graph.matmul(p, np.array([[-1.0, 1.0]]), np.array([1.0, 0.0]))
    if objective == "multiclass":
        return graph.softmax(scores)
    msg = f"its objective {dump['objective']!r} is neither 'binary' nor 'multiclass'"
    raise TypeError(msg)


def _lightgbm_categories(model: Estimator, rows: InputRows) -> tuple[dict[int, Any], list[int]]:
    """Categories of the columns of a frame that have such, and all columns."""
    given = model.booster_.pandas_categorical or []
    order = list(range(model.n_features_in_))
    if not given:
        return {}, order
    # It numbers the categories of columns of type category, and keeps these lists in their order.
    frame = None if rows.X is None else rows.X()
    types = getattr(frame, "dtypes", ())
    places = [place for place, dtype in enumerate(types) if hasattr(dtype, "categories")]
    if len(places) != len(given):
        msg = f"its rows had {len(given)} columns of type category; X has {len(places)}"
        raise TypeError(msg)
    return dict(zip(places, given, strict=True)), order


def _without_decimals(graph: Graph, x: GraphTensor, places: set[int]) -> GraphTensor:
    """Rows in which columns of categories are cut to whole numbers, as LightGBM cuts them."""
    if not places:
        return x
    size = graph.add("Floor", graph.add("Abs", x.name))
    whole = graph.add("Mul", graph.add("Sign", x.name), size)
    chosen = np.isin(np.arange(x.width), list(places))
    return x._replace(name=graph.add("Where", chosen, whole, x.name))


def _lightgbm_tree(root: dict[str, Any], first: int, in_categories: set[int]) -> Tree:
    """A tree of a dump; the columns that it splits by categories are added to the set."""
    nodes: list[dict[str, Any]] = []

    def number(node: dict[str, Any]) -> int:
        place = len(nodes)
        nodes.append(node)
        if "split_feature" in node:
            node["children"] = [number(node["left_child"]), number(node["right_child"])]
        return place

    number(root)
    leaf = ["children" not in node for node in nodes]
    children = [node.get("children", (0, 0)) for node in nodes]
    tree = Tree.of_arrays(
        [node.get("split_feature", 0) for node in nodes],
        [node["threshold"] if node.get("decision_type") == "<=" else 0.0 for node in nodes],
        ([left for left, _ in children], [right for _, right in children]),
        [_lightgbm_missing_left(node) for node in nodes],
        [node.get("leaf_value", 0.0) for node in nodes],
        leaf=leaf,
        first=first,
    )
    for place, node in enumerate(nodes):
        if "leaf_const" in node:
            msg = (
                "its linear_tree=True makes leaves linear, and those of ONNX are constant: fit it "
                "with linear_tree=False"
            )
            raise TypeError(msg)
        if node.get("decision_type") == "==":
            members = [int(category) for category in str(node["threshold"]).split("||")]
            tree.split_by_membership(place, members, *node["children"])
            in_categories.add(node["split_feature"])
        elif node.get("missing_type") == "Zero":
            tree.split_off(place, 0.0, node["children"][0 if node["default_left"] else 1])
    return tree


def _lightgbm_missing_left(node: dict[str, Any]) -> bool:
    if node.get("missing_type") == "None":  # NaN counts as 0
        return node.get("decision_type") == "<=" and node["threshold"] >= 0
    return bool(node.get("default_left"))


@registers("proba", lambda model: is_instance_of(model, "xgboost", "XGBClassifier"))
def _xgboost(graph: Graph, model: Estimator, rows: InputRows) -> str:
    booster = model.get_booster()
    best = getattr(model, "best_iteration", None) if model.early_stopping_rounds else None
    if best is not None:
        booster = booster[: best + 1]
    learner = json.loads(booster.save_raw("json"))["learner"]
    objective, name = learner["objective"]["name"], learner["gradient_booster"]["name"]
    if name != "gbtree" or objective not in ("binary:logistic", "multi:softprob"):
        msg = f"it has booster={name!r} and objective={objective!r}"
        raise TypeError(msg)
    stored = learner["gradient_booster"]["model"]
    n_sums = 1 if objective == "binary:logistic" else len(model.classes_)
    trees = [
        _xgboost_tree(tree, first)
        for tree, first in zip(stored["trees"], stored["tree_info"], strict=True)
    ]
    sums = TreeEnsemble(n_sums, trees).emit(graph, _with_missing(graph, model.missing, rows))
    base = np.atleast_1d(json.loads(learner["learner_model_param"]["base_score"]))
    if n_sums > 1:
        return graph.softmax(graph.shifted(sums, base))
    margin = graph.shifted(sums, np.log(base / (1 - base)))
    # It works in single precision, in which 1 - p may be 0.
    p = graph.add("Cast", graph.add("Sigmoid", margin), to=FLOAT)
    both = graph.add("Concat", graph.add("Sub", np.float32(1), p), p, axis=1)
    return graph.add("Cast", both, to=DOUBLE)


def _with_missing(graph: Graph, missing: float | None, rows: InputRows) -> GraphTensor:
    """Rows in which NaN is in the place of the number that stands for missing values."""
    x = as_single(graph, rows)
    if missing is None or missing != missing:
        return x
    # XGBoost compares in single precision.
    same = graph.add("Equal", x.name, np.float64(np.float32(missing)))
    return x._replace(name=graph.add("Where", same, np.float64(np.nan), x.name))


def _xgboost_tree(tree: dict[str, Any], first: int) -> Tree:
    if any(tree["split_type"]):
        msg = "it splits by categories: encode them before it"
        raise TypeError(msg)
    children = (np.array(tree["left_children"]), np.array(tree["right_children"]))
    conditions = np.array(tree["split_conditions"], dtype=np.float32)
    leaf = children[0] == -1
    return Tree.of_arrays(
        tree["split_indices"],
        conditions,
        children,
        np.array(tree["default_left"], dtype=bool),
        np.where(leaf, conditions, 0),
        leaf=leaf,
        mode=LT,
        first=first,
    )
