"""Forests: one forest of all trees, which gives the average of the probabilities."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from skmergecal._typing import Array, Estimator
from skmergecal.parameters._architecture import check_same_architecture
from skmergecal.parameters._parameters import Parameters, describe_features
from skmergecal.parameters.exact._tree_internals import tree_with_values

__all__ = ["FORESTS", "concatenate_forests"]

FORESTS = (RandomForestClassifier, ExtraTreesClassifier)


def concatenate_forests(
    forests: Sequence[Estimator], weights: Array, classes: np.ndarray, names: Sequence[str]
) -> Estimator:
    """One forest of all trees; its probabilities are the weighted average of the forests'.

    A forest gives each of its trees the same weight. If the weights require another share, the
    leaves of a tree are scaled: the forest's probabilities are then exact, but those of a single
    tree no longer sum to 1. With uniform weights and forests of equal size, every factor is 1, and
    the trees are unchanged.
    """
    check_same_architecture(
        [Parameters({}, {"type": type(f).__name__, **describe_features(f)}) for f in forests],
        names,
    )
    total = sum(len(forest.estimators_) for forest in forests)
    merged = clone(forests[0])
    merged.set_params(n_estimators=total)
    merged.estimators_ = [
        _weighted_tree(tree, weight * total / len(forest.estimators_), forest.classes_, classes)
        for forest, weight in zip(forests, weights, strict=True)
        for tree in forest.estimators_
    ]
    merged.estimator_ = clone(forests[0].estimator_)
    merged.classes_, merged.n_classes_, merged.n_outputs_ = classes.copy(), len(classes), 1
    for name in ("n_features_in_", "feature_names_in_"):
        if hasattr(forests[0], name):
            setattr(merged, name, copy.copy(getattr(forests[0], name)))
    return merged


def _weighted_tree(
    tree: Estimator, factor: float, own: np.ndarray, classes: np.ndarray
) -> Estimator:
    """A copy of a tree, with scaled leaves and a column per class of the merged forest."""
    old = tree.tree_.value
    values = np.zeros((*old.shape[:-1], len(classes)))
    values[..., np.searchsorted(classes, own)] = factor * old
    copied = copy.copy(tree)
    copied.tree_ = tree_with_values(tree.tree_, values)
    copied.n_classes_, copied.classes_ = len(classes), np.arange(len(classes), dtype=np.float64)
    return copied
