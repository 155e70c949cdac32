"""Graph: nodes and constants of an ONNX model, added one by one, and other models spliced in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from skmergecal._numerics import SMALLEST
from skmergecal._optional import optional_import
from skmergecal._version import __version__

__all__ = [
    "BOOL",
    "DOUBLE",
    "FLOAT",
    "FLOAT16",
    "INT64",
    "ML",
    "STRING",
    "Graph",
    "GraphTensor",
    "Probe",
    "load_model",
    "need",
]

#: Types of elements, as the format numbers them.
FLOAT, INT64, STRING, BOOL, FLOAT16, DOUBLE = 1, 7, 8, 9, 10, 11
#: The domain of trees and encoders.
ML = "ai.onnx.ml"


def need(module: str) -> Any:
    """A module of a package of the extra."""
    return optional_import(module, extra="onnx", purpose="converting to ONNX")


def load_model(model: Any) -> Any:
    """A session of onnxruntime."""
    runtime = need("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised
    content = model.SerializeToString()
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class GraphTensor(NamedTuple):
    """A tensor of the graph with rows.

    Attributes
    ----------
    name : str
    kind : int
        Type of its elements, `DOUBLE` for example.
    width : int
        Number of its columns.
    rest : tuple of int
        Its shape after rows and columns.
    """

    name: str
    kind: int
    width: int
    rest: tuple[int, ...] = ()


class Probe(NamedTuple):
    """A member inside a graph, to be compared by itself.

    Attributes
    ----------
    path : str
        Its name, after those of the members that it is in.
    kind : str
        Name of its class.
    member : Member
    rows : InputRows
        What it reads.
    tensor : str
        What it gives.
    """

    path: str
    kind: str
    member: Any
    rows: Any
    tensor: str


@dataclass
class Graph:
    """Nodes and constants of a graph that is being made.

    Attributes
    ----------
    opsets : dict of str to int
        Versions of the domains.
    unique : callable
        Gives a name of its own for a stem.
    known : dict
        What was made already and may be used again.
    label_kind : int
        Type of the labels.
    path : list of str
        Names of the members that are being added, each inside the one before.
    probes : list of Probe
        The members that have been added.
    """

    opsets: dict[str, int]
    unique: Callable[[str], str]
    nodes: list[Any] = field(default_factory=list)
    constants: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    known: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    label_kind: int = INT64
    path: list[str] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)

    @classmethod
    def empty(cls, opsets: dict[str, int], reserved: Sequence[str]) -> Graph:
        """A graph whose names are numbered; inputs have the reserved ones."""
        number = count()

        def unique(stem: str) -> str:
            return next(n for n in (f"{stem}_{k}" for k in number) if n not in reserved)

        return cls(dict(opsets), unique)

    def constant(self, value: Any) -> str:
        """Name of a constant; equal ones are stored once."""
        array = np.asarray(value)
        if array.dtype.kind in "OU":
            array = array.astype(object)
        content = repr(array.tolist()) if array.dtype.kind == "O" else array.tobytes()
        key = (array.dtype.str, array.shape, content)
        if key not in self.constants:
            tensor = need("onnx.numpy_helper").from_array(array, self.unique("constant"))
            self.constants[key] = tensor
        return str(self.constants[key].name)

    def add(self, op: str, *inputs: Any, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output, whose name is returned; what is no name is a constant."""
        names = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        out = self.unique(op.lower())
        make = need("onnx.helper").make_node
        node = make(op, names, [out], name=self.unique(op), domain=domain, **attributes)
        self.nodes.append(node)
        self.known["node", out] = node
        return out

    def cast(self, x: GraphTensor, kind: int) -> GraphTensor:
        """The same numbers in another type."""
        if x.kind == kind:
            return x
        return x._replace(name=self.add("Cast", x.name, to=kind), kind=kind)

    def splice(self, model: Any, inputs: Sequence[GraphTensor]) -> list[GraphTensor]:
        """Put another model, which is used up, in the place of a node; inputs in their order."""
        _rename(model.graph, self.unique("part") + "_")
        for opset in model.opset_import:
            known = self.opsets.get(opset.domain, 1)
            self.opsets[opset.domain] = max(opset.version, known)
        make = need("onnx.helper").make_node
        for given, tensor in zip(model.graph.input, inputs, strict=False):
            # A name of its own, by which branches and loops inside the model refer to it, too.
            name = self.unique("input")
            self.nodes.append(make("Identity", [tensor.name], [given.name], name=name))
        self.nodes.extend(model.graph.node)
        self.constants.update({("spliced", str(c.name)): c for c in model.graph.initializer})
        return [
            GraphTensor(out.name, out.type.tensor_type.elem_type, _width(out))
            for out in model.graph.output
        ]

    def model(self, inputs: list[Any], outputs: dict[str, str], width: int = 0) -> Any:
        """The model of everything so far, with some tensors as outputs."""
        helper, proto = need("onnx.helper"), need("onnx").TensorProto
        ends, infos = [], []
        for name, tensor in outputs.items():
            ends.append(helper.make_node("Identity", [tensor], [name], name=f"to {name}"))
            kind, shape = proto.DOUBLE, [None, width or None]
            if name == "label":
                kind, shape = self.label_kind, [None]
            infos.append(helper.make_tensor_value_info(name, kind, shape))
        nodes, wanted = _needed(self.nodes, outputs.values())
        constants = [c for c in self.constants.values() if c.name in wanted]
        graph = helper.make_graph([*nodes, *ends], "skmergecal", inputs, infos, constants)
        opsets = [helper.make_opsetid(domain, version) for domain, version in self.opsets.items()]
        return helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=helper.find_min_ir_version_for(opsets, ignore_unknown=True),
            producer_name="skmergecal",
            producer_version=__version__,
        )

    # What the estimators and pools below are written in; everything is in double precision.

    def matmul(self, x: str, matrix: Any, bias: Any = None) -> str:
        """The product with a matrix, plus a bias for each column."""
        matrix = np.asarray(matrix, dtype=np.float64)
        if bias is None:
            return self.add("MatMul", x, matrix)
        bias = np.asarray(bias, dtype=np.float64)
        out = self.add("Gemm", x, matrix, bias)
        self.known["affine", out] = x, matrix, bias
        return out

    def column(self, x: str, place: int) -> str:
        """One column, (n_samples, 1)."""
        return self.add("Gather", x, np.array([place]), axis=1)

    def scaled(self, x: str, factor: Any) -> str:
        """The product with a number, or one per column."""
        factor = np.asarray(factor, dtype=np.float64)
        return x if (factor == 1.0).all() else self.add("Mul", x, factor)

    def shifted(self, x: str, by: Any) -> str:
        """The sum with a number, or one per column."""
        by = np.asarray(by, dtype=np.float64)
        return x if (by == 0.0).all() else self.add("Add", x, by)

    def over_temperature(self, x: str, temperature: Any) -> str:
        """Logits divided by a temperature."""
        temperature = np.asarray(temperature, dtype=np.float64)
        return x if (temperature == 1.0).all() else self.add("Div", x, temperature)

    def softmax(self, x: str) -> str:
        """Probabilities of logits."""
        return self.add("Softmax", x, axis=-1)

    def log_softmax(self, x: str) -> str:
        """Log-probabilities of logits."""
        return self.add("LogSoftmax", x, axis=-1)

    def total(self, x: str, axis: int = 1, *, keep: bool = True) -> str:
        """Sums along an axis."""
        return self.add("ReduceSum", x, np.array([axis]), keepdims=int(keep))

    def normalised(self, p: str) -> str:
        """Rows divided by their sums."""
        return self.add("Div", p, self.total(p))

    def soften(self, p: str, amount: float, n_classes: int) -> str:
        """Log of probabilities mixed with the uniform distribution."""
        mixed = self.shifted(self.scaled(p, 1.0 - amount), amount / n_classes)
        if amount / n_classes < SMALLEST:
            mixed = self.add("Max", mixed, np.float64(SMALLEST))
        return self.log_softmax(self.add("Log", mixed))

    def stack(self, parts: Sequence[str], width: int) -> str:
        """Matrices of one shape as (n_samples, n_matrices, width).

        One row takes as long as there are nodes: where all matrices are the softmax of another
        one, or linear in the same rows, one node computes them all.
        """
        key = ("stack", *parts)
        if key in self.known:
            return str(self.known[key])
        nodes = [self.known.get(("node", part)) for part in parts]
        kinds = {node.op_type if node is not None else "" for node in nodes}
        if kinds <= {"Softmax"} or kinds <= {"LogSoftmax"}:
            inner = self.stack([str(node.input[0]) for node in nodes if node is not None], width)
            out = self.add(kinds.pop(), inner, axis=-1)
        else:
            out = self.add("Reshape", self._side_by_side(parts), np.array([-1, len(parts), width]))
        self.known[key] = out
        return out

    def _side_by_side(self, parts: Sequence[str]) -> str:
        if len(parts) == 1:
            return parts[0]
        affine = [self.known[k] for k in (("affine", part) for part in parts) if k in self.known]
        if len(affine) < len(parts) or len({x for x, _, _ in affine}) > 1:
            return self.add("Concat", *parts, axis=1)
        weights = np.hstack([matrix for _, matrix, _ in affine])
        return self.matmul(affine[0][0], weights, np.concatenate([bias for *_, bias in affine]))


def _needed(nodes: Sequence[Any], outputs: Iterable[str]) -> tuple[list[Any], set[str]]:
    """The nodes that lead to some tensors, and the names of all that these are made of."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):  # each comes after what it needs
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(_inputs(node))
    return kept[::-1], wanted


def _rename(graph: Any, prefix: str) -> None:
    """Put a prefix before all names, those inside branches and loops included."""
    for node in graph.node:
        node.name = prefix + node.name
        for names in (node.input, node.output):
            names[:] = [name and prefix + name for name in names]
        for attribute in node.attribute:
            _rename(attribute.g, prefix)
    for named in (*graph.initializer, *graph.input, *graph.output, *graph.value_info):
        named.name = prefix + named.name


def _inputs(node: Any) -> Iterator[str]:
    """What a node refers to, in its branches and loops, too."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _inputs(inner)


def _width(value: Any) -> int:
    dims = value.type.tensor_type.shape.dim
    return int(dims[1].dim_value) if len(dims) > 1 else 0
