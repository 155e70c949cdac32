"""A merged model among members whose parameters are merged again."""

from __future__ import annotations

from skmergecal._typing import Estimator
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.merging._classifier import MergedClassifier
from skmergecal.parameters import Parameters, fold_temperature, read_parameters, write_parameters


def _inner(merged: MergedClassifier) -> Estimator:
    if not hasattr(merged, "merged_estimator_"):
        msg = (
            "a MergedClassifier has parameters to merge only with method='parameters'; "
            f"this one has method={merged.method!r}"
        )
        raise IncompatibleEstimatorsError(msg)
    return merged.merged_estimator_


def _read(merged: MergedClassifier) -> Parameters:
    return fold_temperature(read_parameters(_inner(merged)), merged.temperature_)


def _write(merged: MergedClassifier, parameters: Parameters) -> Estimator:
    return write_parameters(_inner(merged), parameters)


read_parameters.register(MergedClassifier, _read)
write_parameters.register(MergedClassifier, _write)
