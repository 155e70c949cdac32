"""Members: fit or freeze them, align their classes, read their log-probabilities."""

from skmergecal.members._base import LogProbaClassifier
from skmergecal.members._cache import Cache
from skmergecal.members._check import (
    check_estimator,
    check_named_estimators,
    freeze,
    inside,
    name_members,
)
from skmergecal.members._collect import (
    Collected,
    Fold,
    collect,
    concatenate,
    fitted_member,
    frozen_members,
)
from skmergecal.members._fit import cut_params, fit_member
from skmergecal.members._member import Member, Opinion
from skmergecal.members._routing import NamedEstimators, route_fit_params
from skmergecal.members._rows import Rows
from skmergecal.members._sources import has_held_out, last_step, resolve_source

__all__ = [
    "Cache",
    "Collected",
    "Fold",
    "LogProbaClassifier",
    "Member",
    "NamedEstimators",
    "Opinion",
    "Rows",
    "check_estimator",
    "check_named_estimators",
    "collect",
    "concatenate",
    "cut_params",
    "fit_member",
    "fitted_member",
    "freeze",
    "frozen_members",
    "has_held_out",
    "inside",
    "last_step",
    "name_members",
    "resolve_source",
    "route_fit_params",
]
