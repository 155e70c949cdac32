"""Steps before models that skl2onnx converts otherwise than scikit-learn computes them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import Binarizer, OneHotEncoder, OrdinalEncoder, TargetEncoder

from skmergecal.onnx._encoders import convert_encoder, shape_of_encoder
from skmergecal.onnx._graph import need
from skmergecal.onnx._rows import is_missing
from skmergecal.onnx._transformers import (
    TRANSFORMERS,
    convert_transformer,
    shape_of_transformer,
)

__all__ = ["conversions_of_steps", "shapes_of_steps"]

_ENCODERS = (OneHotEncoder, OrdinalEncoder, TargetEncoder)


def shapes_of_steps() -> dict[type, Callable[..., None]]:
    """What `skl2onnx.convert_sklearn` takes as ``custom_shape_calculators``."""
    return {
        **dict.fromkeys(_ENCODERS, shape_of_encoder),
        **dict.fromkeys(TRANSFORMERS, shape_of_transformer),
        SimpleImputer: _shape_of_imputer,
    }


def conversions_of_steps() -> dict[type, Callable[..., None]]:
    """What `skl2onnx.convert_sklearn` takes as ``custom_conversion_functions``."""
    return {
        **dict.fromkeys(_ENCODERS, _encoder),
        **dict.fromkeys(TRANSFORMERS, convert_transformer),
        SimpleImputer: _imputer,
        Binarizer: _binarizer,
    }


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
    convert_encoder(scope, operator, container, known)


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


def _shape_of_imputer(operator: Any) -> None:
    if any(_takes_text(operator)):
        need("skl2onnx.common._registration").get_shape_calculator(operator.type)(operator)
    else:
        shape_of_transformer(operator)


def _imputer(scope: Any, operator: Any, container: Any) -> None:
    """Imputers, that of text with the empty string for None and NaN."""
    step = other = operator.raw_operator
    if not any(_takes_text(operator)):
        convert_transformer(scope, operator, container)
        return
    if all(_takes_text(operator)) and is_missing(step.missing_values):
        other = copy.copy(step)
        other.missing_values = ""
    _convert(scope, operator, container, other)


def _binarizer(scope: Any, operator: Any, container: Any) -> None:
    """Binarizers, which in double precision give 1 for the threshold itself in skl2onnx."""
    step = other = operator.raw_operator
    if isinstance(operator.inputs[0].type, need("skl2onnx.common.data_types").DoubleTensorType):
        other = copy.copy(step)
        other.threshold = np.nextafter(float(step.threshold), np.inf)
    _convert(scope, operator, container, other)
