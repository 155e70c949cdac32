"""Acceptance of members: which objects can be one, and the errors for those that cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from skmergecal._typing import Estimator, NamedEstimators
from skmergecal._warnings import warn_user
from skmergecal.exceptions import RefitWarning
from skmergecal.members._labels import LabelledEstimator
from skmergecal.members._member import check_fitted, classes_of, is_fitted
from skmergecal.members._no_classifier import gives_probabilities, refuse_no_classifier
from skmergecal.members._read import unfitted_last_step

__all__ = [
    "check_estimator",
    "check_named_estimators",
    "check_pairs",
    "freeze",
    "freeze_all",
    "freeze_known",
    "freeze_labelled",
    "unfrozen",
]

#: Names that no member can have, and why.
_TAKEN = {
    "splitter": "parameters of fit are routed to cv under it",
    "self": "scikit-learn passes members as keyword arguments",
    "method_mapping": "scikit-learn's metadata routing has an argument of this name",
}


def unfrozen(estimator: Estimator) -> Estimator:
    """What a FrozenEstimator holds, whose tags it copies at length at every look; else itself."""
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator


def check_estimator(name: str, estimator: Estimator, *, will_refit: bool = True) -> None:
    """Check that an estimator is a classifier, and warn if it is fitted but not frozen."""
    inner = unfrozen(estimator)
    if inner is estimator or not gives_probabilities(inner):
        refuse_no_classifier(name, inner)
    frozen = isinstance(unfitted_last_step(estimator), FrozenEstimator)
    if will_refit and not frozen and is_fitted(estimator) and hasattr(estimator, "classes_"):
        warn_user(
            f"estimator {name!r} is fitted already, but a copy of it will be fitted again. To use "
            "it as it is, freeze it: sklearn.frozen.FrozenEstimator(estimator), or "
            "MergedClassifier.from_fitted for several.",
            RefitWarning,
        )


def check_pairs(estimators: Any) -> None:
    """Raise ValueError if it is no non-empty list of pairs of a name and something else."""
    if not isinstance(estimators, list | tuple) or not estimators:
        msg = "estimators should be a non-empty list of (name, classifier) tuples"
        raise ValueError(msg)
    for item in estimators:
        if not (isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)):
            msg = f"estimators should be (name, classifier) tuples; got {item!r}"
            raise ValueError(msg)


def check_named_estimators(estimators: Any) -> NamedEstimators:
    """Estimators that take part, without those that are ``"drop"``.

    Raises
    ------
    ValueError
        If the list is empty, malformed, or everything is dropped.
    """
    check_pairs(estimators)
    kept = [(name, e) for name, e in estimators if not (isinstance(e, str) and e == "drop")]
    if not kept:
        msg = "All estimators are dropped. At least one is required to take part."
        raise ValueError(msg)
    for name, estimator in kept:
        if name in _TAKEN:
            msg = f"the name {name!r} is taken: {_TAKEN[name]}; choose another name"
            raise ValueError(msg)
        check_estimator(name, estimator)
    return kept


def freeze(name: str, member: Estimator) -> Estimator:
    """A frozen member; what is frozen, or is ``"drop"``, as it is.

    Raises
    ------
    TypeError, ValueError
        If it cannot be a member.
    NotFittedError
        If it is not fitted.
    """
    if isinstance(member, FrozenEstimator) or (isinstance(member, str) and member == "drop"):
        return member
    frozen = FrozenEstimator(member)
    check_estimator(name, frozen)
    check_fitted(name, member)
    return frozen


def freeze_labelled(name: str, member: Estimator, classes: Any) -> Estimator:
    """A frozen member with the labels that its columns stand for.

    Raises
    ------
    ValueError
        If there is not one label for each of its columns.
    """
    check_fitted(name, freeze(name, member))
    own, given = classes_of(name, unfrozen(member)), np.asarray(classes)
    if given.shape != own.shape or len(np.unique(given)) < len(own):
        msg = (
            f"classes should give estimator {name!r} one label for each of its {len(own)} columns, "
            f"{own.tolist()}, each label once; got {given.tolist()}"
        )
        raise ValueError(msg)
    return LabelledEstimator(unfrozen(member), given)


def freeze_known(name: str, member: Estimator, classes: np.ndarray) -> Estimator:
    """A frozen member whose labels are known: they are remembered where its own are codes."""
    if np.array_equal(classes_of(name, member), classes):
        return freeze(name, member)
    return freeze_labelled(name, member, classes)


def freeze_all(members: NamedEstimators, classes: Any) -> NamedEstimators:
    """Frozen members, with the labels that their columns stand for where these are given.

    Parameters
    ----------
    members : sequence of (str, classifier)
    classes : dict of str to array-like, array-like or None
        By name; one sequence is for all members.

    Raises
    ------
    ValueError
        If it names something else.
    """
    names = [name for name, _ in members]
    if not isinstance(classes, Mapping):
        classes = dict.fromkeys(names, classes)
    unknown = [name for name in classes if name not in names]
    if unknown:
        msg = f"classes names {unknown}, which are not among the members {names}"
        raise ValueError(msg)
    return [
        (name, freeze(name, member))
        if classes.get(name) is None or isinstance(member, str)
        else (name, freeze_labelled(name, member, classes[name]))
        for name, member in members
    ]
