"""Diversity of members: pairwise measures, and the ambiguity that a logarithmic pool gains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from skmergecal._numerics import log_softmax, soften
from skmergecal._partitions import Partitions
from skmergecal._typing import Array, IntArray
from skmergecal._validation import check_list, check_member_weights, check_members, check_proba
from skmergecal.metrics._checks import check_labelled
from skmergecal.metrics._scored import Scored, reduce_scored, scored_rows

__all__ = [
    "EnsembleDecomposition",
    "decompose_ensemble_log_loss",
    "disagreement",
    "double_fault",
    "error_correlation",
    "q_statistic",
]


def _checked(y: Any, matrices: Sequence[Any]) -> tuple[IntArray, Sequence[Array]]:
    """Labels and the members' probabilities; without labels those of the first member."""
    members = check_members("proba", matrices, check_proba)
    labels, _ = check_labelled(members[0].argmax(axis=1) if y is None else y, members[:1])
    return labels, members


def _refuse_none(y: Any) -> None:
    if y is None:
        msg = "y should be the labels of the rows; got None"
        raise ValueError(msg)


@contextmanager
def _members_rows(y: Any, proba: Any, sample_weight: Any) -> Iterator[Partitions[Scored]]:
    """Rows with the probabilities of all members."""
    given = check_list("proba", proba, "member's matrix (n_samples, n_classes)")
    with scored_rows(y, dict(enumerate(given)), sample_weight, _checked) as rows:
        yield rows.stored("scored rows")


def _shares(y: Any, proba: Sequence[Any], sample_weight: Any) -> tuple[Array, ...]:
    """For pairs of members, shares of rows: both wrong, only the first, only the second, none."""
    _refuse_none(y)
    with _members_rows(y, proba, sample_weight) as rows:
        total = reduce_scored(rows, Scored.total)
        return rows.reduce(_shares_of_part, total, what="shared errors")


def _shares_of_part(rows: Scored, total: float) -> tuple[Array, ...]:
    wrong, weight = _wrong(rows), rows.weight / total
    right = 1 - wrong
    return (
        (wrong * weight) @ wrong.T,
        (wrong * weight) @ right.T,
        (right * weight) @ wrong.T,
        (right * weight) @ right.T,
    )


def _wrong(rows: Scored) -> Array:
    """Errors (1.0 or 0.0) of shape (n_members, n_rows)."""
    return np.array([p.argmax(axis=1) != rows.y for p in rows.probas], dtype=np.float64)


