"""FittedRows: rows that members were fitted to, recognised when a report is made of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skmergecal._compat import _num_samples, _safe_indexing
from skmergecal._memory import Memo, RowValues, content_key, find_rows, row_values
from skmergecal._typing import IntArray
from skmergecal._warnings import warn_user
from skmergecal.members import FitRows, HeldOutMembers, Member, Opinion

__all__ = ["FittedRows"]


@dataclass(frozen=True)
class FittedRows:
    """Out-of-fold opinions of members that are fitted here on the rows of ``fit``.

    A pickle holds the names and the key alone.

    Attributes
    ----------
    names : list of str
        Of the members that were fitted to these rows.
    key : str or None
        Hash of all rows.
    values : RowValues or None
        Hashes of each row.
    lines : ndarray of shape (n_rows,)
        The line of the opinions that belongs to each row; -1 where it was not held out.
    opinions : list of Opinion
        One per member, out of fold.
    labels : ndarray of shape (n_rows,)
        Column number of the class of each row; -1 where it was not held out.
    """

    names: Sequence[str]
    key: str | None
    values: RowValues | None = None
    lines: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    opinions: Sequence[Opinion] = ()
    labels: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.intp))

    @classmethod
    def of(
        cls, held_out: HeldOutMembers, rows: FitRows, out_of_fold: Collection[str] = ()
    ) -> FittedRows | None:
        """Of a fit; None where no member has seen its rows.

        Parameters
        ----------
        held_out : HeldOutMembers
        rows : FitRows
            Those that members were fitted to, or that they held out.
        out_of_fold : collection of str
            Names of frozen members whose models were read on the rows of their folds.
        """
        own = [m.name for m in held_out.members if not isinstance(m.estimator, FrozenEstimator)]
        own += out_of_fold
        if not own:
            return None
        lines = np.full(rows.n_samples, -1, dtype=np.intp)
        labels = lines.copy()
        opinions: Sequence[Opinion] = ()
        if held_out.cross_fitted or out_of_fold:
            lines[held_out.rows] = np.arange(len(held_out.rows))
            labels[held_out.rows] = held_out.y
            opinions = held_out.opinions
        X, kept = rows.kept_X, rows.kept
        return cls(own, content_key(X), row_values(X), lines[kept], opinions, labels[kept])

    def __getstate__(self) -> dict[str, Any]:
        return vars(FittedRows(self.names, self.key))

    def read(
        self, members: Sequence[Member], X: Any, labels: IntArray
    ) -> tuple[list[Opinion], bool]:
        """Opinions of members on some rows: out of fold for those that they were fitted to.

        Parameters
        ----------
        members : sequence of Member
        X : array-like
        labels : ndarray of shape (n_rows,)
            Column numbers of the classes of the rows.

        Returns
        -------
        list of Opinion, bool
            And whether any of the rows is one that the members were fitted to.
        """
        fitted, lines = self._find(X, labels)
        lost = int((fitted & (lines < 0)).sum())
        if lost:
            warn_user(
                f"estimators {list(self.names)} were fitted to {lost} of these {len(lines)} rows, "
                "and their out-of-fold predictions are not kept (there are none of rows that no "
                "fold held out; they are not saved with a model, and need weights or a temperature "
                "that are learned): their losses are those of training rows, and too low. Pass "
                "rows that they have not seen."
            )
        known = lines >= 0
        if not known.any():
            return [member.opinion(X) for member in members], bool(fitted.any())
        rest = None if known.all() else _safe_indexing(X, np.flatnonzero(~known))
        opinions = []
        for member, own in zip(members, self.opinions, strict=True):
            if rest is None:
                opinions.append(own.take(lines, Memo.none()))
                continue
            other = member.opinion(rest)
            if other.logarithmic != own.logarithmic:
                other, own = (Opinion(o.proba(), logarithmic=False) for o in (other, own))
            values = np.empty((len(lines), other.values.shape[1]))
            values[known], values[~known] = own.values[lines[known]], other.values
            opinions.append(Opinion(values, own.logarithmic, fill=own.fill))
        return opinions, True

    def _find(self, X: Any, labels: IntArray) -> tuple[np.ndarray, IntArray]:
        """Which rows are those of ``fit``, and their lines among the opinions; -1 for none."""
        n = _num_samples(X)
        own = None if self.values is None else row_values(X)
        if self.values is not None and own is not None:
            # A model has not seen a row, but may have seen its copy in another fold: copies of
            # other labels are not confused.
            marks = [(self.labels, labels)]
            if self.values.names is not None and own.names is not None:
                marks.append((self.values.names, own.names))
            place = find_rows(self.values.hashes, own.hashes, marks)
            return place >= 0, np.where(place >= 0, self.lines[place], -1)
        if self.key is None or content_key(X) != self.key:
            return np.zeros(n, dtype=bool), np.full(n, -1)
        return np.ones(n, dtype=bool), self.lines if len(self.lines) else np.full(n, -1)
