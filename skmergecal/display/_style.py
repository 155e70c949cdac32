"""What the pictures share: colours, markers and lines that differ in black and white, too."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from skmergecal._optional import optional_import

__all__ = ["as_models", "legend_beside", "line_style", "new_axes", "shorten"]

#: Okabe and Ito's colours without yellow, which is lost on white.
COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
LINES = ("-", "--", "-.", ":")
#: Longer names are broken into lines of this length.
NAME_WIDTH = 26
#: Inches of a line and of a character of a legend.
LINE_HEIGHT, CHARACTER_WIDTH = 0.17, 0.085


def line_style(number: int) -> dict[str, Any]:
    """Colour, marker and line of the model with this number; 84 models until two are alike."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": LINES[number % len(LINES)],
        "markersize": 5,
        "linewidth": 1.4,
    }


def shorten(name: Any) -> str:
    """A name broken into lines that fit beside a picture."""
    return textwrap.fill(str(name), NAME_WIDTH)


def new_axes(
    ax: Any, rows: int = 1, columns: int = 1, size: tuple[float, float] = (5.0, 4.0)
) -> np.ndarray:
    """The given axes, or those of a new figure, as an array of rows * columns axes at most.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message names the extra.
    """
    if ax is not None:
        return np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
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


def legend_beside(ax: Any, *, grow: bool) -> None:
    """A legend to the right, where it covers nothing; none where no line has a name.

    Parameters
    ----------
    ax : matplotlib Axes
        The labelled lines, and the place that the legend stands beside.
    grow : bool
        Whether the figure is ours: it then gets the room that the legend needs.
    """
    handles, labels = ax.get_legend_handles_labels()
    if not labels:
        return
    if not grow:
        ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0.0, frameon=False)
        return
    lines = [line for label in labels for line in label.split("\n")]
    width, height = ax.figure.get_size_inches()
    tall = LINE_HEIGHT * len(lines) + 0.1 * len(labels) + 0.4
    wide = CHARACTER_WIDTH * max(map(len, lines)) + 0.7
    ax.figure.set_size_inches(width + wide, max(height, tall))
    ax.figure.legend(handles, labels, loc="outside right upper", frameon=False)


def as_models(models: Any, name: str | None) -> dict[str, Any]:
    """Several models by name, or one under the name that the user gave it, "" if none."""
    if isinstance(models, Mapping):
        if name is not None or not models:
            msg = f"a dict of models should hold some, and names them itself; got name={name!r}"
            raise ValueError(msg)
        return {str(key): model for key, model in models.items()}
    return {"" if name is None else str(name): models}
