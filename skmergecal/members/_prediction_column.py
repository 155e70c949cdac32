"""PredictionColumn: a classifier that returns stored predictions of one name."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.frozen import FrozenEstimator

from skmergecal._numerics import log_of, log_softmax, softmax
from skmergecal._saved_state import SavedStateMixin
from skmergecal._typing import Array, NamedEstimators
from skmergecal._validation import (
    as_numbers,
    check_labels,
    check_proba_rows,
    union_of_classes,
    warn_if_probabilities,
)
from skmergecal.members._labels import check_classes
from skmergecal.members._predictions import Predictions, as_predictions, is_table

__all__ = ["PredictionColumn", "rows_for_columns"]

_PROBABILITIES = (
    "pass log-probabilities and logits with logarithmic=True, and probabilities with one column "
    "for each class, in the order of classes="
)


class PredictionColumn(ClassifierMixin, SavedStateMixin):
    """A classifier whose predictions are stored: those of one name in `Predictions`.

    ``MergedClassifier.from_predictions`` makes its members of it. It learns nothing but the
    labels, and with ``classes`` it needs no fit: ``FrozenEstimator(PredictionColumn("forest",
    classes=[0, 1]))`` is a member of a merge. ``X`` is what `Predictions` takes, or has it: a
    dict, or a DataFrame.

    Parameters
    ----------
    name : str
        The name of the predictions.
    classes : array-like of shape (n_classes,), default=None
        The labels in the order of the columns; None: those of y in ``fit``, sorted.
    logarithmic : bool, default=False
        Whether they are log-probabilities or logits, and for two classes the logit of the second
        one; or else probabilities. Merges read them as what they are.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels in the order of the columns.

    See Also
    --------
    skmergecal.MergedClassifier.from_predictions : Makes a merge of several.

    Examples
    --------
    >>> from skmergecal.merging import PredictionColumn
    >>> column = PredictionColumn("forest", classes=["no", "yes"])
    >>> column.predict_proba({"forest": [0.25, 0.75]})
    array([[0.75, 0.25],
           [0.25, 0.75]])
    """

    def __init__(self, name: str, *, classes: Any = None, logarithmic: bool = False) -> None:
        self.name = name
        self.classes = classes
        self.logarithmic = logarithmic

    @property
    def classes_(self) -> np.ndarray:
        """The labels in the order of the columns; AttributeError where they are not known."""
        if self.classes is not None:
            return check_classes(self.classes)
        if not hasattr(self, "labels_"):
            msg = "classes_ are not known: pass classes=, or call fit"
            raise AttributeError(msg)
        return self.labels_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "classes_")

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn the labels, where ``classes`` does not give them.

        Parameters
        ----------
        X : dict or DataFrame
            As for `predict_proba`; only y is looked at.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like, default=None
            Has no effect.

        Returns
        -------
        PredictionColumn
            This object.
        """
        self.labels_ = union_of_classes(check_labels(y))
        return self

    def transform(self, X: Any) -> Array:
        """Log-probabilities, up to a constant per row.

        Parameters
        ----------
        X : dict or DataFrame
            Has predictions of this name.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        values = self._read(X)
        if not self.logarithmic:
            return log_of(values)
        warn_if_probabilities(values, f"predictions {self.name!r}")
        return values

    def predict_proba(self, X: Any) -> Array:
        """Probabilities.

        Parameters
        ----------
        X : dict or DataFrame
            Has predictions of this name.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.

        Raises
        ------
        ValueError
            If there are no predictions of this name, or they are not what they should be: NaN,
            infinite, without one column for each class, or no probabilities.
        """
        return softmax(self.transform(X)) if self.logarithmic else self._read(X)

    def predict_log_proba(self, X: Any) -> Array:
        """Log-probabilities.

        Parameters
        ----------
        X : dict or DataFrame
            Has predictions of this name.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        z = self.transform(X)
        return log_softmax(z) if self.logarithmic else z

    def predict(self, X: Any) -> np.ndarray:
        """Labels of the largest probability.

        Parameters
        ----------
        X : dict or DataFrame
            Has predictions of this name.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels, of the type of ``classes_``.
        """
        return self.classes_[self._read(X).argmax(axis=1)]

    def _matrix(self, X: Any) -> Array:
        """The values as a new matrix with one column for each class; not yet as probabilities."""
        classes, what = self.classes_, f"predictions {self.name!r}"
        found = as_predictions(X, [self.name])[self.name]
        values = np.array(as_numbers(what, _by_class(what, found, classes)), dtype=np.float64)
        _refuse_missing(what, values, self.logarithmic)
        if values.ndim == 2 and values.shape[1] == 1 and len(classes) == 2:
            values = values[:, 0]
        if values.ndim == 1 and len(classes) == 2:
            first = np.zeros_like(values) if self.logarithmic else 1 - values
            values = np.column_stack([first, values])
        if values.ndim == 1 or values.shape[1] != len(classes):
            msg = (
                f"{what} should have one column for each of the {len(classes)} classes "
                f"{classes.tolist()}; got shape {found.shape}: pass all columns, and in classes= "
                "their labels where y does not have them all"
            )
            raise ValueError(msg)
        return values

    def _read(self, X: Any) -> Array:
        values = self._matrix(X)
        if self.logarithmic:
            return values
        return check_proba_rows(
            values,
            f"predictions {self.name!r}",
            "are not probabilities",
            remedy=_PROBABILITIES,
            percent_remedy="divide percentages by 100",
        )


