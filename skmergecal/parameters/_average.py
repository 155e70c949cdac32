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
    (counters) are copied from the first estimator instead of averaged.

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
    average : Parameters
        Has the architecture of the first.

    Raises
    ------
    IncompatibleEstimatorsError
        If architectures or shapes differ; the message names the first difference.

    References
    ----------
    Wortsman et al., "Model soups", ICML 2022.
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
        if not np.issubdtype(array.dtype, np.floating):
            arrays[key] = array.copy()
            continue
        total = np.zeros(array.shape, dtype=np.float64)
        for weight, member in zip(weights, parameters, strict=True):
            total += float(weight) * member.arrays[key].astype(np.float64)
        arrays[key] = total.astype(array.dtype)
    return replace(first, arrays=arrays)
