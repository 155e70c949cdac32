"""The training loop: batches in random order, a schedule, early stopping, averaging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from skmergecal._networks import batches
from skmergecal._numerics import log_softmax
from skmergecal._training._base import Trainee, cross_entropy
from skmergecal._training._schedule import TrainingPlan
from skmergecal._typing import Array

__all__ = ["DivergedError", "Examples", "History", "train"]


class DivergedError(ValueError):
    """A training whose loss is no number any more: the parameters are lost."""


class Examples(NamedTuple):
    """Rows, the goals to be learned, and how often the rows count."""

    X: Any
    """As the model takes them."""
    goals: np.ndarray
    """Column numbers of the true classes, or probabilities of shape (n_rows, n_classes)."""
    weight: Array | None
    """Shape (n_rows,), or None."""
    labels: Array | None = None
    """Part of the goals that labels are, (n_rows, n_classes): their share, in their columns."""


class History(NamedTuple):
    """What training went through."""

    loss: list[float]
    """Mean training loss of each epoch."""
    validation_loss: list[float]
    """Cross-entropy of held-out rows, in nats: before training, and after each epoch."""
    best_epoch: int
    """Epochs that the kept parameters have had; with averaging, the last of them."""


def train(
    trainee: Trainee,
    examples: Examples,
    plan: TrainingPlan,
    rng: np.random.Generator,
    *,
    held_out: Examples | None = None,
    redraw: Callable[[int, np.random.Generator], Examples] | None = None,
    progress: Callable[[int, int, float, float | None], None] | None = None,
) -> History:
    """Train in place.

    Parameters
    ----------
    trainee : Trainee
    examples : Examples
    plan : TrainingPlan
    rng : numpy Generator
    held_out : Examples, default=None
        Training stops where their loss no longer falls, and the best parameters are kept, those
        of the start among them.
    redraw : callable, default=None
        Gives other examples, as many, for each epoch.
    progress : callable, default=None
        Gets each epoch's number, that of all, its loss, and that of the held-out rows.

    Raises
    ------
    DivergedError
        If the loss becomes NaN.
    """
    watch = _BestOnHeldOut(trainee, held_out)
    watch.look(0)
    losses: list[float] = []
    states: list[Any] = []
    trainee.start_training(plan, soft=examples.goals.ndim == 2)
    prepared = None
    for epoch in range(1, plan.epochs + 1):
        if redraw is not None:
            examples = redraw(epoch, rng)
        if redraw is not None or prepared is None:
            prepared = trainee.prepare(examples.X)
        losses.append(_epoch(trainee, prepared, examples, plan, rng, len(losses)))
        if np.isnan(losses[-1]):
            msg = (
                f"the training loss is NaN in epoch {epoch} of {plan.epochs}: steps are too long, "
                "or parameters are float16. Pass a smaller learning_rate, or convert the module by "
                "its method float()."
            )
            raise DivergedError(msg)
        watch.look(epoch)
        if progress is not None:
            progress(epoch, plan.epochs, losses[-1], watch.latest)
        if plan.averages(epoch):
            states.append(trainee.state())
        if plan.stops(epoch, watch.best_epoch):
            break
    if len(states) > 1:
        trainee.restore(trainee.mean_state(states, prepared))
        watch.look(len(losses))
    return History(losses, watch.losses, watch.keep(len(losses)))


def _epoch(
    trainee: Trainee,
    prepared: Any,
    examples: Examples,
    plan: TrainingPlan,
    rng: np.random.Generator,
    done: int,
) -> float:
    """One pass over the examples after so many epochs; the mean loss of its batches."""
    order = list(batches(len(examples.goals), trainee.batch_size(plan), rng))
    losses, counts = [], []
    for place, batch in enumerate(order):
        weight = None if examples.weight is None else examples.weight[batch]
        share = plan.share((done + place / len(order)) / plan.epochs)
        losses.append(trainee.step(prepared, batch, examples.goals[batch], weight, share))
        counts.append(len(batch) if weight is None else float(weight.sum()))
    return float(np.average(losses, weights=counts))


class _BestOnHeldOut:
    """The loss of held-out rows, if there are any, and the parameters that were best on them."""

    def __init__(self, trainee: Trainee, held_out: Examples | None) -> None:
        self.trainee, self.held_out = trainee, held_out
        self.losses: list[float] = []
        self.best: Any = None
        self.best_epoch = 0

    @property
    def latest(self) -> float | None:
        """The last loss."""
        return self.losses[-1] if self.losses else None

    def look(self, epoch: int) -> None:
        """Measure the parameters as they are after so many epochs."""
        if self.held_out is None:
            self.best_epoch = epoch
            return
        X, goals, weight, _ = self.held_out
        loss = cross_entropy(log_softmax(self.trainee.log_proba(X)), goals, weight)
        if loss < min(self.losses, default=np.inf):
            self.best, self.best_epoch = self.trainee.state(), epoch
        self.losses.append(loss)

    def keep(self, epoch: int) -> int:
        """Go back to the best parameters; the epochs that they have had."""
        if self.held_out is None:
            return epoch
        self.trainee.restore(self.best)
        return self.best_epoch
