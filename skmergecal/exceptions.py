"""Errors and warnings that skmergecal adds to scikit-learn's own."""

from __future__ import annotations

__all__ = [
    "IncompatibleEstimatorsError",
    "MergeBarrierError",
    "MergeBarrierWarning",
    "RefitWarning",
]


class IncompatibleEstimatorsError(ValueError):
    """The parameters of the members cannot be averaged: their architectures differ."""


class MergeBarrierError(ValueError):
    """The model of the averaged parameters is worse than its members (``on_barrier="raise"``)."""


class MergeBarrierWarning(UserWarning):
    """The model of the averaged parameters is worse than its members, or it was not measured."""


class RefitWarning(UserWarning):
    """A member is fitted already but not frozen, so that ``fit`` trains a copy of it again."""
