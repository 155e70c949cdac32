"""Rows with chosen values in some columns, in the container that fitted steps know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Inputs", "as_objects"]


def as_objects(values: Sequence[Any]) -> np.ndarray:
    """Values as they are: an array of objects keeps None, NaN and pd.NA apart."""
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


@dataclass(frozen=True)
class Inputs:
    """Number and names of the columns of the rows that members take.

    Attributes
    ----------
    n_features : int
    names : tuple of str or None
        None: rows are arrays without names.
    """

    n_features: int
    names: tuple[str, ...] | None

    def label(self, column: int) -> str:
        """How an error calls a column."""
        return f"column {column}" if self.names is None else f"column {self.names[column]!r}"

    def key(self, column: int) -> Any:
        """How a ColumnTransformer picks a column."""
        return column if self.names is None else self.names[column]

    def rows(self, values: Mapping[int, np.ndarray], n_rows: int) -> Any:
        """A frame or an array; 0 in the columns that nothing is said of."""
        if self.names is not None:
            import pandas as pd

            rest = np.zeros(n_rows)
            columns = {i: pd.Series(v, dtype=v.dtype) for i, v in values.items()}
            series = [columns.get(i, pd.Series(rest)) for i in range(self.n_features)]
            return pd.concat(series, axis=1, keys=self.names)
        mixed = any(v.dtype == object for v in values.values())
        table = np.zeros((n_rows, self.n_features), dtype=object if mixed else np.float64)
        for column, v in values.items():
            table[:, column] = v
        return table
