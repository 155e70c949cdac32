"""What stands in for scikit-learn's callbacks where the installed version has none."""

from __future__ import annotations

from typing import Any

__all__ = ["CallbackSupportMixin", "with_callbacks"]


class CallbackSupportMixin:
    """Nobody is told how far a fit is."""

    def _init_callback_context(self, **settings: Any) -> None:
        return None


def with_callbacks(method: Any) -> Any:
    """The method itself."""
    return method
