"""Students: classifiers that learn probabilities, from weighted copies of rows or as nets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skmergecal._compat import _safe_indexing
from skmergecal._pipelines import fit_front, is_pipeline, resamples, transform_before
from skmergecal._training import stacked
from skmergecal._typing import Estimator
from skmergecal._warnings import warn_user
from skmergecal.members import (
    FitTask,
    check_estimator,
    clone_member,
    cut_params,
    is_sklearn,
    is_skorch,
    sample_weight_param,
    unfitted_last_step,
    unfrozen,
)
from skmergecal.tuning._soft_labels import SoftLabels
from skmergecal.tuning._soft_rows import RowCopies

__all__ = ["check_student", "fit_on_copies", "is_net", "without_rows_apart"]

#: HistGradientBoostingClassifier sets rows apart by itself above this many.
_MANY_ROWS = 10_000


def is_net(student: Estimator) -> bool:
    """Whether a student is a net, which learns probabilities without copies of rows."""
    last = unfitted_last_step(unfrozen(student))
    return is_skorch(last) or is_sklearn(last, "MLPClassifier")


def check_student(student: Estimator) -> None:
    """Raise an error if a student is no classifier, or cannot learn probabilities.

    A net that is fitted may be meant to be trained further, and then has to be frozen.
    """
    check_estimator("student", student, will_refit=False)
    if resamples(student):
        msg = (
            "a step of the student draws other rows (fit_resample), and each row has probabilities "
            "of its own to learn: leave it out, or weigh rows with sample_weight"
        )
        raise ValueError(msg)
    if is_net(student):
        check_estimator("student", student)
        return
    last = unfitted_last_step(student)
    name = type(unfrozen(last)).__name__
    if isinstance(student, FrozenEstimator) or isinstance(last, FrozenEstimator):
        msg = (
            f"the student {name} is frozen, and only nets can be trained further: pass it without "
            "FrozenEstimator to have a copy of it fitted"
        )
        raise ValueError(msg)
    if sample_weight_param(student) is None:
        msg = (
            f"the fit of the student {name} takes no sample_weight, and it is no net: pass one "
            "whose fit does (a tree, boosting, a forest, LogisticRegression), or an MLPClassifier "
            "or skorch net"
        )
        raise ValueError(msg)
    params = last.get_params(deep=False)
    if "cv" in params or {"validation_fraction", "estimator"} <= set(params):
        msg = (
            f"the student {name} holds out rows by itself, and copies of one row would be on both "
            "sides: pass the estimator inside of it, and wrap the DistilledClassifier instead "
            "(in a search or a TemperatureCalibrator)"
        )
        raise ValueError(msg)


def without_rows_apart(student: Estimator, n_copies: int) -> Estimator:
    """The student, with whatever sets rows apart in its fit switched off, with a warning.

    Parameters
    ----------
    student : classifier
        Not changed.
    n_copies : int
        Number of copies of rows that it will be fitted on.
    """
    params = unfitted_last_step(student).get_params(deep=False)
    off: dict[str, Any] = {}
    stops = params.get("early_stopping", False)
    if stops is True or (isinstance(stops, str) and stops == "auto" and n_copies > _MANY_ROWS):
        off["early_stopping"] = False
    if "early_stopping" not in params and params.get("n_iter_no_change") is not None:
        off["n_iter_no_change"] = None
    if params.get("oob_score"):
        off["oob_score"] = False
    if not off:
        return student
    changed = clone(student)
    unfitted_last_step(changed).set_params(**off)
    for name, value in off.items():
        warn_user(
            f"the student is fitted with {name}={value}: with {name}={params[name]!r} it would set "
            "rows apart, and copies of one row would be on both sides"
        )
    return changed


def fit_on_copies(
    student: Estimator, soft: SoftLabels, copies: RowCopies, classes: np.ndarray
) -> Estimator:
    """A clone of a student, fitted on copies; the steps of a Pipeline before it see rows once.

    They see no synthetic rows, and labels where they make use of labels.

    Parameters
    ----------
    student : classifier
    soft : SoftLabels
        Whose rows are copied.
    copies : RowCopies
    classes : ndarray of shape (n_classes,)
    """
    if is_pipeline(student):
        pipeline = clone_member(student)
        name, last = pipeline.steps[-1]
        n_rows = len(soft.codes)
        own, made = np.split(np.arange(n_rows), [n_rows - soft.n_synthetic])
        labels = classes[soft.best_codes[own]]
        front, Z, _ = fit_front(pipeline, _safe_indexing(soft.X, own), labels)
        if len(made):
            pipeline.set_params(steps=[*front, (name, last)])
            Z = stacked(Z, transform_before(pipeline, _safe_indexing(soft.X, made)))
        fitted = fit_on_copies(last, replace(soft, X=Z), copies, classes)
        return pipeline.set_params(steps=[*front, (name, fitted)])
    params = cut_params(soft.X, soft.params, copies.rows)
    if copies.weight is not None:
        params[str(sample_weight_param(student))] = copies.weight
    Z = _safe_indexing(soft.X, copies.rows)
    return FitTask("student", student, Z, classes[copies.codes], None, params).fitted()
