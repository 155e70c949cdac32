"""The fronts of members, and the columns that they take between them."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import FunctionTransformer

from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters.fronts._column_uses import (
    ColumnUse,
    NoLookUpError,
    inner_steps,
    is_missing,
    uses_of_columns,
)
from skmergecal.parameters.fronts._columns import (
    UNKNOWN,
    Categories,
    Flags,
    Numbers,
    key_of,
    sorted_levels,
)
from skmergecal.parameters.fronts._probe import MemberFront
from skmergecal.parameters.fronts._rows import Inputs

__all__ = ["Front", "columns_of"]


@dataclass
class Front:
    """The fitted steps before one member.

    Attributes
    ----------
    name : str
        That of the member.
    steps : list of transformer
        Those that were not folded in.
    folded : list of transformer
        Those after them, which were.
    inputs : Inputs
        Of -1 columns if nobody tells how many.
    kept : Steps or None
        How an error calls the steps.
    casts : list of transformer
        Last steps that only cast, once they were taken out.
    """

    name: str
    steps: list[Any]
    folded: list[Any]
    inputs: Inputs
    kept: Any
    casts: list[Any] = field(default_factory=list)


def columns_of(fronts: Sequence[Front]) -> list[Numbers | Categories]:
    """The columns that any member uses, with all that any of them knows of their categories.

    Steps at the end that only cast what they get are taken out of the fronts, and all fronts get
    the same inputs: of frames whose columns are picked by name, all columns.

    Raises
    ------
    NoLookUpError
        If a step is not known to be an affine map of numbers or a look-up of categories.
    IncompatibleEstimatorsError
        If a column is a number for one and a category for another, or if some members refuse
        values that others take and no plain model can refuse.
    """
    own = [front.inputs for front in fronts]
    try:
        inputs = _joint_inputs(fronts)
    except IncompatibleEstimatorsError:
        for front in fronts:  # a step that is no look-up is the better reason
            _uses_of(front, front.inputs)
        raise
    for front in fronts:
        front.inputs = inputs
    uses = [_uses_of(front, columns) for front, columns in zip(fronts, own, strict=True)]
    used = sorted(set().union(*uses))
    columns = [
        _column(i, inputs, {f.name: u[i] for f, u in zip(fronts, uses, strict=True) if i in u})
        for i in used
    ]
    taken = [_Taken.of(front, use, columns) for front, use in zip(fronts, uses, strict=True)]
    return [_decided(c, [t for t in taken if c.column in t.own], inputs) for c in columns]


def _joint_inputs(fronts: Sequence[Front]) -> Inputs:
    """The inputs of all, if they are the same or columns are picked by name."""
    first = fronts[0]
    for other in fronts[1:]:
        if other.inputs == first.inputs:
            continue
        if all(front.inputs.names and _pick_by_name(front.steps[:1]) for front in fronts):
            names = dict.fromkeys(name for front in fronts for name in front.inputs.names or ())
            return Inputs(len(names), tuple(names))
        key = "n_features" if other.inputs.n_features != first.inputs.n_features else "names"
        values = [getattr(f.inputs, key) for f in (first, other)]
        key = "feature_names" if key == "names" else key
        msg = (
            f"estimators {first.name!r} and {other.name!r} cannot be averaged: their {key} differ, "
            f"{values[0]!r} and {values[1]!r}"
        )
        remedy = "use members of one architecture, or method='logits'"
        raise IncompatibleEstimatorsError(msg, remedy)
    return first.inputs


def _pick_by_name(steps: Sequence[Any]) -> bool:
    """Whether steps take the columns of a frame by their names, and others may be beside them."""
    return len(steps) > 0 and all(
        isinstance(step, ColumnTransformer)
        or (isinstance(step, FeatureUnion | FrozenEstimator) and _pick_by_name(inner_steps(step)))
        for step in steps
    )


def _uses_of(front: Front, own: Inputs) -> dict[int, ColumnUse]:
    """The use of each column of the joint inputs by a front, given the inputs that it knows."""
    if own.n_features < 0:
        raise NoLookUpError(front.steps[0], [])
    places: Sequence[int] = range(own.n_features)
    if own != front.inputs:
        joint = front.inputs.names or ()
        places = [joint.index(name) for name in own.names or ()]
    while True:
        try:
            found = uses_of_columns(front.steps, own.n_features)
            return {places[column]: use for column, use in found.items()}
        except NoLookUpError as error:
            if not front.steps or error.step is not front.steps[-1] or not _may_cast(error.step):
                raise NoLookUpError(error.step, [places[c] for c in error.columns]) from None
            front.casts.insert(0, front.steps.pop())


def _may_cast(step: Any) -> bool:
    """Whether a step gives numbers as it gets them, in another container or precision."""
    own = not type(step).__module__.startswith("sklearn.")
    if not own and not isinstance(step, FunctionTransformer):
        return False
    rng = np.random.default_rng(0)
    width = getattr(step, "n_features_in_", 3)
    rows = rng.normal(size=(64, width)) * 10.0 ** rng.uniform(-6, 9, size=(64, width))
    rows[::5] = np.round(rows[::5])
    rows[0] = 0.0
    return _keeps(step, rows) is True and all(
        # What it refuses, it does not change.
        _keeps(step, np.vstack([np.full((1, width), value), rows[:2]])) in (True, None)
        for value in (np.nan, np.inf, -np.inf)
    )


def _keeps(step: Any, rows: np.ndarray) -> bool | None:
    """Whether a step gives rows as they are; None if it refuses them."""
    try:
        Z = copy.deepcopy(step).transform(rows)
        found = np.asarray(Z.toarray() if hasattr(Z, "toarray") else Z, dtype=np.float64)
    except Exception:  # a step of the user's may raise anything
        return None
    same = found.shape == rows.shape
    return same and bool(np.allclose(found, rows, rtol=1e-6, atol=0.0, equal_nan=True))


def _column(i: int, inputs: Inputs, uses: dict[str, ColumnUse]) -> Numbers | Categories:
    numbers = [name for name, use in uses.items() if use.number]
    categories = [name for name, use in uses.items() if use.known or use.marks]
    if numbers and categories:
        msg = (
            f"{inputs.label(i)} is a number in estimator {numbers[0]!r} and a category in "
            f"{categories[0]!r}, and no single front gives both"
        )
        raise IncompatibleEstimatorsError(msg, "encode it in one way, or use method='logits'")
    if numbers:
        return Numbers(i)
    if not any(use.known for use in uses.values()):
        return _flags(i, uses.values())
    kinds = {name: _kind(use) for name, use in uses.items() if use.known}
    texts, figures = ([n for n, k in kinds.items() if k == kind] for kind in ("text", "numbers"))
    if texts and figures:
        msg = (
            f"{inputs.label(i)} holds text in the rows that fitted estimator {texts[0]!r} and "
            f"numbers in those of {figures[0]!r}, so they know no category in common"
        )
        raise IncompatibleEstimatorsError(
            msg, "fit both on columns of one type, or use method='logits'"
        )
    numeric = all(k == "numbers" for k in kinds.values())
    levels: dict[Any, Any] = {}
    for use in uses.values():
        for array in use.known:
            plain = [v.item() if isinstance(v, np.generic) else v for v in array.tolist()]
            levels.update((key_of(v), v) for v in plain)
        levels.update((key_of(v), v) for v in use.sentinels if not (numeric and is_missing(v)))
    levels.update((key_of(v), v) for v in _missing(numeric))
    boxed = any(array.dtype == object for use in uses.values() for array in use.known)
    exact = _exact_type(list(levels.values()), uses.values(), inputs.label(i)) if numeric else ""
    return Categories(i, sorted_levels(list(levels.values())), numeric, boxed, exact=exact)


def _exact_type(levels: Sequence[Any], uses: Iterable[ColumnUse], label: str) -> str:
    """The type of whole numbers that float64 would run together; "" if there are none."""
    numbers = [v for v in levels if not is_missing(v)]
    large = [v for v in numbers if abs(v) > _LARGEST_EXACT]
    if not any(isinstance(v, int) for v in large):
        return ""
    arrays = [array for use in uses for array in use.known]
    kinds = {a.dtype.name for a in arrays if a.dtype.kind in "iu" and a.dtype.itemsize == 8}
    whole = np.array([int(v) for v in numbers if v == v // 1])
    fits = len(whole) == len(numbers) and whole.dtype.kind in "iu"
    found = kinds or {whole.dtype.name} if fits else {"int64"}
    ends = min(numbers), max(numbers)
    fits &= all(np.iinfo(f).min <= ends[0] and ends[1] <= np.iinfo(f).max for f in found)
    if not fits or len(found) > 1 or any(isinstance(v, float) for v in large):
        msg = (
            f"the members know whole numbers above 2**53 in {label}, and not all as one type of "
            "whole numbers, so that some cannot be told apart"
        )
        remedy = "fit all encoders on this column as int64, or as text, or use method='logits'"
        raise IncompatibleEstimatorsError(msg, remedy)
    return found.pop()


def _flags(i: int, uses: Iterable[ColumnUse]) -> Flags:
    levels = {key_of(v): v for use in uses for v in use.sentinels}
    numeric = all(isinstance(v, Real) for v in levels.values() if not is_missing(v))
    levels.update((key_of(v), v) for v in _missing(False))
    return Flags(i, sorted_levels(list(levels.values())), numeric)


def _kind(use: ColumnUse) -> str:
    values = [v for array in use.known for v in array.tolist() if not is_missing(v)]
    if any(isinstance(v, str) for v in values):
        return "text"
    numbers = all(isinstance(v, Real) and not isinstance(v, bool) for v in values)
    return "numbers" if numbers else "objects"


_NAN = key_of(np.nan)

#: Up to here float64 has all whole numbers.
_LARGEST_EXACT = 2**53


def _missing(numeric: bool) -> list[Any]:
    """The values that stand for a missing one in a column of categories."""
    if numeric:
        return [np.nan]
    pandas = sys.modules.get("pandas")
    return [None, np.nan] if pandas is None else [None, pandas.NA, np.nan]


def _to_try(column: Numbers | Categories) -> list[Any]:
    """The values that a member may refuse in a column."""
    if isinstance(column, Numbers):
        return [np.nan]
    return [UNKNOWN, *_missing(column.numeric and not isinstance(column, Flags))]


@dataclass(frozen=True)
class _Taken:
    """What one member takes.

    Attributes
    ----------
    name : str
    own : dict of int to set
        Keys of the categories that it knows, for each column that it uses.
    refused : set of (int, object)
        Columns, and the missing or unknown values that it refuses in them.
    raising : set of int
        Columns of numbers in which NaN is an error of its steps.
    """

    name: str
    own: dict[int, set[Any]]
    refused: set[tuple[int, Any]]
    raising: set[int]

    @classmethod
    def of(cls, front: Front, uses: dict[int, ColumnUse], columns: Sequence[Any]) -> _Taken:
        own = {
            i: {key_of(v) for array in use.known for v in array.tolist()} for i, use in uses.items()
        }
        base = {}
        for c in columns:
            known = [v for v in getattr(c, "levels", ()) if key_of(v) in own.get(c.column, ())]
            base[c.column] = known[0] if known else c.base
        changes = [{c.column: value} for c in columns if c.column in uses for value in _to_try(c)]
        accepted = MemberFront.of(front.steps, front.inputs).accepts(columns, base, changes)
        refused = {
            (column, key_of(value))
            for change, ok in zip(changes, accepted, strict=True)
            for column, value in change.items()
            if not ok
        }
        whole = MemberFront.of([*front.steps, *front.casts, *front.folded], front.inputs)
        numbers = [c.column for c in columns if isinstance(c, Numbers)]
        gaps = [{i: np.nan} for i in numbers if (i, _NAN) in refused]
        taken = whole.accepts(columns, base, gaps, finite_only=False)
        raising = {i for gap, ok in zip(gaps, taken, strict=True) if not ok for i in gap}
        return cls(front.name, own, refused, raising)


def _decided(column: Any, members: Sequence[_Taken], inputs: Inputs) -> Numbers | Categories:
    """A column with what is refused in it: NaN, or categories that members do not know."""
    i = column.column
    if isinstance(column, Numbers):
        return replace(
            column,
            missing=not any((i, _NAN) in m.refused for m in members),
            closed=any(i in m.raising for m in members),
        )
    strict = [m for m in members if (i, UNKNOWN) in m.refused]
    gone = {key_of(v) for m in members for v in column.levels if (i, key_of(v)) in m.refused}
    if not strict:
        taken = [v for v in column.levels if key_of(v) not in gone]
        if isinstance(column, Flags):
            return replace(column, levels=tuple(taken))
        picky = [m.name for m in members if (i, _NAN) in m.refused]
        if picky:
            msg = (
                f"estimator {picky[0]!r} takes unknown categories in {inputs.label(i)} but no NaN, "
                "and no single front can refuse NaN alone"
            )
            raise IncompatibleEstimatorsError(
                msg, "put a SimpleImputer for NaN as the first step there, or use method='logits'"
            )
        return replace(column, levels=tuple(taken))
    first = strict[0]
    for other in members:
        # One that only flags missing ones knows no category.
        if other.own[i] and other.own[i] != first.own[i]:
            only = sorted(map(str, other.own[i] ^ first.own[i]))[:3]
            msg = (
                f"estimator {first.name!r} refuses categories of {inputs.label(i)} that it does "
                f"not know, and it and {other.name!r} know other ones ({', '.join(only)})"
            )
            remedy = (
                "fit their encoders with handle_unknown='ignore', or with the same categories=, or "
                "use method='logits'"
            )
            raise IncompatibleEstimatorsError(msg, remedy)
    levels = [v for v in column.levels if key_of(v) not in gone]
    taken = [v for v in levels if key_of(v) in first.own[i] or is_missing(v)]
    return replace(column, levels=tuple(taken), strict=True)
