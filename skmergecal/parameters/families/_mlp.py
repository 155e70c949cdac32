"""MLPClassifier of scikit-learn: weights and biases of every layer."""

from __future__ import annotations

import copy

import numpy as np
from sklearn.neural_network import MLPClassifier

from skmergecal._networks import dense_network
from skmergecal.parameters._parameters import (
    FirstLayer,
    Parameters,
    describe_features,
    set_features,
)
from skmergecal.parameters._registry import read_parameters, write_parameters

#: State of the optimiser and of training, dropped because it belongs to the old weights.
_TRAINING_STATE = (
    "_optimizer",
    "_no_improvement_count",
    "best_loss_",
    "best_validation_score_",
    "loss_",
    "loss_curve_",
    "validation_scores_",
    "_best_coefs",
    "_best_intercepts",
)


def _read(estimator: MLPClassifier) -> Parameters:
    n_layers = len(estimator.coefs_)
    arrays = {}
    for i in range(n_layers):
        arrays[f"coefs_[{i}]"] = estimator.coefs_[i]
        arrays[f"intercepts_[{i}]"] = estimator.intercepts_[i]
    last = n_layers - 1
    return Parameters(
        arrays=arrays,
        architecture={
            "type": type(estimator).__name__,
            "classes": tuple(estimator.classes_.tolist()),
            **describe_features(estimator),
            "activation": estimator.activation,
        },
        first=FirstLayer("coefs_[0]", "intercepts_[0]", feature_axis=0),
        output=(f"coefs_[{last}]", f"intercepts_[{last}]"),
        network=dense_network(
            [(f"coefs_[{i}]", f"intercepts_[{i}]") for i in range(n_layers)],
            estimator.activation,
            len(estimator.coefs_[0]),
        ),
    )


def _write(estimator: MLPClassifier, parameters: Parameters) -> MLPClassifier:
    merged = copy.copy(estimator)
    for name in _TRAINING_STATE:
        if hasattr(merged, name):
            delattr(merged, name)
    merged = copy.deepcopy(merged)
    n_layers = len(estimator.coefs_)
    merged.coefs_ = [parameters.arrays[f"coefs_[{i}]"].copy() for i in range(n_layers)]
    merged.intercepts_ = [parameters.arrays[f"intercepts_[{i}]"].copy() for i in range(n_layers)]
    set_features(merged, parameters)
    if hasattr(estimator, "loss_curve_"):
        _start_training_again(merged)
    return merged


def _start_training_again(merged: MLPClassifier) -> None:
    """The state that scikit-learn begins a training with: ``partial_fit`` adds to it."""
    stops_early = merged.early_stopping
    merged.loss_curve_, merged._no_improvement_count = [], 0
    merged.best_loss_ = None if stops_early else np.inf
    merged.validation_scores_ = [] if stops_early else None
    merged.best_validation_score_ = -np.inf if stops_early else None


read_parameters.register(MLPClassifier, _read)
write_parameters.register(MLPClassifier, _write)
