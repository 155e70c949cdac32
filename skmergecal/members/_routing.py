"""Routing of the parameters of ``fit`` to the members and to the splitter."""

from __future__ import annotations

from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.validation import has_fit_parameter

from skmergecal._compat import _raise_for_params, _routing_enabled
from skmergecal._pipelines import resamples
from skmergecal._typing import Estimator, NamedEstimators
from skmergecal._warnings import warn_user
from skmergecal.members._fit import sample_weight_param

__all__ = ["RoutedParams", "route_fit_params"]

RoutedParams = tuple[dict[str, dict[str, Any]], dict[str, Any]]


def route_fit_params(
    owner: Estimator, estimators: NamedEstimators, sample_weight: Any, params: dict[str, Any]
) -> RoutedParams:
    """Parameters of each member's ``fit`` by name, and those of the splitter.

    With metadata routing they go where they were requested; sample weights also to a member that
    takes them and has no routing of its own. Without it, sample weights and ``X_unlabeled`` go to
    every member that takes them, and ``groups`` to the splitter.

    Warns
    -----
    UserWarning
        If a member gets no sample weights, and did not request that itself.

    Raises
    ------
    ValueError
        If other parameters come without metadata routing.
    """
    if _routing_enabled():
        if sample_weight is not None:
            params = {**params, "sample_weight": sample_weight}
        routed = process_routing(owner, "fit", **params)
        requested = {name: dict(routed[name].fit) for name, _ in estimators}
        _add_weights(requested, estimators, params.get("sample_weight"))
        return requested, dict(routed.splitter.split)
    params = dict(params)
    split = {"groups": params.pop("groups")} if params.get("groups") is not None else {}
    params.pop("groups", None)
    by_name: dict[str, dict[str, Any]] = {name: {} for name, _ in estimators}
    if "X_unlabeled" in params:
        takers = [name for name, e in estimators if has_fit_parameter(e, "X_unlabeled")]
        by_name.update({name: {"X_unlabeled": params["X_unlabeled"]} for name in takers})
        if takers:
            del params["X_unlabeled"]
    _raise_for_params(params, owner, "fit")
    _add_weights(by_name, estimators, sample_weight)
    return by_name, split


def _add_weights(
    by_name: dict[str, dict[str, Any]], estimators: NamedEstimators, sample_weight: Any
) -> None:
    """Give sample weights to members that take them and that nothing was routed to."""
    for name, estimator in estimators:
        routed = any(value is sample_weight for value in by_name[name].values())
        if sample_weight is None or routed or isinstance(estimator, FrozenEstimator):
            continue
        param = sample_weight_param(estimator)
        if param is None:
            reason = "does not take sample_weight"
            if resamples(estimator):
                reason = "has a sampler, whose rows have no sample_weight"
        elif not (_routing_enabled() and hasattr(estimator, "get_metadata_routing")):
            by_name[name][param] = sample_weight
            continue
        elif inside := _without_routing(estimator):
            reason = (
                f"has a {inside} inside, which metadata routing cannot reach (switched off, it "
                "gets them)"
            )
        else:
            continue  # it requested none
        warn_user(
            f"estimator {name!r} ({type(estimator).__name__}) {reason}: it is fitted without "
            "weights; only the losses are weighted"
        )


def _without_routing(estimator: Estimator) -> str | None:
    """Name of the class of a part that takes sample weights and has no metadata routing."""
    parts = estimator.get_params(deep=True).values()
    fitted = [part for part in parts if hasattr(part, "fit") and not isinstance(part, type)]
    alone = [part for part in fitted if not hasattr(part, "get_metadata_routing")]
    takers = [part for part in alone if has_fit_parameter(part, "sample_weight")]
    return type(takers[0]).__name__ if takers else None
