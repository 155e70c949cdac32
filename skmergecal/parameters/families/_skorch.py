"""skorch nets: the state of the module. Imported only when a net is read, as it needs torch."""

from __future__ import annotations

import copy
from functools import cache

import torch
from skorch import NeuralNet
from torch import nn

from skmergecal._networks.trace import UntraceableError, first_names, trace
from skmergecal._typing import Estimator
from skmergecal.parameters._parameters import FirstLayer, Parameters
from skmergecal.parameters._registry import read_parameters, write_parameters


def _describe(module: nn.Module) -> str:
    """Type and settings of a module: numbers, strings and functions, except dropout rates."""
    name = type(module).__qualname__
    settings = [
        f"{key}={getattr(value, '__qualname__', value)}"
        for key, value in vars(module).items()
        if (callable(value) or isinstance(value, str | bool | int | float))
        and not key.startswith("_")
        and key != "training"
        and "drop" not in key
    ]
    return f"{name}({', '.join(settings)})"


def _layers(module: nn.Module) -> list[tuple[str, nn.Linear]]:
    return [(name, part) for name, part in module.named_modules() if isinstance(part, nn.Linear)]


def _names(name: str) -> tuple[str, str]:
    prefix = f"{name}." if name else ""
    return f"{prefix}weight", f"{prefix}bias"


def _read(net: NeuralNet) -> Parameters:
    module = net.module_
    names, tensors = first_names(module), module.state_dict()
    state = {k: v.detach().cpu().numpy() for k, v in tensors.items() if names[k] == k}
    architecture: dict[str, object] = {
        "type": type(net).__name__,
        "classes": tuple(net.classes_.tolist()),
        "n_features": None,
        "feature_names": None,
        "criterion": type(net.criterion_).__name__,
    }
    # Shapes of tensors are compared separately; these are the settings without a tensor.
    architecture.update({f"module {n!r}": _describe(m) for n, m in module.named_modules()})
    layers = _layers(module)
    first = last = None
    if layers:
        (first_name, first_layer), (last_name, _) = layers[0], layers[-1]
        # Assumes that layers are called in the order of definition; after folding into a layer,
        # callers compare outputs, which detects the other case.
        if first_layer.bias is not None:
            weight, bias = _names(first_name)
            first = FirstLayer(names[weight], names[bias], feature_axis=1)
        last = tuple(names[n] for n in _names(last_name) if n in names)
    network, reason = None, None
    try:
        network = trace(module, getattr(net, "n_features_in_", None))
    except UntraceableError as error:
        reason = str(error)
    return Parameters(state, architecture, first, last or (), network, reason)


def _write(net: NeuralNet, parameters: Parameters) -> Estimator:
    merged = copy.deepcopy(net)
    names = first_names(net.module_)
    state = {
        key: torch.as_tensor(parameters.arrays[names[key]]).to(old.dtype).clone()
        for key, old in net.module_.state_dict().items()
    }
    merged.module_.load_state_dict(state)
    return merged


@cache
def register() -> None:
    """Add skorch nets to the registry."""
    read_parameters.register(NeuralNet, _read)
    write_parameters.register(NeuralNet, _write)
