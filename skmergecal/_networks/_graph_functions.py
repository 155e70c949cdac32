"""Functions and methods of torch as nodes of a network.

Each takes the reader, and then the arguments of the function of torch, with their names there.
"""

from __future__ import annotations

import builtins
import math
import operator
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from skmergecal._networks._axes import (
    Einsum,
    Permute,
    Reduce,
    Softmax,
)
from skmergecal._networks._graph import GraphReader, Place, operation
from skmergecal._networks._graph_layers import gated, pooled
from skmergecal._networks._graph_shapes import transposed
from skmergecal._networks._nodes import (
    Add,
    AffineLayer,
    Constant,
    Embedding,
    LayerNorm,
    LearnedSlope,
    Multiply,
)

__all__ = ["SIMPLE"]

#: Functions without parameters that act on each number.
SIMPLE = {
    "relu": (torch.relu, torch.relu_, functional.relu, functional.relu_, "relu", "relu_"),
    "tanh": (torch.tanh, torch.tanh_, functional.tanh, "tanh", "tanh_"),
    "logistic": (torch.sigmoid, torch.sigmoid_, functional.sigmoid, "sigmoid", "sigmoid_"),
    "silu": (functional.silu,),
    "selu": (torch.selu, torch.selu_, functional.selu, functional.selu_),
    "mish": (functional.mish,),
    "hardswish": (functional.hardswish,),
    "hardsigmoid": (functional.hardsigmoid,),
    "relu6": (functional.relu6,),
    "softsign": (functional.softsign,),
    "log_sigmoid": (functional.logsigmoid,),
    "sin": (torch.sin, "sin"),
    "cos": (torch.cos, "cos"),
    "exp": (torch.exp, "exp"),
    "log": (torch.log, "log"),
    "abs": (torch.abs, "abs", operator.abs, builtins.abs),
}


def _simple(name: str, parameter: float = 0.0) -> Any:
    def make(r: GraphReader, input: Place, inplace: bool = False) -> Place:
        return r.activation(input, name, parameter)

    return make


for _name, _targets in SIMPLE.items():
    operation(*_targets)(_simple(_name))


@operation(functional.leaky_relu, functional.leaky_relu_)
def _leaky_relu(
    r: GraphReader, input: Place, negative_slope: float = 0.01, inplace: bool = False
) -> Place:
    return r.activation(input, "leaky_relu", negative_slope)


@operation(functional.elu, functional.elu_)
def _elu(r: GraphReader, input: Place, alpha: float = 1.0, inplace: bool = False) -> Place:
    return r.activation(input, "elu", alpha)


@operation(functional.celu)
def _celu(r: GraphReader, input: Place, alpha: float = 1.0, inplace: bool = False) -> Place:
    return r.activation(input, "celu", alpha)


@operation(functional.gelu)
def _gelu(r: GraphReader, input: Place, approximate: str = "none") -> Place:
    return r.activation(input, "gelu_tanh" if approximate == "tanh" else "gelu")


@operation(functional.softplus)
def _softplus(r: GraphReader, input: Place, beta: float = 1.0, threshold: float = 20.0) -> Place:
    return r.activation(input, "softplus", beta)


@operation(functional.prelu, torch.prelu)
def _prelu(r: GraphReader, input: Place, weight: Place) -> Any:
    node = r.nodes[weight]
    if not isinstance(node, Constant):
        return r.fail(f"the operation {r.name!r} with slopes that are computed")
    return r.on(input, LearnedSlope((input,), node.name))


@operation(torch.clamp, torch.clip, "clamp", "clip", "clamp_")
def _clamp(r: GraphReader, input: Place, min: Any = None, max: Any = None) -> Any:
    known = {(0, None): "relu", (0, 6): "relu6", (-1, 1): "hardtanh"}
    if not all(isinstance(a, int | float | None) for a in (min, max)) or (min, max) not in known:
        return r.fail(f"the operation {r.name!r} between {min} and {max}")
    return r.activation(input, known[min, max])


@operation(torch.pow, operator.pow, "pow")
def _pow(r: GraphReader, input: Any, exponent: Any) -> Any:
    if not isinstance(input, Place) or isinstance(exponent, Place):
        return r.fail(f"the operation {r.name!r} with an exponent that is computed")
    return r.activation(input, "power", exponent)


for _targets, _exponent in (
    ((torch.square, "square"), 2.0),
    ((torch.sqrt, "sqrt"), 0.5),
    ((torch.rsqrt, "rsqrt"), -0.5),
    ((torch.reciprocal, "reciprocal"), -1.0),
):
    operation(*_targets)(_simple("power", _exponent))


# Sums and products


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, Place)


