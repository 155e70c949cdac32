"""MonitorDisplay: evidence, loss and temperature of a monitor, batch after batch."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from skmergecal._compat import Interval
from skmergecal._optional import as_frame
from skmergecal._typing import Array
from skmergecal._validation import as_numbers, check_parameters
from skmergecal.display._style import AXES, DRAWN, line_style, new_axes, shorten

__all__ = ["MonitorDisplay"]

_COLUMNS = ("first_row", "n_rows", "log_e_value", "log_loss", "expected_log_loss", "temperature")
_MEMBER = "log_e_value_"


class MonitorDisplay:
    """Evidence with the alarm line, loss, and temperature of a monitor, batch after batch.

    Parameters
    ----------
    records : DataFrame or dict of array-like
        As ``to_frame`` of a monitor gives it, one line per batch.
    alarm_line : float
        The log of the evidence at which the alarm comes.
    onset : int, default=None
        Row, counted as ``first_row`` is, at which the change probably began.

    Attributes
    ----------
    line_ : list of matplotlib Line2D
        The curves, from the top down.
    ax_ : ndarray of matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    skmergecal.monitoring.CalibrationMonitor : Records what it draws.

    Examples
    --------
    >>> from skmergecal import MonitorDisplay
    >>> from skmergecal.monitoring import CalibrationMonitor
    >>> monitor = CalibrationMonitor()
    >>> for month in range(3):
    ...     _ = monitor.update([[0.3, 0.7]] * 50, [0, 1] * 25, label=month)
    >>> display = MonitorDisplay.from_monitor(monitor, plot=False)
    >>> len(display.frame()["log_e_value"])
    3
    """

    @check_parameters(
        alarm_line=[Interval(Real, None, None, closed="neither")],
        onset=[Interval(Integral, 0, None, closed="left"), None],
    )
    def __init__(self, records: Any, alarm_line: float, onset: int | None = None) -> None:
        self.records = _read_records(records)
        self.alarm_line, self.onset = float(alarm_line), onset

    @classmethod
    @check_parameters(**DRAWN, members=["boolean"])
    def from_monitor(
        cls, monitor: Any, *, members: bool = False, ax: Any = None, plot: bool = True
    ) -> MonitorDisplay:
        """Create a display of what a monitor has recorded.

        Parameters
        ----------
        monitor : CalibrationMonitor
            After at least one update.
        members : bool, default=False
            Whether to draw the evidence against each member, too.
        ax : matplotlib Axes, default=None
            Two of them, or three where there is a window; None: a new figure.
        plot : bool, default=True
            Whether to draw at once.

        Returns
        -------
        MonitorDisplay
            Drawn, unless ``plot=False``.
        """
        if not hasattr(monitor, "to_frame") or not hasattr(monitor, "alarm_line_"):
            msg = f"monitor should be a CalibrationMonitor; got {type(monitor).__name__}"
            raise TypeError(msg)
        records = monitor.to_frame()
        if not len(records["label"]):
            msg = "monitor has recorded nothing to draw: call its update first"
            raise ValueError(msg)
        onset = monitor.onset_
        if onset is not None:  # counted since the last reset
            last = int(np.asarray(records["first_row"])[-1] + np.asarray(records["n_rows"])[-1])
            onset = int(onset + last - monitor.n_rows_)
        display = cls(records, monitor.alarm_line_, onset)
        return display.plot(ax=ax, members=members) if plot else display

    def frame(self) -> Any:
        """The plotted numbers, one line per batch.

        Returns
        -------
        DataFrame, or dict of arrays without pandas
            Columns as in ``to_frame`` of a monitor.
        """
        return as_frame(self.records)

    @property
    def _has_temperature(self) -> bool:
        return bool(np.isfinite(self.records["temperature"]).any())

    def _places(self) -> tuple[np.ndarray, str, Any]:
        """Where batches are on the axis, its name, and where the onset is."""
        labels = self.records["label"]
        last_rows = self.records["first_row"] + self.records["n_rows"]
        if all(isinstance(label, np.datetime64) for label in labels):
            dates = np.array(labels, dtype="datetime64[us]")
            batch = int(np.searchsorted(last_rows, self.onset or 0, side="right"))
            return dates, "date", dates[min(batch, len(dates) - 1)]
        return last_rows, "row", self.onset

    @check_parameters(ax=AXES, members=["boolean"])
    def plot(self, ax: Any = None, *, members: bool = False) -> MonitorDisplay:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Two of them, or three where there is a temperature; None: a new figure.
        members : bool, default=False
            Whether to draw the evidence against each member, too.

        Returns
        -------
        MonitorDisplay
            This object.
        """
        names = [name for name in self.records if name.startswith(_MEMBER)]
        if members and not names:
            msg = (
                "members are not recorded: monitor a MergedClassifier with window=, or pass "
                "members=False"
            )
            raise ValueError(msg)
        n_panels = 3 if self._has_temperature else 2
        axes = new_axes(ax, rows=n_panels, size=(6.5, 2.2))
        if len(axes) != n_panels:
            msg = f"ax should hold {n_panels} matplotlib Axes; got {len(axes)}"
            raise ValueError(msg)
        at, what, onset = self._places()
        curves: list[tuple[Any, str, str | None]] = [(axes[0], "log_e_value", "deployed model")]
        curves += [(axes[0], name, name.removeprefix(_MEMBER)) for name in names if members]
        curves += [(axes[1], "log_loss", "observed"), (axes[1], "expected_log_loss", "expected")]
        curves += [(axes[2], "temperature", None)] if n_panels == 3 else []
        self.line_: list[Any] = []
        drawn: dict[int, int] = {}
        for axis, name, label in curves:
            number = drawn[id(axis)] = drawn.get(id(axis), -1) + 1
            style = line_style(number) | {"label": shorten(label) if label else None}
            self.line_ += axis.plot(at, self.records[name], **style)
        axes[0].axhline(self.alarm_line, color="0.4", linestyle="--", linewidth=1, label="alarm")
        for axis in axes if self.onset is not None else ():
            mark = "onset" if axis is axes[0] else None
            axis.axvline(onset, color="0.4", linestyle=":", linewidth=1.4, label=mark)
        for axis, name in zip(axes, ("log e-value", "log loss", "temperature"), strict=False):
            axis.set_ylabel(name)
        for axis in axes[:2]:
            axis.legend(fontsize="small", frameon=False)
        axes[-1].set_xlabel(what)
        if ax is None:  # one axis for all
            for axis in axes[:-1]:
                axis.tick_params(labelbottom=False)
        if what == "date":
            axes[-1].tick_params(axis="x", rotation=30)
        self.ax_, self.figure_ = axes, axes[0].figure
        return self


def _read_records(records: Any) -> dict[str, np.ndarray]:
    """The columns of the records, checked."""
    names = list(records) if isinstance(records, Mapping) or hasattr(records, "columns") else []
    missing = [name for name in ("label", *_COLUMNS) if name not in names]
    if missing:
        msg = f"records should be what to_frame of a monitor gives; columns {missing} are missing"
        raise ValueError(msg)
    found: dict[str, np.ndarray] = {"label": _labels(records["label"])}
    for name in (*_COLUMNS, *(n for n in names if str(n).startswith(_MEMBER))):
        column: Array = np.asarray(
            as_numbers(f"{name} of records", records[name]), dtype=np.float64
        )
        if column.shape != found["label"].shape:
            msg = f"records should have columns of one length; {name} has shape {column.shape}"
            raise ValueError(msg)
        found[name] = column
    return found


def _labels(values: Any) -> np.ndarray:
    """Labels as objects; dates as NumPy has them."""
    array = np.asarray(values)
    out = np.empty(len(array), dtype=object)
    out[:] = list(array) if array.dtype.kind == "M" else array.tolist()
    return out
