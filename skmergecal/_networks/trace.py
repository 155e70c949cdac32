"""Tracing of a torch module with torch.fx, for a description of its network.

Imported with the first skorch net only, because it imports torch.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from skmergecal._networks._network import Network, as_float64
from skmergecal._networks._nodes import (
    Activation,
    Add,
    AffineLayer,
    BatchNorm,
    Columns,
    Concat,
    Embedding,
    Flatten,
    Input,
    LayerNorm,
    Node,
)
from skmergecal._torch import RandomNumbers, copy_module

__all__ = ["UntraceableError", "first_names", "is_layer", "output", "trace"]

#: Largest difference of a description from its module, relative to the size of the logits.
_ROUNDING = 1e-4
#: Limit of the search for the width of the input, where no first layer gives it.
_MAX_WIDTH = 2048


class UntraceableError(Exception):
    """The module has an operation that a description cannot contain; the message names it."""


def _named(name: str) -> Callable[[Any], tuple[str, float]]:
    return lambda _: (name, 0.0)


#: Modules that act on each number: name and parameter of the activation.
_ACTIVATIONS: dict[type[nn.Module], Callable[[Any], tuple[str, float]]] = {
    nn.ReLU: _named("relu"),
    nn.Tanh: _named("tanh"),
    nn.Sigmoid: _named("logistic"),
    nn.SiLU: _named("silu"),
    nn.LeakyReLU: lambda m: ("leaky_relu", float(m.negative_slope)),
    nn.ELU: lambda m: ("elu", float(m.alpha)),
    nn.GELU: lambda m: ("gelu_tanh" if m.approximate == "tanh" else "gelu", 0.0),
}
_FUNCTIONS: dict[Any, str] = {
    torch.relu: "relu",
    nn.functional.relu: "relu",
    torch.tanh: "tanh",
    nn.functional.tanh: "tanh",
    torch.sigmoid: "logistic",
    nn.functional.sigmoid: "logistic",
    nn.functional.silu: "silu",
    "relu": "relu",
    "tanh": "tanh",
    "sigmoid": "logistic",
}
_NOTHING = (nn.Dropout, nn.AlphaDropout, nn.Identity)
_SOFTMAX = {nn.functional.softmax, torch.softmax, nn.functional.log_softmax, torch.log_softmax}
_SOFTMAX |= {"softmax", "log_softmax"}
_SQUEEZES = {"squeeze", torch.squeeze}
_SIZES = {"size", getattr}
_CASTS = {"long", "int", "float", "contiguous", "clone", nn.functional.dropout}
_WITH_PARAMETER = {nn.functional.gelu, nn.functional.leaky_relu, nn.functional.elu}
#: Operations that make a node by a method of `_Reader`.
_METHODS: dict[Any, str] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), "sum"),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), "concat"),
    **dict.fromkeys(("flatten", torch.flatten, "view", "reshape", torch.reshape), "flatten"),
    operator.getitem: "columns",
}


class _Tracer(fx.Tracer):
    """Treats every module of torch.nn as one operation."""

    def trace(self, root: nn.Module) -> fx.Graph:
        """The operations of a module, which is of no use afterwards.

        The method of the base class patches ``torch.nn.Module`` meanwhile, so that modules that
        other threads run would be traced as well.
        """
        self.root = root
        self.submodule_paths = {part: name for name, part in root.named_modules()}
        self.graph = fx.Graph()
        self.tensor_attrs: dict[Any, str] = {}
        forward, args = self.create_args_for_root(type(root).forward, is_module=True)
        for part in root.children():
            for inner in part.modules():
                self.intercept(inner)
        output = self.create_arg(forward(*args))
        self.create_node("output", "output", (output,), {})
        return self.graph

    def intercept(self, part: nn.Module) -> None:
        """Let calls of this module come to the tracer."""
        kind = type(part)

        def call(called: nn.Module, *args: Any, **kwargs: Any) -> Any:
            return self.call_module(called, partial(kind.__call__, called), args, kwargs)

        body = {"__call__": call, "__module__": kind.__module__}
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


def trace(module: nn.Module, n_features: int | None = None) -> Network:
    """Describe the network of a module.

    Parameters
    ----------
    module : torch.nn.Module
        Not changed and not run: a copy is, in evaluation mode.
    n_features : int, default=None
        Columns of the input, if known.

    Returns
    -------
    Network
        Its logits are compared with those of the module, on random rows.

    Raises
    ------
    UntraceableError
        If the module has operations that a description cannot contain, or several inputs.
    """
    try:
        with RandomNumbers().borrowed():
            return _trace(module, n_features)
    except UntraceableError:
        raise
    except Exception as error:  # whatever the module's own code raises on symbols
        msg = f"torch.fx cannot trace {type(module).__name__}: {error}"
        raise UntraceableError(msg) from error


def _trace(module: nn.Module, n_features: int | None) -> Network:
    _refuse_coarse_numbers(module)
    bare = is_layer(module)
    to_trace, to_run = copy_module(module).eval(), copy_module(module).eval()
    graph = _Tracer().trace(nn.Sequential(to_trace) if bare else to_trace)
    width = n_features or _input_width(to_run, graph)
    modules = {"0": module} if bare else dict(module.named_modules())
    network = _Reader(modules, first_names(module), width).read(graph)
    _compare(to_run, network)
    return network


def _refuse_coarse_numbers(module: nn.Module) -> None:
    """Refuse types in which rounding hides whether a description is right."""
    for name, tensor in module.named_parameters():
        if tensor.is_floating_point() and torch.finfo(tensor.dtype).eps > _ROUNDING:
            msg = f"the parameter {name!r} is {tensor.dtype}, too coarse to check a description"
            raise UntraceableError(msg)


class _Reader:
    """Goes through the graph of torch.fx and makes a node of each operation."""

    def __init__(self, modules: dict[str, nn.Module], arrays: dict[str, str], width: int) -> None:
        self.modules = modules
        self.arrays = arrays
        self.width = width
        self.nodes: list[Node] = []
        self.places: dict[fx.Node, int] = {}
        self.ended: str | None = None

    def read(self, graph: fx.Graph) -> Network:
        output = 0
        for node in graph.nodes:
            if node.op == "output":
                output = self.places[self.only(node.args[0], node)]
            elif node.op == "get_attr":
                self.fail(f"the parameter {node.target!r} outside of a layer")
            elif node.users or node.op == "placeholder":
                self.places[node] = self.place(node)
        nodes = self.nodes[: output + 1]  # what comes later does not reach the output
        return Network(tuple(nodes), self.width)

    def fail(self, what: str) -> Any:
        msg = f"the module has {what}, which alignment does not support"
        raise UntraceableError(msg)

    def argument(self, node: fx.Node, place: int, name: str) -> Any:
        """An argument of an operation, by its place or its name."""
        return node.args[place] if len(node.args) > place else node.kwargs.get(name)

    def only(self, argument: Any, node: fx.Node) -> fx.Node:
        if isinstance(argument, tuple | list) and len(argument) == 1:
            argument = argument[0]
        if not isinstance(argument, fx.Node):
            self.fail(f"the operation {node.name!r} with a constant or several outputs")
        return argument

    def below(self, node: fx.Node) -> int:
        return self.places[self.only(self.argument(node, 0, "input"), node)]

    def add(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def place(self, node: fx.Node) -> int:
        if self.ended is not None:
            self.fail(f"{node.name!r} after {self.ended!r}")
        if node.op == "placeholder":
            if self.nodes:
                self.fail(f"a second input, {node.name!r}")
            return self.add(Input())
        if node.op == "call_module":
            return self.layer(node, self.modules[str(node.target)])
        return self.function(node)

    def layer(self, node: fx.Node, layer: nn.Module) -> int:
        name = str(node.target)
        below = self.below(node)
        if isinstance(layer, _NOTHING):
            return below
        if isinstance(layer, nn.Softmax | nn.LogSoftmax):
            self.ended = name
            return below
        activation = _ACTIVATIONS.get(type(layer))
        if activation is not None:
            return self.add(Activation((below,), *activation(layer)))
        if isinstance(layer, nn.Flatten):
            return self.add(Flatten((below,)))
        return self.add(self.with_arrays(name, layer, below))

    def with_arrays(self, name: str, layer: nn.Module, below: int) -> Node:
        root = len(self.modules) == 1  # the module itself is a layer: its arrays have no prefix
        prefix = "" if root else f"{name}."
        weight, bias = self.arrays.get(f"{prefix}weight"), self.arrays.get(f"{prefix}bias")
        if type(layer) is nn.Linear:
            return AffineLayer((below,), str(weight), bias, out_axis=0)
        if type(layer) is nn.Embedding and layer.max_norm is None:
            return Embedding((below,), str(weight))
        if type(layer) is nn.BatchNorm1d and layer.running_mean is not None:
            mean, var = self.arrays[f"{prefix}running_mean"], self.arrays[f"{prefix}running_var"]
            return BatchNorm((below,), weight, bias, mean, var, layer.eps)
        if type(layer) is nn.LayerNorm and len(layer.normalized_shape) == 1:
            return LayerNorm((below,), weight, bias, layer.eps)
        kind = type(layer).__name__
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is None:
            kind += " without running statistics, whose output for a row depends on other rows"
        return self.fail(f"the layer {name!r} of type {kind}")

    def function(self, node: fx.Node) -> int:
        target = node.target
        if target in _SOFTMAX or target in _SQUEEZES:
            self.ended = node.name
            return self.below(node)
        if target in _CASTS:
            return self.below(node)
        if target in _FUNCTIONS:
            return self.add(Activation((self.below(node),), _FUNCTIONS[target]))
        if target in _WITH_PARAMETER:
            return self.add(Activation((self.below(node),), *_with_parameter(node)))
        if target in _SIZES:
            return -1  # a size can only be the argument of a change of shape
        method = _METHODS.get(target)
        if method is None:
            return self.fail(f"the operation {getattr(target, '__name__', target)!r}")
        return getattr(self, method)(node)

    def sum(self, node: fx.Node) -> int:
        terms = self.argument(node, 0, "input"), self.argument(node, 1, "other")
        places = (self.places.get(a) for a in terms if isinstance(a, fx.Node))
        parts = tuple(place for place in places if place is not None)
        if len(parts) < len(terms) or node.kwargs.get("alpha", 1) != 1:
            self.fail(f"the sum {node.name!r} with a constant")
        return self.add(Add(parts))

    def concat(self, node: fx.Node) -> int:
        axis, parts = self.argument(node, 1, "dim"), self.argument(node, 0, "tensors")
        if axis not in (1, -1) or not isinstance(parts, tuple | list):
            self.fail(f"the concatenation {node.name!r} along axis {axis or 0}")
        return self.add(Concat(tuple(self.places[self.only(p, node)] for p in parts)))

    def columns(self, node: fx.Node) -> int:
        index = node.args[1]
        source = self.below(node)
        if source == -1:
            return -1
        before, there = self.nodes[source], np.arange(self.width)
        if isinstance(before, Columns) and isinstance(before.columns, tuple):
            (source,), there = before.inputs, np.array(before.columns)
        elif not isinstance(before, Input):
            self.fail(f"{node.name!r}, which takes part of a hidden layer")
        if not isinstance(index, tuple) or len(index) != 2 or index[0] != slice(None):
            self.fail(f"the rows {node.name!r} of the input")
        try:
            chosen = there[index[1]]
            if chosen.ndim > 1:
                raise IndexError
        except (IndexError, TypeError, ValueError):
            return self.fail(f"the columns {node.name!r} of the input")
        columns = int(chosen) if np.ndim(chosen) == 0 else tuple(int(c) for c in chosen)
        return self.add(Columns((source,), columns))

    def flatten(self, node: fx.Node) -> int:
        if node.target in ("flatten", torch.flatten):
            start = node.kwargs.get("start_dim", node.args[1] if len(node.args) > 1 else 0)
            ok = start == 1
        else:
            shape = node.args[1:] if len(node.args) > 2 else node.args[1]
            ok = isinstance(shape, tuple | list) and len(shape) == 2 and shape[1] == -1
        if not ok:
            self.fail(f"the change of shape {node.name!r}")
        return self.add(Flatten((self.below(node),)))


def _with_parameter(node: fx.Node) -> tuple[str, float]:
    arguments = [*node.args[1:], *node.kwargs.values()]
    if node.target is nn.functional.gelu:
        return ("gelu_tanh" if "tanh" in arguments else "gelu"), 0.0
    numbers = [
        float(a) for a in arguments if isinstance(a, int | float) and not isinstance(a, bool)
    ]
    if node.target is nn.functional.elu:
        return "elu", numbers[0] if numbers else 1.0
    return "leaky_relu", numbers[0] if numbers else 0.01


def _input_width(module: nn.Module, graph: fx.Graph) -> int:
    """Width of the input: that of the first layer, or else the smallest that the module accepts."""
    modules = dict(module.named_modules())
    for node in graph.nodes:
        for user in node.users if node.op == "placeholder" else ():
            layer = modules.get(str(user.target)) if user.op == "call_module" else None
            for name in ("in_features", "num_features"):
                if hasattr(layer, name):
                    return int(getattr(layer, name))
    for width in range(1, _MAX_WIDTH + 1):
        if output(module, np.zeros((2, width))) is not None:
            return width
    msg = f"the number of input columns of {type(module).__name__} could not be found"
    raise UntraceableError(msg)


def output(module: nn.Module, X: np.ndarray) -> torch.Tensor | None:
    """The module's output, as floats or as whole numbers; None if it fails."""
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    with torch.no_grad():
        for kind in (dtype, torch.long):
            try:
                return module(torch.as_tensor(X).to(kind))
            except (RuntimeError, IndexError, ValueError, TypeError):
                continue
    return None


def _compare(module: nn.Module, network: Network) -> None:
    """Compare the description with the module on random rows (0 in embedded columns)."""
    X = np.random.default_rng(0).normal(size=(8, network.n_features))
    X[:, network.whole_columns()] = 0
    out = output(module, X)
    if isinstance(out, tuple):
        out = out[0]
    if out is None:
        msg = f"{type(module).__name__} does not accept rows of {network.n_features} numbers"
        raise UntraceableError(msg)
    arrays = as_float64({k: v.detach().cpu().numpy() for k, v in module.state_dict().items()})
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
