"""RiskCoverageDisplay: error rate among the rows that a model is most confident about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from skmergecal._optional import as_frame
from skmergecal._validation import check_parameters
from skmergecal.display._predictions import encode_predictions, predict_models
from skmergecal.display._style import AXES, DRAWN, legend_beside, line_style, one_axes, shorten
from skmergecal.metrics import RiskCoverageCurve, risk_coverage_curve

__all__ = ["RiskCoverageDisplay"]

#: Only error rates from this coverage on set the limit of the y-axis.
STEADY = 0.05


class RiskCoverageDisplay:
    """Error rate against the share of rows kept, the most confident first.

    Use `from_estimator` or `from_predictions` to make one.

    Parameters
    ----------
    curves : dict of RiskCoverageCurve by name
        One per model.

    Attributes
    ----------
    line_ : list of matplotlib Line2D
        One per model.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    skmergecal.metrics.risk_coverage_curve : Computes a curve.

    Examples
    --------
    >>> from skmergecal import RiskCoverageDisplay
    >>> display = RiskCoverageDisplay.from_predictions(
    ...     ["no", "yes", "yes"], [0.1, 0.6, 0.3], plot=False
    ... )
    >>> display.curves[""].risk.round(2).tolist()
    [0.0, 0.5, 0.33]
    """

    def __init__(self, curves: Mapping[str, RiskCoverageCurve]) -> None:
        named = isinstance(curves, Mapping) and len(curves) > 0
        if not named or not all(isinstance(c, RiskCoverageCurve) for c in curves.values()):
            msg = f"curves should be a dict of at least one RiskCoverageCurve; got {curves!r}"
            raise TypeError(msg)
        self.curves = dict(curves)

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any, **settings: Any) -> RiskCoverageDisplay:
        """Create a display from fitted classifiers.

        Parameters
        ----------
        estimator : classifier or dict of classifiers by name
            Fitted, with the same classes.
        X : array-like
            Rows that no estimator was trained on.
        y : array-like of shape (n_samples,)
            Labels of the rows.
        **settings
            As in `from_predictions`.

        Returns
        -------
        RiskCoverageDisplay
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
        sample_weight: Any = None,
        ax: Any = None,
        plot: bool = True,
    ) -> RiskCoverageDisplay:
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
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights.
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.
        plot : bool, default=True
            Whether to draw at once.

        Returns
        -------
        RiskCoverageDisplay
            Drawn, unless ``plot=False``.
        """
        codes, models, _ = encode_predictions(y, proba, classes, name)
        display = cls(
            {
                model: risk_coverage_curve(codes, p, sample_weight=sample_weight)
                for model, p in models.items()
            }
        )
        return display.plot(ax=ax) if plot else display

    def frame(self) -> Any:
        """The plotted numbers, one row per model and threshold.

        Returns
        -------
        DataFrame, or dict of arrays without pandas
            Columns ``model``, ``coverage``, ``risk`` and ``threshold``.
        """
        curves = list(self.curves.items())
        columns = {"model": np.concatenate([[name] * len(c.risk) for name, c in curves])}
        for field in ("coverage", "risk", "threshold"):
            columns[field] = np.concatenate([getattr(c, field) for _, c in curves])
        return as_frame(columns)

    @check_parameters(ax=AXES)
    def plot(self, ax: Any = None) -> RiskCoverageDisplay:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        RiskCoverageDisplay
            This object.
        """
        axes = one_axes(ax)
        self.line_: list[Any] = []
        for number, (name, curve) in enumerate(self.curves.items()):
            label = "\n".join(part for part in (shorten(name), f"area {curve.area:.4f}") if part)
            # About ten markers per curve, shifted per model so that they do not cover each other.
            places = np.searchsorted(curve.coverage, (np.arange(10) + (number % 7) / 7) / 10)
            marks = np.unique(np.minimum(places, len(curve.coverage) - 1))
            style = line_style(number)
            style["markevery"] = marks.tolist()
            self.line_ += axes.plot(curve.coverage, curve.risk, label=label, **style)
        # The error rate over the first few rows is too noisy to set the scale.
        high = max(curve.risk[curve.coverage >= STEADY].max() for curve in self.curves.values())
        axes.set(xlabel="coverage", ylabel="error rate", xlim=(0, 1.02))
        axes.set_ylim(0, min(1.1 * high, 1.02) or 1.0)
        legend_beside(axes, grow=ax is None)
        self.ax_, self.figure_ = axes, axes.figure
        return self
