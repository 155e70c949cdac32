"""Reads a graph of torch.fx: makes a node of a network from each operation.

Imported with the first skorch net only, because it imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from skmergecal._networks._axes import Columns, Reshape, Softmax
from skmergecal._networks._network import Network
from skmergecal._networks._nodes import Activation, Constant, InputNode, Literal, Node
from skmergecal._typing import Array

__all__ = ["LAYERS", "OPERATIONS", "GraphReader", "Place", "UntraceableError", "layer", "operation"]

#: Rows of the values that are computed on the way, to know the shapes.
_ROWS = 2


class UntraceableError(Exception):
    """The module has an operation that a description cannot contain; the message names it."""


class Place(int):
    """The number of a node, in contrast to numbers that the module's code calculates with."""


#: For functions of torch, and names of methods of tensors: what makes a node of a call.
OPERATIONS: dict[Any, Callable[..., Any]] = {}
#: The same for types of layers; called with the reader, the layer, its name and the place below.
LAYERS: dict[type[nn.Module], Callable[..., Any]] = {}


def operation(*targets: Any) -> Callable[[Any], Any]:
    """Register a function that takes the reader and the arguments of these functions of torch."""

    def registered(function: Any) -> Any:
        OPERATIONS.update(dict.fromkeys(targets, function))
        return function

    return registered


def layer(*kinds: type[nn.Module]) -> Callable[[Any], Any]:
    """Register a function that takes the reader, a layer, its name, and the place below it."""

    def registered(function: Any) -> Any:
        LAYERS.update(dict.fromkeys(kinds, function))
        return function

    return registered


def _noted(argument: Any, places: list[Place]) -> Any:
    if isinstance(argument, Place):
        places.append(argument)
    return argument


