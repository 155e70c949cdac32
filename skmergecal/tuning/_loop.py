"""The training loop: batches in random order, a schedule, early stopping, averaging."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from skmergecal._numerics import log_softmax
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal.tuning._plan import Plan
from skmergecal.tuning._progress import Progress

__all__ = ["Examples", "History", "Trainee", "cross_entropy", "train"]


class Examples(NamedTuple):
    """Rows, what is to be said of them, and how often they count."""

    X: Any
    """As the model takes them."""
    goals: np.ndarray
    """Column numbers of the true classes, or probabilities of shape (n_rows, n_classes)."""
    weight: Array | None
    """Shape (n_rows,), or None."""


class History(NamedTuple):
    """What training went through."""

    loss: list[float]
    """Mean training loss of each epoch."""
    validation_loss: list[float]
    """Cross-entropy of held-out rows, in nats: before training, and after each epoch."""
    best_epoch: int
    """Epochs that the kept parameters have had; with averaging, the last of them."""


class Trainee(ABC):
    """A copy of a fitted model, in training."""

    @abstractmethod
    def begin(self, plan: Plan, *, soft: bool) -> None:
        """Make an optimiser; ``soft``: the goals are probabilities."""

    @abstractmethod
    def prepare(self, X: Any) -> Any:
        """Rows in the form from which `step` takes its batches."""

    @abstractmethod
    def step(
        self, prepared: Any, batch: IntArray, goals: np.ndarray, weight: Array | None, share: float
    ) -> float:
        """Learn from a batch at a share of the largest rate; its loss before that."""

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
        """The mean of several states; statistics of the rows are measured anew."""

    @abstractmethod
    def finish(self) -> Estimator:
        """The trained estimator."""

    def batch_size(self, plan: Plan) -> int:
        """Rows of a step."""
        return plan.batch_size

    def randomness(self, seed: int) -> AbstractContextManager[None]:
        """Within it, what the model draws at random follows the seed, and leaves no trace."""
        return nullcontext()


def cross_entropy(log_proba: Array, goals: np.ndarray, weight: Array | None) -> float:
    """Weighted mean of -sum_c goal_c log p_c, in nats; goals as in `Examples`."""
    if goals.ndim == 1:
        losses = -log_proba[np.arange(len(goals)), goals]
    else:
        losses = -np.where(goals > 0, goals * log_proba, 0.0).sum(axis=1)
    return float(np.average(losses, weights=weight))


def batches(n_rows: int, size: int, rng: np.random.Generator) -> Iterator[IntArray]:
    """Rows in random order; no batch has a single row where there are more."""
    order = rng.permutation(n_rows)
    cuts = np.arange(size, n_rows, size)
    if n_rows % size == 1 and len(cuts):
        cuts = cuts[:-1]
    yield from np.split(order, cuts)


def train(
    trainee: Trainee,
    examples: Examples,
    plan: Plan,
    rng: np.random.Generator,
    *,
    held_out: Examples | None = None,
    redraw: Callable[[np.random.Generator], Examples] | None = None,
    progress: Progress,
) -> History:
    """Train in place.

    Parameters
    ----------
    trainee : Trainee
    examples : Examples
    plan : Plan
    rng : numpy Generator
    held_out : Examples, default=None
        Training stops where their loss no longer falls, and the best parameters are kept, those
        of the start among them.
    redraw : callable, default=None
        Gives other examples, as many, for each epoch.
    progress : Progress
        Told of each epoch.
    """
    watch = _Watch(trainee, held_out)
    watch.look(0)
    losses: list[float] = []
    states: list[Any] = []
    trainee.begin(plan, soft=examples.goals.ndim == 2)
    prepared = None
    for epoch in range(1, plan.epochs + 1):
        if redraw is not None:
            examples = redraw(rng)
        if redraw is not None or prepared is None:
            prepared = trainee.prepare(examples.X)
        losses.append(_epoch(trainee, prepared, examples, plan, rng, len(losses)))
        watch.look(epoch)
        progress.epoch(epoch, plan.epochs, losses[-1], watch.latest)
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
    plan: Plan,
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


class _Watch:
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
        X, goals, weight = self.held_out
        loss = cross_entropy(log_softmax(self.trainee.log_proba(X)), goals, weight)
        if loss < min(self.losses, default=np.inf):
            self.best, self.best_epoch = self.trainee.state(), epoch
        self.losses.append(loss)

    def keep(self, epoch: int) -> int:
        """Go back to the best parameters, and say how many epochs they have had."""
        if self.held_out is None:
            return epoch
        self.trainee.restore(self.best)
        return self.best_epoch
