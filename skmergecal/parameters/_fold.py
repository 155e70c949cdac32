"""Folding of a temperature into the last layer, of an affine input map into the first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from skmergecal._typing import Array
from skmergecal._validation import POSITIVE, as_numbers, check_parameters
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters._parameters import Parameters

__all__ = ["fold_affine_input", "fold_temperature"]


@check_parameters(parameters=[Parameters], temperature=[POSITIVE])
def fold_temperature(parameters: Parameters, temperature: float) -> Parameters:
    """Divide the logits by a temperature, by scaling the parameters of the last layer.

    Parameters
    ----------
    parameters : Parameters
        With arrays that give the logits; not changed.
    temperature : float
        At least 1e-150.

    Returns
    -------
    `Parameters`
        Those of the model whose logits are divided by the temperature.

    Raises
    ------
    IncompatibleEstimatorsError
        If the family does not define which arrays give the logits.

    See Also
    --------
    skmergecal.TemperatureCalibrator : Fits a temperature.
    skmergecal.parameters.fold_affine_input : The same for the first layer.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmergecal.parameters import fold_temperature, read_parameters
    >>> X, y = load_iris(return_X_y=True)
    >>> parameters = read_parameters(LogisticRegression(max_iter=500).fit(X, y))
    >>> folded = fold_temperature(parameters, 2.0)
    >>> folded.arrays["intercept_"] / parameters.arrays["intercept_"]
    array([0.5, 0.5, 0.5])
    """
    if temperature == 1.0:
        return parameters
    if not parameters.output:
        msg = (
            "the temperature of a member cannot be folded into its last layer, because it does "
            "not end in an affine layer and a softmax"
        )
        raise IncompatibleEstimatorsError(msg, "use calibrate='merged', or method='logits'")
    arrays = dict(parameters.arrays)
    for key in parameters.output:
        arrays[key] = (arrays[key].astype(np.float64) / temperature).astype(arrays[key].dtype)
    return replace(parameters, arrays=arrays)


@check_parameters(parameters=[Parameters])
def fold_affine_input(parameters: Parameters, scale: Any, shift: Array) -> Parameters:
    """Fold the map x * scale + shift, or x @ scale + shift, into the first layer.

    Parameters
    ----------
    parameters : Parameters
        With a first layer; not changed.
    scale : array-like of shape (n_out,), or (sparse) matrix of shape (n_in, n_out)
        A vector scales each feature, a matrix mixes them.
    shift : array-like of shape (n_out,)
        What is added after scaling.

    Returns
    -------
    `Parameters`
        Those of the model that takes x.

    Raises
    ------
    IncompatibleEstimatorsError
        If the family does not define which arrays are the first layer.

    See Also
    --------
    skmergecal.parameters.fold_temperature : The same for the last layer.
    skmergecal.parameters.FirstLayer : Where the map goes.

    Examples
    --------
    A model of standardised features becomes one of the features themselves:

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmergecal.parameters import fold_affine_input, read_parameters, write_parameters
    >>> X, y = load_iris(return_X_y=True)
    >>> scaler = StandardScaler().fit(X)
    >>> model = LogisticRegression().fit(scaler.transform(X), y)
    >>> scale, shift = 1 / scaler.scale_, -scaler.mean_ / scaler.scale_
    >>> plain = write_parameters(model, fold_affine_input(read_parameters(model), scale, shift))
    >>> model.predict_proba(scaler.transform(X[:1])).round(3), plain.predict_proba(X[:1]).round(3)
    (array([[0.985, 0.015, 0.   ]]), array([[0.985, 0.015, 0.   ]]))
    """
    first = parameters.first
    if first is None:
        msg = (
            "the scaling before a member cannot be folded into it, because its first layer is "
            "not affine"
        )
        remedy = "scale the data before passing them to the members, or use method='logits'"
        raise IncompatibleEstimatorsError(msg, remedy)
    arrays = dict(parameters.arrays)
    old = arrays[first.weight]
    weight = np.moveaxis(old.astype(np.float64), first.feature_axis, -1)  # (outputs, features)
    scale, shift = _check_map(scale, shift, weight.shape[-1])
    bias = arrays[first.bias].astype(np.float64) + weight @ shift
    folded = weight * scale if scale.ndim == 1 else weight @ scale.T
    folded = np.moveaxis(folded, -1, first.feature_axis)
    arrays[first.weight] = np.ascontiguousarray(folded).astype(old.dtype)
    arrays[first.bias] = bias.astype(arrays[first.bias].dtype)
    parameters = replace(parameters, arrays=arrays)
    if folded.shape == old.shape:  # a net is not described for this
        return parameters
    return parameters.with_input(scale.shape[0])


def _check_map(scale: Any, shift: Any, n_features: int) -> tuple[Any, Array]:
    """Scale and shift of an affine map to so many features."""
    sparse = hasattr(scale, "toarray")
    scale = scale if sparse else as_numbers("scale", scale)
    shift = as_numbers("shift", shift)
    if scale.ndim not in (1, 2) or scale.shape[-1] != n_features:
        msg = f"scale should have shape ({n_features},) or (n_in, {n_features}); got {scale.shape}"
        raise ValueError(msg)
    if shift.shape != (n_features,):
        msg = f"shift should have shape ({n_features},); got {shift.shape}"
        raise ValueError(msg)
    for name, values in (("scale", scale.data if sparse else scale), ("shift", shift)):
        if not np.isfinite(values).all():
            msg = f"{name} contains NaN or infinity: there is no such map"
            raise ValueError(msg)
    return scale, shift
