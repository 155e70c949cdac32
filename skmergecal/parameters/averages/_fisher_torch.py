"""Fisher information of skorch nets, by automatic differentiation with a gradient per row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from skmergecal._torch import RandomNumbers, copy_module
from skmergecal._typing import Array, Estimator
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.members import outputs_logits

__all__ = ["fisher_of_net"]

#: Number of rows that are differentiated at once: each needs memory for its own gradient.
_ROWS = 64


def fisher_of_net(net: Estimator, X: Any) -> dict[str, Array]:
    """Diagonal of the Fisher information of a net that outputs logits; the net is not changed.

    Raises
    ------
    IncompatibleEstimatorsError
        If the criterion is another one, or the module cannot be differentiated row by row.
    """
    if not isinstance(net.criterion_, nn.CrossEntropyLoss):
        msg = (
            f"the Fisher information of a net with criterion {type(net.criterion_).__name__} is "
            "not known: use CrossEntropyLoss, or average_parameters"
        )
        raise IncompatibleEstimatorsError(msg)
    module = copy_module(net.module_).eval()
    if any(p.is_complex() for p in module.parameters()):
        msg = "the Fisher information of complex parameters is not known: use average_parameters"
        raise IncompatibleEstimatorsError(msg)
    try:
        with RandomNumbers().borrowed():
            return _mean_squares(module, X, _link_of(net))
    except RuntimeError as error:  # of operations that torch.func refuses
        msg = (
            f"the gradients of {type(module).__name__} cannot be taken row by row ({error}): use "
            "average_parameters"
        )
        raise IncompatibleEstimatorsError(msg) from error


def _link_of(net: Estimator) -> Callable[[Any], Any]:
    """From the module's output to log-probabilities, by the net's own ``predict_nonlinearity``."""
    if outputs_logits(net):
        return lambda logits: torch.log_softmax(logits, dim=-1)
    proba = net._get_predict_nonlinearity()
    return lambda output: torch.log(proba(output).clamp_min(torch.finfo(output.dtype).tiny))


def _mean_squares(module: nn.Module, X: Any, link: Callable[[Any], Any]) -> dict[str, Array]:
    trained = {name: p.detach() for name, p in module.named_parameters()}
    fixed = dict(module.named_buffers())

    def log_proba(values: dict[str, Any], row: Any, label: Any) -> Any:
        return link(functional_call(module, (values, fixed), (row[None],)))[0][label]

    gradients = vmap(grad(log_proba), in_dims=(None, 0, None))
    device = next(iter(trained.values())).device
    dtype = next(iter(trained.values())).dtype
    rows = torch.as_tensor(X, device=device)
    rows = rows.to(dtype) if rows.is_floating_point() else rows
    fisher = {name: np.zeros(tuple(p.shape)) for name, p in trained.items()}
    for part in rows.split(_ROWS):
        with torch.no_grad():
            p = link(module(part)).exp().double()
        for label in range(p.shape[1]):
            found = gradients(trained, part, label)
            for name, g in found.items():
                squares = torch.tensordot(p[:, label], g.detach().double() ** 2, dims=1)
                fisher[name] += squares.cpu().numpy() / len(rows)
    return fisher
