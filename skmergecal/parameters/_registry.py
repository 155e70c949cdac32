"""Registry of functions that read and write the parameters of estimators, open for extension.

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

import copy
import inspect
from collections.abc import Callable
from functools import singledispatch
from typing import Any

from sklearn.pipeline import Pipeline

from skmergecal._optional import is_instance_of
from skmergecal._typing import Estimator
from skmergecal._validation import check_list
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.members import LabelledEstimator
from skmergecal.parameters._architecture import PREPROCESSING
from skmergecal.parameters._parameters import Parameters

__all__ = ["add_loader", "check_estimators", "read_parameters", "write_parameters"]


@singledispatch
def _read(estimator: Estimator) -> Parameters:
    msg = (
        f"the parameters of {type(estimator).__name__} cannot be averaged: "
        "method='parameters' supports linear models, naive Bayes of counts, MLPClassifier, skorch "
        "nets, and Pipelines that end in these"
    )
    remedy = (
        "use method='logits', or register the class with skmergecal.parameters.read_parameters and "
        "write_parameters"
    )
    raise IncompatibleEstimatorsError(msg, remedy)


@singledispatch
def _write(estimator: Estimator, parameters: Parameters) -> Estimator:
    msg = (
        f"write_parameters has no function for {type(estimator).__name__}: register one, as for "
        "read_parameters"
    )
    raise IncompatibleEstimatorsError(msg)


#: Families of optional packages: module and name of the class, and a function to register it.
_LOADERS: list[tuple[str, str, Callable[[], None]]] = []


def add_loader(module: str, name: str, load: Callable[[], None]) -> None:
    """Call ``load`` when an instance of a class of an optional package is read or written."""
    _LOADERS.append((module, name, load))


class _Registry:
    """A singledispatch function that registers optional families when they are first used."""

    def __init__(self, function: Any, doc: str) -> None:
        self._function = function
        self.__doc__ = doc
        self.__signature__ = inspect.signature(function)

    def register(self, cls: type, function: Any = None) -> Any:
        """Register a function for a class; usable as a decorator."""
        return self._function.register(cls, function)

    def knows(self, estimator: Estimator) -> bool:
        """Whether a function is registered for the class of an estimator."""
        self._load(estimator)
        return self._function.dispatch(type(estimator)) is not self._function.dispatch(object)

    def _load(self, estimator: Estimator) -> None:
        for module, name, load in _LOADERS:
            if is_instance_of(estimator, module, name):
                load()

    def __call__(self, estimator: Estimator, *args: Any) -> Any:
        self._load(estimator)
        return self._function(estimator, *args)


read_parameters = _Registry(
    _read,
    """Read the parameters of a fitted estimator, which is not changed.

    Arrays are copied only if necessary. Classes are added with ``register``.

    Parameters
    ----------
    estimator : fitted estimator
        Of a class that is registered, or derives from one that is.

    Returns
    -------
    Parameters
        The arrays to average, and what must be the same in all members.

    Raises
    ------
    IncompatibleEstimatorsError
        If no function is registered for the class, or the parameters of this estimator cannot be
        averaged.

    See Also
    --------
    skmergecal.parameters.write_parameters : The way back.
    skmergecal.parameters.register_wrapper : For classes that only wrap a classifier.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmergecal.parameters import read_parameters
    >>> model = LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))
    >>> list(read_parameters(model).arrays)
    ['coef_', 'intercept_']
    """,
)


class _Writer(_Registry):
    """A registry of functions that write, which puts steps in front that a model lacks."""

    def __call__(self, estimator: Estimator, *args: Any) -> Any:
        written = super().__call__(estimator, *args)
        front = getattr(args[0], "architecture", {}).get(PREPROCESSING)
        if front is None or isinstance(written, Pipeline | LabelledEstimator):
            return written
        return Pipeline([*copy.deepcopy(front.steps), ("classifier", written)])


write_parameters = _Writer(
    _write,
    """Make a new estimator that holds the parameters.

    Classes are added with ``register``.

    Parameters
    ----------
    estimator : fitted estimator
        Whose type and settings the new one gets; it is not changed.
    parameters : Parameters
        Those that the new estimator gets.

    Returns
    -------
    estimator
        Fitted. That of a Pipeline is its last step, where all before it is affine (scalers, PCA):
        that is part of the parameters then. Other steps stay, and columns that steps dropped,
        which may hold text, are dropped by a step in front.

    Raises
    ------
    IncompatibleEstimatorsError
        If no function is registered for the class of the estimator.

    See Also
    --------
    skmergecal.parameters.read_parameters : Reads the parameters.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmergecal.parameters import fold_temperature, read_parameters, write_parameters
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=500).fit(X, y)
    >>> softer = write_parameters(model, fold_temperature(read_parameters(model), 2.0))
    >>> model.predict_proba(X[:1]).round(2), softer.predict_proba(X[:1]).round(2)
    (array([[0.98, 0.02, 0.  ]]), array([[0.88, 0.12, 0.  ]]))
    """,
)


def check_estimators(estimators: Any, name: str = "estimators") -> list[Estimator]:
    """At least one estimator; what has no ``fit`` has to be of a registered class."""
    what = "fitted estimator"
    found = check_list(name, estimators, what)
    for number, one in enumerate(found):
        if isinstance(one, type) or not (hasattr(one, "fit") or read_parameters.knows(one)):
            msg = f"{name} should be a list of at least one {what}; number {number} is {one!r}"
            raise ValueError(msg)
    return found
