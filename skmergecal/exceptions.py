"""Errors and warnings that skmergecal adds to scikit-learn's own."""

from __future__ import annotations

__all__ = [
    "ConversionError",
    "IncompatibleEstimatorsError",
    "MergeBarrierError",
    "MergeBarrierWarning",
    "OtherVersionWarning",
    "RefitWarning",
]


class IncompatibleEstimatorsError(ValueError):
    """The parameters of the members cannot be averaged: their architectures differ.

    Parameters
    ----------
    reason : str
        Why.
    remedy : str, default=""
        What to do, as the end of the same sentence. Who asked for something else than an average
        may know a better one.
    """

    def __init__(self, reason: str = "", remedy: str = "") -> None:
        super().__init__(*filter(None, (reason, remedy)))
        self.reason, self.remedy = reason, remedy

    def __str__(self) -> str:
        return f"{self.reason}: {self.remedy}" if self.remedy else self.reason


class MergeBarrierError(ValueError):
    """The model with averaged parameters is worse than its members (``on_barrier="raise"``)."""


class MergeBarrierWarning(UserWarning):
    """The model with averaged parameters is worse than its members, or was not compared to them."""


class OtherVersionWarning(UserWarning):
    """A model was saved by another version of skmergecal than the one that loads it."""


class RefitWarning(UserWarning):
    """A member is fitted but not frozen, so ``fit`` trains a copy of it again."""


class ConversionError(ValueError):
    """A model cannot be converted to ONNX, or its ONNX model gives other probabilities."""
