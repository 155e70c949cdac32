"""PoolFit, the result of a fit; checks of opinions, intervals of weights, which pools share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skmergecal._compat import Interval
from skmergecal._numerics import sum_of
from skmergecal._partitions import InMemory, Partitions, Rows, rows_in_blocks
from skmergecal._temperature import Bound
from skmergecal._typing import Array, IntArray
from skmergecal._validation import (
    check_columns,
    check_factors,
    check_list,
    check_matrix,
    check_members,
    check_sample_weight,
    warn_if_probabilities,
)

__all__ = [
    "RESAMPLING",
    "PoolFit",
    "bootstrap_intervals",
    "check_new_opinions",
    "check_opinions",
    "checked_rows",
    "classes_with_rows",
    "weighted_sum",
    "with_columns",
]


#: What the parameters of a bootstrap may be.
RESAMPLING = {
    "n_resamples": [Interval(Integral, 1, None, closed="left")],
    "random_state": ["random_state"],
}


@dataclass(frozen=True)
class PoolFit:
    """Fitted weights of a pool.

    Attributes
    ----------
    weights : ndarray of shape (n_members,)
        Non-negative, with sum 1.
    temperature : float
        Divisor of the weighted logits (1 for the linear pool).
    loss : float
        Mean log loss of the pool on the rows it was fitted on, in nats, without the ridge.
    bound : {None, "lower", "upper"}
        The bound at which the temperature was stopped if no finite optimum exists.

    See Also
    --------
    skmergecal.pooling.fit_logarithmic_pool : Makes one.
    skmergecal.pooling.fit_linear_pool : Makes one.

    Examples
    --------
    A member that is right in 75 % of the rows and forecasts 95 %, and one that knows nothing:

    >>> import numpy as np
    >>> from skmergecal.pooling import fit_logarithmic_pool
    >>> y = [0] * 30 + [1] * 10
    >>> confident = np.tile([3.0, 0.0], (40, 1))
    >>> noise = np.random.default_rng(0).normal(size=(40, 2))
    >>> fit = fit_logarithmic_pool([confident, noise], y, alpha=0)
    >>> fit.weights.round(1), round(fit.temperature, 1), round(fit.loss, 3)
    (array([1., 0.]), 2.7, 0.562)
    """

    weights: Array
    temperature: float
    loss: float
    bound: Bound = None


def check_opinions(
    opinions: Sequence[Any],
    y: Any,
    sample_weight: Any,
    name: str = "log_proba",
    check: Callable[[Any, str], Array] = check_matrix,
    *,
    logs: bool = True,
) -> tuple[list[Array], IntArray, Array | None]:
    """Opinions as C-contiguous float64 matrices of one shape, labels and weights.

    Rows of weight 0 are removed. With ``logs``, opinions that look like probabilities are warned
    about.
    """
    matrices = check_members(name, opinions, check)
    if logs:
        _warn_if_probabilities(matrices)
    labels = check_columns(y, *matrices[0].shape)
    weight = check_sample_weight(sample_weight, len(labels))
    if weight is not None and not weight.all():
        kept = weight > 0
        matrices, labels, weight = [z[kept] for z in matrices], labels[kept], weight[kept]
    return matrices, labels, weight


def checked_rows(
    name: str,
    opinions: Any,
    y: Any,
    sample_weight: Any,
    check: Callable[[Any, str], Array] = check_matrix,
    *,
    logs: bool = True,
) -> Partitions[Rows]:
    """The same as rows for a fit: in one part, or in the blocks that a function gives.

    Raises
    ------
    ValueError
        If there are no labels, or they are given beside a function.
    """
    if not callable(opinions):
        if y is None:
            msg = f"y is None: pass the labels, or as {name} a function that gives blocks"
            raise ValueError(msg)
        return InMemory(Rows(*check_opinions(opinions, y, sample_weight, name, check, logs=logs)))

    def matrices(values: Any, first: bool) -> list[Array]:
        found = check_members(name, values, check)
        if logs and first:
            _warn_if_probabilities(found)
        return found

    return rows_in_blocks(name, opinions, y, sample_weight, matrices)


def _warn_if_probabilities(matrices: Sequence[Array]) -> None:
    for number, z in enumerate(matrices):
        warn_if_probabilities(z, f"the log-probabilities of opinion number {number}")


def check_new_opinions(
    name: str,
    opinions: Any,
    shape: tuple[int, ...],
    check: Callable[[Any, str], Array] = check_matrix,
) -> list[Array]:
    """Opinions of new rows, of as many members and classes as a fit has: ``shape``."""
    matrices = check_members(name, opinions, check)
    found = len(matrices), matrices[0].shape[1]
    if found != shape:
        msg = (
            f"{name} should hold the opinions of {shape[0]} members of {shape[1]} classes, as the "
            f"fit did; got {found[0]} of {found[1]}: pass those of all members, in their order"
        )
        raise ValueError(msg)
    return matrices


def classes_with_rows(rows: Partitions[Rows], n_classes: int) -> tuple[IntArray, Partitions[Rows]]:
    """The columns of classes that have rows, and the rows with these columns alone."""
    counts = rows.reduce(_counts_of_classes, n_classes, what="number of rows of each class")
    present = np.flatnonzero(counts)
    return present, rows if len(present) == n_classes else rows.map(with_columns, present)


def _counts_of_classes(rows: Rows, n_classes: int) -> IntArray:
    return np.bincount(rows.y, minlength=n_classes)


def with_columns(rows: Rows, present: IntArray) -> Rows:
    """Rows with the columns of some classes, which all rows have."""
    inner = [np.ascontiguousarray(m[:, present]) for m in rows.opinions]
    return Rows(inner, np.searchsorted(present, rows.y), rows.weight)


def bootstrap_intervals(
    learn: Callable[[Array], Array],
    weight: Array,
    level: float,
    n_resamples: int,
    random_state: Any,
) -> Array:
    """Percentile intervals of weights that are learned again on bootstrap samples of rows.

    Parameters
    ----------
    learn : callable
        From the number of times that each row was drawn to the weights of the members.
    weight : ndarray of shape (n_samples,)
        Frequency weights: a row of weight 2 is drawn twice as often, from twice as many draws.
    level : float in (0, 1)
    n_resamples : int
    random_state : int, RandomState instance or None

    Returns
    -------
    ndarray of shape (2, n_members)
        Lower and upper ends.
    """
    random = check_random_state(random_state)
    size, shares = max(round(float(weight.sum())), 1), weight / weight.sum()
    drawn = [learn(random.multinomial(size, shares).astype(np.float64)) for _ in range(n_resamples)]
    return np.asarray(np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0))


def weighted_sum(
    name: str,
    members: Iterable[Any],
    weights: Any,
    check: Callable[[Any, str], Array] = check_matrix,
    check_weights: Callable[[Any, int], Array] = check_factors,
) -> Array:
    """Weighted sum of the members' matrices, each checked as it comes and then released."""
    if isinstance(members, Iterator):  # its end is seen when it comes
        n_members = np.size(weights)
    else:
        members = check_list(name, members, "member's matrix (n_samples, n_classes)")
        n_members = len(members)
    factors = check_weights(weights, n_members)
    shapes = set()

    def checked() -> Iterator[Array]:
        number = -1
        for number, values in enumerate(members):
            matrix = check(values, f"{name}[{number}]")
            shapes.add(matrix.shape)
            if len(shapes) > 1 or number == n_members:
                msg = (
                    f"{name} should hold {n_members} matrices of one shape, one per weight; "
                    f"number {number} has shape {matrix.shape}"
                )
                raise ValueError(msg)
            yield matrix
        if number < n_members - 1:
            msg = f"{name} gives {number + 1} matrices, but there are {n_members} weights"
            raise ValueError(msg)

    return sum_of(w * z for w, z in zip_longest(factors, checked()))
