"""MergePath: loss and accuracy along the straight line between two members."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np

from skmergecal._compat import Interval, StrOptions
from skmergecal._numerics import mean_loss
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal._validation import (
    check_labels,
    check_lengths,
    check_parameters,
    check_sample_weight,
    count_rows,
    encode_labels,
)
from skmergecal._warnings import warns_once
from skmergecal.members import (
    Cache,
    Member,
    fitted_member,
    freeze,
    frozen_members,
    warn_of_names,
)
from skmergecal.merging._one_model import network_rows, same_input
from skmergecal.parameters import (
    align_parameters,
    merge_parameters,
    write_parameters,
)

__all__ = ["MergePath", "merge_path"]


@dataclass(frozen=True)
class MergePath:
    """Log loss and accuracy along the line between two members.

    Attributes
    ----------
    lambdas : ndarray of shape (n_points,)
        Share of the second member, from 0 to 1.
    loss : ndarray of shape (n_points,)
        Log loss in nats.
    accuracy : ndarray of shape (n_points,)

    See Also
    --------
    skmergecal.merge_path : Makes one.
    skmergecal.MergePathDisplay : Draws several.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.merging import MergePath
    >>> lambdas, loss, accuracy = np.array([[0, 0.5, 1], [0.1, 1.9, 0.2], [0.97, 0.41, 0.96]])
    >>> path = MergePath(lambdas, loss, accuracy)
    >>> round(path.barrier, 2)  # 1.9, where the straight line is at .15
    1.75
    """

    lambdas: Array
    loss: Array
    accuracy: Array

    @property
    def barrier(self) -> float:
        """How far the loss rises above the straight line between its ends, at most."""
        line = (1 - self.lambdas) * self.loss[0] + self.lambdas * self.loss[-1]
        return float((self.loss - line).max())


@check_parameters(
    alignment=[StrOptions({"weights", "activations"}), None],
    n_points=[Interval(Integral, 2, None, closed="left")],
)
@warns_once
def merge_path(
    a: Estimator,
    b: Estimator,
    X: Any,
    y: Any,
    *,
    alignment: str | None = None,
    n_points: int = 11,
    sample_weight: Any = None,
) -> MergePath:
    """Measure the models between two fitted members whose parameters can be averaged.

    Parameters
    ----------
    a, b : fitted classifiers
        Of one architecture and the same classes; not changed.
    X, y : array-like
        Rows and labels that neither has seen. BatchNorm statistics in between are measured on X.
    alignment : {"weights", "activations"} or None, default=None
        How the hidden units of ``b`` are matched to those of ``a`` beforehand.
    n_points : int, default=11
        Models on the line, its ends included: at least 2.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.

    Returns
    -------
    MergePath
        Loss and accuracy of each model on the line.

    Raises
    ------
    IncompatibleEstimatorsError
        If the architectures differ, or the networks cannot be aligned.

    See Also
    --------
    skmergecal.MergePathDisplay : Draws several paths.
    skmergecal.MergedClassifier : ``method="parameters"`` merges several members.

    References
    ----------
    Frankle et al., "Linear mode connectivity and the lottery ticket hypothesis", ICML 2020,
    https://doi.org/10.48550/arXiv.1912.05671.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = X / X.max(axis=0)
    >>> from skmergecal import merge_path
    >>> a, b = (LogisticRegression().fit(X[i:400:2], y[i:400:2]) for i in range(2))
    >>> path = merge_path(a, b, X[400:], y[400:], n_points=3)
    >>> path.lambdas
    array([0. , 0.5, 1. ])
    >>> path.barrier  # the loss of a linear model is convex in its parameters
    0.0
    """
    labels = check_labels(y)
    check_lengths(count_rows(X), y=labels)
    ends = [("a", freeze("a", a)), ("b", freeze("b", b))]
    members, classes = frozen_members(ends, Cache(None), labels)
    warn_of_names([("a", a), ("b", b)], X)
    codes = encode_labels(labels, classes, remedy="Neither member knows them.")
    weight = check_sample_weight(sample_weight, len(codes))
    lambdas = np.linspace(0, 1, n_points)
    opinions = (m.align(m.read(X)) for m in _between(members, X, lambdas, alignment))
    measured = [_measure(opinion.log_proba(0.0), codes, weight) for opinion in opinions]
    loss, accuracy = np.array(measured).T
    return MergePath(lambdas, loss, accuracy)


def _measure(z: Array, codes: IntArray, weight: Array | None) -> tuple[float, float]:
    right = np.average(z.argmax(axis=1) == codes, weights=weight)
    return mean_loss(z, codes, weight), float(right)


def _between(
    members: list[Member], X: Any, lambdas: Array, alignment: str | None
) -> Iterator[Member]:
    """The models along the line; hidden units are aligned once."""
    first = members[0]
    names = [m.name for m in members]
    parameters = same_input(members, np.ones(len(members)), [X])
    rows = None
    if alignment is not None or parameters[0].has_statistics:
        rows = network_rows(write_parameters(first.estimator, parameters[0]), X)
    ends = parameters
    if alignment is not None:
        parameters = align_parameters(parameters, by=alignment, X=rows, names=names)
    for share in lambdas:
        mix = np.array([1 - share, share])
        merged = merge_parameters(parameters, mix, alignment=None, X=rows, names=names)
        arrays = {k: v.astype(ends[0].arrays[k].dtype) for k, v in merged.parameters.arrays.items()}
        model = write_parameters(first.estimator, replace(ends[0], arrays=arrays))
        yield fitted_member("merged", model, first)
