"""ReliabilityDisplay: reliability diagrams, the frequency of outcomes against the confidence."""

from __future__ import annotations

from typing import Any, Literal

from skmergecal._compat import StrOptions
from skmergecal._optional import as_frame
from skmergecal._validation import check_list, check_parameters
from skmergecal.display._predictions import predict_models, predictions_to_check
from skmergecal.display._style import (
    AXES,
    DRAWN,
    axes_below,
    legend_beside,
    line_style,
    new_axes,
    shorten,
)
from skmergecal.metrics import (
    HISTOGRAM_EDGES,
    ReliabilityCurve,
    check_curves,
    reliability_curves,
    scored_rows,
)

__all__ = ["ReliabilityDisplay"]

COLUMNS = 4


class ReliabilityDisplay:
    """Reliability diagram: frequency against confidence, with bands and a histogram.

    Use `from_estimator` or `from_predictions` to make one.

    Parameters
    ----------
    curves : list of ReliabilityCurve
        One per model and facet.
    band : {"wilson", "consistency", None}
        The kind of band that the curves hold.

    Attributes
    ----------
    ax_ : matplotlib Axes or ndarray of them
        One per facet.
    line_ : list of matplotlib Line2D
        One per facet and model.
    histogram_ax_ : list of matplotlib Axes
        The histograms below them.
    figure_ : matplotlib Figure

    See Also
    --------
    skmergecal.calibration_report : The numbers in words, with a test.
    skmergecal.metrics.expected_calibration_error : The gap in one number.

    Examples
    --------
    >>> from skmergecal import ReliabilityDisplay
    >>> display = ReliabilityDisplay.from_predictions(
    ...     ["no", "yes", "yes"], [0.2, 0.7, 0.9], n_bins=2, plot=False
    ... )
    >>> display.curves[0].bins.frequency.tolist()
    [0.0, 1.0]
    """

    @check_parameters(band=[StrOptions({"wilson", "consistency"}), None])
    def __init__(self, curves: list[ReliabilityCurve], *, band: str | None = "wilson") -> None:
        self.curves = check_list("curves", curves, "ReliabilityCurve")
        if not all(isinstance(curve, ReliabilityCurve) for curve in self.curves):
            msg = f"curves should be a list of ReliabilityCurve; got {curves!r}"
            raise TypeError(msg)
        self.band = band

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any, **settings: Any) -> ReliabilityDisplay:
        """Create a display from fitted classifiers.

        Parameters
        ----------
        estimator : classifier or dict of classifiers by name
            Fitted, with the same classes: e.g. several models, or one before and after
            calibration.
        X : array-like
            Rows that no estimator was trained on.
        y : array-like of shape (n_samples,)
            Labels of the rows.
        **settings
            As in `from_predictions`.

        Returns
        -------
        ReliabilityDisplay
            Drawn, unless ``plot=False``.
        """
        proba, classes = predict_models(estimator, X, y, settings.pop("name", None))
        return cls.from_predictions(y, proba, classes=classes, **settings)

    @classmethod
    @check_parameters(name=[str, None], **DRAWN)
    def from_predictions(
        cls,
        y: Any,
        proba: Any,
        *,
        classes: Any = None,
        name: str | None = None,
        kind: Literal["auto", "binary", "top-label", "class-wise"] = "auto",
        n_bins: int = 10,
        strategy: Literal["uniform", "quantile"] = "uniform",
        band: Literal["wilson", "consistency"] | None = "wilson",
        confidence_level: float = 0.95,
        sample_weight: Any = None,
        ax: Any = None,
        plot: bool = True,
    ) -> ReliabilityDisplay:
        """Create a display from predicted probabilities.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            Labels of any kind.
        proba : array-like of shape (n_samples, n_classes) or (n_samples,), or dict of them by name
            Probabilities; a 1-D array holds those of the second class.
        classes : array-like of shape (n_classes,), default=None
            Labels in the order of the columns; None: the sorted labels of y.
        name : str, default=None
            Name of a single model.
        kind : {"auto", "binary", "top-label", "class-wise"}, default="auto"
            Confidence in the second of two classes, in the most probable class, or in each class
            with one facet per class; "auto" is "binary" for two classes, else "top-label".
        n_bins : int, default=10
            Number of bins.
        strategy : {"uniform", "quantile"}, default="uniform"
            Bins of equal width on [0, 1], or of about equal weight.
        band : {"wilson", "consistency", None}, default="wilson"
            Wilson intervals of the frequencies, drawn at the points, or the range of frequencies
            that is expected under calibration, drawn at the diagonal.
        confidence_level : float, default=0.95
            Level of the band, for each bin separately.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights.
        ax : matplotlib Axes or array of them, default=None
            Where to draw; None: a new figure.
        plot : bool, default=True
            Whether to draw at once.

        Returns
        -------
        ReliabilityDisplay
            Drawn, unless ``plot=False``.
        """
        check_curves(n_bins, strategy, band, confidence_level, y, proba, sample_weight)
        models, known, check = predictions_to_check(y, proba, classes, name)
        with scored_rows(y, models, sample_weight, check) as rows:
            curves = reliability_curves(
                rows,
                list(models),
                known,
                kind=kind,
                n_bins=n_bins,
                strategy=strategy,
                band=band,
                confidence_level=confidence_level,
            )
        display = cls(curves, band=band)
        return display.plot(ax=ax) if plot else display

    @property
    def facets(self) -> list[str]:
        """The names of the facets."""
        return list(dict.fromkeys(curve.facet for curve in self.curves))

    @property
    def models(self) -> list[str]:
        """The names of the models."""
        return list(dict.fromkeys(curve.model for curve in self.curves))

    def frame(self) -> Any:
        """The plotted numbers, one row per model, facet and bin.

        Returns
        -------
        DataFrame, or dict of arrays without pandas
            Columns ``model``, ``facet``, ``lower``, ``upper``, ``weight``, ``confidence``,
            ``frequency``, ``band_low`` and ``band_high``.
        """
        columns: dict[str, list[Any]] = {
            name: [] for name in ("model", "facet", "lower", "upper", "weight", "confidence")
        } | {name: [] for name in ("frequency", "band_low", "band_high")}
        for curve in self.curves:
            columns["model"] += [curve.model] * len(curve.low)
            columns["facet"] += [curve.facet] * len(curve.low)
            for name in ("lower", "upper", "weight", "confidence", "frequency"):
                columns[name] += getattr(curve.bins, name).tolist()
            columns["band_low"] += curve.low.tolist()
            columns["band_high"] += curve.high.tolist()
        return as_frame(columns)

    @check_parameters(ax=AXES)
    def plot(self, ax: Any = None) -> ReliabilityDisplay:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes or array of them, default=None
            One per facet; None: a new figure.

        Returns
        -------
        ReliabilityDisplay
            This object.
        """
        facets = self.facets
        n_columns = min(COLUMNS, len(facets))
        size = (3.6, 4.2) if len(facets) > 1 else (6.0, 5.0)
        axes = new_axes(ax, -(-len(facets) // n_columns), n_columns, size)
        if len(axes) < len(facets):
            msg = f"ax should hold {len(facets)} axes, one per facet; got {len(axes)}"
            raise ValueError(msg)
        if ax is None:
            for unused in axes[len(facets) :]:
                unused.set_axis_off()
        self.line_: list[Any] = []
        self.histogram_ax_ = [
            self._plot_facet(axes[number], facet) for number, facet in enumerate(facets)
        ]
        legend_beside(axes[n_columns - 1], grow=ax is None)
        self.ax_ = axes[0] if len(facets) == 1 else axes[: len(facets)]
        self.figure_ = axes[0].figure
        return self

    def _plot_facet(self, ax: Any, facet: str) -> Any:
        """Draw one facet and the histogram below it; return the axes of the histogram."""
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, zorder=1)
        below = axes_below(ax)
        for curve in self.curves:
            if curve.facet == facet:
                style = line_style(self.models.index(curve.model))
                self._plot_curve(ax, curve, style)
                line = {key: style[key] for key in ("color", "linestyle")}
                below.stairs(curve.histogram, HISTOGRAM_EDGES, linewidth=1.2, **line)
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="frequency")
        ax.tick_params(labelbottom=False)
        ax.set_title(shorten(facet), fontsize="medium")
        below.set(xlabel="confidence", ylabel="share")
        return below

    def _plot_curve(self, ax: Any, curve: ReliabilityCurve, style: dict[str, Any]) -> None:
        """Draw the points, the line between them, and the bars of the band."""
        bins, colour = curve.bins, style["color"]
        self.line_ += ax.plot(
            bins.confidence, bins.frequency, label=shorten(curve.model) or None, **style
        )
        if self.band is not None:
            width = 1.0 if self.band == "wilson" else 3.5
            alpha = 0.8 if self.band == "wilson" else 0.35
            ax.vlines(
                bins.confidence, curve.low, curve.high, color=colour, linewidth=width, alpha=alpha
            )
