"""FitOrderDisplay: differences in score between orders of merging, calibrating and tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skmergecal._optional import as_frame
from skmergecal._typing import Array
from skmergecal._validation import as_numbers, check_list, check_parameters
from skmergecal.display._style import AXES, DRAWN, labelled_rows, shorten

__all__ = ["FitOrderDisplay"]


class FitOrderDisplay:
    """Differences in score between orders, with intervals.

    Use `from_results` to make one.

    Parameters
    ----------
    names : sequence of str
        The orders.
    differences : array-like of shape (n_orders,)
        Score minus that of the baseline.
    intervals : array-like of shape (n_orders, 2)
        Lower and upper bounds; NaN if there is no interval.
    baseline : str, default=None
        Name of the baseline; None: the first order whose difference and interval are 0.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    skmergecal.compare_fit_orders : Computes the table.

    Examples
    --------
    >>> from skmergecal import FitOrderDisplay
    >>> table = {"order": ["merge", "merge-then-tune"], "difference": [0.0, 0.02],
    ...          "low": [0.0, 0.01], "high": [0.0, 0.03]}
    >>> FitOrderDisplay.from_results(table, plot=False).baseline
    'merge'
    """

    @check_parameters(baseline=[str, None])
    def __init__(
        self, names: Sequence[str], differences: Any, intervals: Any, baseline: str | None = None
    ) -> None:
        self.names = [str(name) for name in check_list("names", names, "str, one per order")]
        self.differences: Array = np.asarray(as_numbers("differences", differences), np.float64)
        self.intervals: Array = np.asarray(as_numbers("intervals", intervals), np.float64)
        n_orders = len(self.names)
        if self.differences.shape != (n_orders,) or self.intervals.shape != (n_orders, 2):
            msg = (
                f"differences and intervals should have shapes ({n_orders},) and ({n_orders}, 2); "
                f"got {self.differences.shape} and {self.intervals.shape}"
            )
            raise ValueError(msg)
        if baseline is None:
            itself = (self.differences == 0) & ~(np.abs(self.intervals) > 0).any(axis=1)
            baseline = self.names[int(np.argmax(itself))] if itself.any() else "the baseline"
        self.baseline = baseline

    @classmethod
    @check_parameters(**DRAWN)
    def from_results(cls, table: Any, *, ax: Any = None, plot: bool = True) -> FitOrderDisplay:
        """Create a display from the table of `skmergecal.compare_fit_orders`.

        Parameters
        ----------
        table : DataFrame or dict of arrays
            Orders as the index, or the key "order"; "difference", "low", "high".
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.
        plot : bool, default=True
            Whether to draw at once.

        Returns
        -------
        FitOrderDisplay
            Drawn, unless ``plot=False``.
        """
        wanted = {"difference", "low", "high"} | (set() if hasattr(table, "index") else {"order"})
        missing = wanted - set(table if hasattr(table, "keys") else ())
        if missing:
            msg = (
                f"table lacks the columns {sorted(missing)}: pass the table that "
                "compare_fit_orders returns"
            )
            raise ValueError(msg)
        names = table.index if hasattr(table, "index") else table["order"]
        low, high = (as_numbers(f"{end} of the table", table[end]) for end in ("low", "high"))
        display = cls(list(names), table["difference"], np.column_stack([low, high]))
        return display.plot(ax=ax) if plot else display

    def frame(self) -> Any:
        """The plotted numbers, one row per order.

        Returns
        -------
        DataFrame, or dict of arrays without pandas
            Columns ``order``, ``difference``, ``low`` and ``high``.
        """
        columns: dict[str, Any] = {"order": self.names, "difference": self.differences}
        return as_frame(columns | {"low": self.intervals[:, 0], "high": self.intervals[:, 1]})

    @check_parameters(ax=AXES)
    def plot(self, ax: Any = None) -> FitOrderDisplay:
        """Draw a point per order with a line for its interval; the baseline is at 0.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        FitOrderDisplay
            This object.
        """
        axes = labelled_rows(ax, self.names, self.differences, self.intervals)
        axes.axvline(0.0, color="0.6", linestyle=":", linewidth=1.2)
        axes.set_xlabel(f"score (greater is better)\nminus that of {shorten(self.baseline)}")
        self.ax_, self.figure_ = axes, axes.figure
        return self
