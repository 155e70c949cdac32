"""TemperatureCalibrator: one temperature for the logits of a classifier, or for bare logits."""

from __future__ import annotations

from numbers import Integral
from operator import attrgetter
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skmergecal._compat import HasMethods, _fit_context, with_tags_inside
from skmergecal._estimator import HeldOutScores, LogProbaClassifier
from skmergecal._partitions import DaskRun, InMemory, Partitions, Rows, are_dask, meta_of
from skmergecal._temperature import TEMPERATURE_ALPHA, minimise_partitions, warn_at_bound
from skmergecal._typing import Array, Estimator, HeldOutLogProba, NamedEstimators
from skmergecal._validation import (
    NON_NEGATIVE,
    TEMPERATURE,
    check_labels,
    check_logits,
    count_rows,
    encode_labels,
    warn_if_few,
    warn_if_probabilities,
)
from skmergecal._warnings import warn_user, warns_once
from skmergecal.calibration._statistics import TemperatureStatistics
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.members import (
    Cache,
    FitRows,
    Member,
    check_classes,
    check_estimator,
    collect_one,
    find_seen_rows,
    freeze_labelled,
    frozen_members,
    logits_in_partitions,
    read_partitions,
    route_fit_params,
    warn_of_names,
    warn_of_seen_rows,
)
from skmergecal.parameters import register_wrapper

__all__ = ["TemperatureCalibrator"]


_CLASSES_WITH_ESTIMATOR = (
    "classes is for estimator=None or, as a parameter of the calibrator, for a FrozenEstimator: an "
    "estimator that is fitted here takes its classes from y"
)


def _bare_classes(z: np.ndarray, seen: np.ndarray, given: Any) -> np.ndarray:
    """Labels of the columns of logits: as given, or those seen in y."""
    classes = seen if given is None else check_classes(given)
    if z.shape[1] != len(classes):
        msg = (
            f"logits have {z.shape[1]} columns, but there are {len(classes)} classes "
            f"{classes.tolist()[:10]}: pass classes= with one label for each column, in order"
        )
        raise ValueError(msg)
    return classes


_FROZEN_ONLY = (
    "a stream, or statistics, can calibrate a frozen estimator only, which is never refitted: pass "
    "sklearn.frozen.FrozenEstimator(estimator), or estimator=None for bare logits"
)


def _can_stream(calibrator: Any) -> bool:
    if calibrator.estimator is None or isinstance(calibrator.estimator, FrozenEstimator):
        return True
    raise AttributeError(_FROZEN_ONLY)


