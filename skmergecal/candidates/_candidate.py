"""Candidate: one set of parameters that was scored, and the choice of the best ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skmergecal._typing import Estimator, NamedEstimators
from skmergecal._warnings import warn_user
from skmergecal.candidates._names import name_candidates
from skmergecal.members import check_estimator

__all__ = ["Candidate", "best_of", "named_members", "warn_if_fewer", "with_varying"]


@dataclass(frozen=True)
class Candidate:
    """A set of parameters that was scored.

    Attributes
    ----------
    score : float
        The higher, the better.
    params : Mapping of str to object
        Those in which it differs from the others.
    make : callable
        Returns an estimator with all of them.
    """

    score: float
    params: Mapping[str, Any]
    make: Callable[[], Estimator]


def with_varying(params: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each set of parameters, those that are not the same in all sets."""
    names = dict.fromkeys(name for given in params for name in given)
    first = params[0] if params else {}
    varying = [
        name
        for name in names
        if not all(name in p and name in first and is_same(p[name], first[name]) for p in params)
    ]
    return [{name: given[name] for name in varying if name in given} for given in params]


def best_of(candidates: Sequence[Candidate], n: int) -> list[tuple[Candidate, Estimator]]:
    """Up to n candidates of the highest scores, equal estimators once, each with a clone.

    Scores that are not finite are those of fits that failed.
    """
    kept: list[tuple[Candidate, Estimator]] = []
    for candidate, estimator in _by_score(candidates):
        if not any(
            is_same(estimator, other, also_of_other_kind=candidate.score == rival.score)
            for rival, other in kept
        ):
            kept.append((candidate, estimator))
        if len(kept) == n:
            break
    return kept


def _by_score(candidates: Sequence[Candidate]) -> Iterator[tuple[Candidate, Estimator]]:
    scored = [candidate for candidate in candidates if np.isfinite(candidate.score)]
    for candidate in sorted(scored, key=lambda candidate: -candidate.score):
        yield candidate, clone(candidate.make())


def named_members(chosen: Sequence[tuple[Candidate, Estimator]]) -> NamedEstimators:
    """Names and unfitted estimators of the chosen candidates, each of which can be a member."""
    params = [candidate.params for candidate, _ in chosen]
    estimators = [estimator for _, estimator in chosen]
    members = list(zip(name_candidates(estimators, params), estimators, strict=True))
    for name, estimator in members:
        check_estimator(name, estimator)
    return members


def warn_if_fewer(found: int, n_members: int, what: str, left_out: str) -> None:
    """Warn, or raise ValueError if there is none, where there are fewer candidates than wanted."""
    if not found:
        msg = f"{what} has no candidate with a score: {left_out}. Repair the fits, and search again"
        raise ValueError(msg)
    if found < n_members:
        warn_user(
            f"n_members={n_members}, but {what} has {found} different candidates with a score "
            f"({left_out}): all of them are taken. Pass n_members={found}, or try more candidates."
        )


def is_same(a: Any, b: Any, *, also_of_other_kind: bool = False) -> bool:
    """Whether two parameters have the same value; estimators by class and parameters.

    1, 1.0 and True may mean the same (C), or not (max_features): they are different, unless those
    of another kind count, too.
    """
    same = partial(is_same, also_of_other_kind=also_of_other_kind)
    if a is b:
        return True
    if isinstance(a, type):
        return False
    if isinstance(a, FrozenEstimator):  # what it learned is no parameter
        return isinstance(b, FrozenEstimator) and a.estimator is b.estimator
    if hasattr(a, "get_params"):
        return type(a) is type(b) and same(a.get_params(deep=False), b.get_params(deep=False))
    if isinstance(a, dict):
        both = isinstance(b, dict) and a.keys() == b.keys()
        return both and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        both = type(a) is type(b) and len(a) == len(b)
        return both and all(same(x, y) for x, y in zip(a, b, strict=True))
    try:
        if getattr(a, "shape", ()) == () and a == b:
            return also_of_other_kind or _kind(a) == _kind(b)
        return bool(joblib.hash(a) == joblib.hash(b))
    except Exception:  # what cannot be compared, nor pickled, is taken for different
        return False


def _kind(value: Any) -> str:
    """That of a number, "i", "f" or "b"; "U" of a text; "O" of other objects."""
    return np.asarray(value).dtype.kind
