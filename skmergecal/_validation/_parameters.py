"""Checks of settings of functions and estimators, in scikit-learn's vocabulary."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from numbers import Real
from typing import Any, ParamSpec, TypeVar

from skmergecal._compat import Interval, validate_parameter_constraints

__all__ = ["LARGEST_LOGIT", "NON_NEGATIVE", "POSITIVE", "TEMPERATURE", "check_parameters"]

#: Logits are clipped to this absolute value, so that their squares are finite.
LARGEST_LOGIT = 1e150

#: Constraints that estimators and functions share.
NON_NEGATIVE = Interval(Real, 0, None, closed="left")
POSITIVE = Interval(Real, 0, None, closed="neither")
TEMPERATURE = Interval(Real, 1 / LARGEST_LOGIT, None, closed="left")

P = ParamSpec("P")
R = TypeVar("R")


def check_parameters(**constraints: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator that checks settings of a function as scikit-learn checks those of an estimator.

    Parameters
    ----------
    **constraints : list
        What each parameter may be, in the vocabulary of ``_parameter_constraints``. Defaults are
        not checked.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError:  # Python's own error names the function
                return function(*args, **kwargs)
            validate_parameter_constraints(constraints, given, caller_name=function.__name__)
            return function(*args, **kwargs)

        return checked

    return decorate
