"""FitRows: the rows of ``fit`` that count, and how they are split into folds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.model_selection import PredefinedSplit, check_cv
from sklearn.utils import indexable
from sklearn.utils.metadata_routing import get_routing_for_object

from skmergecal._compat import _check_method_params, _safe_indexing
from skmergecal._typing import Array, IntArray
from skmergecal._validation import (
    check_labels,
    check_lengths,
    check_rows,
    check_sample_weight,
    count_rows,
)
from skmergecal._warnings import warn_user

__all__ = ["FitRows", "takes_groups", "used_groups"]

Split = tuple[IntArray, IntArray]


@dataclass(frozen=True)
class FitRows:
    """The rows that count: those of positive weight.

    Attributes
    ----------
    X : array-like
        All rows.
    labels : ndarray of shape (n_samples,)
    sample_weight : ndarray of shape (n_samples,) or None
    kept : ndarray of shape (n_kept,)
        Numbers of the rows of positive weight.
    n_samples : int
    """

    X: Any
    labels: np.ndarray
    sample_weight: Array | None
    kept: IntArray
    n_samples: int

    @classmethod
    def check(cls, X: Any, y: Any, sample_weight: Any) -> FitRows:
        """Check X, y and sample_weight against each other."""
        check_rows(X)
        labels = check_labels(y)
        n_samples = count_rows(X)
        check_lengths(n_samples, y=labels)
        X, labels = indexable(X, labels)
        weight = check_sample_weight(sample_weight, n_samples)
        kept = np.arange(n_samples) if weight is None else np.flatnonzero(weight)
        return cls(X, labels, weight, kept, n_samples)

    @property
    def all_kept(self) -> bool:
        """Whether no row has weight 0."""
        return len(self.kept) == self.n_samples

    @cached_property
    def kept_X(self) -> Any:
        """X without the rows of weight 0."""
        return self.X if self.all_kept else _safe_indexing(self.X, self.kept)

    def weight_of(self, held_out: IntArray) -> Array | None:
        """Weights of held-out rows; a row that several folds hold out counts once in all."""
        counts = np.bincount(held_out, minlength=self.n_samples)
        weight = self.sample_weight
        if counts.max() > 1:
            ones = np.ones(self.n_samples)
            return (ones if weight is None else weight)[held_out] / counts[held_out]
        return None if weight is None else weight[held_out]

    def splits(self, cv: Any, params: dict[str, Any]) -> list[Split]:
        """Train and test rows of each fold, as numbers of rows of X, without those of weight 0.

        Raises
        ------
        ValueError
            If cv gives no fold with rows to hold out.
        """
        labels = self.labels[self.kept]
        splitter = check_cv(cv, labels, classifier=True)
        found = list(self._raw_splits(cv, splitter, params))
        found = [(train, test) for train, test in found if len(test)]
        if not found:
            msg = (
                f"cv={cv!r} holds out no rows: pass a number of folds, a splitter, or a list of "
                "(train, test) rows (a generator is used up after one fit)"
            )
            raise ValueError(msg)
        return found

    def _raw_splits(self, cv: Any, splitter: Any, params: dict[str, Any]) -> Iterator[Split]:
        given = not hasattr(cv, "split") and not isinstance(cv, int | np.integer | None)
        if given or isinstance(cv, PredefinedSplit):  # they know all rows by number
            for train, test in splitter.split(self.X, self.labels):
                yield self._counting(train), self._counting(test)
            return
        labels = self.labels[self.kept]
        params = _check_method_params(self.X, params, self.kept)
        groups = used_groups(cv, splitter, params.get("groups"))
        params = {k: v for k, v in params.items() if k != "groups" or groups is not None}
        for train, test in splitter.split(self.kept_X, labels, **params):
            yield self.kept[train], self.kept[test]

    def _counting(self, rows: Any) -> IntArray:
        """Numbers of those rows, given as numbers or as a mask, that have positive weight."""
        rows = np.asarray(rows)
        numbers = np.flatnonzero(rows) if rows.dtype == bool else rows
        return numbers[np.isin(numbers, self.kept)].astype(np.intp)


def takes_groups(splitter: Any) -> bool:
    """Whether a splitter makes use of groups; others than scikit-learn's may read them unasked."""
    own = type(splitter).__module__.startswith("sklearn.")
    return not own or "groups" in get_routing_for_object(splitter).split.requests


def used_groups(cv: Any, splitter: Any, groups: Any) -> Any:
    """Groups of rows, or None where a splitter makes no use of them, with a warning.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test)
        As the user passed it.
    splitter : splitter
        What was made of it.
    groups : array-like or None
    """
    if groups is None or takes_groups(splitter):
        return groups
    if hasattr(cv, "split") or isinstance(cv, int | np.integer | None):
        warn_user(
            f"groups= has no effect: cv={cv!r} splits rows without regard to groups. To keep the "
            "rows of a group together, pass cv=GroupKFold(5) or cv=StratifiedGroupKFold(5)."
        )
    return None
