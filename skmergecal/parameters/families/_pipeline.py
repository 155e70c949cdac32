"""Pipelines: affine steps are folded into the first layer, others must be the same in all."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sklearn.pipeline import Pipeline

from skmergecal._typing import Estimator
from skmergecal.parameters._architecture import PREPROCESSING
from skmergecal.parameters._fold import fold_affine_input
from skmergecal.parameters._parameters import Parameters, describe_features
from skmergecal.parameters._registry import read_parameters, write_parameters
from skmergecal.parameters.families._affine_steps import AffineStep, read_affine
from skmergecal.parameters.families._identical import are_identical


class Steps:
    """Fitted steps that remain before the model; equal if their fitted states are the same.

    Parameters
    ----------
    steps : list of (str, transformer)
    """

    def __init__(self, steps: Sequence[tuple[str, Any]]) -> None:
        self.steps = list(steps)

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Steps) and are_identical(
            [step for _, step in self.steps], [step for _, step in other.steps]
        )

    def __repr__(self) -> str:
        return " and ".join(f"the step {type(step).__name__}" for _, step in self.steps)


def _foldable(parameters: Parameters, step: Any) -> AffineStep | None:
    """The affine map of a step if it can be folded into the first layer, else None."""
    affine = read_affine(step)
    if affine is None or parameters.first is None or PREPROCESSING in parameters.architecture:
        return None
    # Families without n_features (skorch) build the first layer with a fixed width, so only steps
    # that keep the number of features can be folded in.
    any_width = parameters.architecture.get("n_features") is not None
    return affine if any_width or affine.keeps_width else None


def _read(pipeline: Pipeline) -> Parameters:
    steps = [(n, s) for n, s in pipeline.steps[:-1] if s is not None and s != "passthrough"]
    parameters = read_parameters(pipeline.steps[-1][1])
    while steps and (affine := _foldable(parameters, steps[-1][1])) is not None:
        parameters = fold_affine_input(parameters, affine.scale, affine.shift)
        _, step = steps.pop()
        if parameters.architecture.get("n_features") is not None:
            architecture = {**parameters.architecture, **describe_features(step)}
            parameters = replace(parameters, architecture=architecture)
    if not steps:
        return parameters
    architecture = dict(parameters.architecture)
    inner = architecture.pop(PREPROCESSING, None)
    kept = Steps(steps + (inner.steps if isinstance(inner, Steps) else []))
    return replace(parameters, architecture={PREPROCESSING: kept, **architecture})


def _write(pipeline: Pipeline, parameters: Parameters) -> Estimator:
    architecture = dict(parameters.architecture)
    kept = architecture.pop(PREPROCESSING, None)
    name, final = pipeline.steps[-1]
    final = write_parameters(final, replace(parameters, architecture=architecture))
    if not isinstance(kept, Steps):
        return final
    return Pipeline([*copy.deepcopy(kept.steps), (name, final)])


read_parameters.register(Pipeline, _read)
write_parameters.register(Pipeline, _write)
