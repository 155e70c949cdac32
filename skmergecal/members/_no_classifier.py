"""Errors for objects that cannot be members, each with what can be done about it."""

from __future__ import annotations

import inspect
from typing import Any

from sklearn.base import BaseEstimator, ClassifierMixin

from skmergecal._compat import tags_of
from skmergecal.members._skorch import is_skorch

__all__ = ["gives_probabilities", "refuse_no_classifier"]

_WHAT_CAN = (
    "Once fitted, any object with classes_ and predict_proba can be used as it is: "
    "MergedClassifier.from_fitted, or FrozenEstimator(object)"
)


def gives_probabilities(fitted: Any) -> bool:
    """Whether an object, of whatever class, has what it takes to be a fitted member."""
    instance = not isinstance(fitted, type)
    return instance and hasattr(fitted, "classes_") and hasattr(fitted, "predict_proba")


def refuse_no_classifier(name: str, inner: Any) -> None:
    """Raise an error that says what an object is, unless it is a classifier.

    Raises
    ------
    TypeError
        If it is no estimator at all.
    ValueError
        If it is another one.
    """
    what = type(inner).__name__
    should = f"estimator {name!r} should be a classifier"
    if isinstance(inner, type):
        msg = f"{should} instance; got {inner!r}: call the class, as in {inner.__name__}()"
        raise TypeError(msg)
    if not hasattr(inner, "fit"):
        msg = f"{should} instance; got a {what}, which has no fit: {_advice(inner)}"
        raise TypeError(msg)
    tags = tags_of(inner)
    if tags is None or tags.estimator_type != "classifier":
        msg = f"{should}; {what} is not one: {_no_tag(inner)}"
        raise ValueError(msg)


def _advice(inner: Any) -> str:
    """For what has no ``fit``."""
    what = type(inner).__name__
    if hasattr(inner, "__array__") or isinstance(inner, list | tuple | dict):
        return (
            "predictions that are stored are merged by MergedClassifier.from_predictions, "
            "and logits are calibrated by TemperatureCalibrator()"
        )
    if what == "Booster" and type(inner).__module__.partition(".")[0] == "xgboost":
        return (
            "save it with save_model(path), and read it by the method load_model(path) of an "
            "xgboost.XGBClassifier()"
        )
    if inspect.isroutine(inner) or not hasattr(inner, "classes_"):
        return f"write a class that calls it in predict_proba, and has classes_. {_WHAT_CAN}"
    return _WHAT_CAN


def _no_tag(inner: Any) -> str:
    """For what has ``fit``, but does not say that it is a classifier."""
    cls = type(inner)
    if is_skorch(inner):
        return "use skorch.NeuralNetClassifier"
    tags = tags_of(inner)
    if isinstance(inner, ClassifierMixin):
        return f"name ClassifierMixin before BaseEstimator among the bases of {cls.__name__}"
    if not hasattr(inner, "predict_proba"):
        if tags is None:
            return f"write a class that calls it in predict_proba, and has classes_. {_WHAT_CAN}"
        return "regressors and transformers cannot be merged or calibrated"
    base = "" if isinstance(inner, BaseEstimator) else "BaseEstimator, "
    return (
        f"if it is one, say so: class Named(ClassifierMixin, {base}{cls.__name__}): pass. Or fit "
        f"it first. {_WHAT_CAN}"
    )
