"""skorch nets, through torch's exporter."""

from __future__ import annotations

import inspect
import io
from typing import Any

import numpy as np

from skmergecal._optional import optional_import
from skmergecal._typing import Estimator
from skmergecal.members import as_net_input, copy_net, is_skorch
from skmergecal.onnx._graph import DOUBLE, FLOAT, INT64, Graph, GraphTensor, need
from skmergecal.onnx._read import registers
from skmergecal.onnx._rows import InputRows

__all__: list[str] = []


@registers("skorch_logits", lambda net: True)
def _net_logits(graph: Graph, net: Estimator, rows: InputRows) -> str:
    z, dimensions = _exported(graph, copy_net(net), rows, link=None)
    if dimensions > 1:
        return z
    column = graph.add("Unsqueeze", z, np.array([1]))
    return graph.matmul(column, np.array([[0.0, 1.0]]))


@registers("skorch_proba", lambda net: True)
@registers("proba", is_skorch)
def _net_proba(graph: Graph, net: Estimator, rows: InputRows) -> str:
    private = copy_net(net)
    link = private._get_predict_nonlinearity()
    return graph.normalised(_exported(graph, private, rows, link)[0])


def _exported(graph: Graph, net: Estimator, rows: InputRows, link: Any) -> tuple[str, int]:
    """The output of a module, after a link if there is one, and the number of its dimensions."""
    torch = optional_import("torch", extra="neural", purpose="converting skorch nets")
    names = set(inspect.signature(net.module_.forward).parameters)
    if rows.names is not None and set(rows.names) <= names:
        msg = "its module takes columns by name, not rows"
        raise TypeError(msg)

    base: Any = torch.nn.Module  # torch is loaded at run time: no type of its own

    class Linked(base):
        def __init__(self) -> None:
            super().__init__()
            self.module = net.module_

        def forward(self, x: Any) -> Any:
            out = self.module(x)
            out = out[0] if isinstance(out, tuple) else out
            return out if link is None else link(out)

    whole = rows.whole
    x = rows.matrix(graph, INT64 if whole else DOUBLE)
    shape = (2, x.width, *x.rest)
    example = as_net_input(net, np.zeros(shape, dtype=np.int64 if whole else np.float64))
    kind = {"float32": FLOAT, "float64": DOUBLE, "int64": INT64}[example.dtype.name]
    module = Linked().eval().cpu()
    example = torch.as_tensor(example)
    buffer = io.BytesIO()
    torch.onnx.export(
        module,
        (example,),
        buffer,
        input_names=["x"],
        output_names=["out"],
        dynamic_axes={"x": {0: "n"}, "out": {0: "n"}},
        opset_version=graph.opsets[""],
        dynamo=False,
    )
    (out,) = graph.splice(need("onnx").load_from_string(buffer.getvalue()), [graph.cast(x, kind)])
    with torch.no_grad():
        dimensions = module(example).ndim
    return graph.cast(GraphTensor(out.name, out.kind, 0), DOUBLE).name, dimensions
