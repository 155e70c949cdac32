"""Parameters of a fitted estimator, as one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from skmergecal._networks import Network
from skmergecal._typing import Estimator

__all__ = ["FirstLayer", "Parameters"]


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
