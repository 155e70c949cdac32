"""ClassShift: the logit of each class shifted by a constant, and adjust_prior for known shares."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.naive_bayes import ComplementNB
from sklearn.utils.validation import check_is_fitted

from skmergecal._compat import HasMethods, _fit_context, with_tags_inside
from skmergecal._estimator import HeldOutScores, LogProbaClassifier
from skmergecal._optional import refuse_dask
from skmergecal._typing import Array, Estimator, HeldOutLogProba, NamedEstimators
from skmergecal._validation import (
    NON_NEGATIVE,
    as_numbers,
    by_label,
    check_labels,
    check_sample_weight,
    encode_labels,
)
from skmergecal._warnings import warns_once
from skmergecal.calibration._calibrator import TemperatureCalibrator
from skmergecal.calibration._shift_fit import SHIFT_ALPHA, fit_shift
from skmergecal.members import Member, fitted_last_step, freeze

__all__ = ["ClassShift", "adjust_prior"]

#: Where fitted classifiers keep the class shares that they were trained for.
_PRIORS = ("class_prior_", "priors_", "class_log_prior_", "class_count_", "class_counts_")


def _by_class(name: str, values: Any, classes: np.ndarray) -> Array:
    """One finite number per class, given in the order of the classes or by label."""
    labels = classes.tolist()
    values = by_label(values, labels)
    if isinstance(values, Mapping):
        if set(values) != set(labels):
            msg = f"{name} should have one number for each class {labels}; got {dict(values)}"
            raise ValueError(msg)
        values = [values[label] for label in labels]
    found: Array = as_numbers(name, values).astype(np.float64, copy=False)
    if found.shape != (len(labels),) or not np.isfinite(found).all():
        msg = (
            f"{name} should hold one finite number for each of the classes {labels}, in this "
            f"order, or be a dict or Series by label; got {np.asarray(values).tolist()}"
        )
        raise ValueError(msg)
    return found


class ClassShift(LogProbaClassifier):
    """Shift the logit of each class by a constant, of a classifier or as a step on logits.

    Where the shares of the classes change, and rows within each class do not, the right
    probabilities are P(c) times new share / old share, each row divided by its sum. That is a shift
    of each logit by the log of this ratio. Learned shifts need a few rows of each class.

    Parameters
    ----------
    estimator : classifier, default=None
        A ``FrozenEstimator`` is used as it is, on rows it must not have seen; anything else is
        cloned, cross-fitted over ``cv``, shifted on the rows that each clone did not see, and
        refitted on everything. With None this is a step on logits.
    shift : array-like of shape (n_classes,) or dict or Series by label, default=None
        What is added to the logits; None learns it by log loss.
    cv : int, splitter or iterable, default=5
        How to cross-fit an estimator that is not frozen.
    alpha : float, default=1.0
        Strength of the penalty alpha * sum(shift^2) / (2 n) on learned shifts, n the sum of the
        weights.
    classes : array-like of shape (n_classes,), default=None
        As for `TemperatureCalibrator`.
    n_jobs : int, default=None
        Number of fits at once.

    Attributes
    ----------
    shift_ : ndarray of shape (n_classes,)
        In the order of the classes; adds up to 0 where it was learned.
    shift_interval_ : ndarray of shape (n_classes, 2) or None
        95 % intervals of learned shifts, under the normal approximation.
    class_counts_ : ndarray of shape (n_classes,) or None
        Weight of the rows of each class that they were learned from.
    classes_ : ndarray of shape (n_classes,)
        Labels, in the order of the columns.
    estimator_ : classifier or None
        The fitted estimator.
    n_features_in_ : int
        Number of features seen during ``fit``, where X has columns.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has names.

    See Also
    --------
    skmergecal.calibration.adjust_prior : For class shares that are known.
    skmergecal.TemperatureCalibrator : One temperature for all logits.

    References
    ----------
    Saerens, Latinne and Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori
    Probabilities", Neural Computation 2002, https://doi.org/10.1162/089976602753284446.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skmergecal.calibration import ClassShift
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = GaussianNB().fit(X[:300], y[:300])
    >>> shifted = ClassShift(FrozenEstimator(model)).fit(X[300:], y[300:])
    >>> shifted.shift_.round(1)  # the second class is more frequent in the later rows
    array([-0.8,  0.8])
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit"]), None],
        "shift": ["array-like", dict, None],
        "cv": ["cv_object"],
        "alpha": [NON_NEGATIVE],
        "classes": ["array-like", None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        estimator: Estimator | None = None,
        *,
        shift: Any = None,
        cv: Any = 5,
        alpha: float = SHIFT_ALPHA,
        classes: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.shift = shift
        self.cv = cv
        self.alpha = alpha
        self.classes = classes
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> ClassShift:
        """Fit the shifts, and the estimator unless it is frozen.

        Parameters
        ----------
        X : array-like
            Input of the estimator; with ``estimator=None`` logits, as for `TemperatureCalibrator`.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights.
        **params : dict
            Parameters for the estimator's ``fit`` and the splitter, by metadata routing; without
            routing, ``groups`` goes to the splitter.

        Returns
        -------
        ClassShift
            This object, fitted.
        """
        self._fit(X, y, sample_weight, params, held_out=self.shift is None)
        return self

    @warns_once
    def _fit(
        self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any], *, held_out: bool
    ) -> HeldOutScores | None:
        self._forget()
        inner = self._unscaled()
        if not held_out:
            inner.fit(X, y, sample_weight, **params)
            self._take(inner)
            self._set_shift(_by_class("shift", self.shift, self.classes_))
            return None
        for name, values in (("X", X), ("y", y), ("sample_weight", sample_weight)):
            refuse_dask(name, values)
        held = inner.fit_held_out(X, y, sample_weight, **params)
        self._take(inner)
        if self.shift is not None:
            self._set_shift(_by_class("shift", self.shift, self.classes_))
        else:
            self._learn(held, check_labels(y), sample_weight)
        return HeldOutScores(held.log_proba, held.rows)

    def _learn(self, held: HeldOutLogProba, labels: np.ndarray, weight: Any) -> None:
        rows, remedy = held.rows, "Pass all labels as classes=."
        codes = encode_labels(labels[rows], self.classes_, remedy=remedy)
        checked = check_sample_weight(weight, len(labels))
        times = np.bincount(rows, minlength=len(labels))[rows]  # folds that hold out each row
        w = (np.ones(len(rows)) if checked is None else checked[rows]) / times
        fit = fit_shift(held.log_proba, codes, w, self.alpha)
        self._set_shift(
            fit.shift, fit.interval, np.bincount(codes, weights=w, minlength=len(self.classes_))
        )

    def _unscaled(self) -> TemperatureCalibrator:
        """The estimator, or the step on logits, as it is."""
        return TemperatureCalibrator(
            self.estimator,
            temperature=1.0,
            cv=self.cv,
            classes=self.classes,
            n_jobs=self.n_jobs,
        )

    def _take(self, inner: TemperatureCalibrator) -> None:
        # What is asked for the logits: the member, or the step on logits, which checks them.
        self._inner: Any = inner if inner.estimator_ is None else inner._member
        self.classes_, self.estimator_ = inner.classes_, inner.estimator_
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(inner, name):
                setattr(self, name, getattr(inner, name))

    def _set_shift(self, shift: Array, interval: Any = None, counts: Any = None) -> None:
        self.shift_, self.shift_interval_, self.class_counts_ = shift, interval, counts

    @classmethod
    def from_shift(
        cls,
        shift: Any,
        estimator: Estimator | None = None,
        *,
        classes: Any = None,
        interval: Any = None,
        class_counts: Any = None,
    ) -> Self:
        """Make a fitted one from known shifts: no rows are needed.

        Parameters
        ----------
        shift : array-like of shape (n_classes,) or dict or Series by label
            What is added to the logits.
        estimator : FrozenEstimator, default=None
            The classifier; None makes a step on logits.
        classes : array-like of shape (n_classes,), default=None
            The labels of the columns; needed where there is no estimator.
        interval, class_counts : ndarray, default=None
            What is known of them: see the attributes.

        Returns
        -------
        ClassShift
            Fitted.
        """
        if estimator is None and classes is None:
            msg = "shifts of bare logits need classes=: the labels in the order of the columns"
            raise ValueError(msg)
        self = cls(estimator, shift=shift, classes=classes)
        self._validate_params()
        inner = self._unscaled()
        inner._without_rows()
        self._take(inner)
        self._set_shift(_by_class("shift", shift, self.classes_), interval, class_counts)
        return self

    def _needs(self, state: dict[str, Any]) -> list[str]:
        return ["_inner", "shift_"]

    def _follows(self) -> dict[str, Any]:
        inner = getattr(self, "_inner", None)
        return {"estimator_": inner.estimator} if isinstance(inner, Member) else {}

    def _scores(self, X: Any) -> Array:
        check_is_fitted(self, "shift_")
        if self.estimator_ is None:
            return self._inner.transform(X) + self.shift_
        self._check_features(X, reset=False)
        return self._inner.read_log_proba(X) + self.shift_

    def _scaled(self, scores: np.ndarray) -> Array:
        return scores

    def _named(self) -> NamedEstimators:
        return [] if self.estimator is None else [("estimator", self.estimator)]

    def _diagram(self) -> tuple[list[tuple[str, Estimator, str]], str]:
        fitted = hasattr(self, "shift_")
        inner = self.estimator_ if fitted else self.estimator
        step = "class shift"
        if fitted:
            step += " " + ", ".join(f"{s:+.3g}" for s in self.shift_[:5])
            step += ", ..." if len(self.shift_) > 5 else ""
        return ([] if inner is None else [("estimator", inner, "")]), step

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        return with_tags_inside(tags, self.estimator)


