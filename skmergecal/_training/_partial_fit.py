"""Training of a classifier with ``partial_fit``: one call per epoch, on all rows."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from sklearn.utils.validation import has_fit_parameter

from skmergecal._compat import _safe_indexing
from skmergecal._training._base import Trainee, cross_entropy
from skmergecal._training._schedule import TrainingPlan
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal.members import READERS, Opinion, choose_reader, read_raw

__all__ = ["IncrementalTrainee"]


class IncrementalTrainee(Trainee):
    """A copy of a classifier whose ``partial_fit`` goes through the rows.

    Parameters
    ----------
    estimator : classifier
        Fitted, with ``partial_fit``; not changed.
    """

    def __init__(self, estimator: Estimator) -> None:
        self.estimator = copy.deepcopy(estimator)
        self.source = choose_reader("estimator", estimator)
        self.weighs = has_fit_parameter(estimator, "sample_weight")

    def start_training(self, plan: TrainingPlan, *, soft: bool) -> None:
        kind = type(self.estimator).__name__
        if soft:
            msg = (
                f"{kind} learns from labels only: target='members' trains skorch nets and "
                "MLPClassifier (linear members have exact merges, which need no distilling)"
            )
            raise ValueError(msg)
        for name, given in (("weight_decay", plan.weight_decay), ("average", plan.average or None)):
            if given is not None:
                msg = f"{name} is for nets; {kind} learns by partial_fit: set its own parameters"
                raise ValueError(msg)
        if plan.learning_rate is None:
            return
        if not {"learning_rate", "eta0"} <= set(self.estimator.get_params(deep=False)):
            msg = f"{kind} has no learning rate to set: pass learning_rate=None"
            raise ValueError(msg)
        self.estimator.set_params(learning_rate="constant", eta0=plan.learning_rate)

    def batch_size(self, plan: TrainingPlan) -> int:
        return np.iinfo(np.int64).max

    def prepare(self, X: Any) -> Any:
        return X

    def step(
        self, prepared: Any, batch: IntArray, goals: np.ndarray, weight: Array | None, share: float
    ) -> float:
        X = _safe_indexing(prepared, batch)
        loss = cross_entropy(self.log_proba(X), goals, weight)
        params = {"sample_weight": weight} if self.weighs and weight is not None else {}
        self.estimator.partial_fit(X, self.estimator.classes_[goals], **params)
        return loss

    def log_proba(self, X: Any) -> Array:
        n_classes = len(self.estimator.classes_)
        raw = read_raw("estimator", self.estimator, self.source, X, n_classes)
        return Opinion(raw, READERS[self.source].logarithmic).log_proba(0.0)

    def state(self) -> Estimator:
        return copy.deepcopy(self.estimator)

    def restore(self, state: Estimator) -> None:
        self.estimator = copy.deepcopy(state)

    def mean_state(self, states: list[Any], prepared: Any) -> Any:
        return states[-1]  # never called: `start_training` does not allow averages

    def to_estimator(self) -> Estimator:
        return self.estimator