class TemperatureCalibrator(LogProbaClassifier):
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
    alpha : float, default=1.0
        Strength of a penalty alpha * log(T)^2 / (2 n) that pulls T towards 1, n the sum of the
        weights. On few rows with hardly an error among them, log loss alone would make T far too
        small; on thousands of rows the penalty hardly changes T. 0 is maximum likelihood.
    classes : array-like of shape (n_classes,), default=None
        The labels in the order of the columns. With ``estimator=None``, None takes the sorted
        labels of y, which then must show every class. A ``FrozenEstimator`` needs them where it
        was trained on codes 0..k-1, and y has other labels.
    n_jobs : int, default=None
        Number of fits at once.
    verbose : int, default=0
        Above 0, fits of Dask collections print a line for each round over their partitions, with
        seconds. Other fits print nothing.

    Attributes
    ----------
    temperature_ : float
        T.
    temperature_interval_ : tuple of float or None
        95 % interval of T from the profile likelihood, the penalty included; an end without bound
        is 0 or infinity.
        None where T was given.
    class_counts_ : ndarray of shape (n_classes,)
        Weight of the rows of each class that T was fitted to; only after `fit`, where T was not
        given.
    classes_ : ndarray of shape (n_classes,)
        Labels, in the order of the columns.
    estimator_ : classifier or None
        The fitted estimator.
    statistics_ : TemperatureStatistics
        Only after `partial_fit` or `from_statistics`: sums over the rows, which can be added up.
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
    held-out rows, or repeats a tiny value with nothing near it (zeros after ``np.clip``), has its
    probabilities mixed with the uniform distribution, with a share of 1 / (n + 1), or less where
    they were rounded, before the log.
    ``partial_fit`` uses a share of 1e-4, so that statistics add up.

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
    https://doi.org/10.48550/arXiv.1706.04599.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skmergecal import TemperatureCalibrator
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = TemperatureCalibrator(GaussianNB()).fit(X, y)
    >>> round(model.temperature_, 1)  # naive Bayes is far too confident
    7.8
    """

    statistics_: TemperatureStatistics
    estimator_: Estimator | None

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit"]), None],
        "temperature": [TEMPERATURE, None],
        "cv": ["cv_object"],
        "alpha": [NON_NEGATIVE],
        "classes": ["array-like", None],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator: Estimator | None = None,
        *,
        temperature: float | None = None,
        cv: Any = 5,
        alpha: float = TEMPERATURE_ALPHA,
        classes: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.temperature = temperature
        self.cv = cv
        self.alpha = alpha
        self.classes = classes
        self.n_jobs = n_jobs
        self.verbose = verbose

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
            Where the estimator is frozen or None also a Dask Array or DataFrame, as y and the
            weights then are: see :doc:`/guide/past_one_machine`.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights.
        **params : dict
            Parameters for the estimator's ``fit`` and the splitter, by metadata routing;
            without routing, ``groups`` goes to the splitter.

        Returns
        -------
        TemperatureCalibrator
            This object, fitted.

        Warns
        -----
        ConvergenceWarning
            If no finite temperature is best, which happens with ``alpha=0`` only.
        """
        self._fit(X, y, sample_weight, params, held_out=self.temperature is None)
        return self

    @warns_once
    def _fit(
        self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any], *, held_out: bool
    ) -> HeldOutScores | None:
        self._forget()
        if are_dask(X, y, sample_weight):
            self._fit_partitions(X, y, sample_weight, params)
            return None
        rows: FitRows
        if self.estimator is None:
            z, rows = self._fit_bare(X, y, sample_weight)
            held = HeldOutLogProba(z, rows.kept)
        else:
            held, rows = self._fit_wrapped(X, y, sample_weight, params, held_out)
        codes = encode_labels(
            rows.labels[held.rows], self.classes_, remedy="Pass all labels as classes=."
        )
        weight = rows.weight_of(held.rows)
        self._set_temperature(InMemory(Rows([held.log_proba], codes, weight)))
        return HeldOutScores(held.log_proba, held.rows)

    def _fit_partitions(self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any]) -> None:
        """Fit the temperature to rows that are in Dask partitions."""
        if params:
            msg = (
                f"{[*params]} of fit do not go with Dask collections: frozen estimators need no "
                "parameters of fit, leave them out"
            )
            raise ValueError(msg)
        run = DaskRun("TemperatureCalibrator", self.verbose)
        try:
            if self.estimator is None:
                self.estimator_ = None
                known = None if self.classes is None else check_classes(self.classes)
                rows, self.classes_ = logits_in_partitions(run, X, y, sample_weight, known)
            else:
                check_estimator("estimator", self.estimator)
                pairs = [("estimator", self._labelled(self.estimator))]
                read = read_partitions(pairs, run, X, y, sample_weight)
                (self._member,), self.classes_ = read.members, read.classes
                self.estimator_ = self._member.estimator
                rows = read.log_rows
            self._check_features(meta_of(X), reset=True)
            self._set_temperature(rows)
        finally:
            run.release()

    def _fit_bare(self, X: Any, y: Any, sample_weight: Any) -> tuple[np.ndarray, FitRows]:
        """Check logits and labels; logits of the rows that count."""
        z = check_logits(X)
        warn_if_probabilities(z)
        rows = FitRows.check(z, y, sample_weight)
        self.classes_ = _bare_classes(z, np.unique(rows.labels[rows.kept]), self.classes)
        if rows.sample_weight is not None:
            warn_if_few(float(rows.sample_weight.sum()), len(self.classes_))
        self._check_features(X, reset=True)
        self.estimator_ = None
        return rows.kept_X, rows

    def _fit_wrapped(
        self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any], held_out: bool
    ) -> tuple[HeldOutLogProba, FitRows]:
        check_estimator("estimator", self.estimator)
        estimator = self._labelled(self.estimator)
        rows = FitRows.check(X, y, sample_weight)
        routed = route_fit_params(self, [("estimator", estimator)], sample_weight, params)
        found = collect_one(
            "estimator",
            estimator,
            rows,
            cv=self.cv,
            routed=routed,
            n_jobs=self.n_jobs,
            held_out=held_out,
        )
        self._member, self.classes_, held = found
        self.estimator_ = self._member.estimator
        self._check_features(X, reset=True)
        return held, rows

    def _labelled(self, estimator: Estimator) -> Estimator:
        """A frozen estimator with the labels that ``classes`` gives it."""
        if self.classes is None:
            return estimator
        if not isinstance(estimator, FrozenEstimator):
            raise ValueError(_CLASSES_WITH_ESTIMATOR)
        return freeze_labelled("estimator", estimator, self.classes)

    def _set_temperature(self, rows: Partitions[Rows]) -> None:
        if self.temperature is not None:
            self.temperature_ = float(self.temperature)
            self.temperature_interval_ = None
            return
        minimum = minimise_partitions(rows, self.alpha)
        warn_at_bound(minimum.bound)
        if minimum.bound is None and isinstance(self.estimator, FrozenEstimator):
            warn_of_seen_rows(["estimator" for _ in find_seen_rows(rows)])
        self.temperature_, self.temperature_interval_ = minimum.temperature, minimum.interval()
        self.class_counts_ = rows.reduce(
            Rows.weight_of_classes, len(self.classes_), what="rows of each class"
        )

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
        TemperatureCalibrator
            This object, with the temperature of all batches so far.

        Raises
        ------
        AttributeError
            If the estimator is not frozen: a stream cannot refit it.
        """
        if classes is not None and self.estimator is not None:
            raise ValueError(_CLASSES_WITH_ESTIMATOR)
        count_rows(X)
        first = not hasattr(self, "statistics_")
        if first:
            self._start_stream(X, y, classes, sample_weight)
        elif classes is not None and not np.array_equal(check_classes(classes), self.classes_):
            msg = (
                f"classes should be those of the first call, {self.classes_.tolist()}; got "
                f"{np.asarray(classes).tolist()}"
            )
            raise ValueError(msg)
        self._check_features(X, reset=first)
        z = self._logits(X)
        rows = FitRows.check(z, y, sample_weight)
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
            rows = FitRows.check(check_logits(X), y, sample_weight)
            warn_if_probabilities(rows.X)
            self.classes_ = _bare_classes(rows.X, np.unique(rows.labels[rows.kept]), given)
            self.estimator_ = None
        else:
            self._take_frozen(self.estimator, check_labels(y))
            warn_of_names([("estimator", self.estimator)], X)

    def _take_frozen(self, estimator: Estimator, y: np.ndarray | None = None) -> None:
        check_estimator("estimator", estimator, will_refit=False)
        if not isinstance(estimator, FrozenEstimator):
            raise ValueError(_FROZEN_ONLY)
        estimator = self._labelled(estimator)
        (member,), self.classes_ = frozen_members([("estimator", estimator)], Cache(None), y)
        self._member = member.with_default_softening()
        self.estimator_ = estimator

    def _without_rows(self) -> Self:
        """Become fitted without rows, with a given temperature."""
        if self.temperature is None:
            msg = "without rows the temperature has to be given: pass temperature="
            raise ValueError(msg)
        if self.estimator is None:
            self.classes_, self.estimator_ = check_classes(self.classes), None
        else:
            self._take_frozen(self.estimator)
        self.temperature_, self.temperature_interval_ = float(self.temperature), None
        return self

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
            warn_at_bound(fit.bound)
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

    def _needs(self, state: dict[str, Any]) -> list[str]:
        return ["temperature_"] if "estimator_" in state else ["temperature_", "_member"]

    def _follows(self) -> dict[str, Any]:
        return {"estimator_": self._member.estimator} if hasattr(self, "_member") else {}

    def _check_features(self, X: Any, *, reset: bool) -> None:
        bare = (self.estimator if reset else self.estimator_) is None
        if bare and not hasattr(X, "columns"):
            X = np.asarray(X)
            X = X.reshape(-1, 1) if X.ndim == 1 else X
        super()._check_features(X, reset=reset)

    def _logits(self, X: Any) -> np.ndarray:
        """Logits before scaling."""
        if self.estimator_ is None:
            z = check_logits(X)
            if z.shape[1] != len(self.classes_):
                msg = (
                    f"logits should have {len(self.classes_)} columns, one per class; got {z.shape}"
                )
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
        return with_tags_inside(tags, self.estimator)


def calibrated_member(calibrator: TemperatureCalibrator) -> Member | None:
    """The member whose log-probabilities a fitted calibrator scales; None where X has them."""
    check_is_fitted(calibrator, "temperature_")
    return None if calibrator.estimator_ is None else calibrator._member


def soften_member(calibrator: TemperatureCalibrator, amount: float) -> None:
    """Soften the member of a new calibrator as the rows call for that its statistics are of."""
    calibrator._member = calibrator._member.softened(amount)


def _inner(calibrator: TemperatureCalibrator) -> Estimator:
    if calibrator.estimator_ is None:
        msg = "a TemperatureCalibrator on bare logits has no parameters to merge: wrap a classifier"
        raise IncompatibleEstimatorsError(msg)
    return calibrator.estimator_


register_wrapper(TemperatureCalibrator, _inner, temperature=attrgetter("temperature_"))
