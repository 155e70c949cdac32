"""Private structures of scikit-learn's trees: functions that read and write them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn

from skmergecal._typing import Array
from skmergecal.exceptions import IncompatibleEstimatorsError

__all__ = ["BoostedTrees", "read_boosted_trees", "tree_with_values", "write_boosted_trees"]


_TREES = "trees"
_BOOSTING = "histogram gradient boosting models"


def _unknown_structure(what: str) -> IncompatibleEstimatorsError:
    return IncompatibleEstimatorsError(
        f"{what} of scikit-learn {sklearn.__version__} have a structure that this version of "
        "skmergecal does not support, so they cannot be merged into one",
        "keep the MergedClassifier, which needs no such structure",
    )


def tree_with_values(tree: Any, values: Array) -> Any:
    """A copy of a ``tree_`` with other values in its nodes, (n_nodes, 1, n_classes)."""
    # The values of a fitted tree can be replaced only through its state, as in unpickling.
    try:
        make, (n_features, n_classes, n_outputs), state = tree.__reduce__()
        copied = make(n_features, np.full_like(n_classes, values.shape[-1]), n_outputs)
        copied.__setstate__({**state, "values": np.ascontiguousarray(values)})
    except (TypeError, ValueError) as error:
        raise _unknown_structure(_TREES) from error
    if not np.array_equal(copied.value, values):
        raise _unknown_structure(_TREES)
    return copied


@dataclass(frozen=True)
class BoostedTrees:
    """Baseline and trees that a fitted HistGradientBoostingClassifier predicts with.

    Attributes
    ----------
    baseline : ndarray
        Raw prediction before any tree.
    iterations : list of list of tree
        For each iteration one tree, or one per class; ``nodes["value"]`` are added to the raw
        prediction unchanged, because they include the learning rate.
    categories : str or None
        The categories of categorical features, as a string to compare.
    """

    baseline: Array
    iterations: list[list[Any]]
    categories: str | None


#: Training state of histogram gradient boosting, which does not apply to a merged model.
_BOOSTING_TRAINING = (
    "_feature_subsample_rng",
    "_random_seed",
    "_scorer",
    "train_score_",
    "validation_score_",
)


def read_boosted_trees(model: Any) -> BoostedTrees:
    """Read baseline and trees from private attributes of a model."""
    try:
        encoder = model._preprocessor and model._preprocessor.named_transformers_["encoder"]
        found = BoostedTrees(
            baseline=np.asarray(model._baseline_prediction, dtype=np.float64),
            iterations=model._predictors,
            categories=encoder and repr([c.tolist() for c in encoder.categories_]),
        )
        names = {name for trees in found.iterations for t in trees for name in t.nodes.dtype.names}
    except (AttributeError, KeyError, TypeError) as error:
        raise _unknown_structure(_BOOSTING) from error
    if found.baseline.size != model.n_trees_per_iteration_ or not {"value", "is_leaf"} <= names:
        raise _unknown_structure(_BOOSTING)
    return found


def write_boosted_trees(like: Any, trees: BoostedTrees) -> Any:
    """A copy of ``like`` that predicts with other trees; ``like`` is not changed."""
    model = copy.copy(like)
    for name in _BOOSTING_TRAINING:
        vars(model).pop(name, None)
    model.max_iter = len(trees.iterations)
    model._baseline_prediction = trees.baseline
    model._predictors = trees.iterations
    return copy.deepcopy(model)
