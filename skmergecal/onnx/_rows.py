"""Rows: the input of an ONNX model, one tensor for an array, one per column for a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

from skmergecal._optional import is_dask
from skmergecal.onnx._graph import DOUBLE, FLOAT, FLOAT16, INT64, STRING, Graph, GraphTensor, need

__all__ = ["Input", "InputRows", "inputs_of", "is_missing"]

#: Integers other than INT64.
_INTEGERS = (2, 3, 4, 5, 6, 12, 13)


class Input(NamedTuple):
    """An input of the model with the rows to try it on.

    Attributes
    ----------
    name : str
    kind : int
        Type of its elements.
    values : ndarray of shape (n_samples, n_columns)
    """

    name: str
    kind: int
    values: np.ndarray


def inputs_of(X: Any) -> list[Input]:
    """The inputs that rows need: ``X`` for an array, one per column for a frame.

    Raises
    ------
    TypeError
        If X is sparse or a Dask collection, or a column is neither numbers nor text.
    ValueError
        If X is not two-dimensional or empty, or two columns have the same name.
    """
    if is_dask(X):
        some = "X.head(500)" if hasattr(X, "head") else "X[:500].compute()"
        msg = (
            f"X is a Dask {type(X).__name__}, and the ONNX model is tried on rows in memory: pass "
            f"some of them, {some} for example"
        )
        raise TypeError(msg)
    if issparse(X):
        msg = (
            "X is sparse, and inputs of ONNX models are dense: pass X.toarray(), and rows of "
            "that kind to the ONNX model"
        )
        raise TypeError(msg)
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):
        names = [str(name) for name in X.columns]
        if len(set(names)) < len(names):
            msg = f"X has columns of the same name, {names}: inputs need names of their own"
            raise ValueError(msg)
        taken = sorted({"label", "probabilities"}.intersection(names))
        if taken:
            msg = f"X has columns {taken}, which are outputs of the ONNX model: rename them first"
            raise ValueError(msg)
        inputs = [
            _input(name, f"column {name!r} of X", _column(X[column]))
            for name, column in zip(names, X.columns, strict=True)
        ]
    else:
        array = np.asarray(X)
        if array.ndim < 2:
            msg = f"X should have rows and columns; got shape {array.shape}: try X.reshape(-1, 1)"
            raise ValueError(msg)
        inputs = [_input("X", "X", array)]
    if not inputs or not len(inputs[0].values):
        msg = "X has no rows or no columns: the ONNX model is tried on the rows of X"
        raise ValueError(msg)
    return inputs


def _column(column: Any) -> np.ndarray:
    """A column of a frame as (n_samples, 1); categories as what they stand for."""
    dtype = column.dtype
    if not hasattr(column, "astype"):  # of polars, which has no index and no types of NumPy
        return np.asarray(column.to_numpy()).reshape(-1, 1)
    if hasattr(dtype, "categories"):
        column = column.astype(dtype.categories.dtype if not column.isna().any() else object)
    elif not isinstance(dtype, np.dtype):  # a type of pandas, which may have missing values
        kind = getattr(dtype, "kind", "O")
        if kind in "iub" and column.isna().any():
            kind = "f"
        target = {"i": np.int64, "u": np.int64, "f": np.float64, "b": np.bool_}.get(kind, object)
        column = column.astype(target)
    return np.asarray(column.to_numpy()).reshape(-1, 1)


def is_missing(value: Any) -> bool:
    """Whether it is None, NaN, or NA of pandas, which is not even equal to itself or unequal."""
    return value is None or type(value).__name__ == "NAType" or value != value


def _input(name: str, what: str, values: np.ndarray) -> Input:
    if values.dtype.kind in "OUST":
        values = values.astype(object)
        missing = np.vectorize(is_missing, otypes=[bool])(values)
        if all(isinstance(value, str) for value in values[~missing]):
            # ONNX has no missing text; encoders take the empty string for an unknown category.
            return Input(name, STRING, np.where(missing, "", values).astype(object))
        try:
            values = np.where(missing, np.nan, values).astype(np.float64)
        except (TypeError, ValueError):
            values = np.empty(values.shape, dtype="V1")
    if values.dtype.kind not in "fiub":
        msg = (
            f"{what} holds neither numbers nor text alone, which inputs of ONNX models are: "
            "convert it before the model"
        )
        raise TypeError(msg)
    if values.dtype.itemsize > 8:
        values = values.astype(np.float64)
    values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    kind = need("onnx.helper").np_dtype_to_tensor_dtype(values.dtype)
    return Input(name, kind, values)


@dataclass(frozen=True)
class InputRows:
    """Rows inside a graph.

    Attributes
    ----------
    tensors : sequence of Tensor
        One, or one per column.
    names : sequence of str or None
        Names of the columns, where each is a tensor.
    X : callable or None
        Gives the same rows as estimators take them, to compare.
    """

    tensors: Sequence[GraphTensor]
    names: Sequence[str] | None = None
    X: Callable[[], Any] | None = None

    def matrix(self, graph: Graph, kind: int = DOUBLE) -> GraphTensor:
        """All columns side by side as numbers of one type.

        Raises
        ------
        TypeError
            If some of them are text.
        """
        for place, tensor in enumerate(self.tensors):
            if tensor.kind == STRING:
                which = "X" if self.names is None else f"column {self.names[place]!r}"
                msg = f"{which} is text, where numbers are needed: encode it in a Pipeline"
                raise TypeError(msg)
        key = ("matrix", kind, *(tensor.name for tensor in self.tensors))
        if key not in graph.known:
            parts = [graph.cast(tensor, kind) for tensor in self.tensors]
            graph.known[key] = parts[0]
            if len(parts) > 1:
                name = graph.add("Concat", *(part.name for part in parts), axis=1)
                graph.known[key] = GraphTensor(name, kind, sum(part.width for part in parts))
        return graph.known[key]

    @property
    def whole(self) -> bool:
        """Whether all are integers."""
        return all(tensor.kind in (INT64, *_INTEGERS) for tensor in self.tensors)

    def in_common_types(self, graph: Graph) -> InputRows:
        """Integers as INT64, half precision as single, which is what skl2onnx knows."""
        to = {FLOAT16: FLOAT, **dict.fromkeys(_INTEGERS, INT64)}
        tensors = [graph.cast(tensor, to.get(tensor.kind, tensor.kind)) for tensor in self.tensors]
        return InputRows(tensors, self.names, self.X)

    def columns(self, graph: Graph, names: Sequence[str] | None) -> InputRows:
        """One tensor per column, with the names that an estimator knows."""
        if self.names is not None or names is None:
            return self
        (whole,) = self.tensors
        parts = []
        for place in range(len(names)):
            name = graph.add("Gather", whole.name, np.array([place]), axis=1)
            parts.append(GraphTensor(name, whole.kind, 1))
        return InputRows(parts, list(names), self.X)

    def value_infos(self) -> list[Any]:
        """What the format calls inputs of a graph."""
        make = need("onnx.helper").make_tensor_value_info
        return [make(t.name, t.kind, [None, t.width or None, *t.rest]) for t in self.tensors]
