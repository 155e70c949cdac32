"""Loss that greedy selection minimises: log loss, or any scorer of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer

from skmergecal._numerics import add_weighted, mean_loss, row_losses
from skmergecal._partitions import InMemory, Partitions, Rows
from skmergecal._typing import Array
from skmergecal.members import HeldOutMembers
from skmergecal.merging._settings import Settings
from skmergecal.pooling import greedy_selection, select_greedily

__all__ = ["held_out_loss"]


def greedy_weights(
    rows: Partitions[Rows],
    held_out: HeldOutMembers,
    settings: Settings,
    to_log_proba: Callable[[Array], Array],
) -> Array:
    """Greedy selection by the chosen score of the averaged opinions."""
    if isinstance(rows, InMemory):
        loss = held_out_loss(held_out, settings.scoring)
        return greedy_selection(rows.part.opinions, lambda mean: loss(to_log_proba(mean)))

    def losses(step: int, _: int | None, counts: Array) -> Array:
        found = rows.reduce(
            _losses_of_candidates, counts, step, to_log_proba, what="greedy selection"
        )
        return np.asarray(found)

    return select_greedily(len(held_out.members), losses)


def _losses_of_candidates(
    rows: Rows, counts: Array, step: int, to_log_proba: Callable[[Array], Array]
) -> Array:
    """Summed loss of the average after each member is added."""
    running = add_weighted(rows.opinions, counts)
    means = (to_log_proba((running + z) / step) for z in rows.opinions)
    return np.array([rows.counts @ row_losses(mean, rows.y) for mean in means])


class _Forecaster(ClassifierMixin, BaseEstimator):
    """A classifier for scorers: its rows are the log-probabilities themselves."""

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
