"""Element-wise functions of networks: values, slopes, and the symmetries that each has."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import NamedTuple

import numpy as np
from scipy.special import expit, ndtr

from skmergecal._typing import Array

__all__ = ["ACTIVATIONS", "ActivationFunction"]

#: Constants of SELU (Klambauer et al., "Self-Normalizing Neural Networks", NeurIPS 2017).
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


class ActivationFunction(NamedTuple):
    """An element-wise function, its slope, and the symmetries that it has.

    Attributes
    ----------
    value : callable
        Of (x, parameter).
    slope : callable
        Of (x, value, parameter).
    odd : bool
        Whether f(-x) = -f(x), so that units can be flipped.
    homogeneous : bool
        Whether f(s x) = s f(x) for every s > 0, so that units can be scaled.
    """

    value: Callable[[Array, float], Array]
    slope: Callable[[Array, Array, float], Array]
    odd: bool = False
    homogeneous: bool = False


#: Coefficients of the tail of the normal distribution, of t to t^5.
_TAIL = (0.319381530, -0.356563782, 1.781477937, -1.821255978, 1.330274429)


def normal_density(x: Array) -> Array:
    """Density of the standard normal distribution."""
    found: Array = x * x
    found *= -0.5
    np.exp(found, out=found)
    found /= sqrt(2 * pi)
    return found


def normal_cdf(x: Array) -> Array:
    """Distribution function of the standard normal, in single precision by a short formula.

    Its error is at most 4e-7, most of it the rounding of single precision. SciPy computes in
    double precision for single precision, too, which takes five times as long.

    References
    ----------
    Abramowitz and Stegun, "Handbook of mathematical functions", 1964, formula 26.2.17.
    """
    if x.dtype != np.float32:
        found: Array = ndtr(x)
        return found
    t = np.abs(x)
    t *= 0.2316419
    t += 1
    np.reciprocal(t, out=t)
    tail = np.full_like(t, _TAIL[-1])
    for coefficient in (*_TAIL[-2::-1], 0.0):
        tail *= t
        tail += coefficient
    tail *= normal_density(x)
    # 1 - tail where x is positive, else the tail; `numpy.where` takes as long as all of the above.
    found = np.copysign(0.5 - tail, x)
    found += 0.5
    return found


def _gelu_slope(x: Array, y: Array, _: float) -> Array:
    slope = normal_density(x)
    slope *= x
    slope += normal_cdf(x)
    return slope


def _gelu_tanh(x: Array, _: float) -> Array:
    return x * expit(sqrt(8 / pi) * (x + 0.044715 * x**3))


def _gelu_tanh_slope(x: Array, y: Array, _: float) -> Array:
    s = expit(sqrt(8 / pi) * (x + 0.044715 * x**3))
    return s + x * s * (1 - s) * sqrt(8 / pi) * (1 + 3 * 0.044715 * x**2)


def _silu_slope(x: Array, y: Array, _: float) -> Array:
    s = expit(x)
    return s + y * (1 - s)


def _softplus(x: Array, beta: float) -> Array:
    return np.logaddexp(x.dtype.type(0), beta * x) / beta


def _mish(x: Array, _: float) -> Array:
    return x * np.tanh(_softplus(x, 1.0))


def _mish_slope(x: Array, y: Array, _: float) -> Array:
    t = np.tanh(_softplus(x, 1.0))
    return t + x * (1 - t**2) * expit(x)


def _hardswish_slope(x: Array, y: Array, _: float) -> Array:
    return np.where(x >= 3, x.dtype.type(1), (2 * x + 3) / 6 * (x > -3))


def _exponential(x: Array, alpha: float) -> Array:
    return np.maximum(x, 0.0) + alpha * np.expm1(np.minimum(x, 0.0))


def _exponential_slope(x: Array, y: Array, alpha: float) -> Array:
    return np.where(x > 0, x.dtype.type(1), alpha * np.exp(np.minimum(x, 0.0)))


#: By name: value of (x, parameter), slope of (x, value, parameter).
ACTIVATIONS = {
    "identity": ActivationFunction(lambda x, _: x, lambda x, y, _: np.ones_like(x), True, True),
    "relu": ActivationFunction(
        lambda x, _: np.maximum(x, 0.0), lambda x, y, _: (x > 0).astype(x.dtype), homogeneous=True
    ),
    "leaky_relu": ActivationFunction(
        lambda x, a: np.where(x > 0, x, a * x),
        lambda x, y, a: np.where(x > 0, x.dtype.type(1), x.dtype.type(a)),
        homogeneous=True,
    ),
    "tanh": ActivationFunction(lambda x, _: np.tanh(x), lambda x, y, _: 1 - y**2, odd=True),
    "logistic": ActivationFunction(lambda x, _: expit(x), lambda x, y, _: y * (1 - y)),
    "elu": ActivationFunction(_exponential, _exponential_slope),
    "gelu": ActivationFunction(lambda x, _: x * normal_cdf(x), _gelu_slope),
    "gelu_tanh": ActivationFunction(_gelu_tanh, _gelu_tanh_slope),
    "silu": ActivationFunction(lambda x, _: x * expit(x), _silu_slope),
    "selu": ActivationFunction(
        lambda x, _: _SELU_SCALE * _exponential(x, _SELU_ALPHA),
        lambda x, y, _: _SELU_SCALE * _exponential_slope(x, y, _SELU_ALPHA),
    ),
    "celu": ActivationFunction(
        lambda x, a: a * _exponential(x / a, 1.0) * (x <= 0) + x * (x > 0),
        lambda x, y, a: _exponential_slope(x / a, y, 1.0),
    ),
    "mish": ActivationFunction(_mish, _mish_slope),
    "softplus": ActivationFunction(_softplus, lambda x, y, beta: expit(beta * x)),
    "hardswish": ActivationFunction(
        lambda x, _: x * np.clip(x + 3, 0.0, 6.0) / 6, _hardswish_slope
    ),
    "hardsigmoid": ActivationFunction(
        lambda x, _: np.clip(x + 3, 0.0, 6.0) / 6,
        lambda x, y, _: ((x > -3) & (x < 3)).astype(x.dtype) / 6,
    ),
    "relu6": ActivationFunction(
        lambda x, _: np.clip(x, 0.0, 6.0), lambda x, y, _: ((x > 0) & (x < 6)).astype(x.dtype)
    ),
    "hardtanh": ActivationFunction(
        lambda x, _: np.clip(x, -1.0, 1.0),
        lambda x, y, _: (np.abs(x) < 1).astype(x.dtype),
        odd=True,
    ),
    "softsign": ActivationFunction(
        lambda x, _: x / (1 + np.abs(x)), lambda x, y, _: 1 / (1 + np.abs(x)) ** 2, odd=True
    ),
    "log_sigmoid": ActivationFunction(lambda x, _: -_softplus(-x, 1.0), lambda x, y, _: expit(-x)),
    "sin": ActivationFunction(lambda x, _: np.sin(x), lambda x, y, _: np.cos(x), odd=True),
    "cos": ActivationFunction(lambda x, _: np.cos(x), lambda x, y, _: -np.sin(x)),
    "exp": ActivationFunction(lambda x, _: np.exp(x), lambda x, y, _: y),
    "log": ActivationFunction(lambda x, _: np.log(x), lambda x, y, _: 1 / x),
    "abs": ActivationFunction(lambda x, _: np.abs(x), lambda x, y, _: np.sign(x), homogeneous=True),
    "power": ActivationFunction(lambda x, a: x**a, lambda x, y, a: a * x ** (a - 1)),
    "times": ActivationFunction(
        lambda x, a: a * x, lambda x, y, a: np.full_like(x, a), odd=True, homogeneous=True
    ),
    "plus": ActivationFunction(lambda x, a: x + a, lambda x, y, a: np.ones_like(x)),
}
