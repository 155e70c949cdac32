"""Regression of what features of the members' opinions add to the scores of a pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, eigh

from skmergecal._numerics import add_weighted, sum_of
from skmergecal._partitions import InMemory, Partitions, Rows
from skmergecal._typing import Array, IntArray
from skmergecal.pooling._leave_one_out import loo_step
from skmergecal.pooling._nonnegative_newton import factorise

__all__ = [
    "FEW_CLASSES",
    "ChosenRows",
    "RegressionPart",
    "RegressionRows",
    "RegressionWithoutRows",
    "ScoreRegression",
    "choose_rows",
    "directions_of",
    "penalty_strength",
    "principal_directions",
    "row_blocks",
]

#: A class with fewer rows, counted by weight, takes no part.
_ROWS_OF_A_CLASS = 2
#: Numbers in the features of a block of rows.
_BLOCK = 1 << 18
#: Share of the largest sum of squares below which a direction counts as empty.
_NO_SIZE = 1e-10
#: Up to this many features, all directions are computed, which is as fast.
_MANY_FEATURES = 1000
#: Newton's method ends with a step whose squared decrement, about twice the decrease of the summed
#: loss, is at most this.
_LAST_STEP = 1e-10
_MAX_STEPS = 100
#: Size of what a regression adds to scores where classes are separated with certainty.
_SCORES = 32.0
#: Conjugate gradients end where the squared norm of what is left of a gradient, in the units of
#: the preconditioner, is this share of the first one, or after so many products.
_LEFT = 1e-8
_MAX_PRODUCTS = 500
_LEFT_OF_ROW = 1e-20
#: Up to this many classes, the steps without a row come from a system for each row.
FEW_CLASSES = 64


def penalty_strength(alpha: float, unknowns: int, total: float) -> float:
    """Strength of a penalty for so many unknowns and rows: alpha where rows are many.

    A prediction of a row without it takes one Newton step, and everything before the regression
    (temperatures, the pool) as given. Where rows are few for the unknowns it is too optimistic, and
    a ridge that it would choose is too weak. The factor was found on real data: see the page on
    quality.
    """
    return float(alpha * (1 + unknowns / total) ** 2)


def row_blocks(n_rows: int, numbers: int) -> Iterator[slice]:
    """Blocks of rows with so many numbers each."""
    size = max(_BLOCK // max(numbers, 1), 1)
    for first in range(0, n_rows, size):
        yield slice(first, first + size)


def principal_directions(blocks: Iterable[Array], rank: int) -> Array:
    """Directions of the largest sums of squares, shape (n_features, rank or less).

    Directions without any are left out.

    Parameters
    ----------
    blocks : iterable of ndarray of shape (n_rows, n_features)
    rank : int
    """
    return directions_of(sum_of(these.T @ these for these in blocks), rank)


def directions_of(products: Array, rank: int) -> Array:
    """The same from the sums of products of all pairs of features."""
    last = len(products) - 1
    if last < _MANY_FEATURES:
        sizes, directions = np.linalg.eigh(products)
    else:
        sizes, directions = eigh(products, subset_by_index=(max(last + 1 - rank, 0), last))
    kept = np.flatnonzero(sizes > _NO_SIZE * sizes[-1])[::-1][:rank]
    return np.asarray(directions[:, kept])


def _descend(
    evaluate: Callable[[Array], tuple[float, Any]],
    newton_step: Callable[[Array, Any], tuple[Array, float]],
    theta: Array,
    rounding: float,
) -> Array:
    """Minimiser of a convex function by Newton's method with halved steps.

    Parameters
    ----------
    evaluate : callable
        From coefficients to the value, and what the next step needs to know.
    newton_step : callable
        From both to the step and its squared decrement.
    theta : ndarray
        Start.
    rounding : float
        Error of a value.
    """
    value, known = evaluate(theta)
    for _ in range(_MAX_STEPS):
        step, decrement = newton_step(theta, known)
        if decrement <= _LAST_STEP:
            return theta + step
        size = 1.0
        while True:
            candidate = theta + size * step
            new, its_known = evaluate(candidate)
            if new <= value - 1e-4 * size * decrement + 1e-15 * abs(value):
                break
            size /= 2
            # Rounding hides any further descent: with large weights, or scores, a whole step's.
            if size < 1e-10 or decrement <= rounding:
                return theta
        theta, value, known = candidate, new, its_known
    return theta


def _probabilities(scores: Array) -> Array:
    """Softmax over the classes, in the place of scores of shape (n_classes, n_rows)."""
    scores -= scores.max(axis=0)
    p = np.exp(scores, out=scores)
    p /= p.sum(axis=0)
    return p


def _loss_and_probabilities(scores: Array, y: IntArray, weight: Array) -> tuple[float, Array]:
    """The summed log loss, too, also where the probability of a true class rounds to 0."""
    scores -= scores.max(axis=0)
    of_true = scores[y, np.arange(len(y))]
    p = np.exp(scores, out=scores)
    total = p.sum(axis=0)
    p /= total
    return float((np.log(total) - of_true) @ weight), p


class RegressionPart:
    """The summed log loss of scores offset_c + f_c' theta_c, with f_c the features of class c.

    Arrays have the rows last, so that each operation runs along many numbers.

    Parameters
    ----------
    features : callable
        Returns the features of a slice of rows, shape (n_classes, n_features, n_rows).
    n_features : int
    rows : RegressionRows
    """

    may_be_empty = True

    def __init__(
        self, features: Callable[[slice], Array], n_features: int, rows: RegressionRows
    ) -> None:
        self.features, self.rows = features, rows
        self.y, self.weight, self.z = rows.y, rows.weight, rows.z
        self.offset = np.ascontiguousarray(rows.offset.T)
        self.shape = len(self.offset), n_features

    def sizes(self) -> float:
        """Sum of the sizes that rounding of scores is relative to."""
        return float((_SCORES + np.abs(self.offset).max(axis=0)) @ self.weight)

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        for part in row_blocks(len(self.y), int(np.prod(self.shape))):
            yield part, self.features(part)

    def added(self, features: Array, theta: Array) -> Array:
        """What is added to the scores, f_c' theta_c, shape (n_classes, n_rows)."""
        return np.asarray((theta[:, None, :] @ features)[:, 0])

    def sums(self, features: Array, rows: Array) -> Array:
        """For each class and feature, the sum of their products over the rows."""
        return np.asarray((features @ rows[:, :, None])[:, :, 0])

    def loss(self, theta: Array) -> tuple[float, Array, Array]:
        """Summed log loss, its gradient and its Hessian, without the penalty."""
        value, gradient = 0.0, np.zeros(self.shape)
        curvature: Array | None = None
        # A row of weight w adds w (p_c - [c = y]) f_c to the gradient and
        # w ([c = d] p_c - p_c p_d) f_c f_d' to block (c, d) of the Hessian.
        for part, features in self.blocks():
            y, w = self.y[part], self.weight[part]
            scores = self.added(features, theta)
            scores += self.offset[:, part]
            more, p = _loss_and_probabilities(scores, y, w)
            value += more
            bent = self.curvature(features, p, w)
            curvature = bent if curvature is None else np.add(curvature, bent, out=curvature)
            p *= w
            p[y, np.arange(len(y))] -= w
            gradient += self.sums(features, p)
        if curvature is None:
            return value, gradient, np.zeros((gradient.size, gradient.size))
        return value, gradient, self.hessian(curvature)

    def curvature(self, features: Array, p: Array, weight: Array) -> Array:
        """The sum over some rows of which `hessian` makes the Hessian."""
        k, m = self.shape
        flat = ((np.sqrt(weight) * p)[:, None] * features).reshape(k * m, -1)
        products = flat @ flat.T
        np.negative(products, out=products)
        by_class = products.reshape(k, m, k, m)
        for c, own in enumerate(features):
            by_class[c, :, c, :] += (own * (weight * p[c])) @ own.T
        return products

    def hessian(self, curvature: Array) -> Array:
        """The Hessian from the sum of `curvature`."""
        return curvature

    def scores_without_row(self, loo: RegressionWithoutRows, moves: Array) -> Array:
        """What is added to the scores of a pool, both fitted without the row.

        The pool's scores, sum_k beta_k z_k, move with the factors beta.

        Parameters
        ----------
        loo : RegressionWithoutRows
        moves : ndarray of shape (n_rows, n_members)
            How beta moves without each row.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            To be added to the scores of the pool without the row.
        """
        k, z = self.shape[0], self.z
        step = self._steps_by_classes if k <= FEW_CLASSES else self._steps_by_products
        follow = np.ascontiguousarray(loo.follow.transpose(0, 2, 1))
        out = np.empty((len(self.y), k))
        for part, features in self.blocks():
            moving = np.ascontiguousarray(moves[part].T)
            added = self.added(features, loo.theta)
            for c in range(k):
                added[c] -= np.einsum("jn,jn->n", follow[c] @ features[c], moving)
            moved = sum_of(m[part] * b[:, None] for m, b in zip(z, moving, strict=True)).T
            scores = added + moved + self.offset[:, part]
            out[part] = (added + step(features, scores, loo.inverse, part)).T
        return out

    def _steps_by_classes(
        self, features: Array, scores: Array, inverse: Array, part: slice
    ) -> Array:
        """How scores move without their row, from a system of n_classes for each row."""
        k = self.shape[0]
        influence = np.empty((features.shape[-1], k, k))
        first, second = np.triu_indices(k)
        pairs = self.influence(features, inverse).T
        influence[:, first, second] = influence[:, second, first] = pairs
        return loo_step(scores.T, influence, self.y[part], self.weight[part]).T

    def influence(self, features: Array, inverse: Array) -> Array:
        """Influence of each row on its scores, for each pair of classes (c, d >= c) one line."""
        # A row's score of class c is f_c' theta_c, so that its influence J H^-1 J' has the entries
        # f_c' (H^-1)_cd f_d, with (H^-1)_cd the block of classes c and d.
        (k, m), n_rows = self.shape, features.shape[-1]
        lines = []
        for c, own in enumerate(features):
            spread = (inverse[c * m :, c * m : (c + 1) * m] @ own).reshape(k - c, m, n_rows)
            spread *= features[c:]
            lines.append(spread.sum(axis=1))
        return np.concatenate(lines)

    def _steps_by_products(
        self, features: Array, scores: Array, inverse: Array, part: slice
    ) -> Array:
        """The same for many classes, where a system for each row takes too long."""
        # Without the row the Hessian is H - t J' S J, S = diag(p) - p p'. Conjugate gradients with
        # H as preconditioner end after a few steps: its eigenvalues there are 1 less a leverage.
        p = _probabilities(scores)
        taken = np.minimum(self.weight[part], 1.0)
        excess = p.copy()
        excess[self.y[part], np.arange(len(taken))] -= 1.0

        def of_classes(vectors: Array) -> Array:
            return np.einsum("cmn,cmn->cn", features, vectors.reshape(features.shape))

        def of_unknowns(values: Array) -> Array:
            return (values[:, None] * features).reshape(-1, len(taken))

        moved, left = np.zeros_like(p), of_unknowns(taken * excess)
        eased = inverse @ left
        direction, its_product = eased, left  # H times the direction follows without a product
        size = first = np.einsum("un,un->n", left, eased)
        for _ in range(_MAX_PRODUCTS):
            u = of_classes(direction)
            curved = p * (u - np.einsum("cn,cn->n", p, u))
            product = its_product - of_unknowns(taken * curved)
            bend = np.einsum("un,un->n", direction, product)
            length = np.divide(size, bend, out=np.zeros_like(size), where=bend > 0)
            moved += length * u
            left = left - length * product
            eased = inverse @ left
            before, size = size, np.einsum("un,un->n", left, eased)
            if (size <= _LEFT_OF_ROW * first).all():
                break
            share = np.divide(size, before, out=np.zeros_like(size), where=before > 0)
            direction, its_product = eased + share * direction, left + share * its_product
        return moved

    def mixed(self, theta: Array) -> Array:
        """Mixed derivatives, shape (n_classes * n_features, n_members)."""
        (k, m), z = self.shape, self.z
        mixed = np.zeros((k, m, len(z)))
        for part, features in self.blocks():
            p = _probabilities(self.added(features, theta) + self.offset[:, part])
            u = np.stack([member[part].T for member in z])
            u -= np.einsum("cn,jcn->jn", p, u)[:, None]
            u *= p * self.weight[part]
            mixed += features @ u.transpose(1, 2, 0)
        return mixed.reshape(k * m, len(z))


