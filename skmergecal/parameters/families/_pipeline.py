"""Pipelines: affine steps are folded into the first layer, others must be the same in all.

Columns that a step drops are dropped by the merged estimator, too: they may hold text, or NaN.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from skmergecal._pipelines import steps_before
from skmergecal._typing import Estimator
from skmergecal.parameters._architecture import PREPROCESSING
from skmergecal.parameters._fold import fold_affine_input
from skmergecal.parameters._parameters import Parameters, describe_features
from skmergecal.parameters._registry import read_parameters, write_parameters
from skmergecal.parameters.families._affine_steps import AffineStep, is_identity, read_affine
from skmergecal.parameters.families._identical import are_identical


class Steps:
    """Fitted steps that remain before the model; equal if their fitted states are the same.

    Parameters
    ----------
    steps : list of (str, transformer)
    folded : list of transformer
        The steps after them that were folded into the first layer; they are not compared.
    """

    def __init__(self, steps: Sequence[tuple[str, Any]], folded: Sequence[Any] = ()) -> None:
        self.steps, self.folded = list(steps), list(folded)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Steps) and are_identical(
            [step for _, step in self.steps], [step for _, step in other.steps]
        )

    def __repr__(self) -> str:
        return " and ".join(f"the step {type(step).__name__}" for _, step in self.steps)


def _foldable(parameters: Parameters, step: Any) -> AffineStep | None:
    """The affine map of a step if it can be folded into the first layer, else None."""
    affine = read_affine(step)
    first = parameters.first
    if affine is None or first is None or PREPROCESSING in parameters.architecture:
        return None
    # Families without n_features (skorch) build the first layer with a fixed width, so only steps
    # that keep the number of features can be folded in. The layer that a net defines first may be
    # another one than that which takes the rows.
    if parameters.architecture.get("n_features") is None:
        width = parameters.arrays[first.weight].shape[first.feature_axis]
        fits = affine.keeps_width and affine.columns is None and width == len(affine.shift)
        return affine if fits else None
    return affine if parameters.columns is None else affine.of(parameters.columns)


def _folded(parameters: Parameters, affine: AffineStep, step: Any) -> Parameters:
    """Parameters that take the input of a step; columns that it ignores stay out of them."""
    columns = affine.columns
    scale = affine.scale if columns is None else affine.scale.tocsr()[list(columns)]
    parameters = replace(fold_affine_input(parameters, scale, affine.shift), columns=columns)
    if parameters.architecture.get("n_features") is None:
        return parameters
    features = {**describe_features(step), "n_features": affine.scale.shape[0]}
    architecture = {**parameters.architecture, **features}
    return replace(parameters, architecture=architecture)


def _read(pipeline: Pipeline) -> Parameters:
    steps = steps_before(pipeline)
    parameters = read_parameters(pipeline.steps[-1][1])
    folded: list[Any] = []
    while steps and (affine := _foldable(parameters, steps[-1][1])) is not None:
        folded.insert(0, steps.pop()[1])
        parameters = _folded(parameters, affine, folded[0])
    if not steps:
        return parameters
    architecture = dict(parameters.architecture)
    inner = architecture.pop(PREPROCESSING, None)
    if isinstance(inner, Steps):
        steps, folded = steps + inner.steps, inner.folded
    kept = Steps(steps, folded)
    return replace(parameters, architecture={PREPROCESSING: kept, **architecture})


def steps_in_front(parameters: Parameters) -> list[tuple[str, Any]]:
    """The fitted steps that were not folded in, and one that drops columns if some are."""
    kept = parameters.architecture.get(PREPROCESSING)
    steps = kept.steps if isinstance(kept, Steps) else []
    if parameters.columns is None:
        return steps
    name = "drop_columns"
    while name in dict(steps):
        name += "_"
    return [*steps, (name, _column_picker(parameters))]


def _column_picker(parameters: Parameters) -> ColumnTransformer:
    """A fitted transformer of scikit-learn that passes some columns on, by name if these have any.

    Text in the columns that it drops is never looked at.
    """
    rows = np.zeros((1, cast(int, parameters.architecture["n_features"])))
    picker = ColumnTransformer([("picked", "passthrough", list(parameters.columns or ()))])
    picker = picker.set_output(transform="default").fit(rows)
    names = parameters.architecture["feature_names"]
    if names is not None:
        picker.feature_names_in_ = np.array(names, dtype=object)
    return picker


def only_drops_columns(step: Any) -> bool:
    """Whether a fitted step passes the columns that it does not drop on as they are."""
    return isinstance(step, ColumnTransformer) and all(
        isinstance(part, str) or is_identity(part) for _, part, _ in step.transformers_
    )


def _write(pipeline: Pipeline, parameters: Parameters) -> Estimator:
    front = steps_in_front(parameters)
    architecture = dict(parameters.architecture)
    architecture.pop(PREPROCESSING, None)
    if parameters.columns is not None:
        architecture.update(n_features=len(parameters.columns), feature_names=None)
    name, final = pipeline.steps[-1]
    final = write_parameters(final, replace(parameters, architecture=architecture, columns=None))
    return Pipeline([*copy.deepcopy(front), (name, final)]) if front else final


read_parameters.register(Pipeline, _read)
write_parameters.register(Pipeline, _write)
