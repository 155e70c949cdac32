"""Folding of a temperature into the last layer, and of an affine input map into the first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from skmergecal._typing import Array
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters._parameters import Parameters

__all__ = ["fold_affine_input", "fold_temperature"]


def fold_temperature(parameters: Parameters, temperature: float) -> Parameters:
    """Divide the logits by a temperature, by scaling the parameters of the last layer.

    Raises
    ------
    IncompatibleEstimatorsError
        If the family does not define which arrays give the logits.
    """
    if temperature == 1.0:
        return parameters
    if not parameters.output:
        msg = (
            "the temperature of a member cannot be folded into its last layer, because it does "
            "not end in an affine layer and a softmax: use calibrate='merged', or method='logits'"
        )
        raise IncompatibleEstimatorsError(msg)
    arrays = dict(parameters.arrays)
    for key in parameters.output:
        arrays[key] = (arrays[key].astype(np.float64) / temperature).astype(arrays[key].dtype)
    return replace(parameters, arrays=arrays)


def fold_affine_input(parameters: Parameters, scale: Any, shift: Array) -> Parameters:
    """Fold the map x * scale + shift, or x @ scale + shift, into the first layer.

    A vector scales each feature, a (sparse) matrix of shape (n_in, n_out) mixes them.

    Raises
    ------
    IncompatibleEstimatorsError
        If the family does not define which arrays are the first layer.
    """
    first = parameters.first
    if first is None:
        msg = (
            "the scaling before a member cannot be folded into it, because its first layer is "
            "not affine: scale the data before passing them to the members, or use method='logits'"
        )
        raise IncompatibleEstimatorsError(msg)
    arrays = dict(parameters.arrays)
    old = arrays[first.weight]
    weight = np.moveaxis(old.astype(np.float64), first.feature_axis, -1)  # (outputs, features)
    bias = arrays[first.bias].astype(np.float64) + weight @ shift
    folded = weight * scale if scale.ndim == 1 else weight @ scale.T
    folded = np.moveaxis(folded, -1, first.feature_axis)
    arrays[first.weight] = np.ascontiguousarray(folded).astype(old.dtype)
    arrays[first.bias] = bias.astype(arrays[first.bias].dtype)
    return replace(parameters, arrays=arrays)