@dataclass(frozen=True)
class RegressionWithoutRows:
    """What a regression on all rows shows of fits without one of them.

    Attributes
    ----------
    theta : ndarray of shape (n_classes, n_features)
    inverse : ndarray of shape (n_unknowns, n_unknowns)
        Of the Hessian with the penalty.
    follow : ndarray of shape (n_classes, n_features, n_members)
        How theta follows the factors of the pool, with the sign reversed.
    """

    theta: Array
    inverse: Array
    follow: Array


class ScoreRegression:
    """The loss of `RegressionPart` summed over partitions, and its minimum.

    The penalty is alpha / 2 times the sum of the squares of theta, a matrix of shape (n_classes,
    n_features).

    Parameters
    ----------
    parts : Partitions of RegressionPart
    shape : tuple of int
    """

    def __init__(self, parts: Partitions[RegressionPart], shape: tuple[int, int]) -> None:
        self.parts, self.shape = parts, shape
        #: About what rounding of scores does to the summed loss.
        size = parts.reduce(RegressionPart.sizes, what="sizes of scores")
        self.rounding = float(np.finfo(float).eps * size)

    def start(self) -> Array:
        """Coefficients that leave the pool's scores as they are."""
        return np.zeros(self.shape)

    def loss(self, theta: Array) -> tuple[float, Array, Array]:
        """Summed log loss, its gradient and its Hessian, without the penalty."""
        value, gradient, hessian = self.parts.reduce(
            RegressionPart.loss, theta, what="regression of scores"
        )
        return value, gradient, hessian

    def minimise(self, alpha: float, theta: Array) -> tuple[Array, Any]:
        """Minimiser from a start, and the Cholesky factor of the Hessian with the penalty.

        Cubic in the unknowns, see `minimise_by_products`.
        """

        def penalised(theta: Array) -> tuple[float, tuple[Array, Array]]:
            value, gradient, hessian = self.loss(theta)
            hessian[np.diag_indices_from(hessian)] += alpha
            value += alpha / 2 * float((theta * theta).sum())
            return value, ((gradient + alpha * theta).ravel(), hessian)

        factor: Any = None

        def newton_step(_: Array, derivatives: tuple[Array, Array]) -> tuple[Array, float]:
            nonlocal factor
            gradient, hessian = derivatives
            factor = factorise(hessian)
            step = -cho_solve(factor, gradient)
            return step.reshape(self.shape), -float(gradient @ step)

        return _descend(penalised, newton_step, theta, self.rounding), factor

    def minimise_by_products(self, alpha: float, theta: Array) -> Array:
        """The minimiser alone, for many unknowns: a pass over the rows costs as much as they do.

        Newton's steps come from conjugate gradients, which need products with the Hessian only;
        these are preconditioned by its blocks of one class each.
        """
        if isinstance(self.parts, InMemory):
            return _Products(self.parts.part, alpha, self.rounding).minimise(theta)
        return self.minimise(alpha, theta)[0]

    def factor(self, alpha: float, theta: Array) -> Any:
        """The Cholesky factor of the Hessian with the penalty."""
        hessian = self.loss(theta)[2]
        return factorise(hessian + alpha * np.eye(len(hessian)))

    def without_rows(self, theta: Array, factor: Any) -> RegressionWithoutRows:
        """What the minimum shows of fits without a row, from the Cholesky factor there."""
        # Where beta moves by d, theta follows by -G d, with G = H^-1 times the mixed derivatives;
        # then the row is removed.
        k, m = self.shape
        inverse = cho_solve(factor, np.eye(k * m))
        mixed = self.parts.reduce(RegressionPart.mixed, theta, what="mixed derivatives")
        return RegressionWithoutRows(theta, inverse, (inverse @ mixed).reshape(k, m, -1))


