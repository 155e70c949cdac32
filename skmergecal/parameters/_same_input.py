"""Members that take unlike columns, or have unlike preprocessing, made to take the same input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from skmergecal._validation import check_names
from skmergecal.parameters._architecture import PREPROCESSING
from skmergecal.parameters._parameters import Parameters
from skmergecal.parameters.fronts import on_common_front

__all__ = ["on_same_columns"]


def on_same_columns(
    parameters: Sequence[Parameters], names: Sequence[str] | None = None
) -> list[Parameters]:
    """The same parameters, with first layers that take the columns that any of them takes.

    A column that a member drops has weights of 0 in its first layer. Members with unlike steps
    before their first layers get a front that they share. Where inputs differ in number or names,
    nothing is changed: `check_same_architecture` says so.
    """
    kept = [p.architecture.get(PREPROCESSING) for p in parameters]
    if any(steps != kept[0] for steps in kept[1:]):
        return on_common_front(parameters, check_names(names, len(parameters)))
    if all(p.columns is None for p in parameters):
        return list(parameters)
    inputs = [
        [p.architecture.get(key) for key in (PREPROCESSING, "n_features", "feature_names")]
        for p in parameters
    ]
    if any(other != inputs[0] for other in inputs[1:]) or any(p.first is None for p in parameters):
        return list(parameters)
    n_features = cast(int, inputs[0][1])
    everything = range(n_features)
    taken = [everything if p.columns is None else p.columns for p in parameters]
    union = sorted(set().union(*taken))
    return [_widened(p, own, union, n_features) for p, own in zip(parameters, taken, strict=True)]


def _widened(
    parameters: Parameters, own: Sequence[int], union: Sequence[int], n_features: int
) -> Parameters:
    columns = None if len(union) == n_features else tuple(union)
    if len(own) == len(union):
        return replace(parameters, columns=columns)
    first = parameters.first
    assert first is not None
    old = parameters.arrays[first.weight]
    shape = list(old.shape)
    shape[first.feature_axis] = len(union)
    weight = np.zeros(shape, dtype=old.dtype)
    np.moveaxis(weight, first.feature_axis, 0)[np.searchsorted(union, own)] = np.moveaxis(
        old, first.feature_axis, 0
    )
    arrays = {**parameters.arrays, first.weight: weight}
    return replace(parameters, arrays=arrays, columns=columns).with_input(len(union))
