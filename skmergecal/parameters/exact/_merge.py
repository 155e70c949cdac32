"""Exact merge of logits or probabilities: one estimator that predicts as a pool of its members."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from skmergecal._pipelines import is_pipeline, steps_before
from skmergecal._typing import Array, Estimator
from skmergecal._validation import check_factors, check_names, check_shares, union_of_classes
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters._average import weighted_sum
from skmergecal.parameters._registry import check_estimators, read_parameters, write_parameters
from skmergecal.parameters._wrappers import last_classifier, unwrap
from skmergecal.parameters.exact._boosting import BOOSTED, concatenate_boosted
from skmergecal.parameters.exact._forests import FORESTS, concatenate_forests
from skmergecal.parameters.families import are_identical

__all__ = ["merge_logits", "merge_probabilities"]


def merge_logits(
    estimators: Sequence[Estimator], coefficients: Any, *, names: Sequence[str] | None = None
) -> Estimator:
    """Merge estimators into one whose logits are the weighted sum of their logits.

    Exact for linear models, naive Bayes of counts, nets without hidden layers (their parameters
    are averaged), and histogram gradient boosting (the trees are concatenated, their leaves
    scaled). Steps of a Pipeline before these are folded in, or kept if they are the same in all;
    temperatures of `TemperatureCalibrator` are folded in.

    Parameters
    ----------
    estimators : sequence of fitted classifiers
        Of one type, with the same classes in the same order. They are not changed.
    coefficients : array-like of shape (n_estimators,)
        Factors of the logits, e.g. weights divided by a temperature: non-negative, not all 0; they
        need not sum to 1.
    names : sequence of str, default=None
        Names of the estimators, for errors.

    Returns
    -------
    estimator
        Of the estimators' own type; it does not depend on skmergecal.

    Raises
    ------
    IncompatibleEstimatorsError
        If there is no such estimator; the message gives the reason.

    See Also
    --------
    skmergecal.MergedClassifier.to_estimator : Calls it for merges of logits.
    skmergecal.parameters.merge_probabilities : For forests.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmergecal.parameters import merge_logits
    >>> X, y = load_iris(return_X_y=True)
    >>> a, b = (LogisticRegression(C=C, max_iter=1000).fit(X, y) for C in (0.01, 1))
    >>> merged = merge_logits([a, b], [0.25, 0.75])
    >>> mean = 0.25 * a.decision_function(X) + 0.75 * b.decision_function(X)
    >>> bool(np.allclose(merged.decision_function(X), mean))
    True
    """
    estimators = check_estimators(estimators)
    names = check_names(names, len(estimators))
    unwrapped, temperatures = unwrap(estimators)
    factors = check_factors(coefficients, len(estimators), "coefficients") / temperatures
    family = _one_type(unwrapped, names)
    if issubclass(family, FORESTS):
        msg = (
            "averaged log-probabilities of forests are not those of a single forest: forests can "
            "be merged exactly only with method='probabilities'"
        )
        raise IncompatibleEstimatorsError(msg)
    if not issubclass(family, BOOSTED):
        return _merge_linear(unwrapped, factors, names)
    if _has_steps(unwrapped):
        return _after_shared_steps(unwrapped, names, merge_logits, factors)
    return concatenate_boosted(unwrapped, factors, names)


def _merge_linear(
    estimators: Sequence[Estimator], factors: Array, names: Sequence[str]
) -> Estimator:
    family = last_classifier(estimators[0])
    if not read_parameters.knows(family):
        msg = (
            f"the logits of several {type(family).__name__} cannot be averaged by a single one, as "
            "those of linear models, naive Bayes of counts, nets without hidden layers, and "
            "HistGradientBoostingClassifier can"
        )
        raise IncompatibleEstimatorsError(msg)
    parameters = [read_parameters(estimator) for estimator in estimators]
    for name, found in zip(names, parameters, strict=True):
        if not found.gives_linear_logits:
            msg = (
                f"the logits of estimator {name!r} ({found.architecture.get('type')}) are not "
                "linear in its parameters (hidden layers, or a one-vs-rest model per class), so no "
                "single estimator gives their average"
            )
            raise IncompatibleEstimatorsError(msg, "use method='parameters'")
    return write_parameters(estimators[0], weighted_sum(parameters, factors, names))


def merge_probabilities(
    estimators: Sequence[Estimator],
    weights: Any,
    *,
    classes: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> Estimator:
    """Merge forests into one whose probabilities are the weighted average of theirs.

    The result has all trees of the random forests or extra trees. If weights are not proportional
    to the numbers of trees, the leaves of the trees are scaled: the forest's probabilities are
    exact, but those of a single tree do not sum to 1.

    Parameters
    ----------
    estimators : sequence of fitted forests
        Of one type, or Pipelines with the same steps before the forests. They are not changed.
    weights : array-like of shape (n_estimators,)
        Weights that sum to 1.
    classes : ndarray of shape (n_classes,), default=None
        Sorted classes of the merged forest; None: the union of the forests' classes. Forests give
        classes that they do not have probability 0.
    names : sequence of str, default=None
        Names of the estimators, for errors.

    Returns
    -------
    estimator
        Of the estimators' own type; it does not depend on skmergecal.

    Raises
    ------
    IncompatibleEstimatorsError
        If there is no such estimator; the message gives the reason.

    See Also
    --------
    skmergecal.MergedClassifier.to_estimator : Calls it for merges of probabilities.
    skmergecal.parameters.merge_logits : For models with logits.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skmergecal.parameters import merge_probabilities
    >>> X, y = load_iris(return_X_y=True)
    >>> a, b = (RandomForestClassifier(n, random_state=0).fit(X, y) for n in (5, 10))
    >>> merged = merge_probabilities([a, b], [0.5, 0.5])
    >>> merged.n_estimators
    15
    >>> mean = (a.predict_proba(X) + b.predict_proba(X)) / 2
    >>> bool(np.allclose(merged.predict_proba(X), mean))
    True
    """
    estimators = check_estimators(estimators)
    names = check_names(names, len(estimators))
    weights = check_shares(weights, len(estimators))
    unwrapped, temperatures = unwrap(estimators)
    _refuse_all_but_forests(_one_type(unwrapped, names), temperatures, names)
    if _has_steps(unwrapped):
        return _after_shared_steps(unwrapped, names, merge_probabilities, weights, classes=classes)
    known = union_of_classes(*(forest.classes_ for forest in unwrapped))
    if classes is not None:
        known = _check_classes(classes, known)
    return concatenate_forests(unwrapped, weights, known, names)


def _check_classes(classes: Any, known: np.ndarray) -> np.ndarray:
    """Given classes, which have to be sorted and to contain those of the forests."""
    given = np.asarray(classes)
    if given.ndim != 1 or not np.isin(known, given).all() or (given[1:] <= given[:-1]).any():
        msg = f"classes should be sorted, and contain {known.tolist()}; got {given.tolist()}"
        raise ValueError(msg)
    return given


def _refuse_all_but_forests(family: type, temperatures: Array, names: Sequence[str]) -> None:
    if not issubclass(family, FORESTS):
        msg = (
            f"averaged probabilities of several {family.__name__} are not those of a single one: "
            "only forests can be merged exactly with method='probabilities'"
        )
        raise IncompatibleEstimatorsError(msg)
    if (temperatures != 1).any():
        name = names[int(np.argmax(temperatures != 1))]
        msg = (
            f"estimator {name!r} is a forest with a temperature, but a forest has no logits to "
            "divide by it: merge the forests without temperatures"
        )
        raise IncompatibleEstimatorsError(msg)


def _has_steps(estimators: Sequence[Estimator]) -> bool:
    return any(is_pipeline(estimator) for estimator in estimators)


def _one_type(estimators: Sequence[Estimator], names: Sequence[str]) -> type:
    """The type of the last classifiers, which has to be the same in all."""
    types = [type(last_classifier(estimator)) for estimator in estimators]
    for name, found in zip(names, types, strict=True):
        if found is not types[0]:
            msg = (
                f"estimator {names[0]!r} is a {types[0].__name__} and {name!r} a "
                f"{found.__name__}: only members of one type can be merged into one estimator"
            )
            raise IncompatibleEstimatorsError(msg)
    return types[0]


def _after_shared_steps(
    estimators: Sequence[Estimator],
    names: Sequence[str],
    merge: Any,
    weights: Any,
    **settings: Any,
) -> Estimator:
    """The steps that all Pipelines share, followed by the merged last step."""
    steps = [steps_before(e) if is_pipeline(e) else [] for e in estimators]
    for name, other in zip(names, steps, strict=True):
        if not are_identical([step for _, step in steps[0]], [step for _, step in other]):
            msg = (
                f"the steps of {names[0]!r} and {name!r} before the last one differ: trees can be "
                "merged only after the same fitted preprocessing"
            )
            raise IncompatibleEstimatorsError(msg)
    last = [e.steps[-1] if is_pipeline(e) else ("classifier", e) for e in estimators]
    final = merge([estimator for _, estimator in last], weights, names=names, **settings)
    return Pipeline([*copy.deepcopy(steps[0]), (last[0][0], final)]) if steps[0] else final
