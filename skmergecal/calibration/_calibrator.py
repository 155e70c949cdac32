"""TemperatureCalibrator: one temperature for the logits of a classifier, or for bare logits."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skmergecal._compat import HasMethods, Interval, _fit_context
from skmergecal._temperature import minimise_temperature, warn_at_bound
from skmergecal._typing import Array, Estimator, HeldOutLogProba, IntArray
from skmergecal._validation import LARGEST_LOGIT, check_logits, encode_labels, warn_if_few
from skmergecal.calibration._held_out import fit_held_out
from skmergecal.calibration._stream import CLASSES_WITH_ESTIMATOR, StreamMixin, bare_classes
from skmergecal.members import (
    Cache,
    LogProbaClassifier,
    NamedEstimators,
    Rows,
    check_estimator,
    collect,
    cut_params,
    frozen_members,
    has_held_out,
    last_step,
    route_fit_params,
)

__all__ = ["TemperatureCalibrator"]


class TemperatureCalibrator(StreamMixin, LogProbaClassifier):
    """Temperature scaling, P = softmax(z / T), of a classifier or as a step on logits.

    Parameters
    ----------
    estimator : classifier, default=None
        The classifier to calibrate. A ``FrozenEstimator`` is used as it is, on rows it must not
        have seen; anything else is cloned, cross-fitted over ``cv``, calibrated on the rows that
        each clone did not see, and refitted on everything. With None the calibrator is a step on
        logits (log-probabilities are logits; probabilities are not: take their log).
    temperature : float, default=None
        The temperature, at least 1e-150; None fits it. T > 1 softens probabilities, T < 1 sharpens
        them.
    cv : int, splitter or iterable, default=5
        How to cross-fit an estimator that is not frozen. Not used where the estimator hands over
        held-out log-probabilities of its own (`MergedClassifier`).
    alpha : float, default=0.0
        Strength of a penalty alpha * log(T)^2 / (2 n) that pulls T towards 1.
    classes : array-like of shape (n_classes,), default=None
        With ``estimator=None``: the labels in the order of the columns of the logits. None takes
        the sorted labels of y, which then must show every class.
    n_jobs : int, default=None
        Number of fits at once.

    Attributes
    ----------
    temperature_ : float
        T.
    temperature_interval_ : tuple of float or None
        95 % interval of T from the profile likelihood; an end without bound is 0 or infinity.
        None where T was given.
    classes_ : ndarray of shape (n_classes,)
        Labels, in the order of the columns.
    estimator_ : classifier or None
        The fitted estimator.
    statistics_ : TemperatureStatistics
        Only after `partial_fit` or `from_statistics`: what the rows said, to be added up.
    n_features_in_ : int
        Number of features seen during ``fit``, where X has columns.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has names.

    See Also
    --------
    skmergecal.MergedClassifier : Combines several classifiers; ``calibrate=`` does it in one.
    sklearn.calibration.CalibratedClassifierCV : Other methods of calibration.

    Notes
    -----
    A probability of exactly 0 (forests, k-NN) has no logit. A member that gives such zeros on
    held-out rows has its probabilities mixed with the uniform distribution, with a share of
    1 / (n + 1), before the log. ``partial_fit`` uses a share of 1e-4, so that statistics add up.

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skmergecal import TemperatureCalibrator
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = TemperatureCalibrator(GaussianNB()).fit(X, y)
    >>> round(model.temperature_, 1)  # naive Bayes is far too sure of itself
    7.9
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit"]), None],
        "temperature": [Interval(Real, 1 / LARGEST_LOGIT, None, closed="left"), None],
        "cv": ["cv_object"],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "classes": ["array-like", None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        estimator: Estimator | None = None,
        *,
        temperature: float | None = None,
        cv: Any = 5,
        alpha: float = 0.0,
        classes: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.temperature = temperature
        self.cv = cv
        self.alpha = alpha
        self.classes = classes
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, **params: Any
    ) -> TemperatureCalibrator:
        """Fit the temperature, and the estimator unless it is frozen.

        Parameters
        ----------
        X : array-like
            Input of the estimator; with ``estimator=None`` logits of shape
            (n_samples, n_classes), or binary margins of shape (n_samples,) or (n_samples, 1).
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights.
        **params : dict
            Parameters for the estimator's ``fit`` and the splitter, by metadata routing;
            without routing, ``groups`` goes to the splitter.

        Returns
        -------
        self : TemperatureCalibrator

        Warns
        -----
        ConvergenceWarning
            If no finite temperature is best.
        """
        self._fit(X, y, sample_weight, params, held_out=self.temperature is None)
        return self

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any], *, held_out: bool
    ) -> tuple[Callable[[], Array], IntArray]:
        self._forget()
        rows: Rows
        if self.estimator is None:
            z, rows = self._fit_bare(X, y, sample_weight)
            held = HeldOutLogProba(z, rows.kept)
        else:
            held, rows = self._fit_wrapped(X, y, sample_weight, params, held_out)
        codes = encode_labels(
            rows.labels[held.rows], self.classes_, remedy="Pass all labels as classes=."
        )
        self._set_temperature(held.log_proba, codes, rows.weight_of(held.rows))
        return lambda: held.log_proba, held.rows

    def _fit_bare(self, X: Any, y: Any, sample_weight: Any) -> tuple[np.ndarray, Rows]:
        """Check logits and labels; logits of the rows that count."""
        z = check_logits(X)
        rows = Rows.check(z, y, sample_weight)
        self.classes_ = bare_classes(z, np.unique(rows.labels[rows.kept]), self.classes)
        if rows.sample_weight is not None:
            warn_if_few(float(rows.sample_weight.sum()), len(self.classes_))
        self._check_features(X, reset=True)
        self.estimator_: Estimator | None = None
        return rows.kept_X, rows

    def _fit_wrapped(
        self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any], held_out: bool
    ) -> tuple[HeldOutLogProba, Rows]:
        if self.classes is not None:
            raise ValueError(CLASSES_WITH_ESTIMATOR)
        check_estimator("estimator", self.estimator)
        rows = Rows.check(X, y, sample_weight)
        routed = route_fit_params(self, [("estimator", self.estimator)], sample_weight, params)
        if held_out and has_held_out(last_step(self.estimator)):
            params = {**routed[0].get("estimator", {}), **routed[1]}
            params = cut_params(X, params, rows.kept)
            labels = rows.labels[rows.kept]
            fitted, held = fit_held_out(clone(self.estimator), rows.kept_X, labels, params)
            held = HeldOutLogProba(held.log_proba, rows.kept[held.rows])
            (self._member,), self.classes_ = frozen_members(
                [("estimator", FrozenEstimator(fitted))], Cache(None)
            )
            self.estimator_ = fitted
        else:
            found = collect(
                [("estimator", self.estimator)],
                rows,
                cv=self.cv,
                routed=routed,
                cache=Cache(None),
                n_jobs=self.n_jobs,
                held_out=held_out,
            )
            (self._member,), self.classes_ = found.members, found.classes
            self.estimator_ = self._member.estimator
            held = HeldOutLogProba(self._member.log_proba(found.opinions[0]), found.rows)
        self._check_features(X, reset=True)
        return held, rows

    def _set_temperature(self, z: np.ndarray, y: IntArray, sample_weight: Array | None) -> None:
        if self.temperature is not None:
            self.temperature_ = float(self.temperature)
            self.temperature_interval_ = None
            return
        minimum = minimise_temperature(z, y, sample_weight, self.alpha)
        warn_at_bound(minimum.bound, minimum.temperature)
        self.temperature_, self.temperature_interval_ = minimum.temperature, minimum.interval()

    def _check_features(self, X: Any, *, reset: bool) -> None:
        if self.estimator is None and not hasattr(X, "columns"):
            X = np.asarray(X)
            X = X.reshape(-1, 1) if X.ndim == 1 else X
        super()._check_features(X, reset=reset)

    def _logits(self, X: Any) -> np.ndarray:
        """Logits before scaling."""
        if self.estimator_ is None:
            z = check_logits(X)
            if z.shape[1] != len(self.classes_):
                msg = f"logits should have {len(self.classes_)} columns, one a class; got {z.shape}"
                raise ValueError(msg)
            return z
        return self._member.read_log_proba(X)

    def _scores(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "temperature_")
        self._check_features(X, reset=False)
        return self._logits(X)

    def _scaled(self, scores: np.ndarray) -> Array:
        return np.asarray(scores, dtype=np.float64) / self.temperature_

    def _named(self) -> NamedEstimators:
        return [] if self.estimator is None else [("estimator", self.estimator)]

    def _diagram(self) -> tuple[list[tuple[str, Estimator, str]], str]:
        fitted = hasattr(self, "temperature_")
        inner = self.estimator_ if fitted else self.estimator
        temperature = self.temperature_ if fitted else self.temperature
        step = "" if temperature is None else f"temperature {temperature:.3g}"
        if fitted and self.temperature_interval_ is not None:
            low, high = self.temperature_interval_
            step += f" ({low:.3g} to {high:.3g})"
        return ([] if inner is None else [("estimator", inner, "")]), step

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            inner = get_tags(self.estimator)
            tags.input_tags.sparse = inner.input_tags.sparse
            tags.input_tags.allow_nan = inner.input_tags.allow_nan
            tags.classifier_tags = inner.classifier_tags
            tags.classifier_tags.multi_label = False
        return tags
