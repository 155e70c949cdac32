"""One front for members that have their own fitted preprocessing."""

from skmergecal.parameters.fronts._front import on_common_front

__all__ = ["on_common_front"]
