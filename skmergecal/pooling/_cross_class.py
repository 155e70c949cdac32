"""Cross-class corrections: a member's opinion of one class informs the score of another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skmergecal._typing import Array
from skmergecal.pooling._classwise_fit import (
    ClasswiseFit,
    Correction,
    CrossClassTerms,
    widened_correction,
)
from skmergecal.pooling._score_regression import (
    RegressionRows,
    ScoreRegression,
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
    z: Sequence[Array], rows: RegressionRows, moves: Array, alphas: Sequence[float], rank: int
) -> list[Correction]:
    """What a regression on the log-probabilities of all classes adds to a pool.

    The features of a row, the same for each class, are its first principal components: those of
    the members' log-probabilities, each member's around its mean over the classes.

    Parameters
    ----------
    z : sequence of ndarray of shape (n_samples, n_classes)
        Log-probabilities of all rows.
    rows : RegressionRows
        Those of them to learn from.
    moves : ndarray of shape (n_samples, n_members)
        How the factors of the pool move without each row.
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
    directions = _components(rows, rank)
    if not directions.size:
        return []
    features = _centred(rows, slice(None)) @ directions
    features = np.column_stack([features, np.ones(len(features))])
    n_classes = len(rows.columns)

    def shared(part: slice) -> Array:
        these = features[part]
        return np.broadcast_to(these[:, None], (len(these), n_classes, these.shape[1]))

    problem = ScoreRegression(shared, features.shape[1], rows.offset, rows.y, rows.weight)
    by_member = directions.reshape(len(rows.z), n_classes, -1)
    by_member = by_member - by_member.mean(axis=1, keepdims=True)
    theta, corrections = problem.start(), []
    none = np.zeros((len(rows.z), n_classes))
    for alpha in alphas:
        theta, factor = problem.minimise(rows.ridge(alpha, theta.size), theta)
        across = CrossClassTerms(by_member, theta[:, :-1].T)
        fit = ClasswiseFit(none, none, theta[:, -1], across)
        moved = problem.scores_without_row(theta, factor, rows.z, rows.of(moves))
        corrections.append(widened_correction(rows, fit, moved, z))
    return corrections


def _centred(rows: RegressionRows, part: slice) -> Array:
    """Log-probabilities of all members around their means over the classes, side by side."""
    logs = np.stack([z[part] for z in rows.z], axis=1)
    logs -= logs.mean(axis=2, keepdims=True)
    return logs.reshape(len(logs), -1)


def _components(rows: RegressionRows, rank: int, many: int = _MANY_FEATURES) -> Array:
    """Principal directions of the features, (n_features, rank), fewer if others are empty."""
    n_features = len(rows.z) * len(rows.columns)

    def scaled(part: slice) -> Array:
        return np.asarray(_centred(rows, part) * np.sqrt(rows.weight[part])[:, None])

    if n_features <= max(many, len(rows.y)):
        blocks = row_blocks(len(rows.y), n_features)
        return principal_directions((scaled(part) for part in blocks), rank)
    # Directions are sums of rows: with fewer rows than features, a smaller problem gives the sums.
    features = scaled(slice(None)).T
    return np.linalg.qr(features @ principal_directions([features], rank))[0]
