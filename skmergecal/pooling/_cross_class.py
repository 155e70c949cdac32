"""Cross-class corrections: a member's opinion of one class informs the score of another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from skmergecal._partitions import InMemory, Partitions
from skmergecal._typing import Array
from skmergecal.pooling._classwise_fit import ClasswiseFit, Correction, CrossClassTerms
from skmergecal.pooling._score_regression import (
    FEW_CLASSES,
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
    features = directions.T @ _centred(rows, slice(None)).T
    features = np.concatenate([features, np.ones((1, len(rows.y)))])
    shape = len(rows.columns), *features.shape

    def shared(part: slice) -> Array:
        return np.broadcast_to(features, shape)[:, :, part]

    # The pairs of many classes are more than all features of all classes.
    kind = _SharedFeatures if shape[0] <= FEW_CLASSES else RegressionPart
    return kind(shared, len(features), rows)


class _SharedFeatures(RegressionPart):
    """A regression on features that all classes share: the first class's are those of all."""

    def __init__(
        self, features: Callable[[slice], Array], n_features: int, rows: RegressionRows
    ) -> None:
        super().__init__(features, n_features, rows)
        k, m = self.shape
        #: Whether one pair of classes after the other makes fewer numbers of a row than the
        #: products of each two features.
        self.few_classes = k * (k - 1) <= m
        self.pairs = np.triu_indices(k, 1)
        self.of_features = np.triu_indices(m)

    def added(self, features: Array, theta: Array) -> Array:
        return np.asarray(theta @ features[0])

    def sums(self, features: Array, rows: Array) -> Array:
        return np.asarray(rows @ features[0].T)

    def curvature(self, features: Array, p: Array, weight: Array) -> Array:
        """Sums of w p_c p_d f f' for each pair of classes, (n_pairs, n_features, n_features)."""
        (k, m), shared, (first, second) = self.shape, features[0], self.pairs
        if self.few_classes:
            roots = np.sqrt(p)
            shares = (roots * np.sqrt(weight))[first] * roots[second]
            scaled = (shared * of_pair for of_pair in shares)
            return np.stack([these @ these.T for these in scaled])
        shares = p * weight
        both = np.concatenate([shares[c] * p[c + 1 :] for c in range(k - 1)])
        places = np.empty((m, m), dtype=np.intp)
        i, j = self.of_features
        places[i, j] = places[j, i] = np.arange(len(i))
        return (both @ _products_of(shared).T)[:, places]

    def hessian(self, curvature: Array) -> Array:
        # Rows of diag(p) - p p' add up to 0: the block of a class is the sum of the others.
        (k, m), (first, second) = self.shape, self.pairs
        classes = np.arange(k)
        of_class = (first == classes[:, None]) | (second == classes[:, None])
        own = of_class.astype(np.float64) @ curvature.reshape(len(first), -1)
        hessian = np.empty((k, m, k, m))
        hessian[first, :, second] = hessian[second, :, first] = -curvature
        hessian[classes, :, classes] = own.reshape(k, m, m)
        return hessian.reshape(k * m, k * m)

    def influence(self, features: Array, inverse: Array) -> Array:
        if self.few_classes:
            return super().influence(features, inverse)
        k, m = self.shape
        first, second = np.triu_indices(k)
        blocks = inverse.reshape(k, m, k, m)[first, :, second]
        i, j = self.of_features
        factors = blocks[:, i, j] + np.where(i == j, 0.0, blocks[:, j, i])
        return np.asarray(factors @ _products_of(features[0]))


def _products_of(features: Array) -> Array:
    """Products of each feature with itself and with those after it, (n_products, n_rows)."""
    return np.concatenate([own * features[i:] for i, own in enumerate(features)])


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
