"""Readers of a fitted member's opinion: chosen once, never from the values of a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator

from skmergecal._compat import _num_samples, _safe_indexing
from skmergecal._numerics import ROWS_TO_COMPARE, SAME_PROBABILITY, SMALLEST, log_softmax, softmax
from skmergecal._pipelines import gives_last_step, is_pipeline, transform_before
from skmergecal._typing import Array, Estimator
from skmergecal.members._feature_names import in_known_form
from skmergecal.members._prediction_column import PredictionColumn
from skmergecal.members._private_net import copy_net, has_nets, read_with_private_nets
from skmergecal.members._skorch import is_skorch, net_logits, net_proba, outputs_logits

__all__ = [
    "READERS",
    "choose_reader",
    "copy_fitted",
    "fitted_last_step",
    "has_held_out",
    "unfitted_last_step",
    "with_last_step",
]


#: scikit-learn's classifiers whose decision function is their logit (binary: the margin d of
#: logits (0, d)), with what must hold besides.
_LOGIT_FAMILIES: dict[str, Callable[[Estimator], bool]] = {
    "LogisticRegression": lambda e: len(e.classes_) == 2 or _is_multinomial(e),
    "LogisticRegressionCV": lambda e: len(e.classes_) == 2 or _is_multinomial(e),
    "LinearDiscriminantAnalysis": lambda e: True,
    "QuadraticDiscriminantAnalysis": lambda e: True,
    "GradientBoostingClassifier": lambda e: e.loss == "log_loss",
    "HistGradientBoostingClassifier": lambda e: True,
    "SGDClassifier": lambda e: e.loss == "log_loss" and len(e.classes_) == 2,
}


def _is_multinomial(estimator: Estimator) -> bool:
    return estimator.solver != "liblinear" and getattr(estimator, "multi_class", "") != "ovr"


def is_sklearn(estimator: Estimator, name: str) -> bool:
    """Whether the estimator is, or derives from, scikit-learn's class of this name."""
    return any(
        cls.__name__ == name and cls.__module__.startswith("sklearn.")
        for cls in type(estimator).__mro__
    )


def _untouched(estimator: Estimator, *methods: str) -> bool:
    """Whether the methods are scikit-learn's own, not those of a class derived from it."""
    for method in methods:
        owner = next((cls for cls in type(estimator).__mro__ if method in vars(cls)), None)
        if (
            owner is None
            or not owner.__module__.startswith("sklearn.")
            or method in vars(estimator)
        ):
            return False
    return True


def has_held_out(estimator: Estimator) -> bool:
    """Whether it is one of this package's own: they share the method ``fit_held_out``."""
    return callable(getattr(type(estimator), "fit_held_out", None))


def unfitted_last_step(estimator: Estimator) -> Estimator:
    """The last step of an estimator that is yet to be fitted; what is frozen stays closed."""
    while is_pipeline(estimator):
        estimator = estimator.steps[-1][1]
    return estimator


def fitted_last_step(estimator: Estimator, X: Any = None) -> tuple[Estimator, Any]:
    """The last classifier inside fitted Pipelines and searches, frozen or not, and its input.

    With X, the steps before it transform X. A Pipeline with a step that cannot transform, or a
    derived class with a ``predict_proba`` of its own, is taken as it is.
    """
    while True:
        if isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif is_pipeline(estimator) and gives_last_step(estimator):
            X = None if X is None else transform_before(estimator, X)
            estimator = estimator.steps[-1][1]
        elif (
            hasattr(estimator, "best_estimator_")
            and is_sklearn(estimator, "BaseSearchCV")
            and _untouched(estimator, "predict_proba")
        ):
            estimator = estimator.best_estimator_
        else:
            return estimator, X


def with_last_step(estimator: Estimator, last: Estimator) -> Estimator:
    """Another last classifier behind the fitted steps of Pipelines; itself where there are none.

    It is the counterpart of `fitted_last_step`; steps are shared, not copied.
    """
    if isinstance(estimator, FrozenEstimator):
        return with_last_step(estimator.estimator, last)
    if is_pipeline(estimator) and gives_last_step(estimator):
        *before, (name, own) = estimator.steps
        copied = copy.copy(estimator)
        copied.steps = [*before, (name, with_last_step(own, last))]
        return copied
    final, _ = fitted_last_step(estimator)
    return last if final is estimator else with_last_step(estimator.best_estimator_, last)


def copy_fitted(estimator: Estimator) -> Estimator:
    """A deep copy; a net at its end is copied without pickling it."""
    final, _ = fitted_last_step(estimator)
    return copy.deepcopy(estimator, {id(final): copy_net(final)} if is_skorch(final) else {})


def _as_logits(scores: Any) -> Array:
    """Decision values as logits; a binary margin d means logits (0, d)."""
    scores = np.asarray(scores, dtype=np.float64)
    return np.column_stack([np.zeros_like(scores), scores]) if scores.ndim == 1 else scores


