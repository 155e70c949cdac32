"""FoldAverage: one classifier from those that were fitted on the folds of a cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.frozen import FrozenEstimator

from skmergecal._compat import _VisualBlock, allow_what_all_allow
from skmergecal._numerics import log_of
from skmergecal._saved_state import SavedStateMixin
from skmergecal._torch import check_picklable
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal._validation import encode_labels, union_of_classes
from skmergecal.members._labels import LabelledEstimator
from skmergecal.members._member import Member, check_fitted, classes_of, is_fitted
from skmergecal.members._read import choose_reader

__all__ = ["FoldAverage", "as_member", "average_member", "fold_average_in", "make_parts"]


class FoldAverage(ClassifierMixin, SavedStateMixin):
    """The average of fitted classifiers, those of the folds of a cross-validation.

    It is what ``MergedClassifier(refit=False)`` and ``MergedClassifier.from_cv`` keep of a member.
    A logarithmic pool averages the log-probabilities of the models, a linear pool their
    probabilities, whatever ``average`` is. It cannot be fitted, and ``clone`` gives
    the object itself. As a member of another merge it has to be frozen:
    ``FrozenEstimator(average)``, or ``MergedClassifier.from_fitted``.

    Parameters
    ----------
    estimators : list of fitted classifiers
        One for each fold. They need not know the same classes.
    classes : array-like of shape (n_classes,), default=None
        All labels, sorted; None: those that at least one of them knows.
    average : {"logits", "probabilities"}, default="logits"
        What ``predict_proba`` averages.
    softening : float, default=None
        Share of the uniform distribution that is mixed into the probabilities of each of them
        before the log. None: 1e-4, but 0 where all of them give log-probabilities of the same
        classes.
    missing_share : float, default=0.0
        Probability that each of them gives to a class that it does not know; its own are scaled.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        All labels.

    See Also
    --------
    skmergecal.MergedClassifier.from_cv : Makes them from models that exist.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skmergecal import MergedClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> merged = MergedClassifier([("bayes", GaussianNB())], refit=False, cv=3).fit(X, y)
    >>> average = merged.estimators_[0]
    >>> average
    FoldAverage of 3 GaussianNB
    >>> average.predict_proba(X[:2]).shape
    (2, 2)
    """

    def __init__(
        self,
        estimators: Sequence[Estimator],
        *,
        classes: Any = None,
        average: str = "logits",
        softening: float | None = None,
        missing_share: float = 0.0,
    ) -> None:
        self.estimators = estimators
        self.classes = classes
        self.average = average
        self.softening = softening
        self.missing_share = missing_share

    @property
    def classes_(self) -> np.ndarray:
        """All labels, in the order of the columns."""
        if self.classes is not None:
            return np.asarray(self.classes)
        check_fitted("average", self)
        return union_of_classes(
            *(classes_of(_in_fold("average", k), e) for k, e in enumerate(self.estimators))
        )

    @property
    def n_features_in_(self) -> int:
        """Number of features, where the models know it."""
        return self.estimators[0].n_features_in_

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the features, where the models know them."""
        return self.estimators[0].feature_names_in_

    def fit(self, X: Any, y: Any = None) -> FoldAverage:
        """Raises an error: the models are fitted already.

        Parameters
        ----------
        X, y : array-like
            Not looked at.

        Raises
        ------
        TypeError
            Always.
        """
        msg = (
            "a FoldAverage is made of fitted classifiers and cannot be fitted: use it as it is, "
            "FrozenEstimator(average), or fit what it was made from"
        )
        raise TypeError(msg)

    def predict_proba(self, X: Any) -> Array:
        """The average.

        Parameters
        ----------
        X : array-like
            Rows, as the models take them.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        if self.average == "probabilities":
            return self._member().opinion(X).proba()
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Any) -> Array:
        """Its logarithm, exact also where the average of log-probabilities underflows to 0.

        Parameters
        ----------
        X : array-like
            Rows, as the models take them.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            -inf where all models give a probability of 0, and probabilities are averaged.
        """
        if self.average != "probabilities":
            return self._member().read_log_proba(X)
        return log_of(self.predict_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """Labels of the largest probability.

        Parameters
        ----------
        X : array-like
            Rows, as the models take them.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels, of the type of ``classes_``.
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def _member(self) -> Member:
        if self.average not in ("logits", "probabilities"):
            msg = f"average should be 'logits' or 'probabilities'; got {self.average!r}"
            raise ValueError(msg)
        classes = self.classes_
        columns = np.arange(len(classes))
        parts = make_parts(self, "estimator", classes, columns, len(classes), choose_part)
        member = Member("estimator", self, "", classes, columns, len(classes), parts=parts)
        member = member.filled(self.missing_share)
        if self.softening is None:
            return member.with_default_softening()
        return replace(member, softening=self.softening)

    def __sklearn_is_fitted__(self) -> bool:
        return all(is_fitted(estimator) for estimator in self.estimators)

    def __sklearn_clone__(self) -> FoldAverage:
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        allow_what_all_allow(tags, self.estimators)
        return tags

    def __getstate__(self) -> dict[str, Any]:
        check_picklable((_in_fold("average", k), e) for k, e in enumerate(self.estimators))
        return super().__getstate__()

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        kinds = dict.fromkeys(type(_inside(e)).__name__ for e in self.estimators)
        return f"{type(self).__name__} of {len(self.estimators)} {' and '.join(kinds)}"

    def _sk_visual_block_(self) -> Any:
        return _VisualBlock("single", self, names=repr(self), name_details=repr(self))


