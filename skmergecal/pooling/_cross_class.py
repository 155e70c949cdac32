"""Cross-class corrections: a member's opinion of one class informs the score of another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skmergecal._partitions import InMemory, Partitions
from skmergecal._typing import Array
from skmergecal.pooling._classwise_fit import ClasswiseFit, Correction, CrossClassTerms
from skmergecal.pooling._score_regression import (
    ChosenRows,
    RegressionPart,
    RegressionRows,
    ScoreRegression,
    directions_of,
    principal_directions,
    row_blocks,
)

__all__ = ["cross_class_rank", "fit_cross_class_corrections"]

#: Unknowns up to which components are taken, unless the classes alone are more, and components.
_FEW_UNKNOWNS = 200
_MOST_COMPONENTS = 60
#: More features than this, and than rows, are not multiplied with each other: rows are.
_MANY_FEATURES = 1000


def cross_class_rank(n_members: int, n_classes: int, most: int) -> int:
    """Number of components for at most so many unknowns; 0 where there is nothing to gain.

    With two classes the probability of one gives that of the other.
    """
    if n_classes < 3:
        return 0
    wanted = max(n_classes - 1, min(_MOST_COMPONENTS, _FEW_UNKNOWNS // n_classes - 1))
    return min(wanted, most // n_classes - 1, n_members * (n_classes - 1))


def fit_cross_class_corrections(
    rows: ChosenRows, alphas: Sequence[float], rank: int
) -> list[Correction]:
    """What a regression on the log-probabilities of all classes adds to a pool.

    The features of a row, the same for each class, are its first principal components: those of
    the members' log-probabilities, each member's around its mean over the classes.

    Parameters
    ----------
    rows : ChosenRows
    alphas : sequence of float
        Strengths of the ridge, from strong to weak: each fit starts from the one before.
    rank : int
        Number of components.

    Returns
    -------
    list of Correction
        One per alpha; none where the rows have no two classes to separate, or each member gives
        all classes the same probability.
    """
    if rank < 1 or not rows.teach:
        return []
    directions = _components(rows.parts, rank)
    if not directions.size:
        return []
    n_classes = len(rows.columns)
    parts = rows.parts.map(_regression_part, directions)
    problem = ScoreRegression(parts, (n_classes, directions.shape[1] + 1))
    by_member = directions.reshape(rows.n_members, n_classes, -1)
    by_member = by_member - by_member.mean(axis=1, keepdims=True)
    theta, corrections = problem.start(), []
    none = np.zeros((rows.n_members, n_classes))
    for alpha in alphas:
        theta, factor = problem.minimise(rows.ridge(alpha, theta.size), theta)
        across = CrossClassTerms(by_member, theta[:, :-1].T)
        fit = ClasswiseFit(none, none, theta[:, -1], across)
        corrections.append(Correction(fit, parts, problem.without_rows(theta, factor)))
    return corrections


def _regression_part(rows: RegressionRows, directions: Array) -> RegressionPart:
    features = _centred(rows, slice(None)) @ directions
    features = np.column_stack([features, np.ones(len(features))])
    n_classes = len(rows.columns)

    def shared(part: slice) -> Array:
        these = features[part]
        return np.broadcast_to(these[:, None], (len(these), n_classes, these.shape[1]))

    return RegressionPart(shared, features.shape[1], rows)


def _centred(rows: RegressionRows, part: slice) -> Array:
    """Log-probabilities of all members around their means over the classes, side by side."""
    logs = np.stack([z[part] for z in rows.z], axis=1)
    logs -= logs.mean(axis=2, keepdims=True)
    return logs.reshape(len(logs), -1)


def _scaled(rows: RegressionRows, part: slice) -> Array:
    return np.asarray(_centred(rows, part) * np.sqrt(rows.weight[part])[:, None])


def _products(rows: RegressionRows) -> Array:
    """Sums of products of all features."""
    n_features = len(rows.z) * len(rows.columns)
    total = np.zeros((n_features, n_features))
    for number, part in enumerate(row_blocks(len(rows.y), n_features)):
        these = _scaled(rows, part)
        total = these.T @ these if number == 0 else total + these.T @ these
    return total


def _components(parts: Partitions[RegressionRows], rank: int, many: int = _MANY_FEATURES) -> Array:
    """Principal directions of the features, (n_features, rank), fewer if others are empty."""
    if isinstance(parts, InMemory):
        rows = parts.part
        if len(rows.z) * len(rows.columns) > max(many, len(rows.y)):
            # Directions are sums of rows: with fewer rows than features, a smaller problem gives
            # the sums.
            features = _scaled(rows, slice(None)).T
            return np.linalg.qr(features @ principal_directions([features], rank))[0]
    return directions_of(parts.reduce(_products, what="products of features"), rank)