def _by_class(what: str, values: Any, classes: np.ndarray) -> Any:
    """A frame with its columns in the order of the classes that they are named by.

    Columns that are numbered from 0 are in the order of the classes already. They are refused where
    the classes are the same numbers in another order: they could be names or places.
    """
    if not is_table(values) or values.shape[1] in (1, 0):
        return values
    columns, labels = list(values.columns), classes.tolist()
    numbered = list(range(len(labels)))
    if columns == numbered != labels and set(columns) == set(labels):
        msg = (
            f"{what} have columns {columns}, which may be names of the classes {labels} or their "
            "places: pass to_numpy() of the frame (to_dask_array(), if it is one of Dask) if its "
            "columns are in the order of classes=, or name them by text, "
            "frame.rename(columns=str), if they are named by class"
        )
        raise ValueError(msg)
    for known in (labels, [str(label) for label in labels]):
        if len(columns) == len(known) and set(columns) == set(known):
            # By place: a list of truth values would select rows.
            return as_numbers(what, values)[:, [columns.index(label) for label in known]]
    if columns == numbered:
        return values
    msg = (
        f"{what} have columns {columns}, which are not the classes {labels}: name them by class, "
        "or pass to_numpy() of the frame (to_dask_array(), if it is one of Dask), with its columns "
        "in the order of classes="
    )
    raise ValueError(msg)


def _refuse_missing(what: str, values: np.ndarray, logarithmic: bool) -> None:
    """Raise ValueError where values are NaN or infinite."""
    if np.isfinite([values.min(), values.max()]).all():  # NaN if there is one; no array is made
        return
    bad = ~np.isfinite(values)
    rows = np.flatnonzero(bad.reshape(len(values), -1).any(axis=1))
    if np.isnan(values).any():
        problem = "NaN"
        remedy = "drop these rows for all members; in from_predictions, missing='drop_rows' does so"
    else:
        problem = "infinite values"
        remedy = "clip them"
        if logarithmic:
            remedy = "-inf is the log of 0: pass probabilities with logarithmic=False, or clip logs"
    msg = f"{what} have {problem} in {len(rows)} of {len(values)} rows, first in row {rows[0]}: "
    raise ValueError(msg + remedy)


def rows_for_columns(X: Any, estimators: NamedEstimators, *, complete: bool = False) -> Any:
    """X as members take it: `Predictions` where all of them are stored; else as it is.

    Parameters
    ----------
    X : array-like, dict or DataFrame
        May have predictions of other names, which are left out.
    estimators : sequence of (str, estimator)
        Frozen or not.
    complete : bool, default=False
        Whether no member, not even one of weight 0, may lack a value.

    Raises
    ------
    ValueError
        If predictions of a member are missing.
    """
    columns = [e.estimator if isinstance(e, FrozenEstimator) else e for _, e in estimators]
    if not columns or not all(isinstance(column, PredictionColumn) for column in columns):
        return X
    rows: Predictions = as_predictions(X, [column.name for column in columns])
    if complete:
        for column in columns:
            values = np.asarray(rows[column.name])
            _refuse_missing(f"predictions {column.name!r}", values, column.logarithmic)
    return rows
