"""WeightsDisplay: weights of the members of a merged classifier, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmergecal._compat import Interval
from skmergecal._numerics import soften, softening_of
from skmergecal._optional import as_frame
from skmergecal._typing import Array
from skmergecal._validation import (
    as_numbers,
    check_list,
    check_parameters,
    check_sample_weight,
)
from skmergecal.display._predictions import encode_predictions
from skmergecal.display._style import AXES, DRAWN, labelled_rows
from skmergecal.metrics import check_level
from skmergecal.pooling import RESAMPLING, bootstrap_intervals, fit_logarithmic_pool

__all__ = ["WeightsDisplay"]


class WeightsDisplay:
    """Weights of the members of a merged classifier.

    Use `from_estimator` or `from_predictions` to make one.

    Parameters
    ----------
    names : sequence of str
        The members.
    weights : array-like of shape (n_members,)
        Their weights.
    intervals : array-like of shape (n_members, 2), default=None
        Lower and upper bounds.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    skmergecal.MergedClassifier.weight_intervals : The intervals alone.

    Examples
    --------
    >>> from skmergecal import WeightsDisplay
    >>> WeightsDisplay(["forest", "net"], [0.3, 0.7], [[0.1, 0.5], [0.5, 0.9]]).weights.tolist()
    [0.3, 0.7]
    """

    def __init__(self, names: Sequence[str], weights: Any, intervals: Any = None) -> None:
        self.names = [str(name) for name in check_list("names", names, "str, one per member")]
        self.weights: Array = np.asarray(as_numbers("weights", weights), dtype=np.float64)
        self.intervals: Array | None = None
        if intervals is not None:
            self.intervals = np.asarray(as_numbers("intervals", intervals), dtype=np.float64)
        n_members = len(self.names)
        if self.weights.shape != (n_members,):
            msg = f"weights should have shape ({n_members},); got {self.weights.shape}"
            raise ValueError(msg)
        if self.intervals is not None and self.intervals.shape != (n_members, 2):
            msg = f"intervals should have shape ({n_members}, 2); got {self.intervals.shape}"
            raise ValueError(msg)

    @classmethod
    @check_parameters(**RESAMPLING, **DRAWN)
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        y: Any = None,
        *,
        n_resamples: int = 200,
        confidence_level: float = 0.95,
        random_state: Any = None,
        sample_weight: Any = None,
        ax: Any = None,
        plot: bool = True,
    ) -> WeightsDisplay:
        """Create a display from a fitted `skmergecal.MergedClassifier`.

        Parameters
        ----------
        estimator : MergedClassifier
            Fitted.
        X, y : array-like, default=None
            Rows and labels that no member has seen; those of ``fit`` if all members were frozen.
            For percentile intervals, the weights are learned again on bootstrap samples of them,
            in the same way as by the estimator. None: no intervals.
        n_resamples : int, default=200
            Bootstrap samples.
        confidence_level : float, default=0.95
            Level of the intervals.
        random_state : int, RandomState instance or None, default=None
            Draws the bootstrap samples.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights.
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.
        plot : bool, default=True
            Whether to draw at once.

        Returns
        -------
        WeightsDisplay
            Drawn, unless ``plot=False``.
        """
        check_level(confidence_level)
        if not hasattr(estimator, "weight_intervals"):
            msg = f"estimator should be a MergedClassifier; got {estimator!r}"
            raise TypeError(msg)
        check_is_fitted(estimator, "weights_")
        intervals = None
        if X is not None:
            intervals = estimator.weight_intervals(
                X,
                y,
                sample_weight,
                level=confidence_level,
                n_resamples=n_resamples,
                random_state=random_state,
            )
        display = cls(list(estimator.named_estimators_), estimator.weights_, intervals)
        return display.plot(ax=ax) if plot else display

    @classmethod
    @check_parameters(
        n_resamples=[Interval(Integral, 0, None, closed="left")],
        random_state=["random_state"],
        **DRAWN,
    )
    def from_predictions(
        cls,
        y: Any,
        proba: Any,
        *,
        classes: Any = None,
        alpha: float = 1.0,
        n_resamples: int = 200,
        confidence_level: float = 0.95,
        random_state: Any = None,
        sample_weight: Any = None,
        ax: Any = None,
        plot: bool = True,
    ) -> WeightsDisplay:
        """Learn the weights of the logarithmic pool, with bootstrap intervals.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            Labels of any kind.
        proba : dict of array-like of shape (n_samples, n_classes) by name
            Probabilities of each member on rows that it has not seen. Those of a member that
            gives zeros, or clipped zeros, are mixed with the uniform distribution, by 1 / (n + 1)
            for n rows.
        classes : array-like of shape (n_classes,), default=None
            Labels in the order of the columns; None: the sorted labels of y.
        alpha : float, default=1.0
            As in `skmergecal.pooling.fit_logarithmic_pool`.
        n_resamples : int, default=200
            Bootstrap samples of rows for percentile intervals; 0: no intervals.
        confidence_level : float, default=0.95
            Level of the intervals.
        random_state : int, RandomState instance or None, default=None
            Draws the bootstrap samples.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights.
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.
        plot : bool, default=True
            Whether to draw at once.

        Returns
        -------
        WeightsDisplay
            Drawn, unless ``plot=False``.
        """
        check_level(confidence_level)
        codes, models, _ = encode_predictions(y, proba, classes, None)
        weight = check_sample_weight(sample_weight, len(codes))
        weight = np.ones(len(codes)) if weight is None else weight
        z = [soften(p, softening_of(p, weight)) for p in models.values()]

        def learn(counts: Array) -> Array:
            return fit_logarithmic_pool(z, codes, counts, alpha=alpha).weights

        intervals = None
        if n_resamples > 0:
            how = confidence_level, n_resamples, random_state
            intervals = bootstrap_intervals(learn, weight, *how).T
        display = cls(list(models), learn(weight), intervals)
        return display.plot(ax=ax) if plot else display

    def frame(self) -> Any:
        """The plotted numbers, one row per member.

        Returns
        -------
        DataFrame, or dict of arrays without pandas
            Columns ``member`` and ``weight``; with intervals ``low`` and ``high``.
        """
        columns: dict[str, Any] = {"member": self.names, "weight": self.weights}
        if self.intervals is not None:
            columns |= {"low": self.intervals[:, 0], "high": self.intervals[:, 1]}
        return as_frame(columns)

    @check_parameters(ax=AXES)
    def plot(self, ax: Any = None) -> WeightsDisplay:
        """Draw a point per weight with a line for its interval.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        WeightsDisplay
            This object.
        """
        axes = labelled_rows(ax, self.names, self.weights, self.intervals)
        axes.axvline(1 / len(self.names), color="0.6", linestyle=":", linewidth=1.2)
        axes.set_xlabel("weight (dotted: equal weights)")
        axes.set_xlim(left=min(-0.01, axes.get_xlim()[0]))
        self.ax_, self.figure_ = axes, axes.figure
        return self
