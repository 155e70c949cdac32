"""skorch nets: the state of the module. Imported only when a net is read, as it needs torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Self

import numpy as np
import torch
from skorch import NeuralNet
from torch import nn

from skmergecal._networks import Network
from skmergecal._networks.trace import UntraceableError, first_names, tensors_of, trace
from skmergecal._torch import with_plain_weights
from skmergecal._typing import Estimator
from skmergecal.members import copy_net
from skmergecal.parameters._parameters import FirstLayer, Parameters
from skmergecal.parameters._registry import read_parameters, write_parameters
from skmergecal.parameters.families._module_settings import ModuleSettings, module_settings
from skmergecal.parameters.families._module_sizes import keep_sizes

#: Rows on which the description of a net with several inputs is compared with it.
_FEW = 8


def _layers(module: nn.Module) -> list[tuple[str, nn.Linear]]:
    return [(name, part) for name, part in module.named_modules() if isinstance(part, nn.Linear)]


def _names(name: str) -> tuple[str, str]:
    prefix = f"{name}." if name else ""
    return f"{prefix}weight", f"{prefix}bias"


def _described(part: int) -> Any:
    """A default that is computed where the field is read: a part of the description."""
    return property(lambda self: self.describe()[part])


@dataclass(frozen=True)
class _NetParameters(Parameters):
    """Parameters of a net; a description, for which a copy runs, is made where it is needed."""

    network: Network | None = field(init=False, repr=False, compare=False, default=_described(0))
    untraceable: str | None = field(init=False, repr=False, compare=False, default=_described(1))
    describe: Callable[[], tuple[Network | None, str | None]] = lambda: (None, None)
    describe_for: Callable[..., tuple[Network | None, str | None]] = lambda *_, **__: (None, None)
    normalises: bool = False

    @property
    def has_statistics(self) -> bool:
        return self.normalises and super().has_statistics

    @property
    def takes_any_width(self) -> bool:
        return self.first is not None

    def with_input(self, n_features: int) -> Self:
        network, why = self.describe()
        if network is not None:
            network = replace(network, n_features=n_features)
        architecture = dict(self.architecture)
        key = f"module {self.first.weight.rpartition('.')[0]!r}" if self.first else ""
        settings = architecture.get(key)
        if isinstance(settings, ModuleSettings):
            architecture[key] = settings.with_value("in_features", n_features)
        return replace(self, architecture=architecture, describe=lambda: (network, why))

    def for_rows(self, X: Any) -> Self:
        if isinstance(X, Mapping) and len(X) == 1:
            (X,) = X.values()
        if not isinstance(X, Mapping):
            shape: tuple[int, ...] = getattr(X, "shape", ())
            return self._of_width(int(shape[1])) if len(shape) == 2 else self
        few = {name: np.array(value[:_FEW]) for name, value in X.items()}
        return replace(self, describe=cache(lambda: self.describe_for(few)))

    def _of_width(self, n_features: int) -> Self:
        """The description for so many columns, if there is one: a module may pick some of them."""

        def describe() -> tuple[Network | None, str | None]:
            found = self.describe()
            if found[0] is None or found[0].n_features == n_features:
                return found
            wide = self.describe_for(n_features=n_features)
            return found if wide[0] is None else wide

        return replace(self, describe=cache(describe))


def _read(net: NeuralNet) -> Parameters:
    module = with_plain_weights(net.module_)
    names = first_names(module)
    tensors = tensors_of(module).items()
    state = {key: _as_array(tensor) for key, tensor in tensors if names[key] == key}
    architecture: dict[str, object] = {
        "type": type(net).__name__,
        "classes": tuple(net.classes_.tolist()),
        "n_features": None,
        "feature_names": None,
        "criterion": type(net.criterion_).__name__,
    }
    # Shapes of tensors are compared separately; these are the settings without a tensor.
    architecture.update({f"module {n!r}": s for n, s in module_settings(module).items()})
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

    def describe_for(
        inputs: Mapping[str, np.ndarray] | None = None, n_features: int | None = None
    ) -> tuple[Network | None, str | None]:
        try:
            width = n_features or getattr(net, "n_features_in_", None)
            return trace(module, width, inputs), None
        except UntraceableError as error:
            return None, str(error)

    normalises = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in module.modules())
    return _NetParameters(
        state,
        architecture,
        first,
        last or (),
        describe=cache(describe_for),
        describe_for=describe_for,
        normalises=normalises,
    )


def _as_array(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy()


def _write(net: NeuralNet, parameters: Parameters) -> Estimator:
    merged = copy_net(net)
    plain = with_plain_weights(merged.module_)
    changed = plain is not merged.module_
    merged.module_ = plain
    names = first_names(plain)
    if _resize(plain, parameters, names):
        changed = True
        keep_sizes(merged)
    with torch.no_grad():
        for key, tensor in tensors_of(plain).items():
            tensor.copy_(torch.as_tensor(parameters.arrays[names[key]]))
    if changed:
        merged.initialize_optimizer()  # the one of before trains what the weights were made from
    return merged


def _resize(module: nn.Module, parameters: Parameters, names: dict[str, str]) -> bool:
    """Give the first layer as many inputs as its parameters have; whether it had others."""
    resized = False
    for name, layer in _layers(module):
        weight = names[_names(name)[0]]
        shape = parameters.arrays[weight].shape
        if shape != tuple(layer.weight.shape):
            layer.weight = nn.Parameter(layer.weight.new_empty(shape))
            layer.in_features = shape[1]
            resized = True
    return resized


@cache
def register() -> None:
    """Add skorch nets to the registry."""
    read_parameters.register(NeuralNet, _read)
    write_parameters.register(NeuralNet, _write)
