"""Nodes: adds operators and constants to a graph that skl2onnx makes."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmergecal._typing import Array
from skmergecal.onnx._graph import BOOL, DOUBLE, need

__all__ = ["Nodes"]


class Nodes:
    """Adds nodes to a graph of skl2onnx."""

    def __init__(self, scope: Any, container: Any) -> None:
        self.scope, self.container = scope, container

    def add(self, kind: str, inputs: list[str], *, domain: str = "", **attributes: Any) -> str:
        """A node with one output, whose name is returned."""
        output: str = self.scope.get_unique_variable_name(kind)
        name = self.scope.get_unique_operator_name(kind)
        self.container.add_node(kind, inputs, output, op_domain=domain, name=name, **attributes)
        return output

    def constant(self, values: np.ndarray) -> str:
        """A constant tensor of the type of its numbers."""
        name: str = self.scope.get_unique_variable_name("constant")
        kind = need("onnx").helper.np_dtype_to_tensor_dtype(values.dtype)
        self.container.add_initializer(name, kind, values.shape, values.ravel().tolist())
        return name

    def cast(self, tensor: str, kind: int) -> str:
        """The tensor with elements of another type."""
        return self.add("Cast", [tensor], to=kind)

    def pick(self, tensor: str, matrix: Array) -> str:
        """For rows with a single 1 and else 0, the row of the matrix that it stands for.

        The matrix may have NaN, which a product alone would spread. Of rows without a 1, zeros.
        """
        nan = np.isnan(matrix)
        numbers = np.where(nan, 0.0, matrix).astype(np.float32)
        found = self.add("MatMul", [tensor, self.constant(numbers)])
        if not nan.any():
            return found
        which = self.add("MatMul", [tensor, self.constant(nan.astype(np.float32))])
        no_number = self.constant(np.array([[np.nan]], dtype=np.float32))
        return self.add("Where", [self.cast(which, BOOL), no_number, found])

    def matrix(self, inputs: list[Any]) -> str:
        """All columns of the inputs of an operator, in double precision."""
        parts = [self.cast(given.full_name, DOUBLE) for given in inputs]
        return parts[0] if len(parts) == 1 else self.add("Concat", parts, axis=1)

    def columns(self, matrix: str, places: Any) -> str:
        """Some columns, each as often as its place is given."""
        number = self.constant(np.asarray(places, dtype=np.int64))
        return self.add("Gather", [matrix, number], axis=1)