class _Products:
    """Loss and penalty of a regression, with products with the Hessian instead of it."""

    def __init__(self, problem: RegressionPart, alpha: float, rounding: float) -> None:
        self.problem, self.alpha, self.rounding = problem, alpha, rounding
        self.y, self.weight = problem.y, problem.weight
        self.features = np.empty((*problem.shape, len(problem.y)))
        for part, features in problem.blocks():
            self.features[:, :, part] = features

    def minimise(self, theta: Array) -> Array:
        """The minimiser from a start, as by `ScoreRegression.minimise`."""

        def newton_step(theta: Array, p: Array) -> tuple[Array, float]:
            return self.newton_step(self.gradient(theta, p), p)

        return _descend(self.value, newton_step, theta, self.rounding)

    def value(self, theta: Array) -> tuple[float, Array]:
        """Loss plus penalty, and the probabilities of shape (n_classes, n_rows)."""
        scores = self.problem.added(self.features, theta)
        scores += self.problem.offset
        loss, p = _loss_and_probabilities(scores, self.y, self.weight)
        return loss + self.alpha / 2 * float((theta * theta).sum()), p

    def gradient(self, theta: Array, p: Array) -> Array:
        """Gradient of loss plus penalty."""
        excess = p * self.weight
        excess[self.y, np.arange(len(self.y))] -= self.weight
        return self.problem.sums(self.features, excess) + self.alpha * theta

    def product(self, theta: Array, p: Array) -> Array:
        """Product with the Hessian: w p (u - E_p u) for the scores u, summed as the gradient."""
        u = self.problem.added(self.features, theta)
        u -= np.einsum("cn,cn->n", p, u)
        u *= p
        u *= self.weight
        return self.problem.sums(self.features, u) + self.alpha * theta

    def preconditioner(self, p: Array) -> Array:
        """Inverses of the blocks of one class each, (n_classes, n_features, n_features)."""
        spread = p * (1 - p) * self.weight
        own = self.alpha * np.eye(self.features.shape[1])
        blocks = [(f * s) @ f.T + own for f, s in zip(self.features, spread, strict=True)]
        return np.asarray(np.linalg.inv(np.array(blocks)))

    def newton_step(self, gradient: Array, p: Array) -> tuple[Array, float]:
        """The step to the minimum of the quadratic model, and its squared decrement."""
        inverse = self.preconditioner(p)

        def eased(vector: Array) -> Array:
            return np.einsum("cij,cj->ci", inverse, vector)

        step, left = np.zeros_like(gradient), -gradient
        direction = eased(left)
        size = first = float((left * direction).sum())
        for _ in range(_MAX_PRODUCTS):
            product = self.product(direction, p)
            length = size / float((direction * product).sum())
            step += length * direction
            left = left - length * product
            following = eased(left)
            before, size = size, float((left * following).sum())
            if size <= _LEFT * first:
                break
            direction = following + size / before * direction
        return step, -float((gradient * step).sum())


