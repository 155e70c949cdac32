"""Predictions: stored predictions of members for some rows, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from skmergecal._compat import _safe_indexing
from skmergecal._typing import Array
from skmergecal._validation import as_numbers, check_rows

__all__ = ["Predictions", "as_predictions", "is_table"]


class Predictions(dict):
    """Stored predictions of several members for the same rows.

    A dict from names to arrays that has rows: ``len`` counts them, and slices, masks and arrays of
    numbers select them for all members. So it passes through cross-validation and searches, where
    a plain dict has the length of its names. `MergedClassifier.from_predictions` and what it
    returns take plain dicts and frames, too.

    Parameters
    ----------
    predictions : dict of str to array-like, or DataFrame
        For each member a matrix of shape (n_samples, n_classes) or, for two classes, the values of
        the second one, shape (n_samples,). Columns of frames that are named by class are put in
        the order of the classes. A list of several arrays, those of the models of folds or seeds,
        becomes their mean; rows with NaN in some of them are means of the others. A DataFrame has
        one column for each member (two classes), or two levels of columns: member and class.

    Raises
    ------
    TypeError
        If it is no dict and no DataFrame.
    ValueError
        If the members have different numbers of rows, or something is no table of numbers.

    See Also
    --------
    skmergecal.MergedClassifier.from_predictions : Takes one.
    skmergecal.merging.PredictionColumn : A classifier that reads the predictions of one name.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.merging import Predictions
    >>> stored = Predictions({"forest": [0.2, 0.9, 0.6], "boosting": [0.1, 0.8, 0.7]})
    >>> len(stored), stored.shape
    (3, (3,))
    >>> stored[:2]["forest"]
    array([0.2, 0.9])
    """

    def __init__(self, predictions: Any) -> None:
        checked = {name: _checked(name, predictions[name]) for name in _names(predictions)}
        lengths = {name: len(values) for name, values in checked.items()}
        if not lengths:
            msg = "predictions should hold those of at least one member; got none"
            raise ValueError(msg)
        first, n_rows = next(iter(lengths.items()))
        for name, length in lengths.items():
            if length != n_rows:
                msg = (
                    f"predictions should have the same rows for all members: {first!r} has "
                    f"{n_rows}, {name!r} has {length}. A list of several arrays holds models of "
                    "folds or seeds, each with its predictions for all rows (NaN where it has none)"
                )
                raise ValueError(msg)
        super().__init__(checked)

    @property
    def shape(self) -> tuple[int]:
        """The number of rows, in a tuple."""
        return (len(self),)

    @property
    def ndim(self) -> int:
        """1: there are rows and no columns."""
        return 1

    def __len__(self) -> int:
        return len(next(iter(self.values()), ()))

    def __getitem__(self, key: Any) -> Any:
        """The predictions of a member, by name; those of all members for some rows."""
        if isinstance(key, str):
            return super().__getitem__(key)
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:
            key = key[0]  # scikit-learn's way to select rows
        if np.ndim(key) == 0 and not isinstance(key, slice):
            msg = f"rows are selected by a slice, a mask or an array of numbers; got {key!r}"
            raise TypeError(msg)
        return Predictions({name: _safe_indexing(values, key) for name, values in self.items()})


def as_predictions(X: Any, names: Iterable[str]) -> Predictions:
    """The predictions of some members, in a dict or a frame that may have others.

    Raises
    ------
    TypeError
        If it is no dict and no frame.
    ValueError
        If those of a member are missing.
    """
    given = _names(X)
    missing = [name for name in names if name not in given]
    if missing:
        msg = (
            f"predictions of {missing} are missing; got those of {given}: pass those of all "
            "members, under the names of the fit"
        )
        raise ValueError(msg)
    return Predictions({name: X[name] for name in names})


def is_table(values: Any) -> bool:
    """Whether it is a frame, of whatever package."""
    return hasattr(values, "to_numpy") and hasattr(values, "columns")


def _names(predictions: Any) -> list[Any]:
    """Names of the members in a dict or a frame."""
    if is_table(predictions):
        levels = getattr(predictions.columns, "nlevels", 1)
        if levels > 2:
            msg = f"columns of predictions should have levels (member, class); got {levels} levels"
            raise ValueError(msg)
        columns = predictions.columns
        return list(dict.fromkeys(columns if levels == 1 else columns.get_level_values(0)))
    if isinstance(predictions, Mapping):
        return list(predictions)
    check_rows(predictions, "predictions")
    msg = (
        "stored predictions should be a dict of arrays by name, or a DataFrame with one column for "
        f"each member; got a {type(predictions).__name__}: name the members"
    )
    raise TypeError(msg)


def _checked(name: Any, values: Any) -> Any:
    """An array of floats with one or two dimensions; a frame stays one."""
    if not isinstance(name, str):
        msg = (
            f"predictions should be named by str, one name for each member; got {name!r}: pass "
            "{str(name): p for name, p in predictions.items()}; in a frame with two levels of "
            "columns, members are the first one"
        )
        raise ValueError(msg)
    parts = _parts(values)
    if parts is not None:
        return _mean_of(name, parts)
    array = _numbers(name, values)
    if array.ndim not in (1, 2) or 0 in array.shape:
        msg = (
            f"predictions {name!r} should have shape (n_samples, n_classes) or, for two classes, "
            f"(n_samples,); got {array.shape}: pass several models as a list of such arrays"
        )
        raise ValueError(msg)
    if not is_table(values):
        return array
    if len({*values.columns}) < len(values.columns):
        msg = (
            f"predictions {name!r} should have different columns; got {list(values.columns)}: "
            "rename them by class, or pass to_numpy() of the frame"
        )
        raise ValueError(msg)
    return _table_like(values, array) if np.asarray(values).dtype.kind == "O" else values


def _numbers(name: str, values: Any) -> np.ndarray:
    what = f"predictions {name!r}"
    check_rows(values, what)
    return as_numbers(what, values)


def _parts(values: Any) -> Sequence[Any] | None:
    """Several arrays in a list; None for one array, or a list of numbers or of rows of them."""
    if not isinstance(values, list | tuple):
        return None
    return values if any(len(getattr(v, "shape", ())) > 0 for v in values) else None


def _mean_of(name: str, parts: Sequence[Any]) -> Any:
    """The mean of several arrays, row by row of those that have no NaN there."""
    first = _checked(name, parts[0])
    total: Array = np.zeros(np.shape(first))
    counts: Array = np.zeros(len(total))
    for part in parts:
        if is_table(first) and is_table(part) and set(part.columns) == set(first.columns):
            part = part[list(first.columns)]
        elif is_table(first) or is_table(part):
            msg = f"predictions {name!r} should be frames with the same columns, or arrays"
            raise ValueError(msg)
        array = _numbers(name, part)
        if array.shape != total.shape:
            msg = (
                f"predictions {name!r} are a list, that of models of folds or seeds, whose arrays "
                f"should have the same shape, all rows in each (NaN where a model has no "
                f"prediction); got {total.shape} and {array.shape}"
            )
            raise ValueError(msg)
        known = ~np.isnan(array.reshape(len(array), -1)).any(axis=1)
        total[known] += array[known]
        counts += known
    total[counts == 0] = np.nan
    mean = (total.T / np.maximum(counts, 1)).T
    return _table_like(first, mean) if is_table(first) else mean


def _table_like(table: Any, array: Array) -> Any:
    """A frame of the same package with the same columns."""
    return type(table)(dict(zip(table.columns, array.T, strict=True)))