def as_member(average: FoldAverage) -> Member:
    """An average as the member that it reads itself as."""
    return average._member()


def _in_fold(name: str, number: int) -> str:
    return f"{name}, fold {number + 1}"


def _inside(estimator: Estimator) -> Estimator:
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator


def choose_part(name: str, estimator: Estimator) -> tuple[str, str | None]:
    """Where a model of an average is read, without rows, and no key for a cache."""
    return choose_reader(name, estimator), None


def fold_average_in(estimator: Estimator) -> FoldAverage | None:
    """The average that a (frozen, or labelled) estimator is, if it is one."""
    while isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    return estimator if isinstance(estimator, FoldAverage) else None


def make_parts(
    average: FoldAverage,
    name: str,
    labels: np.ndarray,
    columns: IntArray,
    n_classes: int,
    choose: Callable[[str, Estimator], tuple[str, str | None]],
) -> tuple[Member, ...]:
    """The models of an average as members.

    Parameters
    ----------
    average : FoldAverage
    name : str
        Its name among the members.
    labels : ndarray of shape (n_own_classes,)
        What the average's own classes stand for.
    columns : ndarray of shape (n_own_classes,)
        The merged column of each of these.
    n_classes : int
        Number of merged classes.
    choose : callable
        Gives the reader of a model, by its name, and what identifies it for the cache.
    """
    parts = []
    for number, estimator in enumerate(average.estimators):
        who = _in_fold(name, number)
        own = classes_of(who, estimator)
        remedy = f"They are classes of estimator {who!r}: classes= of the average has to name them."
        place = encode_labels(own, average.classes_, remedy=remedy)
        source, key = choose(who, estimator)
        parts.append(
            Member(
                who, estimator, source, labels[place], columns[place], n_classes, fingerprint=key
            )
        )
    return tuple(parts)


def average_member(
    models: Sequence[Member], classes: np.ndarray, columns: IntArray, average: str
) -> Member:
    """The average of one member's models of the folds, as a member.

    Parameters
    ----------
    models : sequence of Member
        All of one name.
    classes : ndarray of shape (n_classes,)
        The merged classes.
    columns : ndarray of shape (n_own_classes,)
        Those that the member can know: what a model lacks is given a small probability.
    average : {"logits", "probabilities"}
    """
    name, known = models[0].name, classes[columns]
    estimator = FoldAverage([_labelled(m) for m in models], classes=known, average=average)
    parts = tuple(replace(m, name=_in_fold(name, k)) for k, m in enumerate(models))
    return Member(name, estimator, "", known, columns, len(classes), parts=parts)


def _labelled(model: Member) -> Estimator:
    """The model; with labels beside it where it knows codes."""
    own = classes_of(model.name, model.estimator)
    if np.array_equal(own, model.classes):
        return model.estimator
    return LabelledEstimator(model.estimator, model.classes)
