"""Training of a network given as arrays: MLPClassifier, and registered families."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from skmergecal._networks import Adam, NesterovSGD, Network, Optimiser, train_on_batch, two_columns
from skmergecal._numerics import log_softmax
from skmergecal._training._base import Trainee, cross_entropy
from skmergecal._training._schedule import DISTILLATION, TrainingPlan
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal.members import is_sklearn
from skmergecal.parameters import Parameters, write_parameters

__all__ = ["NetworkTrainee"]


class NetworkTrainee(Trainee):
    """Arrays and their network, trained in single precision.

    With labels, an MLPClassifier keeps its solver's settings ("lbfgs" becomes Adam), its learning
    rate and its ``alpha``; other families use the defaults of MLPClassifier.

    Parameters
    ----------
    estimator : classifier
        Fitted; not changed.
    parameters : Parameters
        Those of the estimator, with a network.
    """

    def __init__(self, estimator: Estimator, parameters: Parameters) -> None:
        assert parameters.network is not None
        self.estimator, self.parameters = estimator, parameters
        self.network: Network = parameters.network
        self.optimiser: Optimiser = Adam(parameters.arrays, self.network.statistics)
        self.rate = self.penalty = 0.0
        self.temperature = 1.0

    def start_training(self, plan: TrainingPlan, *, soft: bool) -> None:
        arrays, constant = self.parameters.arrays, self.network.statistics
        own = self.estimator if is_sklearn(self.estimator, "MLPClassifier") else MLPClassifier()
        decay = plan.weight_decay
        self.temperature = plan.temperature if soft else 1.0
        if soft:
            self.rate = DISTILLATION.learning_rate
            decay = DISTILLATION.weight_decay if decay is None else decay
            self.optimiser = Adam(arrays, constant, weight_decay=decay)
        else:
            self.rate = own.learning_rate_init
            self.penalty = own.alpha if decay is None else 0.0
            self.optimiser = _own_optimiser(own, arrays, constant, decay or 0.0)
        if plan.learning_rate is not None:
            self.rate = plan.learning_rate

    def prepare(self, X: Any) -> Array:
        return _dense(X)

    def step(
        self,
        prepared: Array,
        batch: IntArray,
        goals: np.ndarray,
        weight: Array | None,
        share: float,
    ) -> float:
        logits = train_on_batch(
            self.network,
            self.optimiser,
            prepared[batch],
            goals,
            self.rate * share,
            weight=weight,
            temperature=self.temperature,
            penalty=self.penalty,
        )
        return cross_entropy(log_softmax(two_columns(logits)), goals, weight)

    def log_proba(self, X: Any) -> Array:
        return log_softmax(two_columns(self.network.logits(self.optimiser.arrays, _dense(X))))

    def state(self) -> Array:
        return self.optimiser.vector.copy()

    def restore(self, state: Array) -> None:
        self.optimiser.vector[...] = state

    def mean_state(self, states: list[Array], prepared: Array) -> Array:
        return np.mean(states, axis=0, dtype=np.float64)

    def to_estimator(self) -> Estimator:
        arrays = self.optimiser.like(self.parameters.arrays)
        return write_parameters(self.estimator, replace(self.parameters, arrays=arrays))


def _own_optimiser(
    estimator: Estimator, arrays: Any, constant: frozenset[str], weight_decay: float
) -> Optimiser:
    if estimator.solver == "sgd":
        if weight_decay:
            msg = (
                "weight_decay is not available for MLPClassifier(solver='sgd'): set its alpha "
                "instead"
            )
            raise ValueError(msg)
        momentum, nesterov = estimator.momentum, estimator.nesterovs_momentum
        return NesterovSGD(arrays, constant, momentum=momentum, nesterov=nesterov)
    betas = (estimator.beta_1, estimator.beta_2)
    return Adam(arrays, constant, betas=betas, epsilon=estimator.epsilon, weight_decay=weight_decay)


def _dense(X: Any) -> np.ndarray:
    return np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=np.float32)