class GraphReader:
    """Goes through the graph, and computes the value of each node for some rows of zeros.

    Parameters
    ----------
    root : torch.nn.Module
        The module that was traced.
    modules : dict of str to torch.nn.Module
        Its parts as they were before.
    names : dict of str to str
        For each name in its state, the one that the arrays have.
    arrays : dict of str to ndarray
    width : int
        Columns of the input.
    parts : dict of str to tuple of int
        Of a module with several inputs, the shape of one row of each, by argument of ``forward``.
        The columns of the network's input are theirs, side by side in the order of names.
    """

    def __init__(
        self,
        root: nn.Module,
        modules: Mapping[str, nn.Module],
        names: Mapping[str, str],
        arrays: Mapping[str, Array],
        width: int,
        parts: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        self.root, self.modules, self.names = root, modules, names
        self.arrays, self.width, self.parts = arrays, width, parts or {}
        self.trained = {name for name, _ in root.named_parameters(remove_duplicate=False)}
        self.nodes: list[Node] = []
        self.probe: list[Array] = []
        self.constant: set[int] = set()  # places whose values have no rows
        self.found: dict[fx.Node, Any] = {}
        self.current: fx.Node  # set by `read`

    def read(self, graph: fx.Graph) -> Network:
        for node in graph.nodes:
            self.current = node
            if node.op == "output":
                result = self.resolved(node.args[0])
                while isinstance(result, tuple) and len(result) == 1:
                    (result,) = result
                if not isinstance(result, Place):
                    self.fail("several outputs, or a constant one")
                return Network(self.reaching(self.logits(result)), self.width)
            changes = self.changes_argument(node)
            if not (node.users or changes or node.op == "placeholder"):
                continue
            self.found[node] = result = self.step(node)
            if changes:
                self.moved(node.args[0] if node.args else node.kwargs.get("input"), result)
        raise AssertionError

    # What is known of the graph

    def fail(self, what: str) -> Any:
        msg = f"the module has {what}, which alignment does not support"
        raise UntraceableError(msg)

    @property
    def name(self) -> str:
        """How errors call the operation that is read."""
        target = self.current.target
        return getattr(target, "__name__", str(target))

    def resolved(self, argument: Any) -> Any:
        """An argument, with places and numbers for the nodes of the graph."""
        return fx.node.map_aggregate(
            argument, lambda a: self.found[a] if isinstance(a, fx.Node) else a
        )

    def changes_argument(self, node: fx.Node) -> bool:
        """Whether an operation changes its first argument in place."""
        if node.op == "call_module":
            return bool(getattr(self.modules[str(node.target)], "inplace", False))
        name = getattr(node.target, "__name__", str(node.target))
        in_place = name.endswith("_") and not name.endswith("__")
        operators = ("iadd", "isub", "imul", "itruediv")
        return in_place or name in operators or node.kwargs.get("inplace") is True

    def moved(self, argument: Any, result: Any) -> None:
        """Let all names of a tensor that was changed in place refer to its new value."""
        if not isinstance(argument, fx.Node):
            return
        old = self.found[argument]
        if isinstance(old, Place):
            same = [n for n, p in self.found.items() if isinstance(p, Place) and p == old]
            self.found.update(dict.fromkeys(same, result))

    def step(self, node: fx.Node) -> Any:
        """The place of a node of the graph, or what it gives without tensors."""
        if node.op == "placeholder":
            return self.input(str(node.target)) if self.parts else self.add(InputNode())
        if node.op == "get_attr":
            return self.attribute(str(node.target))
        if node.op == "call_module":
            return self.call_layer(node)
        arguments, named = self.resolved(node.args), self.resolved(node.kwargs)
        places: list[Place] = []
        fx.node.map_aggregate((arguments, named), lambda a: _noted(a, places))
        if not places:
            return self.calculated(node, arguments, named)
        make = OPERATIONS.get(node.target)
        if make is None:
            return self.fail(f"the operation {self.name!r}")
        try:
            return make(self, *arguments, **named)
        except TypeError as error:  # arguments that the description has no place for
            return self.fail(f"the operation {self.name!r} with other arguments ({error})")

    def input(self, name: str) -> Place:
        """The place of one of several inputs."""
        if not self.nodes:
            self.add(InputNode())
        shape = self.parts[name]
        start = sum(prod(other) for before, other in self.parts.items() if before < name)
        columns = tuple(range(start, start + prod(shape)))
        return self.reshaped(self.add(Columns((0,), columns)), shape)

    def calculated(self, node: fx.Node, arguments: Any, named: Any) -> Any:
        """What an operation on sizes and fixed tensors gives."""
        if node.op == "call_method":
            return getattr(arguments[0], str(node.target))(*arguments[1:], **named)
        assert callable(node.target)
        return node.target(*arguments, **named)

    def call_layer(self, node: fx.Node) -> Any:
        name = str(node.target)
        part = self.modules[name]
        arguments = [*node.args, *node.kwargs.values()]
        below = self.resolved(arguments[0]) if arguments else None
        make = LAYERS.get(type(part))
        if make is None or len(arguments) != 1 or not isinstance(below, Place):
            return self.unknown_layer(name, part)
        return make(self, part, name, below)

    def unknown_layer(self, name: str, part: nn.Module) -> Any:
        return self.fail(f"the layer {name!r} of type {type(part).__name__}")

    def attribute(self, name: str) -> Any:
        """A tensor of the module: an array of its state, or fixed numbers."""
        if name in self.names:
            return self.array(name)
        found: Any = self.root
        for part in name.split("."):
            found = getattr(found, part)
        if found.requires_grad:
            self.fail(f"a tensor that is made of parameters before it is used, {name!r}")
        return found.detach()

    def array(self, name: str) -> Place:
        """The place of an array."""
        return self.add(Constant((), self.names[name], name in self.trained), constant=True)

    def own(self, name: str, part: str) -> str | None:
        """The name of an array of a layer, or None if it has no such one."""
        return self.names.get(f"{name}.{part}" if name else part)

    # Nodes

    def add(self, node: Node, *, constant: bool = False) -> Place:
        """A new node."""
        given = [self.probe[i] for i in node.inputs]
        if isinstance(node, InputNode):
            given = [np.zeros((_ROWS, self.width))]
        try:
            with np.errstate(all="ignore"):
                value = node.forward(self.arrays, *given)
        except (ValueError, IndexError) as error:
            self.fail(f"the operation {self.name!r}, whose values do not fit ({error})")
        self.nodes.append(node)
        self.probe.append(value)
        place = Place(len(self.nodes) - 1)
        if constant:
            self.constant.add(place)
        return place

    def on(self, below: Place, node: Node) -> Place:
        """A new node on top of one value; its result has rows if the value has."""
        return self.add(node, constant=below in self.constant)

    def activation(self, below: Place, name: str, parameter: float = 0.0) -> Place:
        return self.on(below, Activation((below,), name, float(parameter)))

    def place(self, value: Any) -> Place:
        """A tensor as a place: fixed numbers become a node."""
        if isinstance(value, Place):
            return value
        if not isinstance(value, torch.Tensor):
            self.fail(f"the operation {self.name!r} on {type(value).__name__}")
        numbers = tuple(value.double().ravel().tolist())
        return self.add(Literal((), numbers, tuple(value.shape)), constant=True)

    def rank(self, place: Place) -> int:
        """Number of axes of the tensor."""
        return self.probe[place].ndim - (place in self.constant)

    def axis(self, place: Place, dim: Any) -> int:
        """An axis of the value, from one of the tensor."""
        if not isinstance(dim, int) or isinstance(dim, bool):
            self.fail(f"the operation {self.name!r} along axes {dim}")
        dim = dim + self.rank(place) if dim < 0 else dim
        axis = int(dim + (place in self.constant))
        if axis == 0:
            self.fail(f"the operation {self.name!r} across rows")
        return axis

    def shape(self, place: Place) -> tuple[int, ...]:
        """The shape of the tensor."""
        return self.probe[place].shape[place in self.constant :]

    def reshaped(self, below: Place, shape: tuple[int, ...]) -> Place:
        """In another shape, without the axis of the rows."""
        if self.probe[below].shape[1:] == shape:
            return below
        return self.on(below, Reshape((below,), shape))

    def with_rows(self, place: Place) -> Place:
        """A constant with one row of its own, as a value that has rows."""
        value = self.probe[place]
        if place not in self.constant:
            return place
        if value.ndim < 2 or value.shape[1] != 1:
            self.fail(f"the operation {self.name!r} with a tensor that has no rows")
        return self.add(Reshape((place,), value.shape[2:]))

    def matched(self, places: list[Place]) -> tuple[list[Place], bool]:
        """Values that can be combined element by element, and whether all are constants."""
        data = [p for p in places if p not in self.constant]
        rank = max((self.rank(p) for p in data), default=0)
        if any(self.rank(p) != rank for p in data):
            self.fail(f"the operation {self.name!r} on values with {rank} and fewer axes")
        if data:
            places = [
                self.with_rows(p) if p in self.constant and self.rank(p) >= rank else p
                for p in places
            ]
        return places, not data

    # The result

    def logits(self, place: Place) -> Place:
        """The place of the logits, below a softmax or a squeeze at the end."""
        while True:
            node = self.nodes[place]
            last = isinstance(node, Softmax) and node.axis in (-1, self.probe[place].ndim - 1)
            of_softmax = (
                isinstance(node, Activation)
                and node.name == "log"
                and isinstance(self.nodes[node.inputs[0]], Softmax)
            )
            if last or of_softmax or (isinstance(node, Reshape) and node.shape == ()):
                place = Place(node.inputs[0])
                continue
            if self.probe[place].ndim != 2 or place in self.constant:
                self.fail(f"an output of shape {self.shape(place)}")
            return place

    def reaching(self, last: Place) -> tuple[Node, ...]:
        """The nodes that the output depends on, and the input."""
        used = {0, int(last)}
        for place in range(last, 0, -1):
            if place in used:
                used.update(self.nodes[place].inputs)
        order = {old: new for new, old in enumerate(sorted(used))}
        return tuple(
            replace(self.nodes[old], inputs=tuple(order[i] for i in self.nodes[old].inputs))
            for old in order
        )
