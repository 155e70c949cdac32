"""Copies of rows: each row once per class, weighted by the probability that it should learn."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skmergecal._typing import Array, IntArray

__all__ = ["RowCopies", "copy_rows", "mix_labels"]

#: Of each row those classes are copied that hold this share of its probability: with 26 classes
#: there would be 26 times the rows.
_COVERED = 0.99


class RowCopies(NamedTuple):
    """Rows to fit on: numbers of rows, some of them several times, their classes and weights."""

    rows: IntArray
    """Shape (n_copies,): the row of X of each copy."""
    codes: IntArray
    """Shape (n_copies,): column number of its class."""
    weight: Array | None
    """Shape (n_copies,): positive; the copies of a row add up to the weight of the row. None: 1."""


def mix_labels(proba: Array, codes: IntArray, label_share: float) -> Array:
    """Probabilities, mixed with the labels of those rows that have one.

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_classes)
    codes : ndarray of shape (n_samples,)
        Column numbers of the true classes; -1 where a row has no label.
    label_share : float
        Share of the label in the mixture, from 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.tuning._soft_rows import mix_labels
    >>> mix_labels(np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([1, -1]), 0.5)
    array([[0.4, 0.6],
           [0.8, 0.2]])
    """
    labelled = np.flatnonzero(codes >= 0)
    mixed = np.array(proba, dtype=np.float64)
    mixed[labelled] *= 1 - label_share
    mixed[labelled, codes[labelled]] += label_share
    return mixed


def copy_rows(
    proba: Array, codes: IntArray, sample_weight: Array | None, label_share: float
) -> RowCopies:
    """Rows as a classifier that takes sample weights can learn probabilities from.

    Fitting on them minimises the cross-entropy of the model to the mixture of the probabilities
    and the labels. A row has copies of the fewest classes that hold .99 of its probability, and of
    its label; a class without any copy gets its most probable row.

    Parameters
    ----------
    proba : ndarray of shape (n_samples, n_classes)
        Rows add up to 1.
    codes : ndarray of shape (n_samples,)
        Column numbers of the true classes; -1 where a row has no label.
    sample_weight : ndarray of shape (n_samples,) or None
        Positive.
    label_share : float
        Share of the labels in what is learned, from 0 to 1.

    Returns
    -------
    RowCopies
        In the order of the rows, and of the classes.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.tuning._soft_rows import copy_rows
    >>> proba = np.array([[0.7, 0.295, 0.005], [0.0, 0.0, 1.0]])
    >>> copies = copy_rows(proba, np.array([0, 2]), None, 0.0)
    >>> copies.rows, copies.codes, copies.weight.round(2)
    (array([0, 0, 1]), array([0, 1, 2]), array([0.7, 0.3, 1. ]))
    """
    n_rows, n_classes = proba.shape
    target = mix_labels(proba, codes, label_share)
    order = np.argsort(-proba, axis=1, kind="stable")
    ranked = np.take_along_axis(proba, order, axis=1)
    before = np.cumsum(ranked, axis=1) - ranked
    copied = np.zeros((n_rows, n_classes), dtype=bool)
    np.put_along_axis(copied, order, before < _COVERED, axis=1)
    labelled = np.flatnonzero(codes >= 0)
    copied[labelled, codes[labelled]] = True
    copied &= target > 0
    target = np.where(copied, target, 0.0)
    target /= target.sum(axis=1, keepdims=True)
    for lost in np.flatnonzero(~copied.any(axis=0)):
        row = int(np.argmax(proba[:, lost]))
        copied[row, lost] = True
        target[row, lost] = max(float(proba[row, lost]), float(np.finfo(np.float64).eps))
    rows, columns = np.nonzero(copied)
    weight = target[rows, columns]
    if sample_weight is not None:
        weight = weight * sample_weight[rows]
    return RowCopies(rows, columns, weight)
