"""Histogram gradient boosting: one model of all trees, scaled to give the average logits."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from skmergecal._typing import Array, Estimator
from skmergecal.parameters._architecture import check_same_architecture
from skmergecal.parameters._parameters import Parameters, describe_features
from skmergecal.parameters.exact._tree_internals import (
    BoostedTrees,
    read_boosted_trees,
    write_boosted_trees,
)

__all__ = ["BOOSTED", "concatenate_boosted"]

BOOSTED = (HistGradientBoostingClassifier,)


def concatenate_boosted(
    models: Sequence[Estimator], coefficients: Array, names: Sequence[str]
) -> Estimator:
    """One boosted model of all trees; its logits are the weighted sum of the models' logits."""
    parts = [read_boosted_trees(model) for model in models]
    check_same_architecture(
        [
            Parameters(
                {},
                {
                    "type": type(model).__name__,
                    "classes": tuple(model.classes_.tolist()),
                    **describe_features(model),
                    "categories of the categorical features": part.categories,
                },
            )
            for model, part in zip(models, parts, strict=True)
        ],
        names,
    )
    weighted = list(zip(parts, coefficients, strict=True))
    return write_boosted_trees(
        models[0],
        BoostedTrees(
            baseline=np.sum([float(c) * part.baseline for part, c in weighted], axis=0),
            iterations=[
                [_scaled_tree(tree, float(c)) for tree in iteration]
                for part, c in weighted
                for iteration in part.iterations
            ],
            categories=parts[0].categories,
        ),
    )


def _scaled_tree(tree: Estimator, factor: float) -> Estimator:
    scaled = copy.copy(tree)
    scaled.nodes = tree.nodes.copy()
    scaled.nodes["value"] *= factor
    return scaled
