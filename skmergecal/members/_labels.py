"""Labels of members that know codes 0..k-1: remembered, given by the user, or asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skmergecal._typing import Estimator
from skmergecal._validation import encode_labels

__all__ = [
    "LabelledEstimator",
    "are_codes",
    "labels_of_codes",
    "refuse_codes",
    "say_classes",
    "unlike_classes",
]


class LabelledEstimator(FrozenEstimator):
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


def unlike_classes(
    own: np.ndarray, others: Mapping[str, np.ndarray], seen: np.ndarray | None
) -> str | None:
    """Which other set of classes a member's own may be, under other names.

    It has as many classes, but others, and no row has those that the member has besides. Or no row
    has any class of the member.

    Parameters
    ----------
    own : ndarray
        The classes of the member.
    others : mapping of str to ndarray
        Sets of classes by whose they are; the first one may be that of the rows.
    seen : ndarray or None
        Labels of the rows.
    """
    mine, rows = set(own.tolist()), set() if seen is None else set(seen.tolist())
    for owner, other in others.items():
        known = set(other.tolist())
        as_many = len(known) == len(mine) or (bool(rows) and mine.isdisjoint(rows))
        if known != mine and as_many and rows.isdisjoint(mine - known):
            return owner
    return None


def refuse_codes(known: Sequence[tuple[str, Estimator, np.ndarray]], y: np.ndarray | None) -> None:
    """Raise ValueError if a frozen member looks as if it was trained on codes of the labels.

    Its classes are 0..k-1, or of another type than other labels. Members whose labels were given
    are left alone.
    """
    seen = None if y is None else np.unique(y)
    owners = {name: own for name, _, own in known}
    rows = {} if seen is None else {"y": seen}
    mixed = len({part.dtype.kind in "OSU" for part in [*owners.values(), *rows.values()]}) > 1
    found = []
    for name, estimator, own in known:
        others = {**rows, **{f"estimator {k!r}": v for k, v in owners.items() if k != name}}
        if isinstance(estimator, LabelledEstimator) or not (mixed or are_codes(own)):
            continue
        owner = unlike_classes(own, others, seen)
        if owner is not None:
            found.append((not are_codes(own), name, own, owner, others[owner]))
    if found:
        _, name, own, owner, other = min(found, key=lambda item: item[0])
        what = (
            "was it trained on codes?" if are_codes(own) else "are they the same under two names?"
        )
        msg = (
            f"estimator {name!r} has the classes {own.tolist()}, {owner} has {other.tolist()}: "
            f"{what} {say_classes(name, own, other)}"
        )
        raise ValueError(msg)


def say_classes(name: str, own: np.ndarray, other: np.ndarray) -> str:
    """How to tell what the columns of a member stand for."""
    meant = other.tolist() if len(other) == len(own) else f"[{len(own)} labels]"
    return (
        "Say what its columns stand for, in their order: MergedClassifier.from_fitted(..., "
        f"classes={{{name!r}: {meant}}}), or TemperatureCalibrator(..., classes={meant}); or pass "
        f"y as it was in training. If {own.tolist()} are labels, say that in the same way."
    )
