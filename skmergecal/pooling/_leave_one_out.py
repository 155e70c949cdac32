"""Leave-one-out predictions of penalised pools, in closed form from one fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, solve_triangular
from scipy.special import expit

from skmergecal._numerics import log_softmax, softmax, sum_of
from skmergecal._partitions import GapOpinions, Partitions, Rows
from skmergecal._typing import Array, IntArray
from skmergecal.pooling._linear import NEGLIGIBLE, of_true
from skmergecal.pooling._nonnegative_newton import factorise
from skmergecal.pooling._pool_loss import PoolLoss, rows_of_block

__all__ = [
    "LooOfLinearPool",
    "LooOfLogPool",
    "LooPredictions",
    "loo_log_pool",
    "loo_step",
    "opinions_without_rows",
    "pool_of_rows",
]

#: Share of the largest entry that is added to the diagonal of a singular system.
_NEAR = 1e-8
#: Systems of up to so many unknowns are eliminated for all rows at once: LAPACK takes one row after
#: another, five times as long for five unknowns.
_FEW = 12
#: Rows of a block: what is computed of them stays in the processor's cache.
_ROWS = 2048
#: Numbers in the systems of rows that have one of their own, which are solved at once.
_SYSTEMS = 1 << 20
#: Share of its diagonal entry below which what is left of a pivot is rounding.
_ROUNDING = 1e-10


@dataclass(frozen=True)
class LooPredictions:
    """Predictions of rows, each from a fit without it.

    Attributes
    ----------
    log_proba : ndarray of shape (n_samples, n_classes)
        Of the result.
    pools : dict of str to ndarray of shape (n_samples,)
        Log losses of the rows in each pool that the result is made of.
    """

    log_proba: Array
    pools: Mapping[str, Array]

    def widened(self, present: IntArray, scores: Array, y: IntArray) -> LooPredictions:
        """The same with the columns of classes that no row has.

        Parameters
        ----------
        present : ndarray of shape (n_present,)
            The columns that these predictions are of.
        scores : ndarray of shape (n_samples, n_classes)
            Of the result, all classes; relative to the others they hold for a fit without the
            row, too, as no row has taught anything about the classes that are added.
        y : ndarray of shape (n_samples,)
            Numbers of all columns.
        """
        known = scores[:, present]
        top = known.max(axis=1, keepdims=True)
        wide = scores - (top + np.log(np.exp(known - top).sum(axis=1, keepdims=True)))
        wide[:, present] = self.log_proba
        wide = log_softmax(wide)
        rows = np.arange(len(y))
        more = self.log_proba[rows, np.searchsorted(present, y)] - wide[rows, y]
        return LooPredictions(wide, {name: own + more for name, own in self.pools.items()})


def loo_step(scores: Array, influence: Array, y: IntArray, weight: Array) -> Array:
    """How the scores of each row move where they are fitted without that row, to second order.

    Scores are u = o + J theta, where theta minimises a penalised sum of log losses with Hessian H.
    Removing t of a row's weight and taking one Newton step from theta moves the row's scores by
    A (I - t S A)^-1 t g, where A = J H^-1 J', g = p - e_y and S = diag(p) - p p'. Here t is one
    unit of the weight, or all of it if it is less.

    Parameters
    ----------
    scores : ndarray of shape (n_samples, n_classes)
        u, at the minimum.
    influence : ndarray of shape (n_samples, n_classes, n_classes)
        A of each row.
    y : ndarray of shape (n_samples,)
        Column numbers.
    weight : ndarray of shape (n_samples,)
        Positive frequency weights.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)

    References
    ----------
    Rad and Maleki, "A scalable estimate of the out-of-sample prediction error via approximate
    leave-one-out cross-validation", JRSS B 2020, equation 6.
    """
    taken = np.minimum(weight, 1.0)
    return np.asarray((influence @ _loo_push(scores, influence, y, taken))[:, :, 0])


def _loo_push(scores: Array, influence: Array, y: IntArray, taken: Array) -> Array:
    """(I - t S A)^-1 t g of `loo_step`, shape (n_samples, n_classes, 1)."""
    # Without t of the row's loss, the gradient at theta is -t J' g and the Hessian H - t J' S J.
    # The Newton step is (H - t J' S J)^-1 J' t g, and
    #     (H - t J' S J) H^-1 J' = J' (I - t S A),    hence    J step = A (I - t S A)^-1 t g:
    # a system per row of n_classes instead of all unknowns.
    p = softmax(scores)
    taken = taken[:, None, None]
    # S A = diag(p) A - p (p' A): no product of two matrices per row.
    system = influence - (p[:, None, :] @ influence)
    system *= -taken * p[:, :, None]
    diagonal = np.arange(p.shape[1])
    system[:, diagonal, diagonal] += 1.0
    gradient = p
    gradient[np.arange(len(y)), y] -= 1.0
    return _solve_rows(system, taken * gradient[:, :, None])


def _solve(hessian: Array, right: Array) -> Array:
    """Solution of a positive definite system, or of one near it."""
    try:
        return np.asarray(np.linalg.solve(hessian, right))
    except np.linalg.LinAlgError:
        return np.asarray(cho_solve(factorise(hessian), right))


def _solve_rows(systems: Array, right: Array) -> Array:
    """Solutions of a system per row; where a row alone determines something, of one near it."""
    try:
        return np.asarray(np.linalg.solve(systems, right))
    except np.linalg.LinAlgError:
        size = np.abs(systems).max(axis=(1, 2), keepdims=True)
        near = systems + _NEAR * size * np.eye(systems.shape[1])
        return np.asarray(np.linalg.solve(near, right))


def _solve_symmetric(systems: Array, right: Array) -> Array:
    """Solutions of a symmetric system per row, (n_unknowns, n_rows).

    Parameters
    ----------
    systems : ndarray of shape (n_unknowns, n_unknowns, n_rows)
        Positive definite but for rows that alone determine something. What is below the diagonal
        is not read.
    right : ndarray of shape (n_unknowns, n_rows)
    """
    unknowns = range(len(right))
    if len(right) > _FEW:
        return _solve_rows(_whole(systems), right.T[:, :, None])[:, :, 0].T
    left, found = systems.copy(), right.copy()
    smallest = np.full(right.shape[1], np.inf)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # rows solved below
        for i in unknowns:
            np.minimum(smallest, left[i, i] / systems[i, i], out=smallest)
            for j in unknowns[i + 1 :]:
                factor = left[i, j] / left[i, i]
                left[j, j:] -= factor * left[i, j:]
                found[j] -= factor * found[i]
        for i in reversed(unknowns):
            for j in unknowns[i + 1 :]:
                found[i] -= left[i, j] * found[j]
            found[i] /= left[i, i]
    alone = np.flatnonzero(~(smallest > _ROUNDING))
    if alone.size:
        rest = _whole(systems[:, :, alone])
        found[:, alone] = _solve_rows(rest, right[:, alone].T[:, :, None])[:, :, 0].T
    return found


def _whole(systems: Array) -> Array:
    """Symmetric systems, one per row, of those whose upper halves are known."""
    whole = systems.transpose(2, 0, 1)
    return np.asarray(np.triu(whole) + np.triu(whole, 1).transpose(0, 2, 1))


@dataclass(frozen=True)
class LooOfLinearPool:
    """What a linear pool, fitted to all rows, shows of its fit without each of them.

    Attributes
    ----------
    weights : ndarray of shape (n_members,)
    hessian : ndarray of shape (n_used, n_used)
        Of the members with a positive weight.
    """

    weights: Array
    hessian: Array

    @classmethod
    def of(cls, rows: Partitions[Rows], weights: Array) -> LooOfLinearPool:
        """Of weights that were fitted to rows."""
        used = np.flatnonzero(weights > 0)
        products = rows.reduce(_products_of_ratios, weights, what="curvature of the linear pool")
        # A ridge of the size of one row: the split between members that agree is not determined.
        return cls(weights, products + np.eye(len(used)))

    def proba(self, rows: Rows, at: Sequence[Array] | None = None) -> Array:
        """Pooled probabilities of each row from weights fitted without that row, to second order.

        With r = p_y / q_y of a row (one ratio per member), removing one unit of its weight and
        taking one Newton step moves the positive weights by (H - r r')^-1 (1 - r), H = sum r r'.
        Shape (n_rows, n_classes). With ``at``, these weights pool other probabilities of the rows.
        """
        weights, hessian = self.weights, self.hessian
        used = np.flatnonzero(weights > 0).tolist()
        ratio = _ratios(rows, weights)
        # A row adds -log(w' p_y) + sum(w) to the loss: gradient 1 - r, Hessian r r'. Without t of
        # it, by Sherman and Morrison, the step is
        #     (H - t r r')^-1 t (1 - r) = a + t H^-1 r (r' a) / (1 - t r' H^-1 r),
        #     a = t H^-1 (1 - r).
        spread = _solve(hessian, ratio)
        taken = np.minimum(rows.counts, 1.0)
        # A row of leverage 1 determines a weight alone; the cap keeps the step without it finite.
        leverage = taken * np.minimum(np.einsum("ki,ki->i", ratio, spread), 0.99)
        push = taken * _solve(hessian, 1.0 - ratio)
        push += taken * spread * (np.einsum("ki,ki->i", ratio, push) / (1.0 - leverage))
        moved = np.maximum(weights[used][:, None] + push, 0.0)
        # Steps that leave no positive weight are not taken.
        lost = moved.sum(axis=0) == 0
        moved[:, lost] = weights[used][:, None]
        moved /= moved.sum(axis=0)
        out = np.zeros_like(rows.opinions[0])
        for w, j in zip(moved, used, strict=True):
            out += w[:, None] * (rows.opinions if at is None else at)[j]
        return out


def _ratios(rows: Rows, weights: Array) -> Array:
    """Ratios of the true class's probability to the pooled one, for members that are used."""
    used = np.flatnonzero(weights > 0).tolist()
    true = of_true((rows.opinions[j] for j in used), rows.y)
    pooled = weights[used] @ true
    return np.divide(true, pooled, out=np.zeros_like(true), where=pooled > NEGLIGIBLE)


def _products_of_ratios(rows: Rows, weights: Array) -> Array:
    ratio = _ratios(rows, weights)
    return (ratio * rows.counts) @ ratio.T


def loo_log_pool(rows: Partitions[Rows], beta: Array, alpha: float) -> Partitions[Rows]:
    """Log-probabilities of each row from a pool fitted without that row, to second order.

    ``beta`` minimises the pool's penalised loss; members with beta 0 stay out. They are the only
    opinions of the result.
    """
    return rows.map(_as_only_opinion, LooOfLogPool.of(PoolLoss(rows), beta, alpha))


def _as_only_opinion(rows: Rows, pool: LooOfLogPool) -> Rows:
    return opinions_without_rows(rows, [pool])


def opinions_without_rows(rows: Rows, pools: Sequence[LooOfLogPool]) -> Rows:
    """What pools predict for each row, fitted without it: of gaps again gaps, in float32."""
    if rows.gaps is not None:
        return rows._replace(opinions=GapOpinions(pool.gaps(rows) for pool in pools))
    return Rows([pool.log_proba(rows) for pool in pools], rows.y, rows.weight)


def pool_of_rows(z: Sequence[Array], beta: Array) -> Array:
    """Log-probabilities of a logarithmic pool with factors per row, (n_samples, n_members)."""
    return log_softmax(sum_of(m * b[:, None] for m, b in zip(z, beta.T, strict=True)))


@dataclass(frozen=True)
class LooOfLogPool:
    """What a logarithmic pool, fitted to all rows, shows of its fit without each of them.

    Attributes
    ----------
    beta : ndarray of shape (n_members,)
        Factors of the members.
    gradient : ndarray of shape (n_members,)
        Of the summed loss and the ridge: not negative where a factor is 0, and else 0.
    hessian : ndarray of shape (n_members, n_members)
        Of the same.
    total : float
        Sum of the weights.
    """

    beta: Array
    gradient: Array
    hessian: Array
    total: float

    @classmethod
    def of(cls, loss: PoolLoss, beta: Array, alpha: float) -> LooOfLogPool:
        """Of factors that minimise a loss with a ridge of strength alpha."""
        # The derivatives are those of the mean loss in x = beta * unit; d/d beta = unit d/dx.
        _, gradient, curvature = loss.derivatives(beta * loss.unit)
        gradient *= loss.unit * loss.total
        curvature *= np.outer(loss.unit, loss.unit) * loss.total
        ridge = alpha * len(beta)
        gradient += ridge * (beta - 1 / len(beta))
        return cls(beta, gradient, curvature + ridge * np.eye(len(beta)), loss.total)

    @cached_property
    def active(self) -> IntArray:
        """Members with a positive factor."""
        return np.flatnonzero(self.beta > 0)

    @cached_property
    def curvature(self) -> Array:
        """The Hessian in the positive factors."""
        return self.hessian[np.ix_(self.active, self.active)]

    def moves(self, rows: Rows) -> Array:
        """How beta moves where the pool is fitted without a row, (n_rows, n_members).

        One unit of a row's weight is removed (or all of it, if it is less), and one Newton step
        taken, with the Hessian of the other rows. A member with factor 0 stays out, unless it is
        that row alone that keeps it out.
        """
        moves = np.empty((len(rows.y), len(rows.opinions)))
        for part, own in self._moves_in_blocks(rows):
            moves[part] = own
        return moves

    def _moves_in_blocks(self, rows: Rows) -> Iterator[tuple[slice, Array]]:
        z, n_classes = rows.opinions, rows.n_classes
        active, positive = self.active.tolist(), self.beta[self.active]
        if len(active) <= n_classes:
            of_rows = partial(_moves_by_members, self.curvature)
        else:
            by_classes = _moves_by_gap if n_classes == 2 else _moves_by_classes
            of_rows = partial(by_classes, factorise(self.curvature)[0])
        size = min(rows_of_block(len(z), n_classes), _ROWS)
        for start in range(0, len(rows.y), size):
            part = slice(start, start + size)
            logs = [m[part] for m in z]
            y, taken = rows.y[part], np.minimum(rows.counts[part], 1.0)
            moves = np.zeros((len(y), len(z)))
            if active:
                used = [logs[k] for k in active]
                scores = sum_of(m * b for m, b in zip(used, positive, strict=True))
                moves[:, active] = of_rows(used, scores, y, taken)
            else:
                scores = np.zeros((len(y), n_classes))
            self._let_in(moves, logs, scores, y, taken)
            yield part, moves

    def _let_in(
        self, moves: Array, logs: Sequence[Array], scores: Array, y: IntArray, taken: Array
    ) -> None:
        """Moves of the rows that alone keep members out, in place."""
        out = np.flatnonzero(self.beta == 0)
        if not out.size:
            return
        p, rows = softmax(scores), np.arange(len(y))
        own = [(p * logs[k]).sum(axis=1) - logs[k][rows, y] for k in out.tolist()]
        lets_in = self._lets_in(out, np.array(own), taken)
        every = np.flatnonzero(lets_in.any(axis=0))
        size = max(_SYSTEMS // len(self.beta) ** 2, 1)
        for start in range(0, len(every), size):
            found = every[start : start + size]
            free = np.tile(self.beta > 0, (len(found), 1))
            free[:, out] = lets_in[:, found].T
            few = [m[found] for m in logs]
            moves[found] = self._moves_of_free(few, scores[found], y[found], taken[found], free)

    def _lets_in(self, out: IntArray, own: Array, taken: Array) -> np.ndarray:
        """Whether a member of factor 0 would have a positive one without a row, (n_out, n_rows).

        ``own`` is g, the gradient of each row's loss. Without t of the row, that of the others is
        G - t g. Where it is negative, the factor becomes about d = (t g - G) / H, and the loss of
        the row grows by g d. Growths of less than 1 / n are left out: they change the mean loss by
        less than 1 / n together.
        """
        push = taken * own - self.gradient[out][:, None]
        return np.asarray((push > 0) & (own * push * self.total > self.hessian[out, out][:, None]))

    def _moves_of_free(
        self, logs: Sequence[Array], scores: Array, y: IntArray, taken: Array, free: np.ndarray
    ) -> Array:
        """Moves where the factors of other members are free in each row, (n_rows, n_members)."""
        moves = np.zeros(free.shape)
        some = np.flatnonzero(free.any(axis=0))
        free, out = free[:, some], self.beta[some] == 0
        # The system of `_moves_by_members` for few rows, each of which comes first here.
        p, z = softmax(scores), np.stack([logs[k] for k in some.tolist()], axis=2)
        mean = (p[:, None] @ z)[:, 0]
        gradient = taken[:, None] * (mean - z[np.arange(len(y)), y]) - self.gradient[some]
        square = (p[:, :, None] * z).transpose(0, 2, 1) @ z - mean[:, :, None] * mean[:, None]
        left = self.hessian[np.ix_(some, some)] - taken[:, None, None] * square
        while True:
            # Rows and columns of the identity for the others: they get a step of 0.
            system = np.where(free[:, :, None] & free[:, None], left, np.eye(len(some)))
            moves[:, some] = _solve_rows(system, (gradient * free)[:, :, None])[:, :, 0]
            low = out & (moves[:, some] < 0)
            if not low.any():
                return moves
            free = free & ~low

    def log_proba(self, rows: Rows) -> Array:
        """Log-probabilities of each row from a pool fitted without that row, to second order."""
        found = np.empty(rows.opinions[0].shape)
        for part, moves in self._moves_in_blocks(rows):
            found[part] = pool_of_rows([m[part] for m in rows.opinions], self.beta + moves)
        return found

    def gaps(self, rows: Rows) -> Any:
        """The same of gaps, which are kept in float32: in the pool they only add up."""
        assert rows.gaps is not None
        found = np.empty(len(rows.y), dtype=np.float32)
        active, out = self.active, np.flatnonzero(self.beta == 0)
        positive, lower = self.beta[active], factorise(self.curvature)[0]
        inverse = solve_triangular(lower, np.eye(len(lower)), lower=True)
        for start in range(0, len(found), _ROWS):
            part = slice(start, start + _ROWS)
            gaps = np.array([gap[part] for gap in rows.gaps], dtype=np.float64)
            y, taken = rows.y[part], np.minimum(rows.counts[part], 1.0)
            gap = positive @ gaps[active]
            push, size = _push_of_gap(gap, inverse @ gaps[active], y, taken)
            # The gap moves by v' A v push.
            moved = gap + size * push
            if out.size:
                own = gaps[out] * np.where(y == 1, -expit(-gap), expit(gap))
                few = np.flatnonzero(self._lets_in(out, own, taken).any(axis=0))
                if few.size:
                    moves = self.moves(rows.take(start + few))
                    moved[few] = gap[few] + np.einsum("ik,ki->i", moves, gaps[:, few])
            found[part] = moved
        return found


def _moves_by_members(
    hessian: Array, logs: Sequence[Array], scores: Array, y: IntArray, taken: Array
) -> Array:
    """A Newton step per row in beta: a system of as many unknowns as there are members."""
    # Loss of a row in beta: gradient E_p z - z_y, Hessian Cov_p z = E_p z z' - E_p z E_p z'.
    # Rows come last: a sum over few classes is then one over long vectors.
    p, z = np.ascontiguousarray(softmax(scores).T), [np.ascontiguousarray(m.T) for m in logs]
    rows = np.arange(len(y))
    shares = [p * m for m in z]
    mean = np.stack([share.sum(axis=0) for share in shares])
    gradient = taken * (mean - np.stack([m[rows, y] for m in logs]))
    left = np.empty((len(z), len(z), len(y)))
    for k, share in enumerate(shares):
        for j in range(k, len(z)):
            square = (share * z[j]).sum(axis=0)
            left[k, j] = hessian[k, j] - taken * (square - mean[k] * mean[j])
    return _solve_symmetric(left, gradient).T


def _moves_by_classes(
    lower: Array, members: Sequence[Array], scores: Array, y: IntArray, taken: Array
) -> Array:
    """The same step from a system of as many unknowns as there are classes, if these are fewer."""
    # With H = L L', the influence J H^-1 J' of a row is R R' for R = (L^-1 J')', and the step
    # H^-1 J' push is L'^-1 R' push.
    logs = np.stack(members, axis=2)
    n_rows, n_classes, n_members = logs.shape
    flat = solve_triangular(lower, logs.reshape(-1, n_members).T, lower=True)
    spread = flat.T.reshape(n_rows, n_classes, n_members)
    influence = spread @ spread.transpose(0, 2, 1)
    push = _loo_push(scores, influence, y, taken)
    steps = (spread.transpose(0, 2, 1) @ push)[:, :, 0]
    return np.asarray(solve_triangular(lower, steps.T, lower=True, trans="T").T)


def _moves_by_gap(
    lower: Array, members: Sequence[Array], scores: Array, y: IntArray, taken: Array
) -> Array:
    """The same step for two classes, of which only the gap between their logits counts."""
    # With v = (-1, 1)', S = p_0 p_1 v v' and g = (p_1 - y) v, so that the system of `_loo_push` has
    # the solution t g / (1 - t p_0 p_1 v' A v), and v' A v = |L^-1 J' v|^2.
    gap = scores[:, 1] - scores[:, 0]
    gaps = np.array([m[:, 1] - m[:, 0] for m in members])
    spread = solve_triangular(lower, gaps, lower=True, overwrite_b=True)
    spread *= _push_of_gap(gap, spread, y, taken)[0]
    return np.asarray(solve_triangular(lower, spread, lower=True, trans="T").T)


def _push_of_gap(gap: Array, spread: Array, y: IntArray, taken: Array) -> tuple[Array, Array]:
    """The push t g / (1 - t p_0 p_1 v' A v) along v, and v' A v."""
    first, second = expit(-gap), expit(gap)
    size = np.einsum("ki,ki->i", spread, spread)
    left = 1.0 - taken * first * second * size
    return taken * np.where(y == 1, -first, second) / np.maximum(left, _NEAR), size
