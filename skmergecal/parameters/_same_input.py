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

__all__ = ["on_same_columns", "take_same_rows"]


#: What has to be the same of the rows that models take.
_INPUT = (PREPROCESSING, "n_features", "feature_names")


def take_same_rows(parameters: Sequence[Parameters]) -> bool:
    """Whether nets, perhaps of several families, take the same rows, by all that is known.

    Not every family knows the number and the names of its features. Unlike steps before nets of
    which one has no description are left to these nets.
    """
    described = all(p.first is not None and p.network is not None for p in parameters)
    for key in _INPUT if described else _INPUT[1:]:
        values = [p.architecture.get(key) for p in parameters]
        if key != PREPROCESSING:
            values = [value for value in values if value is not None]
        if any(value != values[0] for value in values[1:]):
            return False
    return True


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
    inputs = [[p.architecture.get(key) for key in _INPUT] for p in parameters]
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