def _joint_log_proba(estimator: Estimator, X: Any) -> Array:
    """Joint log-probabilities, down to the log of the smallest positive float.

    A naive Bayes model multiplies densities of features as if they were independent; without
    the floor a single odd row has log-probabilities of -1e9 and rules any pool it takes part in.
    """
    z = log_softmax(estimator.predict_joint_log_proba(X))
    return np.maximum(z, np.log(SMALLEST))


def _network_logits(network: Estimator, X: Any) -> Array:
    """An MLPClassifier's last layer: its own forward pass with no output link."""
    linear = object.__new__(type(network))  # copy.copy asks for states, which takes long
    vars(linear).update(vars(network))
    linear.out_activation_ = "identity"
    output = linear.predict_proba(X)
    if len(network.classes_) == 1:
        return np.zeros((len(output), 1))
    if len(network.classes_) == 2:  # the network gives (1 - d, d)
        return _as_logits(output[:, 1])
    return _as_logits(output)


class Reader(NamedTuple):
    """A way to read an opinion from the last classifier of a member."""

    read: Callable[[Estimator, Any], Array]
    logarithmic: bool
    """Whether it gives log-probabilities up to a constant per row (else probabilities)."""


READERS: dict[str, Reader] = {
    "log_proba": Reader(lambda e, X: np.asarray(e.transform(X)), True),
    "network": Reader(_network_logits, True),
    "skorch_logits": Reader(net_logits, True),
    "skorch_proba": Reader(net_proba, False),
    "joint_log_proba": Reader(_joint_log_proba, True),
    "decision_function": Reader(lambda e, X: _as_logits(e.decision_function(X)), True),
    "proba": Reader(lambda e, X: np.asarray(e.predict_proba(X)), False),
    "proba_of_nets": Reader(
        lambda e, X: np.asarray(read_with_private_nets(e, lambda own: own.predict_proba(X))), False
    ),
}


def choose_reader(name: str, estimator: Estimator, X: Any = None) -> str:
    """Name of the source of a fitted member.

    Parameters
    ----------
    name : str
        The member's name, for errors.
    estimator : estimator
        Fitted.
    X : array-like, default=None
        Rows of ``fit``: a decision function is taken as the logit only if it reproduces the
        member's own probabilities there. Without rows, the list of families decides.

    Returns
    -------
    str
        A key of `READERS`.

    Raises
    ------
    ValueError
        If the member offers neither probabilities nor scores.
    """
    final, _ = fitted_last_step(estimator)
    if has_held_out(final):
        return "log_proba"
    if isinstance(final, PredictionColumn):
        return "log_proba" if final.logarithmic else "proba"
    if is_skorch(final):
        return "skorch_logits" if outputs_logits(final) else "skorch_proba"
    if hasattr(final, "predict_proba"):
        if is_sklearn(final, "MLPClassifier") and _untouched(final, "predict_proba"):
            return "network"
        joint = ("predict_proba", "predict_joint_log_proba")
        if hasattr(final, joint[1]) and _untouched(final, *joint):
            return "joint_log_proba"
        fits = any(is_sklearn(final, f) and ok(final) for f, ok in _LOGIT_FAMILIES.items())
        fits = fits and _untouched(final, "predict_proba", "decision_function")
        if fits and _reproduces(estimator, X):
            return "decision_function"
        return "proba_of_nets" if has_nets(final) else "proba"
    if hasattr(final, "decision_function"):
        _refuse_scores_of_pairs(name, final)
        return "decision_function"
    msg = (
        f"estimator {name!r} ({type(final).__name__}) has neither predict_proba nor "
        "decision_function: use a classifier that gives probabilities or scores"
    )
    raise ValueError(msg)


def _refuse_scores_of_pairs(name: str, estimator: Estimator) -> None:
    pairs = getattr(estimator, "decision_function_shape", None) == "ovo"
    if pairs and len(estimator.classes_) > 2:
        msg = (
            f"estimator {name!r} gives scores of pairs of classes, not of its "
            f"{len(estimator.classes_)} classes: set decision_function_shape='ovr'"
        )
        raise ValueError(msg)


def _reproduces(estimator: Estimator, X: Any) -> bool:
    """Whether the softmax of the decision function is the member's ``predict_proba``."""
    if X is None:
        return True
    rows = _safe_indexing(X, np.arange(min(_num_samples(X), ROWS_TO_COMPARE)))
    final, Z = fitted_last_step(estimator, in_known_form(estimator, rows))
    proba = np.asarray(final.predict_proba(Z))
    ours = READERS["decision_function"].read(final, Z)
    if ours.shape != proba.shape or not np.isfinite(ours).all():
        return False
    return bool(np.abs(softmax(ours) - proba).max() <= SAME_PROBABILITY)
