"""A merged model among members whose parameters are merged again, or that become one."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

from skmergecal._typing import Estimator
from skmergecal.merging._classifier import MergedClassifier
from skmergecal.merging._plain import plain_estimator
from skmergecal.parameters import register_wrapper


def _inner(merged: MergedClassifier) -> Estimator:
    """The model of merged parameters, or the plain estimator of a pool, before the temperature."""
    if hasattr(merged, "merged_estimator_"):
        return merged.merged_estimator_
    return plain_estimator(replace(merged._combination, temperature=1.0))


register_wrapper(MergedClassifier, _inner, temperature=attrgetter("temperature_"))
