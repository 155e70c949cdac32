"""ClasswiseFit: the coefficients of class-wise pools, and what they give for opinions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from skmergecal._numerics import add_weighted, combine_columns, log_softmax, sum_of
from skmergecal._partitions import Partitions
from skmergecal._typing import Array, IntArray
from skmergecal.pooling._pool_fit import check_new_opinions
from skmergecal.pooling._score_regression import (
    ChosenRows,
    RegressionPart,
    RegressionWithoutRows,
)

__all__ = ["ClasswiseFit", "Correction", "CrossClassTerms", "moved_scores"]


@dataclass(frozen=True)
class CrossClassTerms:
    """Terms of scores that depend on the log-probabilities of all classes.

    The score of class c gets the sum over q of s_q loadings_qc, where s_q is the sum over members
    k and classes d of directions_kdq log p_kd.

    Attributes
    ----------
    directions : ndarray of shape (n_members, n_classes, rank)
    loadings : ndarray of shape (rank, n_classes)

    See Also
    --------
    skmergecal.pooling.ClasswiseFit : Has them as ``across``.

    Examples
    --------
    The score of class 1 rises with what the only member thinks of class 0:

    >>> import numpy as np
    >>> from skmergecal.pooling import CrossClassTerms
    >>> terms = CrossClassTerms(np.array([[[1.0], [0.0]]]), np.array([[0.0, 0.5]]))
    >>> terms.maps
    array([[[0. , 0.5],
            [0. , 0. ]]])
    """

    directions: Array
    loadings: Array

    def of_member(self, member: int, log_proba: Array) -> Array:
        """One member's contribution to s, shape (n_samples, rank).

        Parameters
        ----------
        member : int
            Number of the member.
        log_proba : ndarray of shape (n_samples, n_classes)
            Its log-probabilities.

        Returns
        -------
        ndarray of shape (n_samples, rank)
            To be added up over the members.
        """
        return combine_columns(log_proba, self.directions[member])

    def scores(self, shared: Array) -> Array:
        """Scores from s, the sum of all members' contributions.

        Parameters
        ----------
        shared : ndarray of shape (n_samples, rank)
            The sum of what `of_member` gives.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            To be added to the scores.
        """
        return combine_columns(shared, self.loadings)

    @property
    def maps(self) -> Array:
        """Factors from each class to each, shape (n_members, n_classes, n_classes)."""
        return np.asarray(self.directions @ self.loadings)

    def compact(self) -> CrossClassTerms:
        """The same terms from fewer products, where the rank is above that of all classes.

        Returns
        -------
        CrossClassTerms
            These, or others with as many directions as classes.
        """
        rank, n_classes = self.loadings.shape
        return self if rank <= n_classes else CrossClassTerms(self.maps, np.eye(n_classes))

    def widened(self, columns: IntArray, n_classes: int) -> CrossClassTerms:
        """The terms with further classes, which take no part.

        Parameters
        ----------
        columns : ndarray of shape (n_fitted,)
            The columns that these terms are of.
        n_classes : int
            Number of all columns.

        Returns
        -------
        CrossClassTerms
            With zeros for the other classes.
        """
        n_members, _, rank = self.directions.shape
        directions = np.zeros((n_members, n_classes, rank))
        directions[:, columns] = self.directions
        loadings = np.zeros((rank, n_classes))
        loadings[:, columns] = self.loadings
        return CrossClassTerms(directions, loadings)


@dataclass(frozen=True)
class ClasswiseFit:
    """Coefficients of a class-wise pool, and of terms across classes where it has them.

    The score of class c is the sum over members k of weights_kc log p_kc + proba_weights_kc p_kc,
    plus intercept_c, plus its terms across classes.

    Attributes
    ----------
    weights : ndarray of shape (n_members, n_classes)
        Factors of the log-probabilities; they include the temperature.
    proba_weights : ndarray of shape (n_members, n_classes)
        Factors of the probabilities.
    intercept : ndarray of shape (n_classes,)
    across : CrossClassTerms or None
        With ``directions`` of shape (n_members, n_classes, rank) and ``loadings`` of shape (rank,
        n_classes).

    See Also
    --------
    skmergecal.pooling.fit_classwise_pool : Makes one.
    skmergecal.pooling.CombinedFit : One with linear pools beside it.

    Examples
    --------
    Weights of two members that hold for all classes make a logarithmic pool:

    >>> import numpy as np
    >>> from skmergecal.pooling import ClasswiseFit
    >>> fit = ClasswiseFit.of_pool(np.array([0.5, 0.5]), n_classes=2)
    >>> pooled = fit.log_proba(np.log([[[0.9, 0.1]], [[0.5, 0.5]]]))
    >>> np.exp(pooled).round(2)
    array([[0.75, 0.25]])
    """

    weights: Array
    proba_weights: Array
    intercept: Array
    across: CrossClassTerms | None = None

    @classmethod
    def of_pool(cls, beta: Array, n_classes: int) -> ClasswiseFit:
        """A logarithmic pool: the same weights for all classes.

        Parameters
        ----------
        beta : ndarray of shape (n_members,)
            Factors of the log-probabilities: weights divided by the temperature.
        n_classes : int
            Number of classes.

        Returns
        -------
        ClasswiseFit
            Without intercept, and without terms across classes.
        """
        weights = np.repeat(beta[:, None], n_classes, axis=1)
        return cls(weights, np.zeros_like(weights), np.zeros(n_classes))

    @classmethod
    def weighted_sum(cls, fits: Sequence[ClasswiseFit], factors: Sequence[float]) -> ClasswiseFit:
        """The fit whose scores are the weighted sum of those of several fits.

        Those with terms across classes share the directions.

        Parameters
        ----------
        fits : sequence of ClasswiseFit
            Of the same members and classes.
        factors : sequence of float
            One for each fit.

        Returns
        -------
        ClasswiseFit
            One fit in place of all.
        """
        weights, proba, intercept = (
            add_weighted((getattr(fit, name) for fit in fits), factors)
            for name in ("weights", "proba_weights", "intercept")
        )
        terms = [(fit.across, f) for fit, f in zip(fits, factors, strict=True)]
        shared = [(across, f) for across, f in terms if across is not None and f]
        if not shared:
            return cls(weights, proba, intercept)
        loadings = add_weighted((t.loadings for t, _ in shared), [f for _, f in shared])
        return cls(weights, proba, intercept, replace(shared[0][0], loadings=loadings))

    def compact(self) -> ClasswiseFit:
        """The same scores from fewer products.

        Returns
        -------
        ClasswiseFit
            This fit, with compact terms across classes.
        """
        return self if self.across is None else replace(self, across=self.across.compact())

    def log_proba(self, log_proba: Sequence[Any], proba: Any = None) -> Array:
        """Log-probabilities of the pool for new rows.

        Parameters
        ----------
        log_proba : sequence of array-like of shape (n_samples, n_classes)
            As for the fit: one matrix per member, in the same order, calibrated and softened with
            the numbers of the rows of the fit.
        proba : None
            Not used: it is there for the same call as that of a `CombinedFit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Normalised.

        Raises
        ------
        ValueError
            If they are those of another number of members or classes.
        """
        return log_softmax(
            self.scores(check_new_opinions("log_proba", log_proba, self.weights.shape))
        )

    def uses(self, member: int) -> bool:
        """Whether a member's opinion affects the scores.

        Parameters
        ----------
        member : int
            Number of the member.

        Returns
        -------
        bool
            False where all its factors are 0.
        """
        across = self.across is not None and self.across.directions[member].any()
        return bool(across or self.weights[member].any() or self.proba_weights[member].any())

    def part(self, member: int, log_proba: Array, proba: Array) -> Array:
        """Contribution of one member to the scores, without intercept and terms across classes.

        Parameters
        ----------
        member : int
            Number of the member.
        log_proba : ndarray of shape (n_samples, n_classes)
            Its log-probabilities.
        proba : ndarray of shape (n_samples, n_classes)
            The exponentials of these.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            To be added up over the members.
        """
        part: Array = log_proba * self.weights[member]
        part += proba * self.proba_weights[member]
        return part

    def scores(self, log_proba: Sequence[Array]) -> Array:
        """Scores of all members' log-probabilities.

        Parameters
        ----------
        log_proba : sequence of ndarray of shape (n_samples, n_classes)
            One matrix per member.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Scores before the softmax.
        """
        scores = sum_of(self.part(k, z, np.exp(z)) for k, z in enumerate(log_proba))
        scores += self.intercept
        if self.across is not None:
            parts = [self.across.of_member(k, z) for k, z in enumerate(log_proba)]
            scores += self.across.scores(sum_of(parts))
        return scores

    @property
    def member_factors(self) -> Array:
        """The size of each member's factors per class, shape (n_members,).

        The mean absolute value of its weights, plus the root mean square over classes of its terms
        across classes.
        """
        own: Array = np.abs(self.weights).mean(axis=1)
        if self.across is not None:
            own += np.linalg.norm(self.across.maps, axis=(1, 2)) / len(self.intercept) ** 0.5
        return own

    def widened(self, columns: IntArray, n_classes: int) -> ClasswiseFit:
        """The coefficients of all classes, from a fit of some.

        The others get the mean of these classes' weights, and no intercept. Their own would only
        make them as improbable as they are among these rows. They take no part across classes.

        Parameters
        ----------
        columns : ndarray of shape (n_fitted,)
            The columns that the fit is of.
        n_classes : int
            Number of all columns.

        Returns
        -------
        ClasswiseFit
            With a column for every class.
        """

        def wide(weights: Array) -> Array:
            all_classes = np.repeat(weights.mean(axis=1, keepdims=True), n_classes, axis=1)
            all_classes[:, columns] = weights
            return all_classes

        intercept = np.zeros(n_classes)
        intercept[columns] = self.intercept
        across = None if self.across is None else self.across.widened(columns, n_classes)
        return ClasswiseFit(wide(self.weights), wide(self.proba_weights), intercept, across)


class Correction(NamedTuple):
    """What a regression adds to the scores of a pool."""

    fit: ClasswiseFit
    """Of the columns that take part."""
    parts: Partitions[RegressionPart]
    loo: RegressionWithoutRows

    def widened(self, rows: ChosenRows, n_classes: int) -> ClasswiseFit:
        """The coefficients of all classes."""
        complete = len(rows.columns) == n_classes
        return self.fit if complete else self.fit.widened(rows.columns, n_classes)


def moved_scores(
    z: Sequence[Array],
    moves: Array,
    part: RegressionPart,
    loo: RegressionWithoutRows,
    wide: ClasswiseFit,
) -> Array:
    """What a correction adds to each row where it was fitted without the row.

    Parameters
    ----------
    z : sequence of ndarray of shape (n_samples, n_classes)
        Log-probabilities of all rows.
    moves : ndarray of shape (n_samples, n_members)
        How the factors of the pool move without each row.
    part, loo
        Of the correction.
    wide : ClasswiseFit
        The correction of all classes.
    """
    moved = part.scores_without_row(loo, part.rows.of(moves))
    if part.rows.complete:
        return moved
    everywhere = wide.scores(z)
    everywhere[part.rows.where] = moved
    return everywhere
