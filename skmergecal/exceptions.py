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
    """The model with averaged parameters is worse than its members (``on_barrier="raise"``)."""


class MergeBarrierWarning(UserWarning):
    """The model with averaged parameters is worse than its members, or was not compared to them."""


class RefitWarning(UserWarning):
    """A member is fitted but not frozen, so ``fit`` trains a copy of it again."""
