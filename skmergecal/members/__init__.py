"""Members: fit or freeze them, align their classes, read their log-probabilities."""

from skmergecal.members._base import LogProbaClassifier
from skmergecal.members._cache import Cache
from skmergecal.members._check import check_estimator, check_named_estimators
from skmergecal.members._collect import (
    Collected,
    Fold,
    Rows,
    collect,
    fitted_member,
    frozen_members,
)
from skmergecal.members._member import Member, Opinion
from skmergecal.members._routing import NamedEstimators, route_fit_params
from skmergecal.members._sources import has_held_out, transform_to_final

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
    "fitted_member",
    "frozen_members",
    "has_held_out",
    "route_fit_params",
    "transform_to_final",
]
