"""Models of folds that exist already: which rows each of them did not see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import check_cv

from skmergecal._typing import Estimator, IntArray, NamedEstimators
from skmergecal._validation import check_lengths
from skmergecal.members._accept import freeze, freeze_all
from skmergecal.members._fit_rows import FitRows, takes_groups
from skmergecal.members._fold_average import FoldAverage, fold_average_in

__all__ = ["GivenFolds", "average_folds", "rows_of_folds"]

#: What makes the rows of a splitter others in each call.
_FIXED = (
    "pass the splitter with the random_state that the models were fitted with, a number, or the "
    "list of (train, test) rows that they were fitted on"
)


def average_folds(fold_models: Any, classes: Any, average: str) -> NamedEstimators:
    """Frozen averages of the models of each member, with the labels of their columns.

    Parameters
    ----------
    fold_models : dict of str to list of fitted classifiers, or list of such pairs
    classes : dict of str to array-like, array-like or None
        As for `freeze_all`.
    average : {"logits", "probabilities"}

    Raises
    ------
    TypeError, ValueError
        If there is no list of fitted classifiers for each name.
    """
    given = fold_models.items() if isinstance(fold_models, Mapping) else fold_models
    pairs = list(given) if hasattr(given, "__iter__") else []
    if not pairs or not all(isinstance(p, tuple) and len(p) == 2 for p in pairs):
        msg = (
            "fold_models should be a dict of lists of fitted classifiers by the members' names, "
            "{'forest': [model_of_fold_1, ...], ...}"
        )
        raise ValueError(msg)
    averages = [
        (name, m if isinstance(m, str) and m == "drop" else _average(name, m, average))
        for name, m in pairs
    ]
    return freeze_all(averages, classes)


def _average(name: str, models: Any, average: str) -> FoldAverage:
    if not isinstance(models, list | tuple | np.ndarray) or not len(models):
        msg = (
            f"fold_models[{name!r}] should be a list of fitted classifiers, one for each fold; got "
            f"{type(models).__name__ if not isinstance(models, list | tuple) else models!r}"
        )
        raise ValueError(msg)
    frozen = [freeze(f"{name}, fold {k + 1}", model) for k, model in enumerate(models)]
    return FoldAverage(frozen, average=average)


class GivenFolds(NamedTuple):
    """Rows of models that were fitted elsewhere, one for each fold."""

    rows: FitRows
    """Those that every member holds out in one of its folds; without folds all."""
    held: dict[str, list[IntArray]] | None
    """By name of the member, the rows that each of its models holds out; None without folds."""
    known: FitRows
    """Those that are held out, or that a model was trained on."""


def rows_of_folds(
    estimators: NamedEstimators, rows: FitRows, folds: tuple[Any, Any] | None
) -> GivenFolds:
    """The rows that models of folds hold out.

    Parameters
    ----------
    estimators : sequence of (str, estimator)
        Frozen averages of the models of folds.
    rows : FitRows
    folds : tuple or None
        Splits, a list of (train, test), a splitter, an int, or a dict of such by name; and groups
        for splitters that use them, or None. Without folds all rows are returned.

    Raises
    ------
    ValueError
        If a splitter shuffles without a fixed random_state; or, for a member, there are not as
        many splits as models, rows are in both parts of one, or are held out twice; or if no row
        is held out by all members.
    """
    if folds is None:
        return GivenFolds(rows, None, rows)
    splits, groups = folds
    if groups is not None:
        check_lengths(rows.n_samples, groups=np.asarray(groups))
    by_name = _by_name([name for name, _ in estimators], splits, rows, groups)
    parts_of = {n: _parts(n, by_name[n], e, rows.n_samples) for n, e in estimators}
    held = {name: [test for _, test in parts] for name, parts in parts_of.items()}
    trained = [train for parts in parts_of.values() for train, _ in parts]
    kept = rows.kept
    for tests in held.values():
        kept = np.intersect1d(kept, np.concatenate(tests))
    if not len(kept):
        msg = (
            "no row is held out by a model of every member, so that there is none to learn from: "
            "pass the splits of the rows that were held out, with members of the same rows"
        )
        raise ValueError(msg)
    known = np.unique(np.concatenate([kept, *trained]))
    return GivenFolds(replace(rows, kept=kept), held, replace(rows, kept=known))


def _by_name(
    names: list[str], splits: Any, rows: FitRows, groups: Any
) -> dict[str, list[tuple[Any, Any]]]:
    if not isinstance(splits, Mapping):
        return dict.fromkeys(names, _as_list(splits, "splits", rows, groups))
    if set(splits) != set(names):
        msg = f"splits names {list(splits)}; it should name the members, {names}"
        raise ValueError(msg)
    return {n: _as_list(splits[n], f"splits[{n!r}]", rows, groups) for n in names}


def _as_list(splits: Any, what: str, rows: FitRows, groups: Any) -> list[tuple[Any, Any]]:
    if isinstance(splits, Integral):
        splits = check_cv(int(splits), rows.labels, classifier=True)
    if hasattr(splits, "split") and not isinstance(splits, str):
        _refuse_random(splits, what)
        used = groups if takes_groups(splits) else None
        found = [list(splits.split(rows.X, rows.labels, used)) for _ in range(2)]
        if not _are_equal(*found):
            msg = f"{what}={splits!r} splits the rows in another way at each call: {_FIXED}"
            raise ValueError(msg)
        return found[0]
    found = list(splits) if hasattr(splits, "__iter__") and not isinstance(splits, str) else []
    if not found or not all(isinstance(s, tuple | list) and len(s) == 2 for s in found):
        msg = (
            f"{what} should be a list of (train, test) rows, one for each model, or the splitter "
            f"that made them; got {splits!r}"
        )
        raise ValueError(msg)
    return [(train, test) for train, test in found]


def _refuse_random(splitter: Any, what: str) -> None:
    state = getattr(splitter, "random_state", 0)
    if getattr(splitter, "shuffle", True) and not isinstance(state, Integral):
        msg = f"{what}={splitter!r} shuffles the rows in another way at each call: {_FIXED}"
        raise ValueError(msg)


def _are_equal(first: list[Any], second: list[Any]) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(a, b)
        for one, two in zip(first, second, strict=True)
        for a, b in zip(one, two, strict=True)
    )


def _parts(
    name: str, splits: list[tuple[Any, Any]], estimator: Estimator, n_samples: int
) -> list[tuple[IntArray, IntArray]]:
    """The rows that each model of a member was trained on, and those that it holds out."""
    average = fold_average_in(estimator)
    assert average is not None
    n_models = len(average.estimators)
    if len(splits) != n_models:
        msg = (
            f"estimator {name!r} has {n_models} models, but splits has {len(splits)} pairs of "
            "(train, test) rows: pass one pair for each model, in their order"
        )
        raise ValueError(msg)
    parts = []
    for k, pair in enumerate(splits):
        train, test = (_numbers(part, name, k, n_samples) for part in pair)
        both = np.intersect1d(train, test)
        if len(both):
            msg = (
                f"the split of estimator {name!r}, fold {k + 1}, has rows both in train and in "
                f"test, such as {both[0]}: a model is read on rows that it did not see; pass "
                "(train, test) without common rows"
            )
            raise ValueError(msg)
        parts.append((train, test))
    counts = np.bincount(np.concatenate([test for _, test in parts]), minlength=n_samples)
    twice = np.flatnonzero(counts > 1)
    if len(twice):
        msg = (
            f"{len(twice)} rows, such as {twice[0]}, are held out by several models of estimator "
            f"{name!r}: pass the models of repeated folds as several members, one for each repeat, "
            "with splits= as a dict by name"
        )
        raise ValueError(msg)
    return parts


def _numbers(part: Any, name: str, fold: int, n_samples: int) -> IntArray:
    """Numbers of rows, given as such or as a mask."""
    given = np.asarray(part)
    if given.dtype == bool and given.shape == (n_samples,):
        return np.flatnonzero(given)
    if given.size == 0:
        return np.empty(0, dtype=np.intp)
    whole = given.ndim == 1 and given.dtype.kind in "iu"
    if not whole or given.min() < 0 or given.max() >= n_samples:
        msg = (
            f"the split of estimator {name!r}, fold {fold + 1}, should hold numbers of rows from 0 "
            f"to {n_samples - 1}, by their position in X, or masks of length {n_samples}"
        )
        raise ValueError(msg)
    return given.astype(np.intp)
