"""A merged model among members whose parameters are merged again."""

from __future__ import annotations

from skmergecal._typing import Estimator
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.merging._classifier import MergedClassifier
from skmergecal.parameters import register_scaled


def _inner(merged: MergedClassifier) -> Estimator:
    if not hasattr(merged, "merged_estimator_"):
        msg = (
            "a MergedClassifier has parameters to merge only with method='parameters'; "
            f"this one has method={merged.method!r}"
        )
        raise IncompatibleEstimatorsError(msg)
    return merged.merged_estimator_


register_scaled(MergedClassifier, _inner)
