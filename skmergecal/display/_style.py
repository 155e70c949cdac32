"""Styles and layout that the displays share; lines can be told apart in black and white, too."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skmergecal._compat import HasMethods
from skmergecal._optional import optional_import
from skmergecal._typing import Array

__all__ = [
    "AXES",
    "DRAWN",
    "as_models",
    "axes_below",
    "labelled_rows",
    "legend_beside",
    "line_style",
    "new_axes",
    "one_axes",
    "shorten",
]

#: What can be given as ``ax``, and the parameters of the methods that may draw at once.
AXES = [HasMethods("plot"), list, tuple, np.ndarray, None]
DRAWN = {"ax": AXES, "plot": ["boolean"]}

#: Colours of Okabe and Ito without yellow, which is hard to see on white.
COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
LINES = ("-", "--", "-.", ":")
#: Longer names are wrapped at this number of characters.
NAME_WIDTH = 26
#: Height of a line and width of a character of a legend, in inches.
LINE_HEIGHT, CHARACTER_WIDTH = 0.17, 0.085


def line_style(number: int) -> dict[str, Any]:
    """Colour, marker and line style of the model with this number; they repeat after 84 models."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": LINES[number % len(LINES)],
        "markersize": 5,
        "linewidth": 1.4,
    }


def shorten(name: Any) -> str:
    """A name wrapped into lines that fit beside a plot."""
    return textwrap.fill(str(name), NAME_WIDTH)


def new_axes(
    ax: Any, rows: int = 1, columns: int = 1, size: tuple[float, float] = (5.0, 4.0)
) -> np.ndarray:
    """The given axes, or ``rows * columns`` axes of a new figure, as a 1-D array.

    Raises
    ------
    TypeError
        If something else is given.
    ImportError
        If matplotlib is not installed; the message names the extra.
    """
    if ax is not None:
        given = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if not all(hasattr(axes, "plot") for axes in given):
            msg = f"ax should hold matplotlib Axes; got {ax!r}"
            raise TypeError(msg)
        return given
    pyplot = optional_import("matplotlib.pyplot", extra="plot", purpose="plotting")
    width, height = size
    _, axes = pyplot.subplots(
        rows,
        columns,
        figsize=(width * columns, height * rows),
        squeeze=False,
        layout="constrained",
    )
    return np.asarray(axes.ravel())


def one_axes(ax: Any, size: tuple[float, float] = (6.5, 4.0)) -> Any:
    """The given axes, or those of a new figure, for a plot without facets.

    Raises
    ------
    ValueError
        If several are given.
    """
    found = new_axes(ax, size=size)
    if len(found) != 1:
        msg = f"ax should be one matplotlib Axes; got {len(found)}"
        raise ValueError(msg)
    return found[0]


def makes_room(ax: Any) -> bool:
    """Whether the figure has a layout engine, which makes room for artists beside the axes."""
    return ax.figure.get_layout_engine() is not None


def axes_below(ax: Any, share: float = 0.22, gap: float = 0.08) -> Any:
    """Axes below the given ones with the same x-axis; heights are fractions of that of ``ax``.

    Without a layout engine that makes room for them, ``ax`` is shrunk.
    """
    if not makes_room(ax) and not ax.child_axes:
        box = ax.get_position()
        height = box.height / (1 + share + gap)
        ax.set_position([box.x0, box.y1 - height, box.width, height])
    return ax.inset_axes([0, -share - gap, 1, share], sharex=ax)


def legend_beside(ax: Any, *, grow: bool) -> None:
    """Add a legend to the right of the axes; none if no line has a label.

    It is inside the axes if they are the user's and the figure has no layout engine.

    Parameters
    ----------
    ax : matplotlib Axes
        The axes with the labelled lines.
    grow : bool
        Whether the figure is ours: it is then enlarged to fit the legend.
    """
    handles, labels = ax.get_legend_handles_labels()
    if not labels:
        return
    if not grow:
        beside = {"loc": "upper left", "bbox_to_anchor": (1.02, 1.0), "borderaxespad": 0.0}
        inside = {"loc": "best", "fontsize": "small"}
        ax.legend(frameon=not makes_room(ax), **(beside if makes_room(ax) else inside))
        return
    lines = [line for label in labels for line in label.split("\n")]
    width, height = ax.figure.get_size_inches()
    tall = LINE_HEIGHT * len(lines) + 0.1 * len(labels) + 0.4
    wide = CHARACTER_WIDTH * max(map(len, lines)) + 0.7
    ax.figure.set_size_inches(width + wide, max(height, tall))
    ax.figure.legend(handles, labels, loc="outside right upper", frameon=False)


def labelled_rows(
    ax: Any, names: Sequence[str], values: Array, intervals: Array | None = None
) -> Any:
    """Plot a row per name, from the top down: a point, and a line for its interval.

    Parameters
    ----------
    ax : matplotlib Axes or None
        Where to draw; None: a new figure, tall enough for the names.
    names : sequence of str
        Long names are wrapped.
    values : ndarray of shape (n_names,)
    intervals : ndarray of shape (n_names, 2), default=None
        Lower and upper bounds.

    Returns
    -------
    matplotlib Axes
    """
    labels = [shorten(name) for name in names]
    lines = sum(label.count("\n") + 1 for label in labels)
    axes = one_axes(ax, size=(6.0, 1.0 + 0.22 * lines + 0.12 * len(labels)))
    # The height of a row follows the number of lines of its name, so that names do not overlap.
    heights = np.array([label.count("\n") + 1.5 for label in labels])
    places = np.cumsum(heights) - heights / 2
    if intervals is not None:
        axes.hlines(places, *intervals.T, color=COLOURS[2], linewidth=2)
    axes.plot(values, places, "o", color=COLOURS[0], markersize=6)
    axes.set_yticks(places, labels)
    axes.set_ylim(heights.sum(), 0)
    return axes


def as_models(models: Any, name: str | None, what: str = "proba") -> dict[str, Any]:
    """Models by name; a single model gets the given name, or "" if there is none.

    Raises
    ------
    ValueError
        If a dict of the parameter ``what`` is empty, or comes with a name.
    """
    if isinstance(models, Mapping):
        if name is not None or not models:
            msg = (
                f"{what}, a dict of models, should hold at least one, under its name; got "
                f"{len(models)} and name={name!r}: "
                "pass models as the values of the dict, their names as its keys, and no name="
            )
            raise ValueError(msg)
        return {str(key): model for key, model in models.items()}
    return {"" if name is None else str(name): models}
