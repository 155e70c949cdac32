"""Are confidences exchangeable with those of reference rows? A conformal test martingale.

Confidences fall into 10 bins, whose edges come from reference rows that are not used further. The
conformal p-value of a row is the share of the bag (the other reference rows, and all rows observed
so far) that is more confident, ties broken at random: uniform and independent of the past if all
rows are exchangeable. Bets on p-values come from the histogram of past ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from skmergecal._typing import Array
from skmergecal.monitoring._mixture import Evidence

__all__ = ["FIRST_ROWS", "Exchangeability"]

#: Rows observed first that are the reference where none is given.
FIRST_ROWS = 5000
_N_BINS = 10
#: The histogram of past p-values forgets: about so many count.
_REMEMBERED = 1000


@dataclass(frozen=True)
class Exchangeability:
    """Evidence after some rows.

    Attributes
    ----------
    waiting : ndarray
        Confidences of the first rows, until there are enough for the edges.
    edges : ndarray of shape (9,)
        Between the bins; empty before they are known.
    counts : ndarray of shape (10,)
        Rows of the bag in each bin.
    histogram : ndarray of shape (10,)
        Of past p-values.
    n_reference : int
        Rows that are still to come before the test begins.
    evidence : Evidence
    """

    waiting: Array = field(default_factory=lambda: np.empty(0))
    edges: Array = field(default_factory=lambda: np.empty(0))
    counts: Array = field(default_factory=lambda: np.zeros(_N_BINS))
    histogram: Array = field(default_factory=lambda: np.zeros(_N_BINS))
    n_reference: int = FIRST_ROWS
    evidence: Evidence = field(default_factory=lambda: Evidence.none_yet(np.ones(1)))

    @classmethod
    def from_reference(cls, confidences: Array) -> Exchangeability:
        """With reference rows: every other one for the edges."""
        edges = _edges(confidences[::2])
        counts = np.bincount(_bins(edges, confidences[1::2]), minlength=_N_BINS)
        return cls(edges=edges, counts=counts.astype(np.float64), n_reference=0)

    def after(self, confidences: Array, uniform: Array) -> Exchangeability:
        """After more rows; ``uniform`` breaks their ties."""
        now, at = self, 0
        if not len(now.edges):
            half = FIRST_ROWS // 2
            at = min(len(confidences), half - len(now.waiting))
            waiting = np.append(now.waiting, confidences[:at])
            full = len(waiting) == half
            now = replace(
                now,
                waiting=waiting[:0] if full else waiting,
                edges=_edges(waiting) if full else now.edges,
                n_reference=now.n_reference - at,
            )
        if len(now.edges) and now.n_reference:
            end = min(len(confidences), at + now.n_reference)
            added = np.bincount(_bins(now.edges, confidences[at:end]), minlength=_N_BINS)
            now = replace(now, counts=now.counts + added, n_reference=now.n_reference - (end - at))
            at = end
        return now._tested(confidences[at:], uniform[at:]) if at < len(confidences) else now

    def _tested(self, confidences: Array, uniform: Array) -> Exchangeability:
        bins = _bins(self.edges, confidences)
        one_hot = np.eye(_N_BINS)[bins]
        bag = np.cumsum(np.vstack([self.counts, one_hot]), axis=0)
        rows = np.arange(len(bins))
        with_self = bag[1:]
        above = with_self.sum(axis=1) - np.cumsum(with_self, axis=1)[rows, bins]
        p = (above + uniform * with_self[rows, bins]) / with_self.sum(axis=1)
        places = np.minimum((p * _N_BINS).astype(np.intp), _N_BINS - 1)
        histogram, log_e = self.histogram.copy(), np.empty((len(p), 1))
        for i, place in enumerate(places):
            log_e[i] = np.log(_N_BINS * (histogram[place] + 1) / (histogram.sum() + _N_BINS))
            histogram *= 1 - 1 / _REMEMBERED
            histogram[place] += 1
        evidence, _ = self.evidence.after(log_e)
        return replace(self, counts=bag[-1], histogram=histogram, evidence=evidence)


def _edges(confidences: Array) -> Array:
    return np.quantile(confidences, np.arange(1, _N_BINS) / _N_BINS)


def _bins(edges: Array, confidences: Array) -> np.ndarray:
    return np.searchsorted(edges, confidences, side="right")
