"""Candidates of searches and studies as members of a merge, and the spaces to search."""

from skmergecal.candidates._members_from_search import members_from_search
from skmergecal.candidates._members_from_study import members_from_study
from skmergecal.candidates._valid_grid import valid_grid
from skmergecal.candidates._weights import WeightDistribution, suggest_weights, weight_distribution

__all__ = [
    "WeightDistribution",
    "members_from_search",
    "members_from_study",
    "suggest_weights",
    "valid_grid",
    "weight_distribution",
]
