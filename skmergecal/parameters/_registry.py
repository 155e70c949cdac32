"""The open registry: how the parameters of an estimator are read and written.

A family registers two functions, `read_parameters` and `write_parameters`, for its class::

    @read_parameters.register(MyNet)
    def _(estimator):
        return Parameters(
            arrays={"weight": estimator.weight_},
            architecture={"family": "MyNet", "n_features": estimator.n_features_in_},
        )

    @write_parameters.register(MyNet)
    def _(estimator, parameters):
        merged = clone(estimator)
        merged.weight_, merged.classes_ = parameters.arrays["weight"], estimator.classes_
        return merged
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

import numpy as np

from skmergecal._optional import is_instance_of, optional_import
from skmergecal._typing import Estimator
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters._network import Network

__all__ = ["FirstLayer", "Parameters", "read_parameters", "unwrap", "write_parameters"]


@dataclass(frozen=True)
class FirstLayer:
    """The affine map that meets the input: x W + b, or x W' + b with the features last.

    Attributes
    ----------
    weight, bias : str
        Names of its arrays.
    feature_axis : int
        Axis of the weight along which the features run.
    """

    weight: str
    bias: str
    feature_axis: int


@dataclass(frozen=True)
class Parameters:
    """Everything of a fitted estimator that averaging touches, and what must agree.

    Attributes
    ----------
    arrays : dict of str to ndarray
        Named parameters. Floating ones are averaged, integer ones are copied.
    architecture : dict of str to object
        What must be the same in all members, in the order in which it is compared.
    first : FirstLayer or None
        Where preprocessing can be folded in.
    output : tuple of str
        The arrays that give the logits: divided by T, they divide the logits by T.
    network : Network or None
        How the arrays become logits: with it, hidden units can be aligned.
    untraceable : str or None
        Why there is no such description where one was looked for.
    """

    arrays: Mapping[str, np.ndarray]
    architecture: Mapping[str, object]
    first: FirstLayer | None = None
    output: tuple[str, ...] = field(default=())
    network: Network | None = None
    untraceable: str | None = None

    @property
    def gives_linear_logits(self) -> bool:
        """Whether the logits are linear in the arrays: the last layer is all that there is."""
        return bool(self.arrays) and set(self.arrays) <= set(self.output)


def describe_features(estimator: Estimator) -> dict[str, object]:
    """Number and names of the features, as parts of an architecture."""
    names = getattr(estimator, "feature_names_in_", None)
    return {
        "n_features": getattr(estimator, "n_features_in_", None),
        "feature_names": None if names is None else tuple(names),
    }


def set_features(estimator: Estimator, parameters: Parameters) -> None:
    """Give an estimator the features that its parameters belong to."""
    estimator.n_features_in_ = parameters.architecture["n_features"]
    names = parameters.architecture["feature_names"]
    if names is not None:
        estimator.feature_names_in_ = np.array(names, dtype=object)
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_


@singledispatch
def _read(estimator: Estimator) -> Parameters:
    msg = (
        f"the parameters of {type(estimator).__name__} cannot be averaged: "
        "method='parameters' knows linear models, naive Bayes of counts, MLPClassifier, skorch "
        "nets, and Pipelines that end in these. Use method='logits', or register the class with "
        "skmergecal.parameters.read_parameters and write_parameters."
    )
    raise IncompatibleEstimatorsError(msg)


@singledispatch
def _write(estimator: Estimator, parameters: Parameters) -> Estimator:
    msg = f"write_parameters is not registered for {type(estimator).__name__}"
    raise IncompatibleEstimatorsError(msg)


class _Registry:
    """A singledispatch function that learns of skorch once somebody has loaded it."""

    def __init__(self, function: Any, doc: str) -> None:
        self._function = function
        self.__doc__ = doc

    def register(self, cls: type, function: Any = None) -> Any:
        """Register a function for a class; usable as a decorator."""
        return self._function.register(cls, function)

    def __call__(self, estimator: Estimator, *args: Any) -> Any:
        if is_instance_of(estimator, "skorch", "NeuralNet"):
            optional_import("torch", extra="neural", purpose="merging skorch members")
            from skmergecal.parameters import _skorch

            _skorch.register()
        return self._function(estimator, *args)


read_parameters = _Registry(
    _read,
    """Read the parameters of a fitted estimator: ``read_parameters(estimator) -> Parameters``.

    Nothing is copied that need not be, nothing is changed. Classes are added with ``register``.

    Raises
    ------
    IncompatibleEstimatorsError
        If no function is registered for the class of the estimator.
    """,
)
write_parameters = _Registry(
    _write,
    """Make an estimator: ``write_parameters(like, parameters) -> estimator``.

    The result is a new estimator of the type of ``like`` that holds the parameters; ``like`` is
    not changed. Classes are added with ``register``.
    """,
)


@singledispatch
def unwrap(estimator: Estimator) -> tuple[Estimator, float]:
    """The estimator within a wrapper, and the temperature by which its logits are divided."""
    return estimator, 1.0
