"""Weighted average of the parameters of estimators of one architecture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from skmergecal._validation import check_names, check_shares
from skmergecal.parameters._architecture import check_read, check_same_architecture
from skmergecal.parameters._parameters import Parameters
from skmergecal.parameters._same_input import on_same_columns

__all__ = ["average_parameters"]


def average_parameters(
    parameters: Sequence[Parameters], weights: Any, *, names: Sequence[str] | None = None
) -> Parameters:
    """Weighted average of the parameters of several estimators of one architecture.

    Sums are computed in float64, one array at a time, and cast back once. Integer arrays
    (counters) are copied from the estimator with the largest weight instead of averaged.

    Parameters
    ----------
    parameters : sequence of Parameters
        At least one.
    weights : array-like of shape (n_members,)
        Weights that sum to 1.
    names : sequence of str, default=None
        Names of the members, for errors.

    Returns
    -------
    `Parameters`
        With the architecture of the first.

    Raises
    ------
    IncompatibleEstimatorsError
        If architectures or shapes differ; the message names the first difference.

    See Also
    --------
    skmergecal.parameters.read_parameters : Reads parameters of an estimator.
    skmergecal.parameters.write_parameters : Makes an estimator of the average.
    skmergecal.parameters.merge_parameters : Aligns hidden units of nets before.

    References
    ----------
    Wortsman et al., "Model soups", ICML 2022, https://doi.org/10.48550/arXiv.2203.05482.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmergecal.parameters import average_parameters, read_parameters, write_parameters
    >>> X, y = load_iris(return_X_y=True)
    >>> models = [LogisticRegression(C=C, max_iter=500).fit(X, y) for C in (0.1, 1)]
    >>> average = average_parameters([read_parameters(model) for model in models], [0.25, 0.75])
    >>> merged = write_parameters(models[0], average)
    >>> [round(float(model.coef_[0, 2]), 2) for model in (*models, merged)]  # petal length
    [-1.18, -2.52, -2.18]
    """
    parameters = check_read(parameters)
    shares = check_shares(weights, len(parameters))
    return weighted_sum(parameters, shares, check_names(names, len(parameters)))


def weighted_sum(
    parameters: Sequence[Parameters], weights: Any, names: Sequence[str]
) -> Parameters:
    """Weighted sum of the parameters of one architecture, with any weights."""
    parameters = on_same_columns(parameters, names)
    check_same_architecture(parameters, names)
    first = parameters[0]
    arrays = {}
    for key, array in first.arrays.items():
        if not np.issubdtype(array.dtype, np.inexact):
            arrays[key] = largest(weights, [member.arrays[key] for member in parameters]).copy()
            continue
        wide = np.result_type(array.dtype, np.float64)
        total = np.zeros(array.shape, dtype=wide)
        for weight, member in zip(weights, parameters, strict=True):
            total += float(weight) * member.arrays[key].astype(wide)
        arrays[key] = total.astype(array.dtype)
    return replace(first, arrays=arrays)


def largest(weights: Any, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The array of largest weight, of several the first: for counters, which have no average."""
    return arrays[int(np.argmax(weights))]
