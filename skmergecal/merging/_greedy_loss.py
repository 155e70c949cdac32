"""Loss that greedy selection minimises: log loss, or any scorer of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer

from skmergecal._numerics import mean_loss
from skmergecal._typing import Array
from skmergecal.members import HeldOutMembers
from skmergecal.merging._settings import Settings
from skmergecal.pooling import greedy_selection

__all__ = ["held_out_loss"]


def greedy_weights(
    opinions: Sequence[Array],
    held_out: HeldOutMembers,
    settings: Settings,
    to_log_proba: Callable[[Array], Array],
) -> Array:
    """Greedy selection by the chosen score of the averaged opinions."""
    loss = held_out_loss(held_out, settings.scoring)
    return greedy_selection(opinions, lambda mean: loss(to_log_proba(mean)))


class _Forecaster(ClassifierMixin, BaseEstimator):
    """What scorers ask for probabilities: its rows are the log-probabilities themselves."""

    def __init__(self, classes: np.ndarray) -> None:
        self.classes = classes
        self.classes_ = classes

    def fit(self, X: Array, y: Any = None) -> _Forecaster:  # pragma: no cover
        """Nothing; scorers want an estimator that has it."""
        return self

    def predict_proba(self, X: Array) -> Array:
        """Probabilities of log-probabilities."""
        return np.exp(X)

    def decision_function(self, X: Array) -> Array:
        """The logits, for two classes their difference."""
        return X[:, 1] - X[:, 0] if X.shape[1] == 2 else X

    def predict(self, X: Array) -> np.ndarray:
        """Labels of the largest."""
        return self.classes[X.argmax(axis=1)]


def held_out_loss(held_out: HeldOutMembers, scoring: Any) -> Callable[[Array], float]:
    """A loss of log-probabilities of the held-out rows: log loss, or minus a score.

    Raises
    ------
    ValueError
        If the scorer's result is no finite number.
    TypeError
        If there are sample weights and the scorer takes none.
    """
    if scoring is None:
        return lambda log_proba: mean_loss(log_proba, held_out.y, held_out.sample_weight)
    scorer = get_scorer(scoring)
    forecaster, y = _Forecaster(held_out.classes), held_out.classes[held_out.y]
    weighted = {} if held_out.sample_weight is None else {"sample_weight": held_out.sample_weight}

    def loss(log_proba: Array) -> float:
        try:
            score = scorer(forecaster, log_proba, y, **weighted)
        except TypeError as error:
            if not weighted:
                raise
            msg = (
                f"scoring={scoring!r} was given sample_weight, as fit was, and failed: {error}. "
                "Let it take sample_weight (sklearn.metrics.make_scorer of a metric that does), "
                "or fit without."
            )
            raise TypeError(msg) from error
        if not np.isfinite(score):
            msg = (
                f"scoring={scoring!r} gives {score} on the held-out rows: use a score that is "
                "defined there (one that needs two classes needs rows of both), or None"
            )
            raise ValueError(msg)
        return -float(score)

    return loss
