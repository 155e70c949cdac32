"""fit_orders: every order of merging, calibrating and tuning, by name.

As candidates of a grid search; a classifier has to hold the place, so that folds are stratified:

>>> from sklearn.datasets import load_iris
>>> from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
>>> from sklearn.model_selection import GridSearchCV
>>> from sklearn.naive_bayes import GaussianNB
>>> from sklearn.pipeline import Pipeline
>>> from skmergecal import fit_orders
>>> members = [("lda", LinearDiscriminantAnalysis()), ("bayes", GaussianNB())]
>>> orders = fit_orders(members, method="logits", weights=None)
>>> list(orders)
['merge', 'calibrate-then-merge', 'merge-then-calibrate', 'calibrate-merge-calibrate']
>>> model = Pipeline([("model", orders["merge"])])
>>> search = GridSearchCV(model, {"model": list(orders.values())}, scoring="neg_log_loss", cv=3)
>>> type(search.fit(*load_iris(return_X_y=True)).best_params_["model"]).__name__
'MergedClassifier'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skmergecal._typing import Estimator
from skmergecal.calibration import TemperatureCalibrator
from skmergecal.merging import MergedClassifier
from skmergecal.tuning import FineTunedClassifier

__all__ = ["fit_orders"]

#: Distilling takes longer than tuning on labels before it pays.
_DISTIL_EPOCHS = 30


def fit_orders(
    estimators: Sequence[tuple[str, Estimator]],
    *,
    method: str = "auto",
    tune: bool | Mapping[str, Any] | None = None,
    distil: bool | Mapping[str, Any] | None = None,
    calibrate: bool = True,
    **params: Any,
) -> dict[str, Estimator]:
    """Make an unfitted estimator for each order of merging, calibrating and tuning.

    Parameters
    ----------
    estimators : list of (str, classifier)
        The members, as for `MergedClassifier`: frozen ones are used as they are.
    method : str, default="auto"
        How members are merged. What is tuned or distilled after merging is merged with
        ``method="parameters"`` whatever this says: a pool is not one model.
    tune : bool or dict, default=None
        Whether to tune on labels, before or after merging; a dict has parameters of
        `FineTunedClassifier`.
    distil : bool or dict, default=None
        Whether to distil the members into the merged model; parameters in the same way, ``epochs``
        being 30 unless they say otherwise.
    calibrate : bool, default=True
        Whether to calibrate, too.
    **params : dict
        Further parameters of `MergedClassifier`: ``weights``, ``cv``, ``memory``.

    Returns
    -------
    dict of str to classifier
        "merge"; with ``calibrate`` "calibrate-then-merge", "merge-then-calibrate" and
        "calibrate-merge-calibrate"; with ``tune`` "tune-then-merge" and "merge-then-tune"; with
        ``distil`` "merge-then-distil"; and each of the last three with "-then-calibrate".
    """
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
    if settings := _settings(distil, target="members", epochs=_DISTIL_EPOCHS):
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
    """Parameters of further training, or None where none is asked for."""
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


def _tuned(estimator: Estimator, settings: Mapping[str, Any]) -> Estimator:
    """A member that is to be tuned; one that is dropped stays so."""
    return estimator if isinstance(estimator, str) else FineTunedClassifier(estimator, **settings)
