"""fit_orders: every order of merging, calibrating and tuning, by name."""

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
        Whether to distil the members into the merged model; a dict has parameters of
        `FineTunedClassifier`, whose ``epochs`` are 30 here unless it says otherwise.
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

    See Also
    --------
    skmergecal.compare_fit_orders : Fits and scores them on the same folds.

    Examples
    --------
    As candidates of a grid search; a classifier has to hold the place, so that folds are
    stratified:

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
    >>> search = GridSearchCV(model, {"model": list(orders.values())}, scoring="neg_log_loss")
    >>> type(search.fit(*load_iris(return_X_y=True)).best_params_["model"]).__name__
    'MergedClassifier'
    """
    estimators = list(estimators)
    merge = {"method": method, **params}
    orders: dict[str, Estimator] = {"merge": MergedClassifier(estimators, **merge)}
    if calibrate:
        for name, which in (
            ("calibrate-then-merge", "members"),
            ("merge-then-calibrate", "merged"),
            ("calibrate-merge-calibrate", "both"),
        ):
            orders[name] = MergedClassifier(estimators, **merge, calibrate=which)
    one_model = {**merge, "method": "parameters"}

    def add(name: str, uncalibrated: Estimator, calibrated: Estimator) -> None:
        orders[name] = uncalibrated
        if calibrate:
            orders[f"{name}-then-calibrate"] = calibrated

    def further(settings: bool | Mapping[str, Any], **fixed: Any) -> FineTunedClassifier:
        given = {} if isinstance(settings, bool) else dict(settings)
        start = MergedClassifier(estimators, **one_model)
        return FineTunedClassifier(start, **{**fixed, **given})

    if tune is not None and tune is not False:
        given = {} if isinstance(tune, bool) else dict(tune)
        tuned = [(name, _tuned(e, given)) for name, e in estimators]
        add(
            "tune-then-merge",
            MergedClassifier(tuned, **merge),
            MergedClassifier(tuned, **merge, calibrate="merged"),
        )
        add("merge-then-tune", further(tune), TemperatureCalibrator(further(tune)))
    if distil is not None and distil is not False:
        fixed = {"target": "members", "epochs": _DISTIL_EPOCHS}
        model = further(distil, **fixed)
        add("merge-then-distil", model, TemperatureCalibrator(further(distil, **fixed)))
    return orders


def _tuned(estimator: Estimator, settings: Mapping[str, Any]) -> Estimator:
    """A member that is to be tuned; one that is dropped stays so."""
    return estimator if isinstance(estimator, str) else FineTunedClassifier(estimator, **settings)
