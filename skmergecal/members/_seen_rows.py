"""Rows that frozen members may have been trained on: recognised by results that are too good."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from skmergecal._numerics import softmax
from skmergecal._partitions import InMemory, Partitions, Rows, Sizes, gathered
from skmergecal._typing import Array, IntArray
from skmergecal._warnings import warn_user

__all__ = ["find_members_that_saw_rows", "find_seen_rows", "warn_of_seen_rows"]

#: Below this temperature a member is right far more often than its own probabilities say.
_FAR_BELOW_ONE = 0.5
#: Largest share of wrong rows. On easy data, digits for instance, nets that have not seen the rows
#: are wrong in 2 to 5 % of them, and may be as cold.
_PERFECT = 0.01
#: Members that have not seen the rows find the same ones hard: of the errors of one, another one
#: of its kind makes half. Models of folds err on the rows of their own fold.
_SHARED = 0.3
_ENOUGH_ROWS = 100
#: Of more rows than twice these, some are looked at, evenly spaced.
_MANY_ROWS = 1000


def find_members_that_saw_rows(
    scores: Sequence[Array],
    y: IntArray,
    weight: Array | None,
    log_proba: Callable[[int, slice], Array],
) -> list[int]:
    """Numbers of members whose results on some rows are those of training rows.

    Parameters
    ----------
    scores : sequence of ndarray of shape (n_samples, n_classes)
        Opinions of frozen members, of which the largest counts.
    y : ndarray of shape (n_samples,)
        Column numbers.
    weight : ndarray of shape (n_samples,) or None
    log_proba : callable
        Returns the log-probabilities of a member, by its number, for a part of the rows; called
        for good members only.
    """
    if (len(y) if weight is None else weight.sum()) < _ENOUGH_ROWS:
        return []
    part = slice(None, None, max(len(y) // _MANY_ROWS, 1))
    y, weight = y[part], None if weight is None else weight[part]
    errors = {}
    for k, z in enumerate(scores):
        wrong = z[part].argmax(axis=1) != y
        if np.average(wrong, weights=weight) <= _PERFECT and _is_cold(
            log_proba(k, part), y, weight
        ):
            errors[k] = wrong
    found = []
    for k, own in errors.items():
        others = [wrong for j, wrong in errors.items() if j != k and wrong.any()]
        shared = np.mean([wrong[own].mean() for wrong in others]) if own.any() and others else 0.0
        if shared < _SHARED:
            found.append(k)
    return found


def _is_cold(z: Array, y: IntArray, weight: Array | None) -> bool:
    """Whether the best temperature, with a penalty of strength 1, is far below 1."""
    # The loss of softmax(beta z) is convex in beta = 1 / T, with the derivative E_p z - z_y; the
    # penalty log(beta)^2 / (2 n) keeps members without an error finite.
    beta = 1 / _FAR_BELOW_ONE
    slopes = (softmax(beta * z) * z).sum(axis=1) - z[np.arange(len(y)), y]
    total = len(y) if weight is None else weight.sum()
    return bool(np.average(slopes, weights=weight) + np.log(beta) / (beta * total) < 0)


def find_seen_rows(rows: Partitions[Rows], n_rows: int | None = None) -> list[int]:
    """The same for log-probabilities of members in partitions, from a sample of their rows.

    Parameters
    ----------
    rows : Partitions of Rows
    n_rows : int, default=None
        None: they are counted.
    """
    if isinstance(rows, InMemory):
        z, y, weight = rows.part
    else:
        n_rows = Sizes.of(rows).rows if n_rows is None else n_rows
        stride = max(n_rows // (2 * _MANY_ROWS), 1)
        z, y, weight = gathered(rows, stride)
    return find_members_that_saw_rows(z, y, weight, lambda k, part: z[k][part])


def warn_of_seen_rows(names: Sequence[str]) -> None:
    """Warn that members may have been trained on the held-out rows; nothing if there are none."""
    if names:
        warn_user(
            f"{list(names)} are almost always right on these rows, and far more often than their "
            "own probabilities say: were these rows used to train them? What is learned from such "
            "rows is wrong for others: pass rows that they have not seen, of stored predictions "
            "those out of fold, or pass estimators without FrozenEstimator, so that they are "
            "cross-fitted."
        )
