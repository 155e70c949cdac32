"""Watch: the evidence against one model's probabilities, row after row."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skmergecal._typing import Array, IntArray
from skmergecal.monitoring._evidence import Grid, log_e_values
from skmergecal.monitoring._mixture import Evidence
from skmergecal.monitoring._null import NullLaws, Tolerance
from skmergecal.monitoring._plug_in import VARIANTS, PlugIn

__all__ = ["Watch"]

#: Rows that are worked on at once, so that memory does not grow with the batch.
_CHUNK = 4096


@dataclass(frozen=True)
class Watch:
    """Evidence after some rows.

    Attributes
    ----------
    null : Tolerance
        What is tolerated.
    grid : Grid
        The alternatives, besides the plug-in, which is the last one.
    evidence : Evidence
    plug_in : PlugIn
    gains, lowest : ndarray of shape (3,)
        What recalibration that was learned before each row won, for each of `VARIANTS`, and the
        smallest such sum so far.
    alarmed : int
        The row of the first alarm; -1 without one.
    """

    null: Tolerance
    grid: Grid
    evidence: Evidence
    plug_in: PlugIn
    gains: Array
    lowest: Array
    alarmed: int = -1

    @classmethod
    def start(cls, null: Tolerance, *, run_length: bool = False) -> Watch:
        """Before the first row."""
        grid = Grid.beyond(null)
        mass = np.append(grid.mass / 2, 0.5)
        evidence = Evidence.none_yet(mass, run_length=run_length)
        zeros = np.zeros(len(VARIANTS))
        return cls(null, grid, evidence, PlugIn.of_nothing(len(null.shifts)), zeros, zeros)

    def after(self, log_proba: Array, y: IntArray, weight: Array, threshold: float) -> Watch:
        """Evidence after more rows.

        Parameters
        ----------
        log_proba : ndarray of shape (n_samples, n_classes)
        y : ndarray of shape (n_samples,)
            Column numbers.
        weight : ndarray of shape (n_samples,)
            At most 1: a power of the e-values.
        threshold : float
            Of the log of the evidence, for an alarm.
        """
        now = self
        for first in range(0, len(y), _CHUNK):
            part = slice(first, first + _CHUNK)
            now = now._after_chunk(log_proba[part], y[part], weight[part], threshold)
        return now

    def _after_chunk(self, z: Array, y: IntArray, weight: Array, threshold: float) -> Watch:
        laws = NullLaws(z, self.null)
        plug_in, last, gains = self.plug_in.after(laws, y, weight)
        log_e = np.column_stack([log_e_values(laws, y, self.grid), last]) * weight[:, None]
        evidence, path = self.evidence.after(log_e)
        alarmed = self.alarmed
        if alarmed < 0 and (path >= threshold).any():
            alarmed = self.evidence.n_rows + int(np.argmax(path >= threshold))
        total = np.cumsum(np.vstack([self.gains, gains * weight[:, None]]), axis=0)
        lowest = np.minimum(self.lowest, total.min(axis=0))
        return replace(
            self,
            evidence=evidence,
            plug_in=plug_in,
            gains=total[-1],
            lowest=lowest,
            alarmed=alarmed,
        )

    @property
    def recent_gains(self) -> dict[str, float]:
        """What recalibration won since it began to win, in nats, for each of `VARIANTS`."""
        return dict(zip(VARIANTS, (self.gains - self.lowest).tolist(), strict=True))
