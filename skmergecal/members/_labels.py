"""Labels of members that know codes 0..k-1: remembered, given by the user, or requested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.frozen import FrozenEstimator

from skmergecal._saved_state import SavedStateMixin
from skmergecal._typing import Estimator
from skmergecal._validation import encode_labels

__all__ = [
    "LabelledEstimator",
    "Unlike",
    "are_codes",
    "check_classes",
    "find_unlike",
    "labels_of_codes",
    "refuse_codes",
]


class LabelledEstimator(ClassifierMixin, SavedStateMixin, FrozenEstimator):
    """A frozen classifier whose columns stand for other labels than its own classes.

    Parameters
    ----------
    estimator : classifier
        Fitted.
    classes : array-like of shape (n_classes,)
        The labels, in the order of its columns.
    """

    def __init__(self, estimator: Estimator, classes: Any) -> None:
        super().__init__(estimator)
        self.classes = classes

    @property
    def classes_(self) -> np.ndarray:
        """The labels, in the order of the columns."""
        return np.asarray(self.classes)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The estimator and the labels; no parameters of the estimator, which is frozen."""
        return {"estimator": self.estimator, "classes": self.classes}

    def predict(self, X: Any) -> np.ndarray:
        """The labels of what the estimator predicts."""
        found, own = (np.asarray(a) for a in (self.estimator.predict(X), self.estimator.classes_))
        return self.classes_[encode_labels(found, own, remedy="The estimator predicts others.")]


def are_codes(labels: np.ndarray) -> bool:
    """Whether labels are the numbers 0..k-1."""
    return labels.dtype.kind in "iuf" and np.array_equal(labels, np.arange(len(labels)))


def labels_of_codes(own: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The labels that a classifier learned as codes; its own classes where it learned them."""
    coded = are_codes(own) and len(own) == len(labels) and not np.array_equal(own, labels)
    return labels if coded else own


def check_classes(classes: Any) -> np.ndarray:
    """Labels of columns as a 1-D array.

    Raises
    ------
    ValueError
        If they are no list, or name a label twice.
    """
    given = np.asarray(classes)
    if given.ndim != 1 or len(np.unique(given)) < len(given):
        msg = f"classes should be a list that names each label once; got {given.tolist()!r}"
        raise ValueError(msg)
    return given


@dataclass(frozen=True)
class Unlike:
    """Two sets of classes that may be the same under two names.

    Attributes
    ----------
    name : str
        The member.
    own : ndarray
        Its classes.
    owner : str
        Whose the other ones are: "y", or another member.
    other : ndarray
        The other classes.
    """

    name: str
    own: np.ndarray
    owner: str
    other: np.ndarray

    @property
    def as_codes(self) -> bool:
        """Whether the member's classes may be codes of the other ones, all of them."""
        apart = set(self.own.tolist()).isdisjoint(self.other.tolist())
        return are_codes(self.own) and (apart or len(self.own) == len(self.other))

    def __str__(self) -> str:
        same = "was it trained on codes?" if are_codes(self.own) else "are these the same?"
        meant = self.other.tolist() if len(self.other) == len(self.own) else "[...]"
        return (
            f"estimator {self.name!r} has the classes {self.own.tolist()}, {self.owner} has "
            f"{self.other.tolist()}: {same} Say what its columns stand for, in their order: "
            f"MergedClassifier.from_fitted(..., classes={{{self.name!r}: {meant}}}), the same for "
            f"MergedClassifier.from_cv(..., classes=...), or TemperatureCalibrator(..., "
            f"classes={meant}); or pass y as it was in training. If "
            f"{self.own.tolist()} are labels of their own, say that in the same way."
        )


def find_unlike(
    known: Sequence[tuple[str, Estimator, np.ndarray]], seen: np.ndarray | None
) -> list[Unlike]:
    """Members whose classes may be other ones under other names, the likeliest first.

    A member lacks classes that others know, or rows have, and no row has those that it knows
    besides. Without rows, it knows as many as another member. Members whose labels were given, or
    that learned their labels here, are left alone.

    Parameters
    ----------
    known : sequence of (str, estimator, ndarray)
        Members with their classes.
    seen : ndarray or None
        Labels of the rows, each once.
    """
    everyone = [("y", seen)] if seen is not None else []
    everyone += [(f"estimator {name!r}", own) for name, _, own in known]
    different = {tuple(own.tolist()): (owner, own) for owner, own in reversed(everyone)}
    rows = set() if seen is None else set(seen.tolist())
    found = []
    for name, estimator, own in known:
        if not isinstance(estimator, FrozenEstimator) or isinstance(estimator, LabelledEstimator):
            continue
        mine, maybe = set(own.tolist()), []
        for owner, other in different.values():
            theirs = set(other.tolist())
            strange = rows.isdisjoint(mine - theirs) if rows else len(mine) == len(theirs)
            if mine - theirs and theirs - mine and strange:
                maybe.append(Unlike(name, own, owner, other))
        found += sorted(maybe, key=lambda unlike: len(unlike.other) != len(own))[:1]
    return sorted(found, key=lambda unlike: not unlike.as_codes)


def refuse_codes(
    known: Sequence[tuple[str, Estimator, np.ndarray]], y: np.ndarray | None
) -> list[Unlike]:
    """Raise ValueError if a frozen member looks as if it was trained on codes of the labels.

    Its classes are 0..k-1, or of another type than the others. Other members that `find_unlike`
    finds are returned.
    """
    if not known:
        return []
    seen = None if y is None else np.unique(y)
    parts = [own for _, _, own in known] + ([] if seen is None else [seen])
    mixed = len({part.dtype.kind in "OSU" for part in parts}) > 1
    found = find_unlike(known, seen)
    for unlike in found:
        if mixed or unlike.as_codes:
            raise ValueError(str(unlike))
    return found
