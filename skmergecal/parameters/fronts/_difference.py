"""In what the fitted steps of members differ, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.compose import ColumnTransformer

from skmergecal._pipelines import is_pipeline
from skmergecal.parameters.families import are_identical

__all__ = ["describe_difference"]


def describe_difference(fronts: Sequence[Any]) -> tuple[str, str, str]:
    """Names of two members whose steps differ, and the first difference."""
    first = fronts[0]
    for other in fronts[1:]:
        difference = _of_lists(first.steps, other.steps)
        if difference is not None:
            return first.name, other.name, difference
    return first.name, fronts[-1].name, "its steps"


def _of_lists(a: Sequence[Any], b: Sequence[Any]) -> str | None:
    if [type(step) for step in a] != [type(step) for step in b]:
        types = [" and ".join(type(step).__name__ for step in s) or "no step" for s in (a, b)]
        return f"its steps ({types[0]}; {types[1]})"
    found = (_of_steps(one, other) for one, other in zip(a, b, strict=True))
    return next((f for f in found if f is not None), None)


def _of_steps(a: Any, b: Any) -> str | None:
    if are_identical(a, b):
        return None
    if isinstance(a, ColumnTransformer):
        if [n for n, _, _ in a.transformers_] == [n for n, _, _ in b.transformers_]:
            found = _of_lists(*([part for _, part, _ in ct.transformers_] for ct in (a, b)))
            return found or "the columns of its ColumnTransformer"
        return "the parts of its ColumnTransformer"
    if is_pipeline(a):
        return _of_lists(*([part for _, part in pipe.steps] for pipe in (a, b)))
    if isinstance(a, str):
        return f"{a!r} and {b!r}"
    state, other = (vars(step) for step in (a, b))
    for key in dict.fromkeys([*state, *other]):
        if not are_identical(state.get(key), other.get(key)):
            return f"{key!r} of {type(a).__name__}"
    return type(a).__name__
