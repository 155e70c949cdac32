"""Tracing of a torch module with torch.fx, for a description of its network.

Imported with the first skorch net only, because it imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from inspect import Parameter, signature
from math import prod
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from skmergecal._networks import _graph_functions as _graph_functions  # registers operations
from skmergecal._networks._graph import GraphReader, UntraceableError
from skmergecal._networks._network import Network, as_float64, side_by_side
from skmergecal._torch import RandomNumbers, copy_module
from skmergecal._typing import Array

__all__ = ["UntraceableError", "first_names", "is_layer", "output", "tensors_of", "trace"]

#: Largest difference of a description from its module, relative to the size of the logits.
_ROUNDING = 1e-4
#: Limit of the search for the width of the input, where no first layer gives it.
_MAX_WIDTH = 2048


class _ArrayProxy(fx.Proxy):
    """An array of the module in a graph; its shape and type are known."""

    def __init__(self, tracer: fx.Tracer, node: fx.Node, tensor: torch.Tensor) -> None:
        super().__init__(node, tracer)
        self.tensor = tensor
        self.shape, self.ndim = tensor.shape, tensor.ndim
        self.dtype, self.device = tensor.dtype, tensor.device
        self.size, self.dim = tensor.size, tensor.dim

    def __len__(self) -> int:
        return len(self.tensor)


class _Tracer(fx.Tracer):
    """Treats every module of torch.nn as one operation."""

    def trace(self, root: nn.Module, named: Sequence[str] = ()) -> fx.Graph:
        """The operations of a module, which is of no use afterwards.

        Inputs are the arguments with these names, or, without names, those that have no default:
        what has one is left to it, such as a mask that is not given.

        The method of the base class patches ``torch.nn.Module`` meanwhile, so that modules that
        other threads run would be traced as well.
        """
        self.root = root
        self.submodule_paths = {part: name for name, part in root.named_modules()}
        self.graph = fx.Graph()
        self.tensor_attrs: dict[Any, str] = {}
        self.arrays = {id(t): name for name, t in tensors_of(root).items()}
        needed = [
            name
            for name, parameter in signature(root.forward).parameters.items()
            if parameter.default is Parameter.empty
        ]
        given = [self.create_proxy("placeholder", name, (), {}) for name in named or needed]
        args, kwargs = ([], dict(zip(named, given, strict=True))) if named else (given, {})
        for part in list(root.modules()):
            self.intercept(part, calls=part is not root)
        output = self.create_arg(type(root).forward(root, *args, **kwargs))
        self.create_node("output", "output", (output,), {})
        return self.graph

    def intercept(self, part: nn.Module, *, calls: bool) -> None:
        """Let calls of this module, and the use of its arrays, come to the tracer."""
        kind: Any = type(part)

        def call(called: nn.Module, *args: Any, **kwargs: Any) -> Any:
            return self.call_module(called, partial(kind.__call__, called), args, kwargs)

        def get(called: nn.Module, name: str) -> Any:
            value = kind.__getattr__(called, name)
            key = self.arrays.get(id(value))
            if key is None:
                return value
            return _ArrayProxy(self, self.create_node("get_attr", key, (), {}), value)

        body = {"__module__": kind.__module__, "__getattr__": get}
        if calls:
            body["__call__"] = call
        part.__class__ = type(kind.__name__, (kind,), body)

    def is_leaf_module(self, m: nn.Module, qualified_name: str) -> bool:
        return is_layer(m)


def is_layer(module: nn.Module) -> bool:
    containers = nn.Sequential | nn.ModuleList | nn.ModuleDict
    return not isinstance(module, containers) and type(module).__module__.startswith("torch.nn")


def first_names(module: nn.Module) -> dict[str, str]:
    """For each name in the state of a module, the first name of the same tensor.

    A tensor has several names if layers, or their weights, are tied.
    """
    first: dict[int, str] = {}
    state = module.state_dict(keep_vars=True)
    return {name: first.setdefault(id(tensor), name) for name, tensor in state.items()}


def tensors_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """The state of a module, without what else it may keep there."""
    state = module.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}


def trace(
    module: nn.Module, n_features: int | None = None, inputs: Mapping[str, Array] | None = None
) -> Network:
    """Describe the network of a module.

    Parameters
    ----------
    module : torch.nn.Module
        Not changed and not run: a copy is, in evaluation mode.
    n_features : int, default=None
        Columns of the input, if known.
    inputs : dict of str to array, default=None
        Some rows of a module with several inputs, by argument of ``forward``. The network takes
        them as `side_by_side` puts them.

    Returns
    -------
    Network
        Its logits are compared with those of the module, on these rows or on random ones.

    Raises
    ------
    UntraceableError
        If the module has operations that a description cannot contain, or several inputs of which
        no rows are given.
    """
    try:
        with RandomNumbers().borrowed():
            return _trace(module, n_features, inputs)
    except UntraceableError:
        raise
    except Exception as error:  # whatever the module's own code raises on symbols
        msg = f"torch.fx cannot trace {type(module).__name__}: {error}"
        raise UntraceableError(msg) from error


def _trace(
    module: nn.Module, n_features: int | None, inputs: Mapping[str, Array] | None
) -> Network:
    _refuse_coarse_numbers(module)
    bare = is_layer(module)
    to_trace, to_run = copy_module(module).eval(), copy_module(module).eval()
    root = nn.Sequential(to_trace) if bare else to_trace
    graph = _Tracer().trace(root, sorted(inputs or ()))
    found = [node.name for node in graph.nodes if node.op == "placeholder"]
    if inputs is None and len(found) > 1:
        msg = (
            f"the module has {len(found)} inputs ({', '.join(found)}), whose shapes only rows "
            "tell: pass X, as a skorch.helper.SliceDict"
        )
        raise UntraceableError(msg)
    parts = {name: np.shape(inputs[name])[1:] for name in sorted(inputs)} if inputs else {}
    width = sum(map(prod, parts.values())) or n_features or _input_width(to_run, graph)
    prefix = "0." if bare else ""
    names = {f"{prefix}{key}": name for key, name in first_names(module).items()}
    modules = {"0": module} if bare else dict(module.named_modules())
    reader = GraphReader(root, modules, names, _arrays(module), width, parts)
    network = reader.read(graph)
    if inputs is None:
        X = _random_rows(network)
        out = output(to_run, X)
    else:
        X, out = side_by_side(inputs), _output_of_several(to_run, inputs)
    _compare(to_run, network, X, out)
    return network


def _refuse_coarse_numbers(module: nn.Module) -> None:
    """Refuse types in which rounding hides whether a description is right."""
    for name, tensor in module.named_parameters():
        if tensor.is_complex():
            msg = f"the parameter {name!r} is complex"
            raise UntraceableError(msg)
        if tensor.is_floating_point() and torch.finfo(tensor.dtype).eps > _ROUNDING:
            msg = f"the parameter {name!r} is {tensor.dtype}, too coarse to check a description"
            raise UntraceableError(msg)


def _input_width(module: nn.Module, graph: fx.Graph) -> int:
    """Width of the input: that of the first layer, or else the smallest that the module accepts."""
    modules = dict(module.named_modules())
    for node in graph.nodes:
        for user in node.users if node.op == "placeholder" else ():
            layer = modules.get(str(user.target)) if user.op == "call_module" else None
            for name in ("in_features", "num_features"):
                if hasattr(layer, name):
                    return int(getattr(layer, name))
    # Arrays of one number per feature fit an input of one column, too: try the widths of arrays.
    of_arrays = dict.fromkeys(n for p in module.parameters() for n in p.shape if n > 1)
    for width in (*of_arrays, *range(1, _MAX_WIDTH + 1)):
        if output(module, np.zeros((2, width))) is not None:
            return width
    msg = f"the number of input columns of {type(module).__name__} could not be found"
    raise UntraceableError(msg)


def output(module: nn.Module, X: np.ndarray) -> torch.Tensor | None:
    """The module's output, as floats or as whole numbers; None if it fails."""
    with torch.no_grad():
        for kind in (_float_type(module), torch.long):
            try:
                return module(torch.as_tensor(X).to(kind))
            except (RuntimeError, IndexError, ValueError, TypeError):
                continue
    return None


