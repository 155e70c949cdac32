"""Held-out opinions of our own estimators, also at the end of a Pipeline."""

from __future__ import annotations

from typing import Any

from sklearn.utils.metadata_routing import process_routing

from skmergecal._compat import _routing_enabled
from skmergecal._pipelines import is_pipeline, steps_before
from skmergecal._typing import Estimator, HeldOutLogProba

__all__ = ["fit_held_out"]


def fit_held_out(
    estimator: Estimator, X: Any, y: Any, params: dict[str, Any]
) -> tuple[Estimator, HeldOutLogProba]:
    """Fit in place; the steps before the last one of a Pipeline are fitted on all rows.

    Parameters
    ----------
    estimator : estimator
        A clone; its last step has ``fit_held_out``, and no step before it is a sampler.
    X, y : array-like
        Rows and labels.
    params : dict
        Parameters of its ``fit``.

    Returns
    -------
    estimator, HeldOutLogProba
    """
    if not is_pipeline(estimator):
        return estimator, estimator.fit_held_out(X, y, **params)
    routed = process_routing(estimator, "fit", **params) if _routing_enabled() else None
    for name, step in steps_before(estimator):
        if hasattr(step, "fit_transform"):
            X = step.fit_transform(X, y, **(routed[name].fit_transform if routed else {}))
        else:
            fitted = step.fit(X, y, **(routed[name].fit if routed else {}))
            X = fitted.transform(X)
    name, last = estimator.steps[-1]
    own = {key.removeprefix(f"{name}__"): value for key, value in params.items()}
    _, held = fit_held_out(last, X, y, dict(routed[name].fit) if routed else own)
    return estimator, held