@dataclass(frozen=True)
class RegressionRows:
    """Rows and classes that a regression of scores can learn from.

    A class with less than two rows teaches nothing about itself that would hold for another row:
    it takes no part, and neither does its row.

    Attributes
    ----------
    z : list of ndarray of shape (n_rows, n_columns)
        The members' log-probabilities.
    offset : ndarray of shape (n_rows, n_columns)
        The pool's scores.
    y : ndarray of shape (n_rows,)
        Numbers of the columns that take part.
    weight : ndarray of shape (n_rows,)
    columns : ndarray of shape (n_columns,)
        Numbers of the classes that take part.
    where : tuple of ndarray
        Places of these rows and columns in a matrix of all of them.
    complete : bool
        Whether these are all.
    """

    z: list[Array]
    offset: Array
    y: IntArray
    weight: Array
    columns: IntArray
    where: Any
    complete: bool

    #: In a partition, perhaps no row has a class that takes part.
    may_be_empty = True

    @classmethod
    def choose(cls, rows: Rows, beta: Array, columns: IntArray) -> RegressionRows:
        """The rows of the classes that take part.

        Parameters
        ----------
        rows : Rows
            With C-contiguous log-probabilities.
        beta : ndarray of shape (n_members,)
            Factors of the pool.
        columns : ndarray of shape (n_columns,)
        """
        z, y, counts = rows.opinions, rows.y, rows.counts
        complete = len(columns) == z[0].shape[1]
        kept = np.arange(len(y)) if complete else np.flatnonzero(np.isin(y, columns))
        where = np.ix_(kept, columns)
        if not complete:
            z, y, counts = [m[where] for m in z], np.searchsorted(columns, y[kept]), counts[kept]
        return cls(list(z), add_weighted(z, beta), y, counts, columns, where, complete)

    def of(self, values: Array) -> Array:
        """Those of these rows, from values of all rows."""
        return values if self.complete else np.asarray(values[self.where[0].ravel()])

    def total(self) -> float:
        """Sum of the weights."""
        return float(self.weight.sum())


