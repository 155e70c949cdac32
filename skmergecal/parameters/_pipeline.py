"""Pipelines of element-wise affine scalers: they are folded into the first layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from skmergecal._typing import Array, Estimator
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters._average import fold_affine_input
from skmergecal.parameters._registry import (
    Parameters,
    describe_features,
    read_parameters,
    write_parameters,
)


def _centred(step: Any, centre: Any, scale: Any) -> tuple[Array, Array]:
    """(x - centre) / scale as x * a + b."""
    n = step.n_features_in_
    divisor = np.ones(n) if scale is None else np.asarray(scale, dtype=np.float64)
    offset = np.zeros(n) if centre is None else np.asarray(centre, dtype=np.float64)
    return 1 / divisor, -offset / divisor


_AFFINE: dict[type, Callable[[Any], tuple[Array, Array]]] = {
    StandardScaler: lambda s: _centred(s, s.mean_ if s.with_mean else None, s.scale_),
    RobustScaler: lambda s: _centred(
        s, s.center_ if s.with_centering else None, s.scale_ if s.with_scaling else None
    ),
    MaxAbsScaler: lambda s: _centred(s, None, s.scale_),
    MinMaxScaler: lambda s: (s.scale_, s.min_),
}


def _affine(step: Any) -> tuple[Array, Array]:
    """Scale and shift of a fitted step, x * scale + shift."""
    found = _AFFINE.get(type(step))
    if found is None or getattr(step, "clip", False):
        msg = (
            f"the step {type(step).__name__} before a member cannot be folded into its first "
            f"layer; these can: {', '.join(cls.__name__ for cls in _AFFINE)} (without clip). "
            "Transform the data outside of the members, or use method='logits'."
        )
        raise IncompatibleEstimatorsError(msg)
    return found(step)


def _read(pipeline: Pipeline) -> Parameters:
    steps = [s for _, s in pipeline.steps[:-1] if s is not None and s != "passthrough"]
    final = pipeline.steps[-1][1]
    parameters = read_parameters(final)
    for step in reversed(steps):
        parameters = fold_affine_input(parameters, *_affine(step))
    if steps and parameters.architecture.get("n_features") is not None:
        features = describe_features(steps[0])
        parameters = replace(parameters, architecture={**parameters.architecture, **features})
    return parameters


def _write(pipeline: Pipeline, parameters: Parameters) -> Estimator:
    return write_parameters(pipeline.steps[-1][1], parameters)


read_parameters.register(Pipeline, _read)
write_parameters.register(Pipeline, _write)
