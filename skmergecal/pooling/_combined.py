"""Combination of several pools, weighted by their leave-one-out log loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from skmergecal._numerics import (
    add_weighted,
    log_of_softened,
    log_softmax,
    row_losses,
    soften,
)
from skmergecal._partitions import InMemory, Partitions, Rows, Sizes, softenings, together
from skmergecal._temperature import FitsWithoutRows, SlopesOfRows, minimise_partitions
from skmergecal._typing import Array, IntArray
from skmergecal._validation import check_lengths, check_members, check_proba
from skmergecal.pooling._classwise import fit_classwise_correction
from skmergecal.pooling._classwise_fit import ClasswiseFit, Correction, moved_scores
from skmergecal.pooling._cross_class import cross_class_rank, fit_cross_class_corrections
from skmergecal.pooling._leave_one_out import (
    LooOfLinearPool,
    LooOfLogPool,
    LooPredictions,
    pool_of_rows,
)
from skmergecal.pooling._linear import fit_linear_weights
from skmergecal.pooling._logarithmic import fit_pool_loss
from skmergecal.pooling._pool_fit import (
    check_new_opinions,
    check_opinions,
    classes_with_rows,
    with_columns,
)
from skmergecal.pooling._pool_loss import PoolLoss
from skmergecal.pooling._score_regression import (
    ChosenRows,
    RegressionPart,
    RegressionWithoutRows,
    choose_rows,
    penalty_strength,
)

__all__ = [
    "CombinedFit",
    "ScaledLinearPool",
    "combined_pool_with_loo",
    "fit_combined_pool",
    "learn_combined_pool",
]

#: Strength of the ridge of the class-wise pool, and strengths of those of the cross-class pools.
CLASSWISE_ALPHA = 3.0
CROSS_CLASS_ALPHAS = (10.0, 1.0)
#: Class-wise and cross-class pools have at most so many unknowns together.
MOST_UNKNOWNS = 1000
#: Strength of the ridge towards a uniform average of the pools.
STACKING_ALPHA = 20.0
#: Strength of the penalty on the log of a linear pool's temperature.
LINEAR_ALPHA = 3.0


@dataclass(frozen=True)
class ScaledLinearPool:
    """A linear pool whose softened probabilities are scaled by a temperature.

    Attributes
    ----------
    weights : ndarray of shape (n_members,)
    softening : float
        Share of the uniform distribution mixed into the pooled probabilities.
    temperature : float
    calibrated : bool
        Whether the pool averages the members' calibrated probabilities or their own.
    factor : float
        Factor of the pool's log-probabilities where pools are combined.

    See Also
    --------
    skmergecal.pooling.CombinedFit : Has them as ``linear``.
    skmergecal.pooling.linear_pool : The average of the probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.pooling import ScaledLinearPool
    >>> pool = ScaledLinearPool(np.array([0.5, 0.5]), softening=0.0, temperature=0.5)
    >>> np.exp(pool.log_proba(np.array([[0.7, 0.3]]))).round(3)  # .49 and .09, divided by .58
    array([[0.845, 0.155]])
    """

    weights: Array
    softening: float
    temperature: float
    calibrated: bool = False
    factor: float = 1.0

    def log_proba(self, proba: Array) -> Array:
        """Log-probabilities of pooled probabilities.

        Parameters
        ----------
        proba : ndarray of shape (n_samples, n_classes)
            The weighted average of the members' probabilities.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Normalised.
        """
        return log_softmax(self.scores(proba))

    def scores(self, proba: Array) -> Array:
        """The same up to a constant per row.

        Parameters
        ----------
        proba : ndarray of shape (n_samples, n_classes)
            The weighted average of the members' probabilities.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Scores before the softmax.
        """
        return log_of_softened(proba, self.softening) / self.temperature

    def uses(self, member: int) -> bool:
        """Whether a member's probabilities affect the result.

        Parameters
        ----------
        member : int
            Number of the member.

        Returns
        -------
        bool
            False where its weight, or the pool's factor, is 0.
        """
        return bool(self.factor * self.weights[member] > 0)


def _added(total: Any, part: Array) -> Any:
    """A sum with one more part: in place, once it is an array of its own."""
    return np.add(total, part, out=total if isinstance(total, np.ndarray) else None)


@dataclass(frozen=True)
class CombinedFit:
    """A class-wise pool with linear pools as further members.

    Attributes
    ----------
    classwise : ClasswiseFit
        Average of the logarithmic and the class-wise pool.
    linear : tuple of ScaledLinearPool
        Linear pools, each with its factor.

    See Also
    --------
    skmergecal.pooling.fit_combined_pool : Makes one.
    skmergecal.MergedClassifier : Has one as ``pool_``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skmergecal import MergedClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> tree = DecisionTreeClassifier(max_depth=2, random_state=0)
    >>> members = [model.fit(X[::2], y[::2]) for model in (GaussianNB(), tree)]
    >>> merged = MergedClassifier.from_fitted(members, X[1::2], y[1::2])
    >>> merged.pool_.classwise.weights.shape, len(merged.pool_.linear)
    ((2, 3), 2)
    """

    classwise: ClasswiseFit
    linear: tuple[ScaledLinearPool, ...] = ()

    def uses(self, member: int) -> bool:
        """Whether a member's opinion affects the result.

        Parameters
        ----------
        member : int
            Number of the member.

        Returns
        -------
        bool
            False where neither the class-wise nor a linear pool uses it.
        """
        return self.classwise.uses(member) or any(pool.uses(member) for pool in self.linear)

    def scores(self, opinions: Iterable[tuple[int, Array, Array, Callable[[], Array]]]) -> Array:
        """Scores before the softmax.

        Parameters
        ----------
        opinions : iterable of (int, ndarray, ndarray, callable)
            For each member in use its number, its calibrated and softened log-probabilities, the
            exponentials of these, and a function that returns its own probabilities. Each member
            is released before the next one is requested.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            The sum of what all pools contribute.
        """
        scores: Any = 0.0
        across = self.classwise.across
        shared: Any = 0.0
        pooled: list[Any] = [0.0] * len(self.linear)
        for k, log_proba, calibrated, own in opinions:
            scores = _added(scores, self.classwise.part(k, log_proba, calibrated))
            if across is not None:
                shared = _added(shared, across.of_member(k, log_proba))
            for number, pool in enumerate(self.linear):
                if pool.uses(k):
                    proba = calibrated if pool.calibrated else own()
                    pooled[number] = _added(pooled[number], pool.weights[k] * proba)
        scores = scores + self.classwise.intercept
        if across is not None:
            scores += across.scores(shared)
        for proba, pool in zip(pooled, self.linear, strict=True):
            if pool.factor:
                scores += pool.factor * pool.scores(proba)
        return np.asarray(scores)

    def log_proba(self, log_proba: Sequence[Any], proba: Sequence[Any] | None = None) -> Array:
        """Log-probabilities of the pool for new rows.

        Parameters
        ----------
        log_proba : sequence of array-like of shape (n_samples, n_classes)
            As for the fit: one matrix per member, in the same order, calibrated and softened with
            the numbers of the rows of the fit.
        proba : sequence of array-like of shape (n_samples, n_classes), default=None
            The members' own probabilities, if the fit had them.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Normalised.

        Raises
        ------
        ValueError
            If they are those of another number of members or classes, or ``proba`` is missing.

        Examples
        --------
        >>> import numpy as np
        >>> from skmergecal.pooling import fit_combined_pool, soften
        >>> rng = np.random.default_rng(0)
        >>> y = rng.integers(2, size=200)
        >>> p = [rng.dirichlet([1, 1], size=200) * 0.5 + 0.5 * np.eye(2)[y] for _ in "ab"]
        >>> z = [soften(own, 1 / 201) for own in p]
        >>> fit = fit_combined_pool(z, y, proba=p)
        >>> fit.log_proba([own[:3] for own in z], [own[:3] for own in p]).shape
        (3, 2)
        """
        shape = self.classwise.weights.shape
        z = check_new_opinions("log_proba", log_proba, shape)
        if proba is None:
            if any(pool.factor and not pool.calibrated for pool in self.linear):
                msg = (
                    "proba is needed: the fit has a linear pool of the members' own probabilities; "
                    "pass them, or fit without proba="
                )
                raise ValueError(msg)
            return log_softmax(_scores_of_rows(self, z, None))
        own = check_new_opinions("proba", proba, shape, check_proba)
        check_lengths(len(z[0]), proba=own[0])
        return log_softmax(_scores_of_rows(self, z, own))

    @property
    def member_factors(self) -> Array:
        """One factor per member, shape (n_members,).

        The size of its class-wise factors, plus its weights in the linear pools times their
        factors: 0 only for members that do not affect the result.
        """
        factors = self.classwise.member_factors
        for pool in self.linear:
            factors += pool.factor * pool.weights
        return factors


class _Exponentials(Sequence[Array]):
    """Exponentials of log-probabilities, one matrix in memory at a time."""

    def __init__(self, log_proba: Sequence[Array]) -> None:
        self.log_proba = log_proba

    def __len__(self) -> int:
        return len(self.log_proba)

    def __getitem__(self, member: Any) -> Any:
        return np.exp(self.log_proba[member])


def fit_combined_pool(
    log_proba: Sequence[Any],
    y: Any,
    sample_weight: Any = None,
    *,
    proba: Sequence[Any] | None = None,
) -> CombinedFit:
    """Fit logarithmic, class-wise, cross-class and linear pools, and weight them.

    The pools are the logarithmic pool; with three classes or more, two cross-class pools, whose
    scores depend on the members' log-probabilities of all classes; the class-wise pool; and two
    linear pools with a temperature, of the members' own and of their calibrated probabilities. The
    prediction of each pool for a row, fitted without that row, follows from one fit by a Newton
    step; a logarithmic pool of these predictions gives the weights of the pools. The scores of all
    but the linear pools are linear in their coefficients, so that these pools become one.

    Parameters
    ----------
    log_proba : sequence of array-like of shape (n_samples, n_classes)
        One matrix per member, finite: calibrated and softened.
    y : array-like of shape (n_samples,)
        Labels, encoded as 0..n_classes-1.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights; n is their sum.
    proba : sequence of array-like of shape (n_samples, n_classes), default=None
        The members' own probabilities; without them no linear pool is fitted.

    Returns
    -------
    CombinedFit
        The coefficients of all pools; ``log_proba`` applies them to new rows.

    See Also
    --------
    skmergecal.pooling.CombinedFit : What it returns.
    skmergecal.MergedClassifier : ``method="auto"`` uses it.

    Notes
    -----
    The logarithmic pool has a ridge of strength 1. Class-wise and cross-class pools start from it,
    with ridges of strength 3, and 10 and 1; the temperatures of linear pools have the penalty
    3 log(T)^2 / (2 n). These are multiplied by (1 + unknowns / n)^2. The ridge of the pools'
    weights is 20. Class-wise and cross-class pools have at most 1,000 unknowns together: class-wise
    weights are those of the members plus principal components of what is left where there would be
    more, and a cross-class pool is a regression on principal components. Classes with less than two
    rows, counted by weight, have no coefficients of their own: see `fit_classwise_pool`.

    References
    ----------
    Wolpert, "Stacked generalization", Neural Networks 1992,
    https://doi.org/10.1016/S0893-6080(05)80023-1.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.pooling import fit_combined_pool, soften
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> p = [rng.dirichlet([1, 1], size=200) * 0.8 + 0.2 * np.eye(2)[y] for _ in "ab"]
    >>> z = [soften(own, 1 / 201) for own in p]
    >>> fit = fit_combined_pool(z, y, proba=p)
    >>> def loss(log_proba):
    ...     return round(float(-log_proba[np.arange(200), y].mean()), 3)
    >>> [loss(own) for own in z], loss(fit.log_proba(z, p))
    ([0.606, 0.592], 0.521)
    """
    return combined_pool_with_loo(log_proba, y, sample_weight, proba=proba)[0]


def combined_pool_with_loo(
    log_proba: Sequence[Any],
    y: Any,
    sample_weight: Any = None,
    *,
    proba: Sequence[Any] | None = None,
    cross_class: bool = True,
) -> tuple[CombinedFit, LooPredictions]:
    """The fit of `fit_combined_pool`, and what it predicts of each row without the row."""
    z, labels, weight = check_opinions(log_proba, y, sample_weight)
    rows, own = InMemory(Rows(z, labels, weight)), None
    if proba is not None:
        given = check_members("proba", proba, check_proba)
        shape = np.shape(log_proba[0])
        if len(given) != len(z) or given[0].shape != shape:
            msg = (
                f"proba should hold as many matrices as log_proba, {len(z)}, of the same shape "
                f"{shape}; got {len(given)} of shape {given[0].shape}"
            )
            raise ValueError(msg)
        own = InMemory(
            Rows(*check_opinions(given, y, sample_weight, check=lambda p, _: p, logs=False))
        )
    fit, loo = learn_combined_pool(rows, own, cross_class=cross_class)
    assert isinstance(loo, InMemory)
    return fit, loo.part


def learn_combined_pool(
    everywhere: Partitions[Rows], proba: Partitions[Rows] | None, *, cross_class: bool = True
) -> tuple[CombinedFit, Partitions[LooPredictions]]:
    """The same for checked opinions in partitions: log-probabilities, and probabilities."""
    n_classes = Sizes.of(everywhere).classes
    present, rows = classes_with_rows(everywhere, n_classes)
    complete = len(present) == n_classes
    own = proba if complete or proba is None else proba.map(with_columns, present)
    fit, loo = _learn(rows, own, len(present), cross_class=cross_class)
    if complete:
        return fit, loo
    wide = replace(fit, classwise=fit.classwise.widened(present, n_classes))
    both = everywhere.map_with(everywhere if proba is None else proba, _scores_of_part, wide)
    return wide, loo.map_with(both, _widened, present)


def _learn(
    rows: Partitions[Rows], proba: Partitions[Rows] | None, n_classes: int, *, cross_class: bool
) -> tuple[CombinedFit, Partitions[LooPredictions]]:
    loss = PoolLoss(rows)
    pool = fit_pool_loss(loss)
    beta = pool.weights / pool.temperature
    stack = rows.map(_Stack, LooOfLogPool.of(loss, beta, alpha=1.0))
    del loss  # in memory it keeps the gaps of all rows
    names, fits = ["logarithmic"], [ClasswiseFit.of_pool(beta, n_classes)]
    chosen = choose_rows(rows, beta, n_classes)
    for name, correction in _corrections(chosen, cross_class=cross_class):
        names.append(name)
        wide = correction.widened(chosen, n_classes)
        fits.append(ClasswiseFit.weighted_sum([fits[0], wide], [1, 1]))
        stack = stack.map_with(correction.parts, _Stack.with_correction, correction.loo, wide)
    linear = []
    if proba is not None:
        both = (proba, rows.map(_exponentials))
        found = together(rows, [partial(_fit_scaled_linear, p) for p in both])
        for calibrated, (fit, without) in zip((False, True), found, strict=True):
            linear.append(replace(fit, calibrated=calibrated))
            names.append("linear of calibrated" if calibrated else "linear")
            stack = stack.map_with(without, _Stack.with_prediction)
    predictions = stack.map(_Stack.as_rows).stored("predictions without each row")
    stacked = PoolLoss(predictions)
    weights = fit_pool_loss(stacked, STACKING_ALPHA)
    share = weights.weights / weights.temperature
    factors = share.tolist()
    classwise = ClasswiseFit.weighted_sum(fits, factors[: len(fits)]).compact()
    weighed = [replace(f, factor=s) for f, s in zip(linear, factors[len(fits) :], strict=True)]
    loo = LooOfLogPool.of(stacked, share, STACKING_ALPHA)
    return CombinedFit(classwise, tuple(weighed)), predictions.map(_loo_of_stack, names, loo)


class _Stack:
    """What the pools predict of each row without it, so far."""

    def __init__(self, rows: Rows, pool: LooOfLogPool) -> None:
        self.rows, self.y = rows, rows.y
        self.moves = pool.moves(rows)
        self.predictions = [pool_of_rows(rows.opinions, pool.beta + self.moves)]

    def with_correction(
        self, part: RegressionPart, loo: RegressionWithoutRows, wide: ClasswiseFit
    ) -> _Stack:
        """With a pool that a regression corrects."""
        moved = moved_scores(self.rows.opinions, self.moves, part, loo, wide)
        return self._with(log_softmax(self.predictions[0] + moved))

    def with_prediction(self, rows: Rows) -> _Stack:
        """With another prediction, the only opinion of these rows."""
        return self._with(rows.opinions[0])

    def _with(self, prediction: Array) -> _Stack:
        more = copy(self)
        more.predictions = [*self.predictions, prediction]
        return more

    def as_rows(self) -> Rows:
        """The predictions as opinions."""
        return Rows(self.predictions, self.y, self.rows.weight)


def _loo_of_stack(rows: Rows, names: Sequence[str], pool: LooOfLogPool) -> LooPredictions:
    pools = {n: row_losses(p, rows.y) for n, p in zip(names, rows.opinions, strict=True)}
    return LooPredictions(pool.log_proba(rows), pools)


def _scores_of_part(rows: Rows, proba: Rows, fit: CombinedFit) -> Rows:
    """Scores of the fit as the only opinion."""
    return Rows([_scores_of_rows(fit, rows.opinions, proba.opinions)], rows.y, rows.weight)


def _widened(loo: LooPredictions, scores: Rows, present: IntArray) -> LooPredictions:
    return loo.widened(present, scores.opinions[0], scores.y)


def _corrections(rows: ChosenRows, *, cross_class: bool) -> Iterator[tuple[str, Correction]]:
    """Regressions that correct the logarithmic pool, by name, within `MOST_UNKNOWNS` together."""
    n_classes = len(rows.columns)
    across = cross_class_rank(rows.n_members, n_classes, MOST_UNKNOWNS // 2) if cross_class else 0
    left = MOST_UNKNOWNS - n_classes * (across + 1)
    classwise = fit_classwise_correction(rows, CLASSWISE_ALPHA, left)
    if classwise is not None:
        yield "class-wise", classwise
    corrections = fit_cross_class_corrections(rows, CROSS_CLASS_ALPHAS, across)
    for alpha, correction in zip(CROSS_CLASS_ALPHAS, corrections, strict=False):
        yield f"cross-class, ridge {alpha:g}", correction


def _scores_of_rows(fit: CombinedFit, z: Sequence[Array], proba: Sequence[Array] | None) -> Array:
    """Scores of the rows of a fit."""
    own = z if proba is None else proba  # without linear pools nothing reads probabilities
    return fit.scores((k, m, np.exp(m), partial(own.__getitem__, k)) for k, m in enumerate(z))


def _exponentials(rows: Rows) -> Rows:
    return Rows(_Exponentials(rows.opinions), rows.y, rows.weight)


def _fit_scaled_linear(
    rows: Partitions[Rows],
) -> tuple[ScaledLinearPool, Partitions[Rows]]:
    """The linear pool with its temperature, and its leave-one-out log-probabilities."""
    weights, _ = fit_linear_weights(rows)
    pooled = rows.map(_pooled, weights)
    (softening,) = softenings(pooled)
    logits = pooled.map(_softened, softening)
    total = Sizes.of(rows).total
    alpha = penalty_strength(LINEAR_ALPHA, 2 * len(weights) + 1, total)
    temperature = minimise_partitions(logits, alpha).temperature
    slopes = logits.map(SlopesOfRows, [temperature])
    fits = FitsWithoutRows.of(slopes, [temperature], alpha)
    loo = LooOfLinearPool.of(rows, weights)
    without = rows.map_with(slopes, _linear_without_row, loo, softening, 1 / total, fits)
    return ScaledLinearPool(weights, softening, temperature), without


def _pooled(rows: Rows, weights: Array) -> Rows:
    return Rows([add_weighted(rows.opinions, weights)], rows.y, rows.weight)


def _softened(rows: Rows, softening: float) -> Rows:
    return Rows([soften(rows.opinions[0], softening)], rows.y, rows.weight)


def _linear_without_row(
    rows: Rows,
    slopes: SlopesOfRows,
    loo: LooOfLinearPool,
    softening: float,
    of_zeros: float,
    fits: FitsWithoutRows,
) -> Rows:
    proba = loo.proba(rows)
    without = soften(proba, softening)
    if softening == 0:
        # Without a row the pool may lose the only members that give more than 0: it would then be
        # softened as any pool with zeros.
        zeros = (proba == 0).any(axis=1)
        without[zeros] = soften(proba[zeros], of_zeros)
    (each,) = slopes.temperatures(fits)
    return Rows([log_softmax(without / each[:, None])], rows.y, rows.weight)
