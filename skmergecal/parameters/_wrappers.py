"""Wrappers around estimators: functions that register and unwrap them.

Six functions get what is inside of an estimator:

======================  ============================================  ==========================
function                goes through                                  returns
======================  ============================================  ==========================
``unfrozen``            one FrozenEstimator                           what it holds
``unfitted_last_step``  Pipelines, but no FrozenEstimator             the step that will be
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

The first three are in ``members``, which needs them to predict; the others are here, because they
are needed to read parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import singledispatch
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skmergecal._pipelines import is_pipeline
from skmergecal._typing import Array, Estimator
from skmergecal._validation import check_parameters
from skmergecal.members import LabelledEstimator
from skmergecal.parameters._fold import fold_temperature
from skmergecal.parameters._parameters import Parameters
from skmergecal.parameters._registry import read_parameters, write_parameters

__all__ = ["last_classifier", "register_wrapper", "unwrap_one"]


@check_parameters(cls=[type], inner=[callable], temperature=[callable, None])
def register_wrapper(
    cls: type,
    inner: Callable[[Any], Estimator],
    *,
    temperature: Callable[[Any], float] | None = None,
) -> None:
    """Register a class whose instances wrap an estimator of a registered family.

    Parameters are read through the wrapper, including inside a Pipeline or another wrapper, and
    the merged estimator has the inner estimator's type.

    Parameters
    ----------
    cls : type
        The class of the wrapper.
    inner : callable
        Returns the fitted inner estimator of a fitted wrapper.
    temperature : callable, default=None
        Returns the number by which a fitted wrapper divides the inner estimator's logits; None:
        the wrapper predicts the same as the inner estimator.

    See Also
    --------
    skmergecal.parameters.read_parameters : Reads through wrappers.

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
    """The estimator inside a wrapper, and the temperature by which its logits are divided."""
    return estimator, 1.0


def unwrap(estimators: Sequence[Estimator]) -> tuple[list[Estimator], Array]:
    """The estimators inside any number of wrappers, and the products of their temperatures."""
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
    while is_pipeline(estimator):
        (estimator,), _ = unwrap([estimator.steps[-1][1]])
    return estimator


register_wrapper(FrozenEstimator, lambda frozen: frozen.estimator)


@read_parameters.register(LabelledEstimator)
def _read_labelled(estimator: LabelledEstimator) -> Parameters:
    parameters = read_parameters(estimator.estimator)
    labels = {"classes": tuple(estimator.classes_.tolist())}
    known = labels if "classes" in parameters.architecture else {}
    return replace(parameters, architecture={**parameters.architecture, **known})


@write_parameters.register(LabelledEstimator)
def _write_labelled(estimator: LabelledEstimator, parameters: Parameters) -> Estimator:
    written = write_parameters(estimator.estimator, parameters)
    return LabelledEstimator(written, estimator.classes)
