"""MergePathDisplay: loss along the line between the parameters of two members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skmergecal._optional import as_frame
from skmergecal._typing import Array
from skmergecal._validation import as_numbers, check_list, check_parameters
from skmergecal.display._style import AXES, DRAWN, legend_beside, line_style, one_axes, shorten
from skmergecal.members import freeze
from skmergecal.merging import merge_path
from skmergecal.metrics import check_choice

__all__ = ["MergePathDisplay"]

FIELDS = ("lambdas", "loss", "accuracy")
LABELS = {"loss": "log loss", "accuracy": "accuracy"}
PATH_NAMES = {
    None: "as they are",
    "weights": "matched by weights",
    "activations": "matched by activations",
}


def _read_path(name: str, path: Any) -> dict[str, Array]:
    """The columns of a path given as an object or a dict; the accuracy is optional."""
    attributes = {field: getattr(path, field, None) for field in FIELDS}
    found = attributes if not isinstance(path, Mapping) else {f: path.get(f) for f in FIELDS}
    columns: dict[str, Array] = {
        k: np.asarray(as_numbers(f"{k} of the path {name!r} in paths", v), dtype=np.float64)
        for k, v in found.items()
        if v is not None
    }
    shapes = {column.shape for column in columns.values()}
    if not {"lambdas", "loss"} <= set(columns) or len(shapes) != 1 or len(shapes.pop()) != 1:
        got = {field: column.shape for field, column in columns.items()}
        msg = (
            f"the path {name!r} in paths should have lambdas and loss, and optionally accuracy, "
            "1-D and of equal length; "
        )
        raise ValueError(msg + f"got {got}")
    return columns


class MergePathDisplay:
    """Loss or accuracy of the models between two members, e.g. before and after alignment.

    Parameters
    ----------
    paths : dict by name of paths
        Each has, as attributes or keys, ``lambdas`` (the weight of the second member), ``loss``
        and optionally ``accuracy``, of shape (n_points,).

    Attributes
    ----------
    line_ : list of matplotlib Line2D
        One per path.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    skmergecal.merge_path : Computes a path.

    Examples
    --------
    >>> from skmergecal import MergePathDisplay
    >>> path = {"lambdas": [0, 0.5, 1], "loss": [0.1, 1.9, 0.2]}
    >>> display = MergePathDisplay({"as they are": path})
    >>> round(display.barriers["as they are"], 2)
    1.75
    """

    def __init__(self, paths: Mapping[str, Any]) -> None:
        if not isinstance(paths, Mapping) or not paths:
            msg = f"paths should be a dict of at least one path; got {paths!r}"
            raise ValueError(msg)
        self.paths = {str(name): _read_path(name, path) for name, path in paths.items()}

    @classmethod
    @check_parameters(**DRAWN)
    def from_estimators(
        cls,
        first: Any,
        second: Any,
        X: Any,
        y: Any,
        *,
        alignments: Sequence[str | None] = (None, "weights"),
        n_points: int = 11,
        sample_weight: Any = None,
        metric: str = "loss",
        ax: Any = None,
        plot: bool = True,
    ) -> MergePathDisplay:
        """Score the models between two fitted members, without and with alignment, and plot them.

        Parameters
        ----------
        first, second : classifiers
            Fitted, of one architecture, with the same classes; not changed.
        X, y : array-like
            Rows and labels that neither member has seen.
        alignments : sequence of {None, "weights", "activations"}, default=(None, "weights")
            One path per entry: hidden units as they are, or matched beforehand. Linear models have
            no hidden units to match: pass ``(None,)``.
        n_points : int, default=11
            Points on each path, at least 2.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights.
        metric : {"loss", "accuracy"}, default="loss"
            The score to plot.
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.
        plot : bool, default=True
            Whether to draw at once.

        Returns
        -------
        MergePathDisplay
            Drawn, unless ``plot=False``.
        """
        check_choice("metric", metric, tuple(LABELS))
        for name, member in (("first", first), ("second", second)):
            freeze(name, member)  # merge_path calls them otherwise
        for alignment in check_list("alignments", alignments, "of the choices"):
            check_choice("alignments", alignment, tuple(PATH_NAMES))
        paths = {
            PATH_NAMES.get(alignment, str(alignment)): merge_path(
                first,
                second,
                X,
                y,
                alignment=alignment,
                n_points=n_points,
                sample_weight=sample_weight,
            )
            for alignment in alignments
        }
        return cls.from_results(paths, metric=metric, ax=ax, plot=plot)

    @classmethod
    @check_parameters(**DRAWN)
    def from_results(
        cls, results: Any, *, metric: str = "loss", ax: Any = None, plot: bool = True
    ) -> MergePathDisplay:
        """Create a display from one path or several.

        Parameters
        ----------
        results : path or dict by name of paths
            As the ``paths`` parameter of the class.
        metric : {"loss", "accuracy"}, default="loss"
            The score to plot.
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.
        plot : bool, default=True
            Whether to draw at once.

        Returns
        -------
        MergePathDisplay
            Drawn, unless ``plot=False``.
        """
        check_choice("metric", metric, tuple(LABELS))
        several = isinstance(results, Mapping) and "lambdas" not in results
        display = cls(results if several else {"": results})
        return display.plot(ax=ax, metric=metric) if plot else display

    @property
    def barriers(self) -> dict[str, float]:
        """Largest rise of each path's loss above the straight line between its endpoints."""
        rises = {}
        for name, path in self.paths.items():
            order = np.argsort(path["lambdas"])
            at, loss = path["lambdas"][order], path["loss"][order]
            share = (at - at[0]) / (at[-1] - at[0]) if at[-1] > at[0] else np.zeros_like(at)
            line = loss[0] + share * (loss[-1] - loss[0])
            rises[name] = float((loss - line).max())
        return rises

    def frame(self) -> Any:
        """The plotted numbers, one row per path and point; NaN where the accuracy is missing.

        Returns
        -------
        DataFrame, or dict of arrays without pandas
            Columns ``path``, ``lambda``, ``loss`` and ``accuracy``.
        """
        sizes = {name: len(path["loss"]) for name, path in self.paths.items()}
        columns: dict[str, Any] = {"path": np.repeat(list(sizes), list(sizes.values()))}
        for field, column in zip(FIELDS, ("lambda", "loss", "accuracy"), strict=True):
            parts = [p.get(field, np.full(sizes[name], np.nan)) for name, p in self.paths.items()]
            columns[column] = np.concatenate(parts)
        return as_frame(columns)

    @check_parameters(ax=AXES)
    def plot(self, ax: Any = None, *, metric: str = "loss") -> MergePathDisplay:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.
        metric : {"loss", "accuracy"}, default="loss"
            The score to plot; every path needs it.

        Returns
        -------
        MergePathDisplay
            This object.
        """
        check_choice("metric", metric, tuple(LABELS))
        missing = [name for name, path in self.paths.items() if metric not in path]
        if missing:
            msg = f"paths {missing} have no {metric}: drop them, or pass metric='loss'"
            raise ValueError(msg)
        axes = one_axes(ax)
        self.line_: list[Any] = []
        for number, (name, path) in enumerate(self.paths.items()):
            style = line_style(number) | {"label": shorten(name) or None}
            self.line_ += axes.plot(path["lambdas"], path[metric], **style)
        axes.set(xlabel="weight of the second member", ylabel=LABELS[metric])
        legend_beside(axes, grow=ax is None)
        self.ax_, self.figure_ = axes, axes.figure
        return self
