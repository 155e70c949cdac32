"""Layers of torch.nn as nodes of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from skmergecal._networks._axes import Columns, Reduce, Softmax
from skmergecal._networks._graph import GraphReader, Place, layer
from skmergecal._networks._nodes import (
    AffineLayer,
    BatchNorm,
    Embedding,
    LayerNorm,
    LearnedSlope,
    Multiply,
)
from skmergecal._networks._windows import Convolution, Frame, WindowPool

__all__ = ["ACTIVATION_LAYERS"]


def _named(name: str) -> Callable[[Any], tuple[str, float]]:
    return lambda _: (name, 0.0)


#: Layers that act on each number: name and parameter of the activation.
ACTIVATION_LAYERS: dict[type[nn.Module], Callable[[Any], tuple[str, float]]] = {
    nn.ReLU: _named("relu"),
    nn.Tanh: _named("tanh"),
    nn.Sigmoid: _named("logistic"),
    nn.SiLU: _named("silu"),
    nn.LeakyReLU: lambda m: ("leaky_relu", float(m.negative_slope)),
    nn.ELU: lambda m: ("elu", float(m.alpha)),
    nn.GELU: lambda m: ("gelu_tanh" if m.approximate == "tanh" else "gelu", 0.0),
    nn.SELU: _named("selu"),
    nn.CELU: lambda m: ("celu", float(m.alpha)),
    nn.Mish: _named("mish"),
    nn.Softplus: lambda m: ("softplus", float(m.beta)),
    nn.Hardswish: _named("hardswish"),
    nn.Hardsigmoid: _named("hardsigmoid"),
    nn.ReLU6: _named("relu6"),
    nn.Softsign: _named("softsign"),
    nn.LogSigmoid: _named("log_sigmoid"),
}


@layer(*ACTIVATION_LAYERS)
def _activation(reader: GraphReader, part: Any, name: str, below: Place) -> Place:
    return reader.activation(below, *ACTIVATION_LAYERS[type(part)](part))


@layer(nn.Hardtanh)
def _hardtanh(reader: GraphReader, part: Any, name: str, below: Place) -> Any:
    limits = part.min_val, part.max_val
    known = {(-1.0, 1.0): "hardtanh", (0.0, 6.0): "relu6"}
    if limits not in known:
        return reader.unknown_layer(name, part)
    return reader.activation(below, known[limits])


@layer(
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.Identity,
)
def _nothing(reader: GraphReader, part: Any, name: str, below: Place) -> Place:
    return below


@layer(nn.Linear)
def _linear(reader: GraphReader, part: Any, name: str, below: Place) -> Place:
    weight, bias = reader.own(name, "weight"), reader.own(name, "bias")
    return reader.on(below, AffineLayer((below,), str(weight), bias, out_axis=0))


@layer(nn.Embedding)
def _embedding(reader: GraphReader, part: Any, name: str, below: Place) -> Any:
    if part.max_norm is not None:
        return reader.unknown_layer(name, part)
    return reader.on(below, Embedding((below,), str(reader.own(name, "weight"))))


@layer(nn.BatchNorm1d, nn.BatchNorm2d)
def _batch_norm(reader: GraphReader, part: Any, name: str, below: Place) -> Any:
    if part.running_mean is None:
        why = "without running statistics, whose output for a row depends on other rows"
        return reader.fail(f"the layer {name!r} of type {type(part).__name__} {why}")
    names = [reader.own(name, key) for key in ("weight", "bias", "running_mean", "running_var")]
    weight, bias, mean, var = names
    return reader.on(below, BatchNorm((below,), weight, bias, str(mean), str(var), part.eps))


@layer(nn.LayerNorm, nn.RMSNorm)
def _layer_norm(reader: GraphReader, part: Any, name: str, below: Place) -> Any:
    if len(part.normalized_shape) != 1:
        return reader.unknown_layer(name, part)
    eps = part.eps
    if eps is None:  # what torch takes depends on the type of the numbers
        kind = part.weight.dtype if part.weight is not None else torch.float32
        eps = torch.finfo(kind).eps
    weight, bias = reader.own(name, "weight"), reader.own(name, "bias")
    centred = isinstance(part, nn.LayerNorm)
    return reader.on(below, LayerNorm((below,), weight, bias, float(eps), centred))


@layer(nn.PReLU)
def _prelu(reader: GraphReader, part: Any, name: str, below: Place) -> Place:
    return reader.on(below, LearnedSlope((below,), str(reader.own(name, "weight"))))


@layer(nn.Softmax, nn.LogSoftmax)
def _softmax(reader: GraphReader, part: Any, name: str, below: Place) -> Place:
    axis = reader.axis(below, -1 if part.dim is None else part.dim)
    return reader.on(below, Softmax((below,), axis, isinstance(part, nn.LogSoftmax)))


@layer(nn.Flatten)
def _flatten(reader: GraphReader, part: Any, name: str, below: Place) -> Place:
    return flattened(reader, below, part.start_dim, part.end_dim)


@layer(nn.Unflatten)
def _unflatten(reader: GraphReader, part: Any, name: str, below: Place) -> Place:
    axis = reader.axis(below, part.dim)
    shape = reader.probe[below].shape
    inside = [int(n) for n in part.unflattened_size]
    if -1 in inside:
        inside[inside.index(-1)] = shape[axis] // -int(np.prod(inside))
    return reader.reshaped(below, (*shape[1:axis], *inside, *shape[axis + 1 :]))


@layer(nn.GLU)
def _glu(reader: GraphReader, part: Any, name: str, below: Place) -> Place:
    return gated(reader, below, part.dim)


@layer(nn.Conv1d, nn.Conv2d)
def _convolution(reader: GraphReader, part: Any, name: str, below: Place) -> Any:
    apart = part.groups > 1
    only_apart = part.groups == part.in_channels == part.out_channels
    padding = part.padding
    if padding == "valid":
        padding = (0,) * len(part.kernel_size)
    if padding == "same" and all(n % 2 for n in part.kernel_size):
        steps = zip(part.kernel_size, part.dilation, strict=True)
        padding = tuple((n - 1) * d // 2 for n, d in steps)
    usual = part.padding_mode == "zeros" and not isinstance(padding, str)
    with_rows = reader.rank(below) == 2 + len(part.kernel_size)
    if (apart and not only_apart) or not usual or not with_rows:
        return reader.unknown_layer(name, part)
    weight, bias = reader.own(name, "weight"), reader.own(name, "bias")
    frame = Frame(*map(tuple, (part.kernel_size, part.stride, padding, part.dilation)))
    return reader.on(below, Convolution((below,), str(weight), bias, frame, apart))


@layer(nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d)
def _pool(reader: GraphReader, part: Any, name: str, below: Place) -> Any:
    largest = isinstance(part, nn.MaxPool1d | nn.MaxPool2d)
    unusual = part.ceil_mode or getattr(part, "return_indices", False)
    unusual |= getattr(part, "divisor_override", None) is not None
    unusual |= not getattr(part, "count_include_pad", True)
    n = 2 if isinstance(part, nn.MaxPool2d | nn.AvgPool2d) else 1
    if unusual or reader.rank(below) != 2 + n:
        return reader.unknown_layer(name, part)
    stride = part.kernel_size if part.stride is None else part.stride
    sizes = (part.kernel_size, stride, part.padding, getattr(part, "dilation", 1))
    return pooled(reader, below, "max" if largest else "mean", n, *sizes)


@layer(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)
def _adaptive_pool(reader: GraphReader, part: Any, name: str, below: Place) -> Any:
    n = 1 if isinstance(part, nn.AdaptiveAvgPool1d | nn.AdaptiveMaxPool1d) else 2
    lengths = reader.probe[below].shape[2:]
    out = part.output_size if isinstance(part.output_size, tuple) else (part.output_size,) * n
    wanted = [length if k is None else k for k, length in zip(out, lengths, strict=False)]
    even = not any(a % b for a, b in zip(lengths, wanted, strict=False))
    if len(lengths) != n or not even or getattr(part, "return_indices", False):
        return reader.unknown_layer(name, part)
    kind = "mean" if isinstance(part, nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d) else "max"
    if set(wanted) == {1}:
        return reader.on(below, Reduce((below,), tuple(range(2, 2 + n)), kind, keep=True))
    size = tuple(a // b for a, b in zip(lengths, wanted, strict=True))
    return pooled(reader, below, kind, n, size, size, 0, 1)


def pooled(reader: GraphReader, below: Place, kind: str, n: int, *sizes: Any) -> Place:
    """A pool; its sizes are numbers, or one for each axis."""
    frame = Frame(*(tuple(s) if isinstance(s, tuple | list) else (s,) * n for s in sizes))
    return reader.on(below, WindowPool((below,), frame, kind))


def flattened(reader: GraphReader, below: Place, start: int, end: int) -> Place:
    """Several axes as one; that of the rows too, where the others hold one number."""
    whole = reader.probe[below].shape
    if start == 0 and below not in reader.constant and whole[1:] == (1,) * (len(whole) - 1):
        return reader.reshaped(below, ())  # the one logit of two classes
    first, last = reader.axis(below, start), reader.axis(below, end)
    shape = reader.probe[below].shape
    if (first, last) == (1, len(shape) - 1):
        return below if len(shape) == 2 else reader.reshaped(below, (-1,))
    size = int(np.prod(shape[first : last + 1]))
    return reader.reshaped(below, (*shape[1:first], size, *shape[last + 1 :]))


def gated(reader: GraphReader, below: Place, dim: int) -> Place:
    """One half of an axis times the sigmoid of the other half."""
    axis = reader.axis(below, dim)
    half = reader.probe[below].shape[axis] // 2
    parts = [
        reader.on(below, Columns((below,), tuple(range(start, start + half)), axis))
        for start in (0, half)
    ]
    gate = reader.activation(parts[1], "logistic")
    return reader.on(below, Multiply((parts[0], gate)))
