"""Plan of a training run: epochs, learning rates, when to stop, what to keep."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["DISTILLATION", "SCHEDULES", "SoftDefaults", "TrainingPlan"]

#: One cycle: the share of the steps that warm up, and where it starts.
_WARM_UP = 0.3
_FIRST = 1 / 25


def _constant(share: float) -> float:
    return 1.0


def _one_cycle(share: float) -> float:
    """Half a cosine up to 1, and half a cosine down to 0.

    References
    ----------
    Smith and Topin, "Super-convergence", 2017.
    """
    if share < _WARM_UP:
        return _FIRST + (1 - _FIRST) * (1 - math.cos(math.pi * share / _WARM_UP)) / 2
    return (1 + math.cos(math.pi * (share - _WARM_UP) / (1 - _WARM_UP))) / 2


#: By name: the learning rate as a share of the largest, by the share of the steps that are done.
SCHEDULES = {"constant": _constant, "one_cycle": _one_cycle}


@dataclass(frozen=True)
class TrainingPlan:
    """Settings of a training run.

    Attributes
    ----------
    epochs : int
    batch_size : int
    learning_rate : float or None
        The largest; None is the model's own.
    schedule : str
        Key of `SCHEDULES`.
    weight_decay : float or None
        None is the model's own.
    average : bool
        Keep the mean of the parameters after each epoch of the second half.
    n_iter_no_change : int
        Epochs without improvement on held-out rows before it stops, where there are such rows.
    temperature : float
        Divides logits before they are compared with probabilities. Above 1, the less likely
        classes count for more.
    still : bool
        Learn probabilities without dropout, with stored means and variances as they are.
    """

    epochs: int
    batch_size: int
    learning_rate: float | None
    schedule: str
    weight_decay: float | None
    average: bool
    n_iter_no_change: int
    temperature: float = 1.0
    still: bool = False

    def share(self, done: float) -> float:
        """The learning rate as a share of the largest, once this share of the run is done."""
        return SCHEDULES[self.schedule](done)

    def stops(self, epoch: int, best_epoch: int) -> bool:
        """Whether to stop after so many epochs; a rate that is still to fall is waited for."""
        return self.schedule == "constant" and epoch - best_epoch >= self.n_iter_no_change

    def averages(self, epoch: int) -> bool:
        """Whether the parameters after so many epochs enter the mean."""
        return self.average and epoch > self.epochs // 2


@dataclass(frozen=True)
class SoftDefaults:
    """What learning from probabilities does unless set otherwise: AdamW."""

    learning_rate: float = 5e-3
    weight_decay: float = 1e-4


DISTILLATION = SoftDefaults()
