"""EarlyStopped: a booster that stops by rows which are set apart from its training rows."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.validation import check_is_fitted

from skmergecal._compat import HasMethods, Interval, _fit_context, _safe_indexing, tags_of
from skmergecal._pipelines import fit_front, is_pipeline, resamples, transform_before
from skmergecal._saved_state import SavedStateMixin
from skmergecal._typing import Array, Estimator
from skmergecal._validation import count_rows
from skmergecal._warnings import warn_user
from skmergecal.boosters._rows_to_stop_by import RowsToStopBy, booster_arguments, set_apart
from skmergecal.members import (
    FitRows,
    FitTask,
    classes_of,
    clone_member,
    cut_params,
    fitted_last_step,
    labels_of_codes,
    sample_weight_param,
)

__all__ = ["EarlyStopped"]


class EarlyStopped(ClassifierMixin, SavedStateMixin):
    """A booster that stops early by rows of its own.

    Each ``fit`` sets a part of its rows apart, in proportion to the classes, fits a clone of the
    booster to the others, and has it stop where the loss of the part no longer falls. As a member
    of `MergedClassifier` it does so in each fold of the cross-fitting: the rows of the fold, which
    weights, temperatures and ``loss_estimate_`` are learned from, take no part in it.

    Parameters
    ----------
    estimator : classifier
        One whose ``fit`` takes ``eval_set``, as in LightGBM, XGBoost and CatBoost. Or a Pipeline
        that ends in one: its other steps are fitted to the rows that are not set apart. The number
        of rounds without gain after which it stops is its own parameter (``early_stopping_rounds``,
        LightGBM: ``early_stopping_round``), 50 if that is not set.
    validation_fraction : float in (0, 1), default=0.1
        Share of the rows that are set apart. At least one row of each class stays for training.
    random_state : int, RandomState or None, default=None
        Draws them.

    Attributes
    ----------
    estimator_ : classifier
        Fitted. XGBoost takes only the labels 0..k-1: it was fitted to these codes.
    classes_ : ndarray of shape (n_classes,)
        The labels.
    n_rounds_ : int
        Number of rounds of boosting that it predicts with, where the booster has it.
    n_features_in_ : int
        Number of features seen during ``fit``, where the booster knows it.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where the booster knows them.

    Raises
    ------
    ValueError
        By ``fit``, if the booster takes no rows to stop by, or there are too few rows.

    See Also
    --------
    skmergecal.MergedClassifier : Merges several of them.

    Notes
    -----
    Sample weights are split in the same way. Rows of weight 0 are left out. Rows are set apart one
    by one: if they come in groups that must stay together, split them yourself and pass
    ``eval_set`` through metadata routing.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skmergecal import EarlyStopped, MergedClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> from lightgbm import LGBMClassifier  # doctest: +SKIP
    >>> booster = LGBMClassifier(n_estimators=2000, early_stopping_round=30)  # doctest: +SKIP
    >>> members = {"lightgbm": EarlyStopped(booster, random_state=0)}  # doctest: +SKIP
    >>> merged = MergedClassifier(members, calibrate="merged").fit(X, y)  # doctest: +SKIP
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit"])],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self, estimator: Estimator, *, validation_fraction: float = 0.1, random_state: Any = None
    ) -> None:
        self.estimator = estimator
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Self:
        """Fit the booster to most of the rows, and stop it by the others.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            Passed on as it is.
        y : array-like of shape (n_samples,)
            Labels of any kind.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        **params : dict
            Other parameters of the booster's ``fit``; what has one entry per row is split in the
            same way.

        Returns
        -------
        EarlyStopped
            This object, fitted.

        Raises
        ------
        ValueError
            If the booster's ``fit`` takes no rows to stop by, or there are too few rows.
        """
        rows = FitRows.check(X, y, sample_weight)
        parts = set_apart(rows.labels[rows.kept], self.validation_fraction, self.random_state)
        train, apart = (rows.kept[part] for part in parts)
        weight = rows.sample_weight
        labels = rows.labels[train]
        self.estimator_ = _fit(
            self.estimator,
            _safe_indexing(rows.X, train),
            labels,
            None if weight is None else weight[train],
            RowsToStopBy(
                _safe_indexing(rows.X, apart),
                rows.labels[apart],
                None if weight is None else weight[apart],
            ),
            cut_params(rows.X, params, train),
        )
        seen = np.unique(labels)
        known = labels_of_codes(classes_of("estimator", self.estimator_), seen)
        self.classes_ = seen if np.array_equal(known, seen) else known  # False is no 0
        return self

    def predict_proba(self, X: Any) -> Array:
        """Probabilities of the booster.

        Parameters
        ----------
        X : array-like
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self)
        count_rows(X)  # else the error is the booster's, which may not name X
        return np.asarray(self.estimator_.predict_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """Labels of the largest probability.

        Parameters
        ----------
        X : array-like
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    @property
    def n_rounds_(self) -> int:
        """Number of rounds of boosting that it predicts with."""
        booster, _ = fitted_last_step(self.estimator_)
        if hasattr(booster, "tree_count_"):  # CatBoost, which cuts off the rounds after the best
            return int(booster.tree_count_)
        if hasattr(booster, "best_iteration"):  # XGBoost counts from 0
            return int(booster.best_iteration) + 1
        return int(booster.best_iteration_)

    @property
    def n_features_in_(self) -> int:
        """Number of features."""
        return self.estimator_.n_features_in_

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the features."""
        return self.estimator_.feature_names_in_

    def get_metadata_routing(self) -> MetadataRouter:
        """Where parameters of ``fit`` can be routed: here, and to the booster.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
            What the booster requests, and ``sample_weight``.
        """
        router = MetadataRouter(owner=type(self).__name__).add_self_request(self)
        mapping = MethodMapping().add(caller="fit", callee="fit")
        return router.add(estimator=self.estimator, method_mapping=mapping)

    def _needs(self, state: dict[str, Any]) -> list[str]:
        return ["estimator_"]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = tags_of(self.estimator)
        if inner is not None:
            tags.input_tags = inner.input_tags
            if inner.classifier_tags is not None:
                tags.classifier_tags = inner.classifier_tags
        return tags


def _fit(
    estimator: Estimator,
    X: Any,
    labels: np.ndarray,
    weight: Array | None,
    apart: RowsToStopBy,
    params: dict[str, Any],
) -> Estimator:
    """A clone of a booster, or of a Pipeline that ends in one, fitted and stopped."""
    if is_pipeline(estimator):
        fitted = clone_member(estimator)
        if weight is not None and resamples(fitted):
            _warn_of_weights(estimator)
            weight, apart = None, apart._replace(weight=None)
        front, Z, labels = fit_front(fitted, X, labels)
        name, last = fitted.steps[-1]
        fitted.set_params(steps=[*front, (name, last)])
        apart = apart._replace(X=transform_before(fitted, apart.X))
        last = _fit(last, Z, labels, weight, apart, params)
        return fitted.set_params(steps=[*front, (name, last)])
    booster, arguments = booster_arguments(estimator, apart, params)
    if weight is not None:
        name = sample_weight_param(booster)
        if name is None:
            _warn_of_weights(booster)
        else:
            arguments[name] = weight
    return FitTask("estimator", booster, X, labels, None, arguments).fitted()


def _warn_of_weights(estimator: Estimator) -> None:
    warn_user(
        f"{type(estimator).__name__} does not take sample_weight: it is fitted without weights"
    )
