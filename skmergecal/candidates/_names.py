"""Names of candidates: their classes, and the parameters in which they differ."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skmergecal._typing import Estimator
from skmergecal.merging import MergedClassifier

__all__ = ["name_candidates"]

#: Longest text of one value.
_LONGEST = 40
#: Names that no member can have: they are parameters of the merge, or taken by scikit-learn.
_TAKEN = {*inspect.signature(MergedClassifier).parameters, "self", "splitter", "method_mapping"}


def name_candidates(
    estimators: Sequence[Estimator], params: Sequence[Mapping[str, Any]]
) -> list[str]:
    """A name for each, "lgbm learning_rate=0.1 num_leaves=31", no two of them the same."""
    taken, names = set(_TAKEN), []
    for estimator, given in zip(estimators, params, strict=True):
        settings = [f"{key}={_text(given[name])}" for name, key in _short(given).items()]
        # Two underscores are what scikit-learn takes for the way to a parameter.
        name = unique = re.sub("_{2,}", "_", " ".join([_kind(estimator), *settings]))
        number = 1
        while unique in taken:
            number += 1
            unique = f"{name}-{number}"
        taken.add(unique)
        names.append(unique)
    return names


def _kind(estimator: Estimator) -> str:
    """The name of the last step of a Pipeline, or of the class, without "classifier"."""
    inner, name = estimator, ""
    while getattr(inner, "steps", None):
        name, inner = inner.steps[-1]
    if isinstance(inner, FrozenEstimator):
        inner = inner.estimator
    name = name or type(inner).__name__.lower()
    return name.removesuffix("classifier") or name


def _short(given: Mapping[str, Any]) -> dict[str, str]:
    """The last part of each parameter's name; the whole one where two have the same last part."""
    last = {name: name.rpartition("__")[2] for name in given}
    counts = Counter(last.values())
    whole = {name: name.replace("__", ".") for name in last if counts[last[name]] > 1}
    return {**last, **whole}


def _text(value: Any) -> str:
    text = _whole_text(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _whole_text(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.3g}"
    if value is None or isinstance(value, str | bool | int | np.generic):
        return str(value)
    if isinstance(value, Mapping):
        return ",".join(f"{key}:{_text(part)}" for key, part in value.items())
    if isinstance(value, list | tuple | np.ndarray):
        return "(" + ",".join(_text(part) for part in value) + ")"
    return getattr(value, "__name__", None) or type(value).__name__