def _float_type(module: nn.Module) -> torch.dtype:
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)


def _output_of_several(module: nn.Module, inputs: Mapping[str, Array]) -> Any:
    """The module's output, from whole numbers as they are and others in its floating type."""
    given = {name: torch.as_tensor(np.array(value)) for name, value in inputs.items()}
    floating = {n: t.to(_float_type(module)) for n, t in given.items() if t.is_floating_point()}
    with torch.no_grad():
        return module(**{**given, **floating})


def _arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return as_float64({k: v.detach().cpu().numpy() for k, v in tensors_of(module).items()})


def _random_rows(network: Network) -> Array:
    """Random rows for a comparison, with 0 in embedded columns."""
    X = np.random.default_rng(0).normal(size=(8, network.n_features))
    X[:, network.whole_columns()] = 0
    return X


def _compare(module: nn.Module, network: Network, X: Array, out: Any) -> None:
    """Compare the description with what the module gives for some rows."""
    if isinstance(out, tuple):
        out = out[0]
    if out is None:
        msg = f"{type(module).__name__} does not accept rows of {network.n_features} numbers"
        raise UntraceableError(msg)
    arrays = _arrays(module)
    try:
        logits = network.logits(arrays, X)
    except (ValueError, IndexError) as error:
        msg = f"the description of {type(module).__name__} does not fit its arrays: {error}"
        raise UntraceableError(msg) from error
    expected = out.detach().double().cpu().numpy().reshape(logits.shape)
    size = 1 + np.abs(logits).max()
    same = np.abs(logits - expected).max() <= _ROUNDING * size
    if not (same or _same_up_to_softmax(logits, expected)):
        msg = f"the description of {type(module).__name__} does not reproduce its output"
        raise UntraceableError(msg)


def _same_up_to_softmax(logits: np.ndarray, expected: np.ndarray) -> bool:
    proba = np.exp(logits - logits.max(axis=1, keepdims=True))
    proba /= proba.sum(axis=1, keepdims=True)
    log_proba = np.log(np.maximum(proba, 1e-30))
    return any(np.abs(p - expected).max() <= 1e-3 for p in (proba, log_proba))
