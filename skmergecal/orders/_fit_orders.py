"""fit_orders: estimators for every order of merging, calibrating and tuning, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skmergecal._compat import StrOptions
from skmergecal._estimator import name_unnamed
from skmergecal._typing import Estimator
from skmergecal._validation import check_parameters
from skmergecal.calibration import TemperatureCalibrator
from skmergecal.members import check_pairs
from skmergecal.merging import MergedClassifier
from skmergecal.tuning import DistilledClassifier, FineTunedClassifier

__all__ = ["fit_orders"]

#: Distilling needs more epochs than tuning on labels.
_DISTIL_EPOCHS = 30


@check_parameters(
    method=[StrOptions({"auto", "logits", "probabilities", "parameters"})],
    tune=["boolean", Mapping, None],
    distil=["boolean", Mapping, None],
    calibrate=["boolean"],
)
def fit_orders(
    estimators: Sequence[tuple[str, Estimator]],
    *,
    method: str = "auto",
    tune: bool | Mapping[str, Any] | None = None,
    distil: bool | Mapping[str, Any] | None = None,
    calibrate: bool = True,
    **params: Any,
) -> dict[str, Estimator]:
    """Make an unfitted estimator per order of merging, calibrating and tuning.

    Parameters
    ----------
    estimators : list of (str, classifier), dict, or list of classifiers
        The members, as for `MergedClassifier`: frozen ones are used as they are.
    method : str, default="auto"
        How members are merged. Orders that tune or distil after merging always use
        ``method="parameters"``, because a pool is not a single model.
    tune : bool or dict, default=None
        Whether to tune on labels, before or after merging; a dict gives parameters of
        `FineTunedClassifier`.
    distil : bool or dict, default=None
        Whether to distil the members into the merged model; a dict gives parameters of
        `FineTunedClassifier`, where ``epochs`` defaults to 30. For members of any kind,
        ``{"student": classifier}`` distils their merge into this one; further entries are
        parameters of `DistilledClassifier`.
    calibrate : bool, default=True
        Whether to include the orders that calibrate.
    **params : dict
        Further parameters of `MergedClassifier`: ``weights``, ``cv``, ``memory``.

    Returns
    -------
    dict of str to classifier
        "merge"; with ``calibrate`` "calibrate-then-merge", "merge-then-calibrate" and
        "calibrate-merge-calibrate"; with ``tune`` "tune-then-merge" and "merge-then-tune"; with
        ``distil`` "merge-then-distil"; and each of the last three with "-then-calibrate".

    See Also
    --------
    skmergecal.compare_fit_orders : Scores them on the same folds.

    Notes
    -----
    They can be candidates of a grid search over a step of a Pipeline:
    ``GridSearchCV(model, {"model": list(orders.values())})`` with
    ``model = Pipeline([("model", orders["merge"])])``. The step that is replaced has to be a
    classifier from the start, since the search stratifies its folds only for a classifier.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skmergecal import fit_orders
    >>> members = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=2))]
    >>> orders = fit_orders(members)
    >>> list(orders)
    ['merge', 'calibrate-then-merge', 'merge-then-calibrate', 'calibrate-merge-calibrate']
    >>> orders["calibrate-then-merge"].calibrate
    'members'
    """
    estimators = name_unnamed(estimators)
    check_pairs(estimators)
    merge = {"method": method, **params}
    one_model = {**merge, "method": "parameters"}
    orders = _merges(list(estimators), merge, calibrate)
    if settings := _settings(tune):
        tuned = [(name, _tuned(e, settings)) for name, e in estimators]
        orders["tune-then-merge"] = MergedClassifier(tuned, **merge)
        if calibrate:
            last = MergedClassifier(tuned, **merge, calibrate="merged")
            orders["tune-then-merge-then-calibrate"] = last
        _add_further(orders, "merge-then-tune", estimators, one_model, settings, calibrate)
    if isinstance(distil, Mapping) and "student" in distil:
        _add_distilled(orders, estimators, merge, distil, calibrate)
    elif settings := _settings(distil, target="members", epochs=_DISTIL_EPOCHS):
        _add_further(orders, "merge-then-distil", estimators, one_model, settings, calibrate)
    return orders


def _merges(
    estimators: list[tuple[str, Estimator]], params: Mapping[str, Any], calibrate: bool
) -> dict[str, Estimator]:
    """The orders of merging and calibrating."""
    which: dict[str, str | None] = {"merge": None}
    if calibrate:
        which |= {
            "calibrate-then-merge": "members",
            "merge-then-calibrate": "merged",
            "calibrate-merge-calibrate": "both",
        }
    return {
        name: MergedClassifier(estimators, **params, calibrate=what) for name, what in which.items()
    }


def _settings(given: bool | Mapping[str, Any] | None, **fixed: Any) -> dict[str, Any] | None:
    """Parameters of further training, or None if it is not requested."""
    if given is None or given is False:
        return None
    return {"target": "labels", **fixed, **({} if given is True else given)}


def _add_further(
    orders: dict[str, Estimator],
    name: str,
    estimators: Sequence[tuple[str, Estimator]],
    params: Mapping[str, Any],
    settings: Mapping[str, Any],
    calibrate: bool,
) -> None:
    """Add further training of the merged model, and its calibration."""

    def model() -> Estimator:
        return FineTunedClassifier(MergedClassifier(list(estimators), **params), **settings)

    orders[name] = model()
    if calibrate:
        orders[f"{name}-then-calibrate"] = TemperatureCalibrator(model())


def _add_distilled(
    orders: dict[str, Estimator],
    estimators: Sequence[tuple[str, Estimator]],
    params: Mapping[str, Any],
    settings: Mapping[str, Any],
    calibrate: bool,
) -> None:
    """Add a student of the merge, and its calibration."""

    def model() -> Estimator:
        return DistilledClassifier(teacher=MergedClassifier(list(estimators), **params), **settings)

    orders["merge-then-distil"] = model()
    if calibrate:
        orders["merge-then-distil-then-calibrate"] = TemperatureCalibrator(model())


def _tuned(estimator: Estimator, settings: Mapping[str, Any]) -> Estimator:
    """A member wrapped to be tuned; "drop" is unchanged."""
    return estimator if isinstance(estimator, str) else FineTunedClassifier(estimator, **settings)
