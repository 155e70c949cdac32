"""Calibrate on a stream, or on statistics of several sites, in constant memory."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.utils.metaestimators import available_if

from skmergecal._compat import _fit_context
from skmergecal._temperature import warn_at_bound
from skmergecal._typing import Estimator
from skmergecal._validation import check_logits, encode_labels
from skmergecal._warnings import warn_user
from skmergecal.calibration._statistics import TemperatureStatistics
from skmergecal.members import (
    Cache,
    LogProbaClassifier,
    Member,
    Rows,
    check_estimator,
    frozen_members,
)

__all__ = ["CLASSES_WITH_ESTIMATOR", "StreamMixin", "bare_classes"]


CLASSES_WITH_ESTIMATOR = "classes is for estimator=None only: an estimator brings its own classes"


def bare_classes(z: np.ndarray, seen: np.ndarray, given: Any) -> np.ndarray:
    """Labels of the columns of logits: as given, or those seen in y."""
    classes = seen if given is None else np.asarray(given)
    if len(np.unique(classes)) < len(classes):
        msg = f"classes should name each label once; got {classes.tolist()}"
        raise ValueError(msg)
    if z.shape[1] != len(classes):
        msg = (
            f"logits have {z.shape[1]} columns, but there are {len(classes)} classes "
            f"{classes.tolist()[:10]}: pass classes= with one label for each column, in order"
        )
        raise ValueError(msg)
    return classes


FROZEN_ONLY = (
    "a stream, or statistics, can calibrate a frozen estimator only, which is never refitted: pass "
    "sklearn.frozen.FrozenEstimator(estimator), or estimator=None for bare logits"
)


def _can_stream(calibrator: Any) -> bool:
    if calibrator.estimator is None or isinstance(calibrator.estimator, FrozenEstimator):
        return True
    raise AttributeError(FROZEN_ONLY)


class StreamMixin(LogProbaClassifier):
    """``partial_fit`` and ``from_statistics`` of `TemperatureCalibrator`."""

    estimator: Estimator
    temperature: float | None
    alpha: float
    classes: Any
    temperature_: float
    temperature_interval_: tuple[float, float] | None
    statistics_: TemperatureStatistics
    _member: Member

    @available_if(_can_stream)
    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Calibrate on one more batch of a stream, in constant memory.

        The result agrees with `fit` on all batches together to 1e-6 of the temperature, as long
        as that lies between 4.6e-5 and 2.2e4.

        Parameters
        ----------
        X : array-like
            As for `fit`.
        y : array-like of shape (n_samples,)
            Labels.
        classes : array-like of shape (n_classes,), default=None
            With ``estimator=None``: the labels in the order of the columns; needed in the first
            call unless the parameter ``classes`` has them or the batch shows every class.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights.

        Returns
        -------
        self

        Raises
        ------
        AttributeError
            If the estimator is not frozen: a stream cannot refit it.
        """
        first = not hasattr(self, "statistics_")
        if first:
            self._start_stream(X, y, classes, sample_weight)
        self._check_features(X, reset=first)
        z = self._logits(X)
        rows = Rows.check(z, y, sample_weight)
        remedy = "The estimator is frozen and knows no others: drop these rows."
        if self.estimator is None:
            remedy = "Pass all labels as classes= in the first call."
        labels = rows.labels[rows.kept]
        codes = encode_labels(labels, self.classes_, remedy=remedy)
        weight = None if rows.sample_weight is None else rows.sample_weight[rows.kept]
        batch = TemperatureStatistics.of(z[rows.kept], codes, weight, self.classes_)
        self.statistics_ = batch if first else self.statistics_ + batch
        self._fit_statistics()
        return self

    def _start_stream(self, X: Any, y: Any, classes: Any, sample_weight: Any) -> None:
        self._forget()
        if self.estimator is None:
            given = self.classes if classes is None else classes
            rows = Rows.check(check_logits(X), y, sample_weight)
            self.classes_ = bare_classes(rows.X, np.unique(rows.labels[rows.kept]), given)
            self.estimator_ = None
        else:
            if classes is not None or self.classes is not None:
                raise ValueError(CLASSES_WITH_ESTIMATOR)
            self._take_frozen(self.estimator)

    def _take_frozen(self, estimator: Estimator) -> None:
        check_estimator("estimator", estimator, will_refit=False)
        if not isinstance(estimator, FrozenEstimator):
            raise ValueError(FROZEN_ONLY)
        (member,), self.classes_ = frozen_members([("estimator", estimator)], Cache(None))
        self._member = member.softened_by_default()
        self.estimator_ = estimator

    def _fit_statistics(self) -> None:
        fit = self.statistics_.fit(self.alpha)
        if self.temperature is not None:
            self.temperature_, self.temperature_interval_ = float(self.temperature), None
            return
        if self.statistics_.ends_before(fit):
            warn_user(
                f"the best temperature lies beyond {fit.temperature:.3g}, where the grid of the "
                "statistics ends: divide the logits by a constant first, or use fit",
                ConvergenceWarning,
            )
        else:
            warn_at_bound(fit.bound, fit.temperature)
        self.temperature_, self.temperature_interval_ = fit.temperature, fit.interval

    @classmethod
    def from_statistics(
        cls, statistics: Any, estimator: Estimator | None = None, **params: Any
    ) -> Self:
        """Make a fitted calibrator from (summed) statistics: no rows are needed.

        Parameters
        ----------
        statistics : TemperatureStatistics
            ``a.statistics_ + b.statistics_`` gives two sites one temperature.
        estimator : FrozenEstimator, default=None
            The classifier to calibrate; None makes a step on logits.
        **params : dict
            Other parameters of the calibrator.

        Returns
        -------
        TemperatureCalibrator
            Fitted.
        """
        if not isinstance(statistics, TemperatureStatistics):
            msg = (
                "statistics should be the statistics_ of a calibrator that was fitted by "
                f"partial_fit, or a sum of these; got {type(statistics).__name__}"
            )
            raise TypeError(msg)
        self = cls(estimator, **params)
        self._validate_params()
        self.statistics_ = statistics
        if estimator is None:
            self.classes_ = np.asarray(statistics.classes)
            self.estimator_ = None
        else:
            self._take_frozen(estimator)
            if tuple(self.classes_.tolist()) != statistics.classes:
                msg = (
                    f"the statistics are of classes {list(statistics.classes)}, the estimator's "
                    f"are {self.classes_.tolist()}: they should be the same, in the same order"
                )
                raise ValueError(msg)
        self._fit_statistics()
        return self
