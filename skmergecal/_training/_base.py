"""Trainee: the interface of every kind of model in training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from skmergecal._training._schedule import TrainingPlan
from skmergecal._typing import Array, Estimator, IntArray

__all__ = ["Trainee", "cross_entropy"]


class Trainee(ABC):
    """A copy of a fitted model, in training."""

    @abstractmethod
    def start_training(self, plan: TrainingPlan, *, soft: bool) -> None:
        """Make an optimiser; with ``soft``, the goals are probabilities instead of labels."""

    @abstractmethod
    def prepare(self, X: Any) -> Any:
        """Rows in the form from which `step` takes its batches."""

    @abstractmethod
    def step(
        self, prepared: Any, batch: IntArray, goals: np.ndarray, weight: Array | None, share: float
    ) -> float:
        """Train on a batch, at a share of the largest rate; return the loss before the step."""

    @abstractmethod
    def log_proba(self, X: Any) -> Array:
        """Log-probabilities in the model's own columns."""

    @abstractmethod
    def state(self) -> Any:
        """A copy of the parameters as they are."""

    @abstractmethod
    def restore(self, state: Any) -> None:
        """Go back to a state."""

    @abstractmethod
    def mean_state(self, states: list[Any], prepared: Any) -> Any:
        """The mean of several states; statistics of the rows are measured again."""

    @abstractmethod
    def to_estimator(self) -> Estimator:
        """The trained estimator."""

    def batch_size(self, plan: TrainingPlan) -> int:
        """Number of rows per step."""
        return plan.batch_size


def cross_entropy(log_proba: Array, goals: np.ndarray, weight: Array | None) -> float:
    """Weighted mean of -sum_c goal_c log p_c, in nats; goals as in `Examples`."""
    if goals.ndim == 1:
        losses = -log_proba[np.arange(len(goals)), goals]
    else:
        losses = -np.where(goals > 0, goals * log_proba, 0.0).sum(axis=1)
    return float(np.average(losses, weights=weight))
