"""Nets that cannot be pickled, because pickle does not find the class of their module."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from skmergecal._optional import is_instance_of
from skmergecal._typing import Estimator

__all__ = ["check_picklable"]


def check_picklable(named: Iterable[tuple[str, Estimator]]) -> None:
    """Raise PicklingError, naming the member, where a net inside has a module of a local class."""
    for name, estimator in named:
        net = _last(estimator)
        if not is_instance_of(net, "skorch", "NeuralNet") or not hasattr(net, "module_"):
            continue
        lost = next((c for c in map(type, net.module_.modules()) if not _is_found(c)), None)
        if lost is None:
            continue
        try:
            pickle.dumps(net)  # its module may define how it is pickled
        except Exception as error:
            msg = (
                f"estimator {name!r} cannot be pickled: {lost.__module__}.{lost.__qualname__}, a "
                "class in its module, is not found under this name. Define the class at the top "
                f"level of a file that can be imported ({error})."
            )
            raise pickle.PicklingError(msg) from error


def _last(estimator: Any) -> Any:
    """The last estimator inside of Pipelines and wrappers."""
    while True:
        if getattr(estimator, "steps", None):
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "estimator") and not isinstance(estimator, type):
            estimator = estimator.estimator
        else:
            return estimator


def _is_found(kind: type) -> bool:
    try:
        return attrgetter(kind.__qualname__)(sys.modules[kind.__module__]) is kind
    except (AttributeError, KeyError):
        return False
