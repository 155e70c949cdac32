"""Softening of probabilities in partitions."""

from __future__ import annotations

import numpy as np

from skmergecal._numerics import (
    ROUNDED_TO,
    are_units_of_decimals,
    decide_softening,
    near_zero,
    raised_much,
    soften_rounded,
    softening_of,
    whole_units,
    zeros_and_ones,
)
from skmergecal._partitions._partitions import InMemory, Partitions
from skmergecal._partitions._rows import SIZES, Rows, Sizes
from skmergecal._typing import Array

__all__ = ["softenings"]


def softenings(rows: Partitions[Rows]) -> list[float]:
    """What `softening_of` gives for each opinion of the rows: of probabilities."""
    if isinstance(rows, InMemory):
        return [softening_of(p, rows.part.weight) for p in rows.part.opinions]
    sizes, smallest, rounded = rows.reduce(
        _facts, how=(SIZES, "min", "min"), what="smallest probabilities"
    )
    _, total, n_classes = Sizes(*sizes)
    much = raised_much(total, n_classes)
    counts = np.zeros((len(smallest), 3))
    if ((smallest > 0) & (smallest < much)).any():
        counts = rows.reduce(_near_zero, smallest, much, what="small probabilities")
    known = zip(smallest.tolist(), counts, strict=True)
    amounts = [decide_softening(total, own, much, of) for own, of in known]
    whole, *of_votes = np.moveaxis(rounded > 0, 2, 0)
    places = np.argwhere(whole & ~np.logical_or(*of_votes))
    possible = [(k, ROUNDED_TO[number]) for k, number in places.tolist()]
    if possible:
        seen, few = rows.reduce(
            _units_seen, possible, how=("max", "sum"), what="rounded probabilities"
        )
        for (k, units), table, counts in zip(possible, seen, few, strict=True):
            if are_units_of_decimals(np.flatnonzero(table)):
                amounts[k] = soften_rounded(total, units, counts, n_classes)
    return amounts


def _facts(rows: Rows) -> tuple[tuple[int, float, int], Array, Array]:
    """Sizes; of each opinion the smallest number, and what its numbers of units may be."""
    smallest = [p.min() for p in rows.opinions]
    rounded = [[_kind_of_units(p, units) for units in ROUNDED_TO] for p in rows.opinions]
    return rows.sizes(), np.array(smallest), np.array(rounded, dtype=np.float64)


def _kind_of_units(proba: Array, units: int) -> tuple[bool, bool, bool]:
    """Whether all are whole, even, and multiples of 5: most shares of votes are one of these."""
    found = whole_units(proba, units)
    if found is None:
        return False, False, False
    return True, bool((found % 2 == 0).all()), bool((found % 5 == 0).all())


def _near_zero(rows: Rows, smallest: Array, much: float) -> Array:
    found = np.zeros((len(smallest), 3))
    for k in np.flatnonzero((smallest > 0) & (smallest < much)).tolist():
        found[k] = near_zero(rows.opinions[k], rows.weight, smallest[k], much)
    return found


def _units_seen(rows: Rows, possible: list[tuple[int, int]]) -> tuple[np.ndarray, Array]:
    """Which numbers of units there are, in tables, and how many zeros and ones."""
    seen = np.zeros((len(possible), 2 * max(ROUNDED_TO)), dtype=bool)
    few = np.zeros((len(possible), 2))
    for number, (k, units) in enumerate(possible):
        seen[number, whole_units(rows.opinions[k], units)] = True
        few[number] = zeros_and_ones(rows.opinions[k], rows.weight, units)
    return seen, few