def _ratio(above: Array, below: Array) -> Array:
    """A ratio that is NaN where it is not defined."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def disagreement(proba: Sequence[Any], *, sample_weight: Any = None) -> Array:
    """Share of rows that two members predict differently, for every pair.

    Parameters
    ----------
    proba : sequence of array-like of shape (n_samples, n_classes)
        One matrix of probabilities per member; its prediction is the most probable class.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.

    Returns
    -------
    ndarray of shape (n_members, n_members)
        Symmetric, 0 on the diagonal.

    See Also
    --------
    skmergecal.metrics.double_fault : Counts rows that both get wrong.
    skmergecal.metrics.error_correlation : Correlation of errors.

    References
    ----------
    Skalak, "The Sources of Increased Accuracy for Two Proposed Boosting Algorithms", AAAI workshop
    1996.

    For several classes: Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty
    Estimation using Deep Ensembles", NeurIPS 2017, https://doi.org/10.48550/arXiv.1612.01474.

    Examples
    --------
    >>> from skmergecal.metrics import disagreement
    >>> disagreement([[[0.9, 0.1], [0.8, 0.2]], [[0.6, 0.4], [0.3, 0.7]]]).tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """
    with _members_rows(None, proba, sample_weight) as rows:
        weight, differ = reduce_scored(rows, _differ, what="disagreement")
    return np.asarray(differ / weight)


def _differ(rows: Scored) -> tuple[float, Array]:
    predicted = [p.argmax(axis=1) for p in rows.probas]
    sums = [[((a != b) * rows.weight).sum() for b in predicted] for a in predicted]
    return rows.total(), np.array(sums, dtype=np.float64)


def double_fault(y: Any, proba: Sequence[Any], *, sample_weight: Any = None) -> Array:
    """Share of rows that two members both get wrong, for every pair.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, already 0..n_classes-1.
    proba : sequence of array-like of shape (n_samples, n_classes)
        One matrix of probabilities per member.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.

    Returns
    -------
    ndarray of shape (n_members, n_members)
        Symmetric, each member's error rate on the diagonal.

    See Also
    --------
    skmergecal.metrics.disagreement : Counts rows that both predict differently.
    skmergecal.metrics.q_statistic : Association of being right, between -1 and 1.

    References
    ----------
    Giacinto and Roli, "Design of effective neural network ensembles for image classification
    purposes", Image and Vision Computing 2001, https://doi.org/10.1016/S0262-8856(01)00045-2.

    Examples
    --------
    >>> from skmergecal.metrics import double_fault
    >>> first = [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]]
    >>> second = [[0.6, 0.4], [0.3, 0.7], [0.7, 0.3], [0.4, 0.6]]
    >>> double_fault([0, 0, 1, 1], [first, second])  # both get the third of four rows wrong
    array([[0.25, 0.25],
           [0.25, 0.5 ]])
    """
    return _shares(y, proba, sample_weight)[0]


def q_statistic(y: Any, proba: Sequence[Any], *, sample_weight: Any = None) -> Array:
    """Yule's Q of being right, for every pair of members.

    With the shares of rows that both get right (a), only one of them (b, c) and none (d),
    Q = (a d - b c) / (a d + b c): 0 for independent members, positive where they are right on
    the same rows.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, already 0..n_classes-1.
    proba : sequence of array-like of shape (n_samples, n_classes)
        One matrix of probabilities per member.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.

    Returns
    -------
    ndarray of shape (n_members, n_members)
        Symmetric, in [-1, 1]; NaN where a d and b c are both 0.

    See Also
    --------
    skmergecal.metrics.error_correlation : A correlation of the same counts.
    skmergecal.metrics.double_fault : Share of rows that both get wrong.

    References
    ----------
    Kuncheva and Whitaker, "Measures of Diversity in Classifier Ensembles and Their Relationship
    with the Ensemble Accuracy", Machine Learning 2003, equation 7,
    https://doi.org/10.1023/A:1022859003006.

    Examples
    --------
    >>> from skmergecal.metrics import q_statistic
    >>> first = [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.7, 0.3]]
    >>> second = [[0.6, 0.4], [0.3, 0.7], [0.7, 0.3], [0.4, 0.6], [0.2, 0.8]]
    >>> y = [0, 0, 1, 1, 1]  # both right: 2 rows, one of them: 1 and 1, none: 1
    >>> q_statistic(y, [first, second]).round(2)
    array([[1.  , 0.33],
           [0.33, 1.  ]])
    """
    none, first, second, both = _shares(y, proba, sample_weight)
    return _ratio(both * none - first * second, both * none + first * second)


def error_correlation(y: Any, proba: Sequence[Any], *, sample_weight: Any = None) -> Array:
    """Correlation of being wrong, for every pair of members.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, already 0..n_classes-1.
    proba : sequence of array-like of shape (n_samples, n_classes)
        One matrix of probabilities per member.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.

    Returns
    -------
    ndarray of shape (n_members, n_members)
        Symmetric, in [-1, 1], 1 on the diagonal; NaN where a member is always right or always
        wrong.

    See Also
    --------
    skmergecal.metrics.q_statistic : Association of being right, from the same counts.
    skmergecal.metrics.decompose_ensemble_log_loss : What differences between members gain.

    References
    ----------
    Kuncheva and Whitaker, "Measures of Diversity in Classifier Ensembles and Their Relationship
    with the Ensemble Accuracy", Machine Learning 2003, equation 8,
    https://doi.org/10.1023/A:1022859003006.

    Examples
    --------
    >>> from skmergecal.metrics import error_correlation
    >>> first = [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]]
    >>> second = [[0.6, 0.4], [0.3, 0.7], [0.7, 0.3], [0.4, 0.6]]
    >>> error_correlation([0, 0, 1, 1], [first, second]).round(2)
    array([[1.  , 0.58],
           [0.58, 1.  ]])
    """
    _refuse_none(y)
    with _members_rows(y, proba, sample_weight) as rows:
        total = reduce_scored(rows, Scored.total)
        rate, varies = rows.reduce(_rates, total, how=("sum", "max"), what="error rates")
        squares, products = rows.reduce(_moments, rate, total, what="error correlations")
    # A member that is always right or always wrong has a spread of rounding errors only.
    spread = np.where(varies.all(axis=0), np.sqrt(squares), 0.0)
    return _ratio(products, np.outer(spread, spread))


def _rates(rows: Scored, total: float) -> tuple[Array, np.ndarray]:
    """Error rates of members, and whether they are wrong, and right, somewhere."""
    wrong, counts = _wrong(rows), rows.weight > 0
    varies = np.array([(part * counts).any(axis=1) for part in (wrong, 1 - wrong)])
    return wrong @ (rows.weight / total), varies


def _moments(rows: Scored, rate: Array, total: float) -> tuple[Array, Array]:
    weight, centred = rows.weight / total, _wrong(rows) - rate[:, None]
    return (centred**2) @ weight, (centred * weight) @ centred.T


@dataclass(frozen=True)
class EnsembleDecomposition:
    """Log loss of a logarithmic pool: ``pool_loss = member_loss - ambiguity``.

    Attributes
    ----------
    pool_loss : float
        Log loss of the pool.
    member_loss : float
        Weighted mean of the members' log losses.
    ambiguity : float
        Mean over rows of the weighted mean of KL(pool || member), at least 0: the gain of the
        pool from differences between its members.
    member_losses : ndarray of shape (n_members,)
        Log loss of each member.
    member_ambiguities : ndarray of shape (n_members,)
        Mean KL(pool || member) of each member.

    See Also
    --------
    skmergecal.metrics.decompose_ensemble_log_loss : Makes one.

    Examples
    --------
    >>> from skmergecal.metrics import decompose_ensemble_log_loss
    >>> parts = decompose_ensemble_log_loss([0], [[[0.9, 0.1]], [[0.5, 0.5]]])
    >>> parts.member_losses.round(3).tolist()
    [0.105, 0.693]
    >>> round(parts.member_loss, 3), round(parts.ambiguity, 3), round(parts.pool_loss, 3)
    (0.399, 0.112, 0.288)
    """

    pool_loss: float
    member_loss: float
    ambiguity: float
    member_losses: Array
    member_ambiguities: Array


def decompose_ensemble_log_loss(
    y: Any, proba: Sequence[Any], *, weights: Any = None, sample_weight: Any = None
) -> EnsembleDecomposition:
    """Decompose the log loss of the logarithmic pool into members' loss minus ambiguity.

    For weights w that sum to 1, the pool is q_c = prod_k p_kc^w_k / Z, so for each class c
    log q_c = sum_k w_k log p_kc - log Z. At the true class this makes the pool's loss the
    members' mean loss plus log Z. Averaged over q it gives sum_k w_k KL(q || p_k) = -log Z, the
    ambiguity, which does not depend on the label. So the pool is never worse than the mean of
    its members, and better where they differ.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, already 0..n_classes-1.
    proba : sequence of array-like of shape (n_samples, n_classes)
        One matrix of probabilities per member. Zeros are replaced by the smallest positive float.
    weights : array-like of shape (n_members,), default=None
        Weights of the members, scaled to sum to 1; None: uniform.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.

    Returns
    -------
    EnsembleDecomposition
        In nats.

    See Also
    --------
    skmergecal.metrics.EnsembleDecomposition : What it returns.
    skmergecal.pooling.logarithmic_pool : The pool whose loss it is.

    References
    ----------
    Heskes, "Selecting Weighting Factors in Logarithmic Opinion Pools", NeurIPS 1998, equation 4.

    Examples
    --------
    >>> from skmergecal.metrics import decompose_ensemble_log_loss
    >>> parts = decompose_ensemble_log_loss([0], [[[0.9, 0.1]], [[0.5, 0.5]]])
    >>> round(parts.pool_loss, 4), round(parts.member_loss - parts.ambiguity, 4)
    (0.2877, 0.2877)
    """
    _refuse_none(y)
    with _members_rows(y, proba, sample_weight) as rows:
        names = [str(number) for number in range(len(list(proba)))]
        w = check_member_weights(np.ones(len(names)) if weights is None else weights, names)
        total, *sums = reduce_scored(rows, _losses, w, what="losses")
    losses, apart, pool = (own / total for own in sums)
    return EnsembleDecomposition(
        float(pool), float(w @ losses), float(w @ apart), np.asarray(losses), np.asarray(apart)
    )


def _losses(rows: Scored, w: Array) -> tuple[float, Array, Array, float]:
    """Sums of the weights, of the losses and distances of the members, and of the pool's loss."""
    z = [soften(p, 0.0) for p in rows.probas]
    log_q = log_softmax(sum(share * part for share, part in zip(w, z, strict=True)))
    q = np.exp(log_q)

    def total(of_rows: Array) -> float:
        return float((of_rows * rows.weight).sum())

    def loss(log_proba: Array) -> float:
        return total(-log_proba[np.arange(len(rows.y)), rows.y])

    apart = [total((q * (log_q - part)).sum(axis=1)) for part in z]
    return rows.total(), np.array([loss(part) for part in z]), np.array(apart), loss(log_q)
