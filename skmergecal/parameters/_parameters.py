"""Parameters: a record of the arrays and the architecture of a fitted estimator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from skmergecal._networks import BatchNorm, Network
from skmergecal._typing import Estimator

__all__ = ["FirstLayer", "Parameters"]


@dataclass(frozen=True)
class FirstLayer:
    """The affine map applied to the input: x W + b, or x W' + b if features are the last axis.

    Attributes
    ----------
    weight, bias : str
        Names of the arrays.
    feature_axis : int
        Axis of the weight that indexes the features.

    See Also
    --------
    skmergecal.parameters.Parameters : Has one as ``first``.
    skmergecal.parameters.fold_affine_input : Folds scalers into it.

    Examples
    --------
    >>> from skmergecal.parameters import FirstLayer
    >>> FirstLayer(weight="coef_", bias="intercept_", feature_axis=1)  # of a linear model
    FirstLayer(weight='coef_', bias='intercept_', feature_axis=1)
    """

    weight: str
    bias: str
    feature_axis: int


@dataclass(frozen=True)
class Parameters:
    """Arrays of a fitted estimator that are averaged, and the architecture that has to agree.

    Attributes
    ----------
    arrays : dict of str to ndarray
        Named parameters. Floating-point arrays are averaged, integer arrays are copied from the
        estimator of largest weight.
    architecture : dict of str to object
        Properties that have to be the same in all members, in the order of comparison.
    first : FirstLayer or None
        The layer that preprocessing can be folded into.
    output : tuple of str
        Names of the arrays that give the logits: dividing them by T divides the logits by T.
    network : Network or None
        Description of how the logits are computed from the arrays, needed to align hidden units.
    untraceable : str or None
        Why the network could not be described, if that was tried.
    columns : tuple of int or None
        The columns of the input that the first layer takes, in ascending order; the others, which
        may hold text, are dropped before it. None: it takes all.

    See Also
    --------
    skmergecal.parameters.average_parameters : Averages those of several estimators.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmergecal.parameters import read_parameters
    >>> X, y = load_iris(return_X_y=True)
    >>> parameters = read_parameters(LogisticRegression(max_iter=500).fit(X, y))
    >>> {name: array.shape for name, array in parameters.arrays.items()}
    {'coef_': (3, 4), 'intercept_': (3,)}
    >>> parameters.output, parameters.gives_linear_logits
    (('coef_', 'intercept_'), True)
    """

    arrays: Mapping[str, np.ndarray]
    architecture: Mapping[str, object]
    first: FirstLayer | None = None
    output: tuple[str, ...] = field(default=())
    network: Network | None = None
    untraceable: str | None = None
    columns: tuple[int, ...] | None = None

    @property
    def takes_any_width(self) -> bool:
        """Whether an estimator can be written that takes an input of another width."""
        return self.first is not None and self.architecture.get("n_features") is not None

    def with_input(self, n_features: int) -> Self:
        """The same arrays, described for an input of so many columns.

        Parameters
        ----------
        n_features : int
            Number of columns.

        Returns
        -------
        `Parameters`
            With ``first`` and ``network`` of that width.
        """
        if self.network is None:
            return self
        return replace(self, network=replace(self.network, n_features=n_features))

    def for_rows(self, X: Any) -> Self:
        """The same arrays, described for rows like these.

        Parameters
        ----------
        X : array-like, or dict of str to ndarray
            A few rows, preprocessed as the estimator expects them.

        Returns
        -------
        `Parameters`
            Those of a net get a ``network`` for so many columns, or for several inputs; all others
            are the same.
        """
        return self

    @property
    def gives_linear_logits(self) -> bool:
        """Whether the logits are linear in the arrays: there are none besides the last layer's."""
        return bool(self.arrays) and set(self.arrays) <= set(self.output)

    @property
    def has_statistics(self) -> bool:
        """Whether some arrays are means and variances of rows, which are measured after a merge."""
        return self.network is not None and any(
            isinstance(node, BatchNorm) for node in self.network.nodes
        )


def describe_features(estimator: Estimator) -> dict[str, object]:
    """Number and names of the features, as parts of an architecture."""
    names = getattr(estimator, "feature_names_in_", None)
    return {
        "n_features": getattr(estimator, "n_features_in_", None),
        "feature_names": None if names is None else tuple(names),
    }


def set_features(estimator: Estimator, parameters: Parameters) -> None:
    """Set number and names of the features of an estimator to those of its parameters."""
    estimator.n_features_in_ = parameters.architecture["n_features"]
    names = parameters.architecture["feature_names"]
    if names is not None:
        estimator.feature_names_in_ = np.array(names, dtype=object)
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_
