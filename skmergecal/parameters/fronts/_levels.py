"""Which categories need a value of the common front of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from skmergecal._typing import IntArray
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters.fronts._column_uses import is_missing
from skmergecal.parameters.fronts._columns import Categories, Flags, Numbers, key_of
from skmergecal.parameters.fronts._plain import values_of_front
from skmergecal.parameters.fronts._rows import Inputs

__all__ = ["needed_levels"]


def needed_levels(
    columns: Sequence[Numbers | Categories], effects: Sequence[Any], inputs: Inputs
) -> tuple[list[Any], IntArray]:
    """Columns without the categories that all members treat as they do unknown ones.

    Nor does a column keep values that all members flag as they do ones that are not missing.

    Parameters
    ----------
    columns : sequence of Numbers or Categories
    effects : sequence of sparse arrays
        Of each member, one row for each of ``values_of_front(columns)``.
    inputs : Inputs

    Returns
    -------
    columns, places
        And the rows of the effects for ``values_of_front`` of the new columns.
    """
    places = {_key(value): i for i, value in enumerate(values_of_front(columns))}
    joint = sparse.csr_array(sparse.hstack(effects))
    found = [
        _needed(c, {v: joint[[places[c.column, key_of(v)]]] for v in c.levels}, inputs)
        if isinstance(c, Categories)
        else c
        for c in columns
    ]
    return found, np.array([places[_key(v)] for v in values_of_front(found)], dtype=np.intp)


def _key(value: dict[int, Any]) -> tuple[int, Any]:
    ((column, level),) = value.items()
    return column, key_of(level)


def _needed(column: Categories, effects: dict[Any, Any], inputs: Inputs) -> Categories:
    kept = [v for v in column.levels if column.strict or effects[v].nnz]
    null = next((v for v in kept if type(v).__name__ == "NAType"), None)
    if null is None and isinstance(column, Flags):
        return _needed_flags(column, kept, effects, inputs)
    if null is None and column.exact and any(map(is_missing, kept)):
        msg = (
            f"the members treat NaN in {inputs.label(column.column)} in a way of its own, and know "
            "whole numbers above 2**53 there, of which those beside NaN cannot be told apart"
        )
        remedy = "fit all encoders on this column as text, or use method='logits'"
        raise IncompatibleEstimatorsError(msg, remedy)
    if null is None:
        return replace(column, levels=tuple(kept))
    # No encoder tells pd.NA from other missing values.
    if any(abs(effects[v] - effects[null]).max() > 0 for v in column.levels if is_missing(v)):
        msg = f"the members treat pd.NA in {inputs.label(column.column)} unlike None and NaN"
        remedy = "replace pd.NA by NaN before the members are fitted, or use method='logits'"
        raise IncompatibleEstimatorsError(msg, remedy)
    levels = [v for v in kept if v is null or not is_missing(v)]
    return replace(column, levels=tuple(levels), filled=True)


def _needed_flags(column: Flags, kept: list[Any], effects: dict[Any, Any], inputs: Inputs) -> Flags:
    missing = [v for v in kept if is_missing(v)]
    if len(missing) < 2:
        return replace(column, levels=tuple(kept))
    # Numbers have no None: where it counts as NaN, steps have made it one.
    if abs(effects[missing[0]] - effects[missing[1]]).max() > 0:
        msg = f"the members treat None in {inputs.label(column.column)} unlike NaN"
        remedy = "replace None by NaN before the members are fitted, or use method='logits'"
        raise IncompatibleEstimatorsError(msg, remedy)
    return replace(column, levels=(*(v for v in kept if not is_missing(v)), np.nan), filled=True)