def shifted_member(shifted: ClassShift) -> Member | None:
    """The member whose log-probabilities are shifted; None where X has them."""
    check_is_fitted(shifted, "shift_")
    return shifted._inner if isinstance(shifted._inner, Member) else None


def soften_shifted_member(shifted: ClassShift, amount: float) -> None:
    """Soften the member of a new ClassShift as the rows call for that its shifts are of."""
    shifted._inner = shifted._inner.softened(amount)


def adjust_prior(estimator: Estimator, prior: Any, *, old_prior: Any = None) -> ClassShift:
    """Adapt the probabilities of a fitted classifier to other class shares, which are known.

    Exact if only the shares have changed, and rows within each class are distributed as before.

    Parameters
    ----------
    estimator : classifier
        Fitted; it is not changed.
    prior : array-like of shape (n_classes,) or dict or Series by label
        Shares of the classes from now on; positive, divided by their sum.
    old_prior : array-like of shape (n_classes,) or dict or Series by label, default=None
        Shares that the probabilities are right for: those of the rows that it was calibrated or
        trained on. None takes those that the classifier keeps, as naive Bayes, discriminant
        analysis, our calibrators and merged classifiers do.

    Returns
    -------
    ClassShift
        Fitted, around the frozen estimator.

    Raises
    ------
    ValueError
        If a share is not positive, or ``old_prior`` is needed.

    See Also
    --------
    skmergecal.calibration.ClassShift : What it returns; it also learns shifts from labels.

    References
    ----------
    Saerens, Latinne and Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori
    Probabilities", Neural Computation 2002, https://doi.org/10.1162/089976602753284446.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skmergecal.calibration import adjust_prior
    >>> X, y = load_iris(return_X_y=True)
    >>> model = GaussianNB().fit(X, y)
    >>> adjusted = adjust_prior(model, [0.8, 0.1, 0.1])
    >>> same = GaussianNB(priors=[0.8, 0.1, 0.1]).fit(X, y)
    >>> bool(abs(adjusted.predict_proba(X) - same.predict_proba(X)).max() < 1e-9)
    True
    """
    frozen = freeze("estimator", estimator)
    final, _ = fitted_last_step(frozen)
    classes = np.asarray(getattr(frozen, "classes_", getattr(final, "classes_", None)))
    if old_prior is None:
        old_prior = _known_prior(final, len(classes))
    new, old = (
        _shares(name, values, classes)
        for name, values in (("prior", prior), ("old_prior", old_prior))
    )
    return ClassShift.from_shift(np.log(new) - np.log(old), FrozenEstimator(_inside(frozen)))


def _inside(frozen: Estimator) -> Estimator:
    return frozen.estimator if isinstance(frozen, FrozenEstimator) else frozen


def _known_prior(final: Estimator, n_classes: int) -> Array:
    """The class shares that a fitted classifier keeps."""
    # Complement naive Bayes keeps the shares of its rows, and does not use them.
    for name in () if isinstance(final, ComplementNB) else _PRIORS:
        found = getattr(final, name, None)
        if found is not None and np.shape(found) == (n_classes,):
            shares = np.asarray(found, dtype=np.float64)
            return np.exp(shares) if name == "class_log_prior_" else shares
    msg = (
        f"{type(final).__name__} does not say which class shares its probabilities are right for: "
        "pass old_prior=, the shares of the classes in the rows that it was calibrated or trained "
        "on"
    )
    raise ValueError(msg)


def _shares(name: str, values: Any, classes: np.ndarray) -> Array:
    shares = _by_class(name, values, classes)
    if not (shares > 0).all():
        msg = f"{name} should be positive for each class; got {shares.tolist()}"
        raise ValueError(msg)
    return np.asarray(shares / shares.sum())
