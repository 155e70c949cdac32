"""Average parameters of one architecture, and fold affine maps into them. Arrays in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skmergecal._typing import Array, Estimator
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters._registry import (
    Parameters,
    read_parameters,
    unwrap,
    write_parameters,
)

__all__ = ["average_parameters", "fold_affine_input", "fold_temperature", "register_wrapper"]


#: What must be the same in all because it cannot be folded in.
PREPROCESSING = "steps before a layer that cannot take them over"

#: Compared before the shapes: where these differ, so do shapes, and these say why.
_IDENTITY = (PREPROCESSING, "type", "classes", "n_features", "feature_names")


def check_same_architecture(parameters: Sequence[Parameters], names: Sequence[str]) -> None:
    """Raise IncompatibleEstimatorsError naming the first difference, unless all agree."""
    for name, other in zip(names[1:], parameters[1:], strict=True):
        difference = _first_difference(parameters[0], other)
        if difference is not None:
            msg = (
                f"estimators {names[0]!r} and {name!r} cannot be averaged: {difference}. "
                "Use members of one architecture, or method='logits'."
            )
            raise IncompatibleEstimatorsError(msg)


def _first_difference(a: Parameters, b: Parameters) -> str | None:
    settings = list(dict.fromkeys([*a.architecture, *b.architecture]))
    early = [key for key in settings if key in _IDENTITY]
    late = [key for key in settings if key not in _IDENTITY]
    for key in early:
        if a.architecture.get(key) != b.architecture.get(key):
            return _differ(key, a.architecture.get(key), b.architecture.get(key))
    for key in dict.fromkeys([*a.arrays, *b.arrays]):
        shapes = [p.arrays[key].shape if key in p.arrays else None for p in (a, b)]
        if shapes[0] != shapes[1]:
            return f"parameter {key!r} has shape {shapes[0]} and {shapes[1]}"
    for key in late:
        if a.architecture.get(key) != b.architecture.get(key):
            return _differ(key, a.architecture.get(key), b.architecture.get(key))
    return None


def _differ(key: str, a: object, b: object) -> str:
    return f"their {key} differ, {a!r} and {b!r}"


def average_parameters(
    parameters: Sequence[Parameters], weights: Any, *, names: Sequence[str] | None = None
) -> Parameters:
    """Weighted average of the parameters of several estimators of one architecture.

    Sums run in float64, one array at a time, and are cast back once. Integer arrays (counters)
    are copied from the first, never averaged.

    Parameters
    ----------
    parameters : sequence of Parameters
        At least one.
    weights : array-like of shape (n_members,)
        Adding up to 1.
    names : sequence of str, default=None
        Names of the members, for errors.

    Returns
    -------
    average : Parameters
        With the architecture of the first.

    Raises
    ------
    IncompatibleEstimatorsError
        If architectures or shapes differ; the message names the first difference.

    References
    ----------
    Wortsman et al., "Model soups", ICML 2022.
    """
    names = names or [f"number {i}" for i in range(len(parameters))]
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


def fold_temperature(parameters: Parameters, temperature: float) -> Parameters:
    """Divide the logits by a temperature, by dividing the last layer.

    Raises
    ------
    IncompatibleEstimatorsError
        If the family did not say which arrays give the logits.
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


def register_wrapper(
    cls: type,
    inner: Callable[[Any], Estimator],
    *,
    temperature: Callable[[Any], float] | None = None,
) -> None:
    """Register a class whose instances wrap an estimator of a family that is registered already.

    Its members are read through the wrapper, also where they stand in a Pipeline or in another
    wrapper, and what is made of them is of the inner estimator's type.

    Parameters
    ----------
    cls : type
        The class of the wrapper.
    inner : callable
        Gives the fitted inner estimator of a fitted wrapper.
    temperature : callable, default=None
        Gives the number by which a fitted wrapper divides the inner estimator's logits; None: it
        says what the inner estimator says.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmergecal.parameters import read_parameters, register_wrapper
    >>> class Tempered:
    ...     def __init__(self, model):
    ...         self.model_ = model
    >>> register_wrapper(Tempered, lambda tempered: tempered.model_, temperature=lambda _: 2.0)
    >>> model = LogisticRegression(max_iter=1000).fit(*load_iris(return_X_y=True))
    >>> bool((read_parameters(Tempered(model)).arrays["coef_"] == model.coef_ / 2).all())
    True
    """

    def scale(estimator: Estimator) -> float:
        return 1.0 if temperature is None else float(temperature(estimator))

    def read(estimator: Estimator) -> Parameters:
        return fold_temperature(read_parameters(inner(estimator)), scale(estimator))

    def write(estimator: Estimator, parameters: Parameters) -> Estimator:
        return write_parameters(inner(estimator), parameters)

    read_parameters.register(cls, read)
    write_parameters.register(cls, write)
    unwrap.register(cls, lambda estimator: (inner(estimator), scale(estimator)))


def fold_affine_input(parameters: Parameters, scale: Any, shift: Array) -> Parameters:
    """Let the first layer take x where it took x * scale + shift, or x @ scale + shift.

    A vector scales each feature, a (sparse) matrix of shape (n_in, n_out) mixes them.

    Raises
    ------
    IncompatibleEstimatorsError
        If the family did not say which arrays meet the input.
    """
    first = parameters.first
    if first is None:
        msg = (
            "the scaling before a member cannot be folded into it, because its first layer is "
            "not affine: scale the data outside of the members, or use method='logits'"
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


register_wrapper(FrozenEstimator, lambda frozen: frozen.estimator)
