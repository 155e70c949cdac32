"""In what the fitted steps of members differ, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.compose import ColumnTransformer

from skmergecal._pipelines import is_pipeline
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters._architecture import PREPROCESSING
from skmergecal.parameters.families import are_identical
from skmergecal.parameters.fronts._column_uses import NoLookUpError, inner_steps
from skmergecal.parameters.fronts._members import Front

__all__ = ["no_look_up"]


def no_look_up(error: NoLookUpError, fronts: Sequence[Front]) -> IncompatibleEstimatorsError:
    """The error for unlike steps of which one is no look-up: which column, and what differs."""
    first = fronts[0]
    other = next((f for f in fronts if f.kept != first.kept), first)
    leaves = [[s for s in _leaves(f.steps) if type(s) is type(error.step)] for f in (first, other)]
    difference = _of_lists(*leaves) or _of_lists(first.steps, other.steps)
    where = "" if difference is None else f" in {difference}"
    labels = [first.inputs.label(column) for column in error.columns[:3]]
    what = f"{', '.join(labels)} here" if labels else "a column here"
    msg = (
        f"estimators {first.name!r} and {other.name!r} cannot be averaged: their {PREPROCESSING} "
        f"differ{where}, {first.kept!r} and {other.kept!r}. What {type(error.step).__name__} makes "
        f"of {what} is neither affine in numbers nor a look-up of categories"
    )
    remedy = "fit the preprocessing once and freeze it in all members, or use method='logits'"
    return IncompatibleEstimatorsError(msg, remedy)


def _leaves(steps: Sequence[Any]) -> list[Any]:
    """The steps inside of ColumnTransformers, Pipelines and unions."""
    found: list[Any] = []
    for step in steps:
        inner = inner_steps(step)
        found += _leaves(inner) if inner else [step]
    return found


def _of_lists(a: Sequence[Any], b: Sequence[Any]) -> str | None:
    if [type(step) for step in a] != [type(step) for step in b]:
        types = [" and ".join(type(step).__name__ for step in s) or "no step" for s in (a, b)]
        return f"their types ({types[0]}; {types[1]})"
    found = (_of_steps(one, other) for one, other in zip(a, b, strict=True))
    return next((f for f in found if f is not None), None)


def _of_steps(a: Any, b: Any) -> str | None:
    if are_identical(a, b):
        return None
    if isinstance(a, ColumnTransformer):
        if [n for n, _, _ in a.transformers_] == [n for n, _, _ in b.transformers_]:
            found = _of_lists(*([part for _, part, _ in ct.transformers_] for ct in (a, b)))
            return found or "the columns of a ColumnTransformer"
        return "the parts of a ColumnTransformer"
    if is_pipeline(a):
        return _of_lists(*([part for _, part in pipe.steps] for pipe in (a, b)))
    if isinstance(a, str):
        return f"{a!r} and {b!r}"
    state, other = (vars(step) for step in (a, b))
    for key in dict.fromkeys([*state, *other]):
        if not are_identical(state.get(key), other.get(key)):
            return f"{key!r} of {type(a).__name__}"
    return type(a).__name__
