"""LogProbaClassifier: base of our classifiers, from unscaled scores to probabilities."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.validation import check_is_fitted

from skmergecal._compat import (
    _check_feature_names,
    _check_feature_names_in,
    _check_n_features,
    _fit_context,
    _num_samples,
    _safe_indexing,
)
from skmergecal._estimator._diagram import DiagramMixin
from skmergecal._estimator._lazy_predictions import (
    predict_lazily,
    refuse_held_out,
    score_in_partitions,
)
from skmergecal._numerics import log_softmax, softmax
from skmergecal._partitions import are_dask
from skmergecal._saved_state import SavedStateMixin
from skmergecal._torch import check_picklable
from skmergecal._typing import Array, HeldOutLogProba, IntArray, NamedEstimators
from skmergecal._validation import check_rows, check_sample_weight

__all__ = ["HeldOutScores", "LogProbaClassifier"]


class HeldOutScores(NamedTuple):
    """Scores before the temperature, of rows that did not train the members."""

    scores: np.ndarray
    """Shape (n_held_out, n_classes)."""
    rows: IntArray
    """Shape (n_held_out,): the row of the data of ``fit`` that each line belongs to."""


class LogProbaClassifier(ClassifierMixin, TransformerMixin, SavedStateMixin, DiagramMixin):
    """Base of classifiers that work on log-probabilities.

    The method ``fit_held_out`` is what the package recognises its own estimators by: their
    ``transform`` gives log-probabilities up to a constant per row.
    """

    classes_: np.ndarray
    cv: Any

    @abstractmethod
    def _fit(
        self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any], *, held_out: bool
    ) -> HeldOutScores | None:
        """Fit, and give the scores of rows that did not train the members where they are requested.

        Without ``held_out``, nothing is cross-fitted that need not be, and None may be returned.
        """

    @_fit_context(prefer_skip_nested_validation=False)
    def fit_held_out(
        self, X: Any, y: Any, sample_weight: Any = None, **params: Any
    ) -> HeldOutLogProba:
        """Fit, and return log-probabilities of rows that did not train the members.

        Parameters
        ----------
        X : array-like
            As for ``fit``.
        y : array-like of shape (n_samples,)
            Labels, as for ``fit``.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights.
        **params : dict
            As for ``fit``.

        Returns
        -------
        HeldOutLogProba
            Log-probabilities after the temperature, up to a constant per row, and row numbers.
        """
        refuse_held_out(are_dask(X, y, sample_weight))
        held = self._fit(X, y, sample_weight, params, held_out=True)
        assert held is not None
        return HeldOutLogProba(self._scaled(held.scores), held.rows)

    def __getstate__(self) -> dict[str, Any]:
        named = list(getattr(self, "named_estimators_", {}).items())
        given = getattr(self, "estimators", None)
        if isinstance(given, list):
            named += [item for item in given if isinstance(item, tuple) and len(item) == 2]
        own = (getattr(self, attribute, None) for attribute in ("estimator_", "estimator"))
        check_picklable([*named, *(("estimator", estimator) for estimator in own)])
        return super().__getstate__()

    @abstractmethod
    def _scores(self, X: Any) -> np.ndarray:
        """Scores before any temperature, whose largest is the prediction."""

    @abstractmethod
    def _scaled(self, scores: np.ndarray) -> Array:
        """Logits after the temperature."""

    def _proba(self, scores: np.ndarray) -> Array:
        """Probabilities after the temperature."""
        return softmax(self._scaled(scores))

    def _log_proba(self, scores: np.ndarray) -> Array:
        """Their logarithm."""
        return log_softmax(self._scaled(scores))

    @abstractmethod
    def _named(self) -> NamedEstimators:
        """The estimators that parameters of ``fit`` can be routed to."""

    def fit_transform(
        self, X: Any, y: Any = None, sample_weight: Any = None, **params: Any
    ) -> Array:
        """Fit, and transform the same rows, without having seen them where possible.

        What was cross-fitted is returned out of fold, so that a following step does not learn
        from training rows; rows of weight 0 are transformed by the final model.

        Parameters
        ----------
        X : array-like
            As for ``fit``.
        y : array-like of shape (n_samples,), default=None
            Labels, as for ``fit``.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights.
        **params : dict
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Log-probabilities, up to a constant per row.

        Raises
        ------
        ValueError
            If the splits of ``cv`` do not hold out each row exactly once.
        """
        X = self._rows(X)
        held = self.fit_held_out(X, y, sample_weight, **params)
        n_samples = _num_samples(X)
        weight = check_sample_weight(sample_weight, n_samples)
        counts = np.bincount(held.rows, minlength=n_samples)
        ignored = np.zeros(n_samples, dtype=bool) if weight is None else weight == 0
        if (counts[~ignored] != 1).any():
            msg = (
                f"fit_transform needs each row held out once, but cv={self.cv!r} holds out "
                f"{int((counts[~ignored] == 0).sum())} rows never and "
                f"{int((counts > 1).sum())} several times: use a splitter that is a partition"
            )
            raise ValueError(msg)
        out = np.empty((n_samples, len(self.classes_)))
        out[held.rows] = held.log_proba
        if ignored.any():
            rows = np.flatnonzero(ignored)
            out[rows] = self._scaled(self._scores(_safe_indexing(X, rows)))
        return out

    def transform(self, X: Any) -> Array:
        """Log-probabilities after the temperature, up to a constant per row.

        Parameters
        ----------
        X : array-like
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        if are_dask(X):
            return self._lazily("transform", X)
        return self._scaled(self._scores(X))

    def predict_proba(self, X: Any) -> Array:
        """Probabilities.

        Parameters
        ----------
        X : array-like
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``; rows add up to 1.
        """
        if are_dask(X):
            return self._lazily("predict_proba", X)
        scores = self._scores(X)
        return self._proba(scores)

    def predict_log_proba(self, X: Any) -> Array:
        """Log of the probabilities, exact also where they underflow to 0.

        Parameters
        ----------
        X : array-like
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``; -inf where every member of a linear pool gives 0.
        """
        if are_dask(X):
            return self._lazily("predict_log_proba", X)
        scores = self._scores(X)
        return self._log_proba(scores)

    def decision_function(self, X: Any) -> Array:
        """Logits after the temperature; for two classes their difference.

        Parameters
        ----------
        X : array-like
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Columns in the order of ``classes_``; for two classes, above 0 for the second one.
        """
        if are_dask(X):
            return self._lazily("decision_function", X)
        z = self._scaled(self._scores(X))
        return z[:, 1] - z[:, 0] if len(self.classes_) == 2 else z

    def predict(self, X: Any) -> np.ndarray:
        """Labels of the largest probability, taken before the temperature scales them.

        Parameters
        ----------
        X : array-like
            As for ``fit``.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels, of the type of ``classes_``.
        """
        if are_dask(X):
            return self._lazily("predict", X)
        scores = self._scores(X)
        return self.classes_[np.argmax(scores, axis=1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of right labels: the accuracy.

        Parameters
        ----------
        X : array-like
            As for ``fit``.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights.

        Returns
        -------
        float
            Between 0 and 1.
        """
        if are_dask(X, y, sample_weight):
            check_is_fitted(self, "classes_")
            return score_in_partitions(self, X, y, sample_weight, type(self).predict)
        return float(super().score(X, y, sample_weight))

    def _lazily(self, method: str, X: Any) -> Any:
        """What a method gives for a Dask collection: a lazy Dask Array."""
        check_is_fitted(self, "classes_")
        n_classes = len(self.classes_)
        meta: np.ndarray = np.empty((0, n_classes))
        if method == "predict":
            meta = np.empty(0, dtype=self.classes_.dtype)
        elif method == "decision_function" and n_classes == 2:
            meta = np.empty(0)
        return predict_lazily(self, method, X, meta)

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Names of the columns of `transform`: the class name in lower case and the label.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features of X: only checked, as they do not appear in the result.

        Returns
        -------
        ndarray of str objects of shape (n_classes,)
            "mergedclassifier_versicolor", for example.

        Raises
        ------
        ValueError
            If these are not as many names as X had columns, or others than X had.
        """
        check_is_fitted(self, "classes_")
        if input_features is not None:
            if np.ndim(input_features) != 1:
                msg = f"input_features should be a list of names; got {input_features!r}"
                raise ValueError(msg)
            _check_feature_names_in(self, input_features, generate_names=False)
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}_{label}" for label in self.classes_.tolist()], dtype=object)

    def get_metadata_routing(self) -> MetadataRouter:
        """Where parameters of ``fit`` can be routed: here, to the members, to the splitter.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
            What this estimator, its members and the splitter request.
        """
        router = MetadataRouter(owner=type(self).__name__).add_self_request(self)
        fit_to_fit = MethodMapping().add(caller="fit", callee="fit")
        for name, estimator in self._named():
            router.add(**{name: estimator}, method_mapping=fit_to_fit)
        return router.add(
            splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split")
        )

    def _rows(self, X: Any) -> Any:
        """X in a form whose rows can be counted and selected."""
        return X

    def _check_features(self, X: Any, *, reset: bool) -> None:
        """Store, or compare, number and names of the features, where X has such."""
        plain = type(X) is np.ndarray and X.ndim == 2 and not hasattr(self, "feature_names_in_")
        if plain and not reset and X.shape[1] == getattr(self, "n_features_in_", None):
            return  # no names on either side, and the right number: scikit-learn looks at more
        if np.ma.is_masked(X):
            msg = "X has masked entries, which the members would not see: fill them first"
            raise ValueError(msg)
        if getattr(X, "ndim", 2) != 2:
            return  # the members raise the error
        if isinstance(X, Mapping) and hasattr(X, "shape"):
            return  # inputs of a net by name (SliceDict), which a frame may have had as columns
        if reset or hasattr(self, "n_features_in_"):
            check_rows(X)
            _check_feature_names(self, X, reset=reset)
            _check_n_features(self, X, reset=reset)

    def _forget(self) -> None:
        """Drop what earlier fits left."""
        for name in [n for n in vars(self) if n.endswith("_") and not n.startswith("__")]:
            delattr(self, name)
