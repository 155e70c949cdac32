"""Steps before models in which text may be missing: for skl2onnx, missing text is no category."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

from skmergecal.onnx._graph import need
from skmergecal.onnx._rows import is_missing

__all__ = ["conversions_of_steps"]


def conversions_of_steps() -> dict[type, Callable[..., None]]:
    """What `skl2onnx.convert_sklearn` takes as ``custom_conversion_functions``."""
    encoders = (OneHotEncoder, OrdinalEncoder, TargetEncoder)
    return {**dict.fromkeys(encoders, _encoder), SimpleImputer: _imputer}


def _convert(scope: Any, operator: Any, container: Any, other: Any) -> None:
    """Convert another step in the place of that of an operator, by the converter of its kind."""
    step = operator.raw_operator
    operator.raw_operator = other
    try:
        need("skl2onnx.common._registration").get_converter(operator.type)(
            scope, operator, container
        )
    finally:
        operator.raw_operator = step


def _takes_text(operator: Any) -> list[bool]:
    """Whether each column that an operator takes is text."""
    text = need("skl2onnx.common.data_types").StringTensorType
    return [
        isinstance(given.type, text)
        for given in operator.inputs
        for _ in range(given.get_second_dimension() or 0)
    ]


def _encoder(scope: Any, operator: Any, container: Any) -> None:
    """Encoders, with the empty string in the place of a category of missing text."""
    step = operator.raw_operator
    columns = zip(_takes_text(operator), step.categories_, strict=True)
    known = [_with_empty_text(labels) if text else labels for text, labels in columns]
    changed = any(new is not old for new, old in zip(known, step.categories_, strict=True))
    if isinstance(step, OrdinalEncoder):
        coded = is_missing(step.encoded_missing_value)  # as NaN, where skl2onnx has a number
        if changed or (coded and any(map(is_missing, (labels[-1] for labels in known)))):
            msg = (
                "its OrdinalEncoder learned missing values as a category, for which skl2onnx has "
                "another code: fill them before the fit, with X.fillna for example"
            )
            raise TypeError(msg)
    other = copy.copy(step)
    other.categories_ = known
    _convert(scope, operator, container, other)


def _with_empty_text(labels: Any) -> Any:
    missing = [is_missing(label) for label in labels.tolist()]
    if not any(missing):
        return labels
    if sum(missing) + ("" in labels.tolist()) > 1:
        msg = (
            "an encoder learned more than one category of None, NaN and '', which are one in "
            "ONNX, the empty string: replace them before the fit, with X.fillna('') for example"
        )
        raise TypeError(msg)
    return np.where(missing, "", labels).astype(object)


def _imputer(scope: Any, operator: Any, container: Any) -> None:
    """Imputers, that of text with the empty string for None and NaN."""
    step = other = operator.raw_operator
    if all(_takes_text(operator)) and is_missing(step.missing_values):
        other = copy.copy(step)
        other.missing_values = ""
    _convert(scope, operator, container, other)