@dataclass(frozen=True)
class ChosenRows:
    """Rows of all partitions that a regression of scores can learn from.

    Attributes
    ----------
    parts : Partitions of RegressionRows
    columns : ndarray of shape (n_columns,)
        The classes that have at least two rows, counted by weight.
    n_members : int
    total : float
        Sum of the weights of the rows that take part.
    """

    parts: Partitions[RegressionRows]
    columns: IntArray
    n_members: int
    total: float

    def ridge(self, alpha: float, unknowns: int) -> float:
        """Strength of the ridge for so many unknowns, with the rows that take part."""
        return penalty_strength(alpha, unknowns, self.total)

    @property
    def teach(self) -> bool:
        """Whether there are two classes to separate."""
        return len(self.columns) > 1


def choose_rows(rows: Partitions[Rows], beta: Array, n_classes: int) -> ChosenRows:
    """The rows of classes that have at least two, counted by weight."""
    weights = rows.reduce(Rows.weight_of_classes, n_classes, what="weight of each class")
    columns = np.flatnonzero(weights >= _ROWS_OF_A_CLASS)
    parts = rows.map(RegressionRows.choose, beta, columns)
    total = float(parts.reduce(RegressionRows.total, what="number of rows"))
    return ChosenRows(parts, columns, len(beta), total)
