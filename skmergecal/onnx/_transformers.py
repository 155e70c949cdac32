"""Transformers of numbers in ONNX, in double precision, as scikit-learn computes them.

skl2onnx rounds bins, imputed values and products to single precision, in which a value at the edge
of a bin or of a tree's split may fall on the other side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import KBinsDiscretizer, PolynomialFeatures, PowerTransformer

from skmergecal._compat import scaler_of_power
from skmergecal._typing import Array, IntArray
from skmergecal.onnx._graph import DOUBLE, FLOAT, need
from skmergecal.onnx._nodes import Nodes
from skmergecal.onnx._rows import is_missing

__all__ = ["TRANSFORMERS", "convert_transformer", "shape_of_transformer"]

#: Makes the output of a fitted step from a matrix of its columns, in double precision.
_Make = Callable[[Nodes, Any, str], str]


class _Transformer(NamedTuple):
    make: _Make
    width: Callable[[Any], int]
    """Number of columns of the output."""


def _bins(nodes: Nodes, step: KBinsDiscretizer, X: str) -> str:
    parts = []
    for column, edges in enumerate(step.bin_edges_):
        # A value is in as many bins beyond the first as there are inner edges not above it.
        inner = nodes.constant(edges[None, 1:-1])
        below = nodes.add("Less", [nodes.columns(X, [column]), inner])
        reached = nodes.cast(nodes.add("Not", [below]), DOUBLE)
        number = nodes.add("MatMul", [reached, nodes.constant(np.ones((len(edges) - 2, 1)))])
        if step.encode != "ordinal":
            bins = np.arange(step.n_bins_[column], dtype=np.float64)[None]
            number = nodes.cast(nodes.add("Equal", [number, nodes.constant(bins)]), DOUBLE)
        parts.append(number)
    return nodes.add("Concat", parts, axis=1)


def _n_bins(step: KBinsDiscretizer) -> int:
    return len(step.n_bins_) if step.encode == "ordinal" else int(step.n_bins_.sum())


def _products(nodes: Nodes, step: PolynomialFeatures, X: str) -> str:
    n_features = step.powers_.shape[1]
    one = nodes.cast(nodes.add("Equal", [nodes.columns(X, [0])] * 2), DOUBLE)
    factors = [np.repeat(np.arange(n_features), powers) for powers in step.powers_]
    degree = max(map(len, factors), default=0)
    # Products of fewer factors are filled with the column of ones.
    places = np.full((max(degree, 1), len(factors)), n_features)
    for product, own in enumerate(factors):
        places[: len(own), product] = own
    wide = nodes.add("Concat", [X, one], axis=1)
    found, *others = [nodes.columns(wide, row) for row in places]
    for other in others:
        found = nodes.add("Mul", [found, other])
    return found


def _powers(nodes: Nodes, step: PowerTransformer, X: str) -> str:
    lambdas = np.asarray(step.lambdas_, dtype=np.float64)
    if step.method == "box-cox":
        found = _box_cox(nodes, X, lambdas)
    else:
        zero, one = (nodes.constant(np.array(value)) for value in (0.0, 1.0))
        above = nodes.add("Add", [nodes.add("Max", [X, zero]), one])
        below = nodes.add("Sub", [one, nodes.add("Min", [X, zero])])
        negative = nodes.add("Neg", [_box_cox(nodes, below, 2 - lambdas)])
        found = nodes.add(
            "Where", [nodes.add("Less", [X, zero]), negative, _box_cox(nodes, above, lambdas)]
        )
    scaler = scaler_of_power(step)
    if scaler is not None:
        centred = nodes.add("Sub", [found, nodes.constant(scaler.mean_)])
        found = nodes.add("Div", [centred, nodes.constant(scaler.scale_)])
    return nodes.add("Where", [nodes.add("IsNaN", [X]), X, found])


def _box_cox(nodes: Nodes, X: str, lambdas: Array) -> str:
    """(x^lambda - 1) / lambda, and log x where lambda is 0."""
    no_power = np.abs(lambdas) < np.spacing(1.0)
    divisor = nodes.constant(np.where(no_power, 1.0, lambdas))
    power = nodes.add("Pow", [X, divisor])
    power = nodes.add("Div", [nodes.add("Sub", [power, nodes.constant(np.array(1.0))]), divisor])
    if not no_power.any():
        return power
    return nodes.add("Where", [nodes.constant(no_power), nodes.add("Log", [X]), power])


def _imputed(nodes: Nodes, step: SimpleImputer, X: str) -> str:
    missing = nodes.add("IsNaN", [X])
    if not is_missing(step.missing_values):
        missing = nodes.add("Equal", [X, nodes.constant(np.array(float(step.missing_values)))])
    values = np.asarray(step.statistics_, dtype=np.float64)
    found = nodes.add("Where", [missing, nodes.constant(values), X])
    kept = _kept_columns(step)
    if len(kept) < len(values):
        found = nodes.columns(found, kept)
    if not step.add_indicator:
        return found
    indicators = nodes.columns(nodes.cast(missing, DOUBLE), step.indicator_.features_)
    return nodes.add("Concat", [found, indicators], axis=1)


def _kept_columns(step: SimpleImputer) -> IntArray:
    """Columns without any value in the fit are dropped, but where a constant is imputed."""
    values = np.asarray(step.statistics_, dtype=np.float64)
    if step.strategy == "constant" or step.keep_empty_features:
        return np.arange(len(values))
    return np.flatnonzero(~np.isnan(values))


def _n_imputed(step: SimpleImputer) -> int:
    return len(_kept_columns(step)) + (len(step.indicator_.features_) if step.add_indicator else 0)


#: Classes of steps, and how each is made.
TRANSFORMERS: dict[type, _Transformer] = {
    KBinsDiscretizer: _Transformer(_bins, _n_bins),
    PolynomialFeatures: _Transformer(_products, lambda step: int(step.n_output_features_)),
    PowerTransformer: _Transformer(_powers, lambda step: len(step.lambdas_)),
    SimpleImputer: _Transformer(_imputed, _n_imputed),
}


def shape_of_transformer(operator: Any) -> None:
    """A shape calculator for skl2onnx: single precision where all columns have it."""
    types, step = need("skl2onnx.common.data_types"), operator.raw_operator
    single = all(isinstance(given.type, types.FloatTensorType) for given in operator.inputs)
    kind = types.FloatTensorType if single else types.DoubleTensorType
    width = TRANSFORMERS[type(step)].width(step)
    operator.outputs[0].type = kind([operator.inputs[0].get_first_dimension(), width])


def convert_transformer(scope: Any, operator: Any, container: Any) -> None:
    """Add a step to a graph of skl2onnx."""
    nodes, step = Nodes(scope, container), operator.raw_operator
    found = TRANSFORMERS[type(step)].make(nodes, step, nodes.matrix(operator.inputs))
    single = need("skl2onnx.common.data_types").FloatTensorType
    kind = FLOAT if isinstance(operator.outputs[0].type, single) else DOUBLE
    container.add_node("Identity", nodes.cast(found, kind), operator.outputs[0].full_name)
