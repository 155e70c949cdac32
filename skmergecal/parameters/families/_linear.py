"""Linear models: coefficients and intercepts, whose average gives exactly the average logits."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier

from skmergecal._typing import Estimator
from skmergecal.parameters._parameters import (
    FirstLayer,
    Parameters,
    describe_features,
    set_features,
)
from skmergecal.parameters._registry import read_parameters, write_parameters

_FAMILIES = (LogisticRegression, LogisticRegressionCV, LinearDiscriminantAnalysis, SGDClassifier)


def _link(estimator: Estimator) -> str:
    """The map from scores to probabilities, which has to be the same in all members."""
    if isinstance(estimator, SGDClassifier) and estimator.loss != "log_loss":
        return str(estimator.loss)
    one_vs_rest = isinstance(estimator, SGDClassifier)
    one_vs_rest |= getattr(estimator, "solver", "") == "liblinear"
    one_vs_rest |= getattr(estimator, "multi_class", "") == "ovr"
    return "one-vs-rest" if one_vs_rest and len(estimator.classes_) > 2 else "softmax"


def _read(estimator: Estimator) -> Parameters:
    coef = estimator.coef_
    coef = coef.toarray() if hasattr(coef, "toarray") else coef  # after sparsify()
    intercept = np.broadcast_to(np.asarray(estimator.intercept_, dtype=coef.dtype), len(coef))
    link = _link(estimator)
    return Parameters(
        arrays={"coef_": coef, "intercept_": intercept},
        architecture={
            "type": type(estimator).__name__,
            "classes": tuple(estimator.classes_.tolist()),
            **describe_features(estimator),
            "link": link,
        },
        first=FirstLayer("coef_", "intercept_", feature_axis=1),
        output=("coef_", "intercept_") if link == "softmax" else (),
    )


def _write(estimator: Estimator, parameters: Parameters) -> Estimator:
    # A clone with the coefficients only, because other fitted attributes (iterations, paths,
    # means) do not describe the merged model.
    merged = clone(estimator)
    merged.coef_ = parameters.arrays["coef_"].copy()
    merged.intercept_ = parameters.arrays["intercept_"].copy()
    merged.classes_ = estimator.classes_.copy()
    set_features(merged, parameters)
    return merged


for _family in _FAMILIES:
    read_parameters.register(_family, _read)
    write_parameters.register(_family, _write)
