"""Streams: all that labelled rows change in a monitor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skmergecal._typing import Array
from skmergecal.monitoring._advice import Reference
from skmergecal.monitoring._inputs import CountedRows
from skmergecal.monitoring._members import MemberWatches
from skmergecal.monitoring._null import Tolerance
from skmergecal.monitoring._watch import Watch
from skmergecal.monitoring._window import Window

__all__ = ["Streams"]


@dataclass(frozen=True)
class Streams:
    """After some rows.

    Attributes
    ----------
    watch : Watch
        The evidence against the deployed model.
    window : Window or None
        The last rows, if they are kept; without them there are no reference and no members.
    reference : Reference or None
    members : MemberWatches or None
    """

    watch: Watch
    window: Window | None
    reference: Reference | None
    members: MemberWatches | None

    @classmethod
    def start(
        cls,
        null: Tolerance,
        names: list[str],
        size: int | None,
        *,
        run_length: bool,
        from_proba: bool,
    ) -> Streams:
        """Before the first row; ``names`` are those of the members."""
        k = len(null.shifts)
        return cls(
            Watch.start(null, run_length=run_length),
            None if size is None else Window.empty(int(size), k, len(names), from_proba=from_proba),
            None if size is None else Reference(np.zeros(k)),
            MemberWatches(names) if names else None,
        )

    def after(self, rows: CountedRows, opinions: Array, threshold: float, alpha: float) -> Streams:
        """After more rows; ``opinions`` are those of the members."""
        watch = self.watch.after(rows.log_proba, rows.y, rows.weight, threshold)
        window, reference, members = self.window, self.reference, self.members
        if window is not None and reference is not None:
            parts: tuple[Any, ...] = (rows.exact, rows.y, rows.weight, opinions)
            at = 0
            if members is not None and not members.watches:
                at = min(len(rows.y), window.size - len(window))
                window = window.after(*(part[:at] for part in parts))
                if len(window) == window.size:
                    members = members.calibrated(window)
            window = window.after(*(part[at:] for part in parts))
            if members is not None:
                members = members.after(opinions[at:], rows.y[at:], rows.weight[at:], alpha)
            reference = reference.after(rows.log_proba, rows.y, rows.weight, window.size)
        return Streams(watch, window, reference, members)
