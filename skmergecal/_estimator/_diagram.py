"""Diagram in a notebook: members, fitted numbers, a link to the documentation."""

from __future__ import annotations

import importlib.metadata
from functools import cache
from typing import Any

from sklearn.base import BaseEstimator

from skmergecal._compat import _VisualBlock
from skmergecal._typing import Estimator

__all__ = ["DiagramMixin"]


@cache
def documentation() -> str:
    """Address of the documentation as the installed package gives it; "" if it gives none."""
    try:
        urls = importlib.metadata.metadata("skmergecal").get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        return ""
    named = dict(url.split(", ", 1) for url in urls)
    return named.get("Documentation", "").rstrip("/")


class DiagramMixin(BaseEstimator):
    """Members in scikit-learn's HTML diagram, with the weights and temperatures of a fit.

    The names that begin with ``_doc_link`` are those that scikit-learn's diagram looks up.
    """

    _doc_link_module = "skmergecal"

    @property
    def _doc_link_template(self) -> str:
        return documentation() + "/generated/skmergecal.{estimator_name}.html"

    def _get_doc_link(self) -> str:
        return super()._get_doc_link() if documentation() else ""

    def _diagram(self) -> tuple[list[tuple[str, Estimator, str]], str]:
        """Name, estimator and what was fitted of each member, and what becomes of them."""
        return [], ""

    def _sk_visual_block_(self) -> Any:
        members, step = self._diagram()
        if not members:
            label = f"{type(self).__name__}, {step}" if step else type(self).__name__
            return _VisualBlock("single", self, names=label, name_details=str(self))
        inner = [_followed_by(member, note) for _, member, note in members]
        names = [name for name, _, _ in members]
        return _followed_by(_VisualBlock("parallel", inner, names=names, dash_wrapped=False), step)


def _followed_by(block: Any, note: str) -> Any:
    """A block, and below it a box with a note."""
    if not note:
        return block
    box = _VisualBlock("single", None, names=note, name_details=note)
    return _VisualBlock("serial", [block, box], dash_wrapped=False)
