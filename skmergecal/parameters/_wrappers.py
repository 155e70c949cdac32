"""Wrappers around estimators: registered, and unwrapped.

There are six words for what is inside of an estimator, in three layers:

======================  ============================================  ==========================
function                goes through                                  gives
======================  ============================================  ==========================
``unfrozen``            one FrozenEstimator                           what it holds
``unfitted_last_step``  Pipelines; a FrozenEstimator stays closed     the step that will be
                                                                      fitted last
``fitted_last_step``    FrozenEstimators, fitted Pipelines and        the last classifier, and
                        searches                                      the rows that it takes
``unwrap_one``          one registered wrapper (FrozenEstimator, our  its inner estimator, and
                        own estimators)                               its temperature
``unwrap``              registered wrappers within each other         the same, temperatures
                                                                      multiplied
``last_classifier``     Pipelines and registered wrappers, in any     the last classifier
                        order
======================  ============================================  ==========================

The first three are in ``members``, which reads opinions; the others are here, where parameters are
read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skmergecal._typing import Array, Estimator
from skmergecal.parameters._fold import fold_temperature
from skmergecal.parameters._parameters import Parameters
from skmergecal.parameters._registry import read_parameters, write_parameters

__all__ = ["last_classifier", "register_wrapper", "unwrap_one"]


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
    unwrap_one.register(cls, lambda estimator: (inner(estimator), scale(estimator)))


@singledispatch
def unwrap_one(estimator: Estimator) -> tuple[Estimator, float]:
    """The estimator within a wrapper, and the temperature by which its logits are divided."""
    return estimator, 1.0


def unwrap(estimators: Sequence[Estimator]) -> tuple[list[Estimator], Array]:
    """What is within wrappers, whatever their number, and the product of their temperatures."""
    found, temperatures = [], []
    for estimator in estimators:
        product, outer = 1.0, None
        while estimator is not outer:
            outer = estimator
            estimator, temperature = unwrap_one(outer)
            product *= temperature
        found.append(estimator)
        temperatures.append(product)
    return found, np.array(temperatures)


def last_classifier(estimator: Estimator) -> Estimator:
    """The classifier at the end of Pipelines and wrappers."""
    (estimator,), _ = unwrap([estimator])
    while isinstance(estimator, Pipeline):
        (estimator,), _ = unwrap([estimator.steps[-1][1]])
    return estimator


register_wrapper(FrozenEstimator, lambda frozen: frozen.estimator)
