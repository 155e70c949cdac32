"""Architecture check: members have to agree, or the error names the first difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skmergecal._validation import check_list
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters._parameters import Parameters

#: Key of the steps that have to be the same in all members, because they cannot be folded in.
PREPROCESSING = "preprocessing steps that cannot be folded into the first layer"

#: Compared before the shapes: if these differ, so do shapes, and these give the reason.
_IDENTITY = (PREPROCESSING, "type", "classes", "n_features", "feature_names")


def check_read(parameters: Any) -> list[Parameters]:
    """Parameters of at least one estimator, as `read_parameters` gives them."""
    what = "Parameters, as read_parameters gives"
    found = check_list("parameters", parameters, what)
    for number, one in enumerate(found):
        if not isinstance(one, Parameters):
            msg = (
                f"parameters should be a list of {what}; number {number} is a {type(one).__name__}"
            )
            raise ValueError(msg)
    return found


def check_same_architecture(parameters: Sequence[Parameters], names: Sequence[str]) -> None:
    """Raise IncompatibleEstimatorsError if architectures differ, naming the first difference."""
    for name, other in zip(names[1:], parameters[1:], strict=True):
        difference = _first_difference(parameters[0], other)
        if difference is not None:
            msg = f"estimators {names[0]!r} and {name!r} cannot be averaged: {difference}"
            remedy = "use members of one architecture, or method='logits'"
            raise IncompatibleEstimatorsError(msg, remedy)


def _first_difference(a: Parameters, b: Parameters) -> str | None:
    settings = list(dict.fromkeys([*a.architecture, *b.architecture]))
    early = [key for key in settings if key in _IDENTITY]
    late = [key for key in settings if key not in _IDENTITY]
    for key in early:
        if a.architecture.get(key) != b.architecture.get(key):
            return _differ(key, a.architecture.get(key), b.architecture.get(key))
    for key in dict.fromkeys([*a.arrays, *b.arrays]):
        shapes = [p.arrays[key].shape if key in p.arrays else None for p in (a, b)]
        if shapes[0] != shapes[1]:
            return f"parameter {key!r} has shape {shapes[0]} and {shapes[1]}"
    for key in late:
        if a.architecture.get(key) != b.architecture.get(key):
            return _differ(key, a.architecture.get(key), b.architecture.get(key))
    return None


def _differ(key: str, a: object, b: object) -> str:
    difference = getattr(a, "difference", None)
    if difference is not None and isinstance(b, type(a)):
        return f"their {key} differ in {difference(b)}"
    return f"their {key} differ, {a!r} and {b!r}"