@operation(operator.add, operator.iadd, torch.add, "add", "add_")
def _add(r: GraphReader, input: Any, other: Any, *, alpha: float = 1) -> Place:
    if _is_number(input):
        return _add(r, other, input)
    if _is_number(other):
        return r.activation(input, "plus", alpha * other) if other else input
    other = other if alpha == 1 else r.activation(r.place(other), "times", alpha)
    return summed(r, r.place(input), r.place(other))


@operation(operator.sub, operator.isub, torch.sub, torch.subtract, "sub", "sub_")
def _sub(r: GraphReader, input: Any, other: Any, *, alpha: float = 1) -> Place:
    if _is_number(input):
        return r.activation(r.activation(other, "times", -alpha), "plus", input)
    return _add(r, input, other, alpha=-alpha)


@operation(torch.rsub)
def _rsub(r: GraphReader, input: Any, other: Any) -> Place:
    return _sub(r, other, input)


@operation(operator.neg, torch.neg, "neg")
def _neg(r: GraphReader, input: Place) -> Place:
    return r.activation(input, "times", -1.0)


@operation(operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_")
def _mul(r: GraphReader, input: Any, other: Any) -> Place:
    if _is_number(input):
        return _mul(r, other, input)
    if _is_number(other):
        return r.activation(input, "times", other)
    places, constant = r.matched([r.place(input), r.place(other)])
    return r.add(Multiply(tuple(places)), constant=constant)


@operation(operator.truediv, operator.itruediv, torch.div, torch.true_divide, "div", "div_")
def _div(r: GraphReader, input: Any, other: Any) -> Place:
    if _is_number(other):
        return r.activation(input, "times", 1 / other)
    return _mul(r, input, r.activation(r.place(other), "power", -1.0))


def summed(r: GraphReader, a: Place, b: Place) -> Place:
    """The sum of two values; a bias joins the layer without one that it is added to."""
    for one, two in ((a, b), (b, a)):
        layer, bias = r.nodes[one], r.nodes[two]
        if isinstance(layer, AffineLayer) and layer.bias is None and isinstance(bias, Constant):
            shape = r.arrays[bias.name].shape
            if bias.trained and shape == r.probe[one].shape[-1:]:
                joined = AffineLayer(layer.inputs, layer.weight, bias.name, layer.out_axis)
                return r.add(joined, constant=one in r.constant)
    places, constant = r.matched([a, b])
    return r.add(Add(tuple(places)), constant=constant)


@operation(functional.linear)
def _linear(r: GraphReader, input: Place, weight: Any, bias: Any = None) -> Place:
    out = _matmul(r, input, transposed(r, r.place(weight), 0, 1))
    return out if bias is None else summed(r, out, r.place(bias))


@operation(operator.matmul, torch.matmul, torch.bmm, torch.mm, "matmul", "bmm", "mm", "__matmul__")
def _matmul(r: GraphReader, input: Any, other: Any) -> Any:
    a, b = r.place(input), r.place(other)
    layer = _as_layer(r, a, b)
    if layer is not None:
        return layer
    n, m = r.rank(a), r.rank(b)
    letters = "abcdefgh"
    both = max(n, m, 2)
    one = letters[both - n : both] if n > 1 else letters[both - 1]
    before = letters[max(both - m, 0) : both - 2]
    two = before + letters[both - 1] + "z" if m > 1 else letters[both - 1]
    if n < m and n > 1:  # the axes in front of a matrix are repeated
        result = before + one[-2] + "z"
    else:
        result = (one[:-1] if n > 1 else "") + ("z" if m > 1 else "")
    return einsum(r, (one, two, result), a, b)


def _as_layer(r: GraphReader, below: Place, weight: Place) -> Place | None:
    """An affine layer, if a matrix of the module is what a value is multiplied by."""
    node, out_axis = r.nodes[weight], 1
    if isinstance(node, Permute) and node.order == (0, 2, 1):
        node, out_axis = r.nodes[node.inputs[0]], 0
    if not isinstance(node, Constant) or r.arrays[node.name].ndim != 2 or not node.trained:
        return None
    if below in r.constant:
        return None
    return r.on(below, AffineLayer((below,), node.name, None, out_axis))


@operation(torch.einsum)
def _einsum(r: GraphReader, equation: Any, *operands: Any) -> Any:
    if not isinstance(equation, str) or "->" not in equation or "." in equation:
        return r.fail(f"the operation {r.name!r} of this form")
    left, result = equation.replace(" ", "").split("->")
    terms = left.split(",")
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    if len(terms) != 2 or len(operands) != 2:
        return r.fail(f"the operation {r.name!r} of other than two tensors")
    a, b = (r.place(o) for o in operands)
    return einsum(r, (terms[0], terms[1], result), a, b)


def einsum(r: GraphReader, terms: tuple[str, str, str], a: Place, b: Place) -> Place:
    """Sum of products: the first axis of a value with rows has to stay the first."""
    one, two, result = terms
    rows = {t[:1] for t, p in ((one, a), (two, b)) if p not in r.constant}
    repeated = any(len(set(t)) < len(t) for t in terms)
    alone = (set(one) ^ set(two)) - set(result)
    first = result[:1] in rows and len(rows) == 1
    rest = all(not rows & set(t) for t, p in ((one, a), (two, b)) if p in r.constant)
    if repeated or alone or not first or not rest or len(one) != r.rank(a) or len(two) != r.rank(b):
        r.fail(f"the operation {r.name!r} across rows, or of axes in this order")
    return r.add(Einsum((a, b), terms))


@operation(functional.scaled_dot_product_attention)
def _attention(
    r: GraphReader, query: Place, key: Place, value: Place, *, scale: float | None = None
) -> Place:
    if scale is None:
        scale = 1 / math.sqrt(r.shape(query)[-1])
    score = _matmul(r, query, transposed(r, key, -2, -1))
    share = _softmax(r, r.activation(score, "times", scale), -1)
    return _matmul(r, share, value)


# Sums over axes, and what layers compute


@operation(
    functional.dropout,
    functional.dropout1d,
    functional.dropout2d,
    functional.alpha_dropout,
    functional.feature_alpha_dropout,
)
def _dropout(
    r: GraphReader, input: Place, p: float = 0.5, training: Any = True, inplace: bool = False
) -> Any:
    if training is True:
        return r.fail(f"the operation {r.name!r} with training=True, which draws at random")
    return input


def _reduced(r: GraphReader, below: Place, dim: Any, keepdim: bool, kind: str) -> Place:
    dims = dim if isinstance(dim, list | tuple) else [dim]
    axes = tuple(sorted(r.axis(below, d) for d in dims))
    return r.on(below, Reduce((below,), axes, kind, keepdim))


@operation(torch.mean, "mean")
def _mean(r: GraphReader, input: Place, dim: Any = None, keepdim: bool = False) -> Place:
    return _reduced(r, input, dim, keepdim, "mean")


@operation(torch.amax, "amax")
def _amax(r: GraphReader, input: Place, dim: Any = None, keepdim: bool = False) -> Place:
    return _reduced(r, input, dim, keepdim, "max")


@operation(torch.max, "max")
def _max(r: GraphReader, input: Place, dim: Any = None, keepdim: bool = False) -> Any:
    return _reduced(r, input, dim, keepdim, "max"), None


@operation(torch.sum, "sum")
def _sum(r: GraphReader, input: Place, dim: Any = None, keepdim: bool = False) -> Place:
    mean = _reduced(r, input, dim, keepdim, "mean")
    return r.activation(mean, "times", r.probe[input].size / r.probe[mean].size)


@operation(functional.softmax, torch.softmax, "softmax")
def _softmax(r: GraphReader, input: Place, dim: Any = None, **named: Any) -> Place:
    return r.on(input, Softmax((input,), r.axis(input, -1 if dim is None else dim)))


@operation(functional.log_softmax, torch.log_softmax, "log_softmax")
def _log_softmax(r: GraphReader, input: Place, dim: Any = None, **named: Any) -> Place:
    return r.on(input, Softmax((input,), r.axis(input, -1 if dim is None else dim), log=True))


@operation(functional.glu)
def _glu(r: GraphReader, input: Place, dim: int = -1) -> Place:
    return gated(r, input, dim)


@operation(functional.embedding)
def _embedding(r: GraphReader, input: Place, weight: Place) -> Any:
    node = r.nodes[weight]
    if not isinstance(node, Constant):
        return r.fail(f"the operation {r.name!r} with a table that is computed")
    return r.on(input, Embedding((input,), node.name))


@operation(functional.layer_norm)
def _layer_norm(
    r: GraphReader,
    input: Place,
    normalized_shape: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Any:
    parts = [None if p is None else r.nodes[p] for p in (weight, bias)]
    if len(normalized_shape) != 1 or not all(isinstance(p, Constant | None) for p in parts):
        return r.fail(f"the operation {r.name!r} over several axes")
    names = [p.name if isinstance(p, Constant) else None for p in parts]
    return r.on(input, LayerNorm((input,), names[0], names[1], eps))


@operation(functional.max_pool1d, functional.max_pool2d)
def _max_pool(
    r: GraphReader,
    input: Place,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    if ceil_mode or return_indices:
        return r.fail(f"the operation {r.name!r} with ceil_mode or return_indices")
    n = r.rank(input) - 2
    return pooled(r, input, "max", n, kernel_size, stride or kernel_size, padding, dilation)


@operation(functional.avg_pool1d, functional.avg_pool2d)
def _avg_pool(
    r: GraphReader, input: Place, kernel_size: Any, stride: Any = None, padding: Any = 0
) -> Any:
    n = r.rank(input) - 2
    return pooled(r, input, "mean", n, kernel_size, stride or kernel_size, padding, 1)
