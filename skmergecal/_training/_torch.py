"""Training of a skorch net, by its criterion and optimiser. Imported with the first net only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from skorch.utils import to_tensor
from torch import nn

from skmergecal._numerics import SMALLEST, log_softmax
from skmergecal._torch import RandomNumbers
from skmergecal._training._base import Trainee
from skmergecal._training._schedule import DISTILLATION, TrainingPlan
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal.members import (
    as_net_input,
    copy_net,
    is_binary_net,
    net_logits,
    net_proba,
    outputs_logits,
)

__all__ = ["TorchTrainee"]


class TorchTrainee(Trainee):
    """A copy of a net, with a new optimiser.

    Batches are taken from the rows as they are: transforms of a custom ``dataset``, and callbacks,
    are not used. With labels, optimiser, criterion, ``get_loss`` and dropout are those of the net.

    Parameters
    ----------
    net : skorch.NeuralNet
        Fitted; not changed.
    seed : int, default=None
        Of dropout and other random numbers in training; None begins where torch's own stream is.
    """

    def __init__(self, net: Estimator, seed: int | None = None) -> None:
        self.net = copy_net(net)
        self.random = RandomNumbers(seed)
        self.optimiser: Any = None
        self.rates: list[float] = []
        self.soft = self.still = False
        self.temperature = 1.0

    def start_training(self, plan: TrainingPlan, *, soft: bool) -> None:
        self.soft, decay = soft, plan.weight_decay
        self.still, self.temperature = soft and plan.still, plan.temperature
        net = self.net.initialize_optimizer()  # that of the fit has state for other weights
        if soft:
            free = [p for p in net.module_.parameters() if p.requires_grad]
            decay = DISTILLATION.weight_decay if decay is None else decay
            self.optimiser = torch.optim.AdamW(free, lr=DISTILLATION.learning_rate)
        else:
            self.optimiser = net.optimizer_
        for group in self.optimiser.param_groups:
            if decay is not None:
                group["weight_decay"] = decay
            if plan.learning_rate is not None:
                group["lr"] = plan.learning_rate
        self.rates = [float(group["lr"]) for group in self.optimiser.param_groups]

    def prepare(self, X: Any) -> Any:
        X = as_net_input(self.net, X)
        if hasattr(X, "columns"):
            return {str(c): self._tensor(X[c].to_numpy().reshape(-1, 1)) for c in X.columns}
        return self._tensor(X)

    def _tensor(self, X: Any) -> Any:
        return to_tensor(X, device=self.net.device, accept_sparse=True)

    def step(
        self, prepared: Any, batch: IntArray, goals: np.ndarray, weight: Array | None, share: float
    ) -> float:
        net, rows = self.net, torch.as_tensor(batch, device=self.net.device)
        if isinstance(prepared, dict):
            X = {name: column[rows] for name, column in prepared.items()}
        else:
            X = prepared.index_select(0, rows) if prepared.is_sparse else prepared[rows]
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * share
        net.module_.train(not self.still)
        if isinstance(net.criterion_, nn.Module):
            net.criterion_.train(not self.still)
        self.optimiser.zero_grad()
        weights = None if weight is None else self._tensor(weight / weight.sum())
        with self.random.borrowed():
            output = net.infer(X)
            loss = self._loss_of(output, X, goals, weights)
        loss.backward()
        self.optimiser.step()
        return float(loss.detach())

    def _loss_of(self, output: Any, X: Any, goals: np.ndarray, weights: Any) -> Any:
        if self.soft:
            losses = _soft_losses(self.net, output, self._tensor(goals), self.temperature)
            return losses.mean() if weights is None else (weights * losses).sum()
        y = goals.astype(np.float32 if is_binary_net(self.net) else np.int64)
        if weights is None:
            return self.net.get_loss(output, self._tensor(y), X=X, training=True)
        with _row_by_row(self.net.criterion_):
            losses = self.net.get_loss(output, self._tensor(y), X=X, training=True)
        return (weights.to(losses.dtype) * losses).sum()

    def log_proba(self, X: Any) -> Array:
        with self.random.borrowed():
            if outputs_logits(self.net):
                return log_softmax(net_logits(self.net, X))
            return np.log(np.maximum(net_proba(self.net, X), SMALLEST, dtype=np.float64))

    def state(self) -> list[dict[str, Any]]:
        return [
            {name: tensor.detach().clone() for name, tensor in part.state_dict().items()}
            for part in _parts(self.net)
        ]

    def restore(self, state: list[dict[str, Any]]) -> None:
        for part, tensors in zip(_parts(self.net), state, strict=True):
            part.load_state_dict(tensors)

    def mean_state(self, states: list[list[dict[str, Any]]], prepared: Any) -> Any:
        mean = [
            {name: _mean([parts[i][name] for parts in states]) for name in part}
            for i, part in enumerate(states[-1])
        ]
        norms = [
            m for m in self.net.module_.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)
        ]
        if norms:
            self.restore(mean)
            with self.random.borrowed():
                _measure(self.net, norms, prepared)
            mean = self.state()
        return mean

    def to_estimator(self) -> Estimator:
        # A fitted net of skorch has an optimiser. Before each use, skorch sets the training flags.
        self.net.initialize_optimizer()
        return self.net


def _parts(net: Estimator) -> list[Any]:
    return [part for part in (net.module_, net.criterion_) if isinstance(part, nn.Module)]


def _soft_losses(net: Estimator, output: Any, goals: Any, temperature: float) -> Any:
    """T^2 times the cross-entropy of each row at a temperature T, with probabilities as goals."""
    if isinstance(output, tuple):
        output = output[0]
    logits = outputs_logits(net)
    if not logits:
        output = _probabilities(net, output)
    if output.ndim == 1 or output.shape[1] == 1:
        output = output.reshape(-1, 1)
        output = torch.cat([torch.zeros_like(output) if logits else 1 - output, output], dim=1)
    log_proba = output if logits else torch.log(output + torch.finfo(output.dtype).eps)
    if logits or temperature != 1.0:
        log_proba = torch.log_softmax(log_proba / temperature, dim=1)
    losses = -(goals.to(log_proba.dtype) * log_proba).sum(dim=1)
    return losses if temperature == 1.0 else temperature**2 * losses


def _probabilities(net: Estimator, output: Any) -> Any:
    """What the net's ``predict_proba`` makes of its raw output."""
    found = net._get_predict_nonlinearity()(output)
    if isinstance(found, torch.Tensor) and found.requires_grad:
        return found
    msg = (
        f"predict_nonlinearity of {type(net).__name__} cannot be differentiated, so the net cannot "
        "learn probabilities: compose it of operations of torch, such as torch.nn.Softmax(dim=-1), "
        "or learn labels (target='labels')"
    )
    raise ValueError(msg)


@contextmanager
def _row_by_row(criterion: Any) -> Iterator[None]:
    """Context in which the criterion gives one loss per row."""
    if getattr(criterion, "reduction", None) not in ("mean", "sum", "none"):
        msg = (
            f"the criterion {type(criterion).__name__} has no reduction='none', so its rows cannot "
            "be weighted: fit without sample_weight, or use target='members'"
        )
        raise ValueError(msg)
    before = criterion.reduction
    criterion.reduction = "none"
    try:
        yield
    finally:
        criterion.reduction = before


def _mean(tensors: list[Any]) -> Any:
    first = tensors[0]
    if not (first.is_floating_point() or first.is_complex()):
        return tensors[-1]
    wide = torch.promote_types(first.dtype, torch.float64)
    return torch.stack([t.to(wide) for t in tensors]).mean(dim=0).to(first.dtype)


def _measure(net: Estimator, norms: list[Any], prepared: Any) -> None:
    """Measure means and variances of BatchNorm layers on all rows at once, without dropout."""
    momenta = [norm.momentum for norm in norms]
    net.module_.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # with None torch averages over batches: here one batch
        norm.train()
    with torch.no_grad():
        net.infer(prepared)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
