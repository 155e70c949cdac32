"""A merge of members that were merged before, with other weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from skmergecal._typing import Array
from skmergecal.members import Member, freeze_known
from skmergecal.merging._classifier import MergedClassifier

__all__ = ["merge_again"]


def merge_again(members: Sequence[Member], classes: np.ndarray, weights: Array) -> MergedClassifier:
    """A logarithmic pool of fitted members, with their labels and softening, by given weights."""
    named = [(m.name, freeze_known(m.name, m.estimator, m.classes)) for m in members]
    soft = any(part.fill for member in members for part in member.models)
    missing = "soften" if soft else "auto"
    merged = MergedClassifier(named, method="logits", weights=weights, missing_classes=missing)
    frozen = [replace(m, estimator=e) for m, (_, e) in zip(members, named, strict=True)]
    return merged._without_rows(None, (frozen, classes))
