"""Pipelines: the steps before the last one, what they do to rows, and samplers among them.

A sampler of imbalanced-learn (``fit_resample``) changes the rows that later steps are fitted on,
and does nothing when a Pipeline predicts. All questions about Pipelines are answered here.
"""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

from skmergecal._typing import Estimator

__all__ = [
    "fit_front",
    "gives_last_step",
    "is_pipeline",
    "resamples",
    "steps_before",
    "transform_before",
]


def is_pipeline(estimator: Any) -> bool:
    """Whether it is scikit-learn's Pipeline, or derives from it as imbalanced-learn's does."""
    return isinstance(estimator, Pipeline)


def _is_sampler(step: Any) -> bool:
    return hasattr(step, "fit_resample")


def _acts(step: Any) -> bool:
    return step is not None and not (isinstance(step, str) and step == "passthrough")


def steps_before(pipeline: Pipeline) -> list[tuple[str, Any]]:
    """The steps before the last one that rows to predict go through."""
    return [(n, s) for n, s in pipeline.steps[:-1] if _acts(s) and not _is_sampler(s)]


def transform_before(pipeline: Pipeline, X: Any) -> Any:
    """Rows as the last step of a fitted Pipeline takes them."""
    for _, step in steps_before(pipeline):
        X = step.transform(X)
    return X


def resamples(estimator: Estimator) -> bool:
    """Whether it is a Pipeline whose last step is fitted on other rows than those of ``fit``."""
    while is_pipeline(estimator):
        if any(_is_sampler(step) for _, step in estimator.steps[:-1]):
            return True
        estimator = estimator.steps[-1][1]
    return False


def fit_front(pipeline: Pipeline, X: Any, y: Any) -> tuple[list[tuple[str, Any]], Any, Any]:
    """Fit all steps but the last.

    Returns
    -------
    steps, X, y
        The fitted steps, and the rows and labels for the last one.
    """
    front = pipeline.steps[:-1]
    if not any(_is_sampler(step) for _, step in front):
        if not front:
            return [], X, y
        fitted = Pipeline(front, memory=pipeline.memory)
        Z = fitted.fit_transform(X, y)
        return fitted.steps, Z, y
    for _, step in front:
        if _is_sampler(step):
            X, y = step.fit_resample(X, y)
        elif hasattr(step, "fit_transform"):
            X = step.fit_transform(X, y)
        elif _acts(step):
            X = step.fit(X, y).transform(X)
    return front, X, y


def gives_last_step(pipeline: Pipeline) -> bool:
    """Whether its probabilities are those of the last step, for the rows as that takes them.

    Not where a step cannot transform, or where a derived class has a ``predict_proba`` of its own.
    A class that fits samplers needs one to pass them over, and so may have it where it has ``fit``.
    """
    if not all(hasattr(step, "transform") for _, step in steps_before(pipeline)):
        return False
    owner = next((cls for cls in type(pipeline).__mro__ if "predict_proba" in vars(cls)), Pipeline)
    if "predict_proba" in vars(pipeline):
        return False
    known = owner.__module__.partition(".")[0] in ("sklearn", "imblearn")
    return known or (resamples(pipeline) and bool({"fit", "_fit"} & set(vars(owner))))
