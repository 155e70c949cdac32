"""Teachers: the probabilities that a net learns, those of a classifier or of its own members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skmergecal._numerics import softmax
from skmergecal._training import OpenedEstimator
from skmergecal._typing import Array, Estimator
from skmergecal._validation import encode_labels
from skmergecal.members import (
    Cache,
    check_estimator,
    fit_frozen,
    frozen_members,
    warn_of_names,
)

__all__ = ["Teacher", "find_teacher"]

#: Gives probabilities for rows as the user passes them.
Teacher = Callable[[Any], Array]


def find_teacher(
    teacher: Estimator | None, opened: OpenedEstimator, classes: np.ndarray, X: Any, y: Any
) -> Teacher:
    """Probabilities to learn, columns in the order of the classes.

    Parameters
    ----------
    teacher : classifier or None
        Frozen, or to be fitted on X and y; None takes the merged classifier inside of the start.
    opened : OpenedEstimator
    classes : ndarray of shape (n_classes,)
    X, y : array-like

    Raises
    ------
    ValueError
        If there is no teacher, or it does not know all the classes.
    """
    if teacher is None:
        if not opened.teachers:
            msg = (
                "target='members' needs members to learn from: pass a "
                "MergedClassifier(method='parameters') as the estimator, or a frozen classifier as "
                "teacher="
            )
            raise ValueError(msg)
        merged = opened.teachers[0]
        _check_classes(merged.classes_, classes)
        columns = encode_labels(classes, merged.classes_, remedy="")
        return lambda rows: softmax(merged.members_log_proba(rows)[:, columns])
    check_estimator("teacher", teacher)
    if not isinstance(teacher, FrozenEstimator):
        teacher = fit_frozen("teacher", teacher, X, y)
    else:
        warn_of_names([("teacher", teacher)], X)
    (member,), own = frozen_members([("teacher", teacher)], Cache(None))
    _check_classes(own, classes)
    columns = encode_labels(classes, own, remedy="")
    return lambda rows: softmax(member.read_log_proba(rows)[:, columns])


def _check_classes(own: np.ndarray, classes: np.ndarray) -> None:
    if set(own.tolist()) != set(classes.tolist()):
        msg = (
            f"the teacher knows the classes {own.tolist()}, the model that learns from it "
            f"{classes.tolist()}: both should know the same"
        )
        raise ValueError(msg)
