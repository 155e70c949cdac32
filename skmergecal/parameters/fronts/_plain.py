"""The common front as a fitted ColumnTransformer of scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skmergecal.parameters.fronts._column_uses import is_missing
from skmergecal.parameters.fronts._columns import (
    UNKNOWN,
    Categories,
    Flags,
    Numbers,
    key_of,
    new_text,
)
from skmergecal.parameters.fronts._rows import Inputs, as_objects

__all__ = ["drawn_rows", "plain_front", "values_of_front"]


def _in_order(columns: Sequence[Numbers | Categories]) -> list[list[Any]]:
    """The columns in the groups that the front is made of.

    Numbers that may be missing, other numbers (last those of which NaN is an error); categories
    beside which others are taken, and beside which none are; the same where missing ones are filled
    in.
    """
    numbers = [c for c in columns if isinstance(c, Numbers)]
    categories = [
        c for c in columns if isinstance(c, Categories) and c.levels and not isinstance(c, Flags)
    ]
    return [
        [c for c in numbers if c.missing],
        sorted((c for c in numbers if not c.missing), key=lambda c: c.closed),
        *(
            [c for c in categories if c.strict == strict and c.filled == filled]
            for filled in (False, True)
            for strict in (False, True)
        ),
    ]


def _flags_in_order(columns: Sequence[Any]) -> list[tuple[Any, bool, list[Flags]]]:
    """What counts as missing, whether None counts as NaN, and the columns with this flag."""
    groups: dict[Any, tuple[Any, bool, list[Flags]]] = {}
    for c in columns:
        for level in c.levels if isinstance(c, Flags) else ():
            groups.setdefault((key_of(level), c.filled), (level, c.filled, []))[2].append(c)
    return list(groups.values())


def values_of_front(columns: Sequence[Numbers | Categories]) -> list[dict[int, Any]]:
    """For each value of the front, the change of the base row that makes it 1 and no other."""
    gappy, whole, *groups = _in_order(columns)
    step = [{c.column: c.centre + c.scale} for c in (*gappy, *whole)]
    flags = [{c.column: np.nan} for c in gappy]
    levels = [{c.column: level} for group in groups for c in group for level in c.levels]
    alone = [{c.column: level} for level, _, group in _flags_in_order(columns) for c in group]
    return [*step[: len(gappy)], *flags, *step[len(gappy) :], *levels, *alone]


def plain_front(
    columns: Sequence[Numbers | Categories], inputs: Inputs, *, dense: bool
) -> ColumnTransformer:
    """A fitted transformer that gives the values of the front, without those left out.

    Parameters
    ----------
    columns : sequence of Numbers or Categories
    inputs : Inputs
    dense : bool
        Whether its output is dense however many zeros it has.
    """
    gappy, whole, *groups = _in_order(columns)

    def keys(group: Sequence[Any]) -> list[Any]:
        return [inputs.key(c.column) for c in group]

    parts: list[tuple[str, Any, list[Any]]] = []
    if gappy:
        # Scaled first: missing values of any kind are NaN afterwards, and 0 stands for the centre.
        scale = ("scale", StandardScaler())
        zero = SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True)
        flags = MissingIndicator(features="all")
        parts.append(("numbers", Pipeline([scale, ("impute", zero)]), keys(gappy)))
        parts.append(("missing", Pipeline([scale, ("flag", flags)]), keys(gappy)))
    # A net takes NaN, so that the front refuses what its own steps did; other models do so.
    closed = [c for c in whole if c.closed and dense]
    complete = whole[: len(whole) - len(closed)]
    parts += [(n, step, keys(g)) for n, step, g in _steps_of_numbers(complete, closed)]
    names = ("categories", "known", "filled", "filled known")
    parts += [(n, _encoder(g), keys(g)) for n, g in zip(names, groups, strict=True) if g]
    alone = _flags_in_order(columns)
    for i, (level, filled, flagged) in enumerate(alone):
        step: Any = MissingIndicator(missing_values=level, features="all")
        if filled:  # missing values of any kind are NaN after it
            same = StandardScaler(with_mean=False, with_std=False)
            step = Pipeline([("same", same), ("flag", step)])
        parts.append(("flags" if i == 0 else f"flags {i}", step, keys(flagged)))
    front = ColumnTransformer(parts, sparse_threshold=0.0 if dense else 0.3)
    used = [c for group in (gappy, whole, *groups, *(g for *_, g in alone)) for c in group]
    front = front.set_output(transform="default").fit(_rows_to_fit(used, inputs))
    for name, group in zip(names[:2], groups[:2], strict=True):
        if group and any(c.exact for g in groups for c in g):  # it was fitted on objects
            encoder = front.named_transformers_[name]
            encoder.categories_ = [_as_categories(c) for c in group]
    scaled = {"numbers": gappy, "missing": gappy, "complete": complete, "finite": closed}
    for name, group in scaled.items():
        part = front.named_transformers_.get(name)
        scaler = part.named_steps.get("scale") if isinstance(part, Pipeline) else part
        if isinstance(scaler, StandardScaler):
            scaler.mean_ = np.array([c.centre for c in group])
            scaler.scale_ = np.array([c.scale for c in group])
            scaler.var_ = scaler.scale_**2
    return front


def _steps_of_numbers(
    complete: Sequence[Numbers], closed: Sequence[Numbers]
) -> list[tuple[str, Any, Sequence[Numbers]]]:
    """Names, steps and columns of numbers: those passed on as they are, those that refuse NaN."""
    moved = any(c.centre != 0.0 or c.scale != 1.0 for c in (*complete, *closed))
    found: list[tuple[str, Any, Sequence[Numbers]]] = []
    if complete:
        found.append(("complete", StandardScaler() if moved else "passthrough", complete))
    if closed:
        finite = FunctionTransformer(
            np.asarray_chkfinite, kw_args={"dtype": "float64"}, feature_names_out="one-to-one"
        )
        steps = [("finite", finite), ("scale", StandardScaler())]
        found.append(("finite", Pipeline(steps if moved else steps[:1]), closed))
    return found


def _encoder(group: Sequence[Categories]) -> Any:
    """An encoder of columns that are all strict, or all not, and all filled, or all not."""
    unknown = "error" if group[0].strict else "ignore"
    if not group[0].filled:
        return OneHotEncoder(categories=[_as_categories(c) for c in group], handle_unknown=unknown)
    # Encoders cannot sort pd.NA, so a text of its own stands for it.
    token = new_text("<missing value>", [v for c in group for v in c.levels])
    levels = [as_objects([token if is_missing(v) else v for v in c.levels]) for c in group]
    missing = next(v for c in group for v in c.levels if is_missing(v))
    fill = SimpleImputer(
        missing_values=missing, strategy="constant", fill_value=token, keep_empty_features=True
    )
    encoder = OneHotEncoder(categories=levels, handle_unknown=unknown)
    return Pipeline([("fill", fill), ("encode", encoder)])


def _as_categories(column: Categories) -> np.ndarray:
    if column.exact:
        return np.array([int(v) for v in column.levels], dtype=column.exact)
    if column.numeric:
        whole = all(float(v).is_integer() and abs(v) <= 2**53 for v in column.levels)
        return np.array(column.levels, dtype=np.int64 if whole else np.float64)
    return as_objects(column.levels)


def _rows_to_fit(columns: Sequence[Any], inputs: Inputs) -> Any:
    """Rows with all levels of each column of categories."""
    n_rows = max(2, *(len(getattr(c, "levels", ())) for c in columns))
    values = {}
    for c in columns:
        is_number = isinstance(c, Numbers)
        known = np.array([c.centre, c.centre + c.scale]) if is_number else _known(c)
        values[c.column] = known[np.arange(n_rows) % len(known)]
    return inputs.rows(values, n_rows)


def _known(column: Categories) -> np.ndarray:
    if isinstance(column, Flags):
        return column.values([UNKNOWN, *column.levels])
    # In an array of float64, large whole numbers would run together.
    return as_objects(column.levels) if column.exact else _as_categories(column)


def drawn_rows(
    columns: Sequence[Any], n_rows: int, rng: np.random.Generator
) -> list[dict[int, Any]]:
    """Rows with random values that all members take, categories that none knows among them."""
    return [{c.column: _draw(c, rng) for c in columns} for _ in range(n_rows)]


def _draw(column: Numbers | Categories, rng: np.random.Generator) -> Any:
    if isinstance(column, Numbers):
        if column.missing and rng.random() < 0.25:
            return np.nan
        return column.centre + column.scale * rng.normal() * 10 ** rng.uniform(-1, 2)
    levels = column.levels if column.strict else (*column.levels, UNKNOWN)
    return levels[rng.integers(len(levels))]
