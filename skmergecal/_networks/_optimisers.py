"""Optimisers of networks given as arrays: all arrays are parts of one vector, moved in one step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

import numpy as np

from skmergecal._networks._network import as_float32
from skmergecal._typing import Array

__all__ = ["Adam", "NesterovSGD", "Optimiser"]


class Optimiser(ABC):
    """Moves single-precision copies of arrays against their gradients.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Not changed. Floating arrays are copied in single precision, which halves the time; the
        rounding error is far smaller than the change of a step.
    constant : collection of str, default=()
        Names of arrays that stay as they are.

    Attributes
    ----------
    arrays : dict of str to ndarray
        Copies that the steps change, as views of one vector; constant arrays as they were.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], constant: Collection[str] = ()) -> None:
        self.arrays = as_float32(arrays)
        moving = [
            name
            for name, array in self.arrays.items()
            if name not in constant and np.issubdtype(array.dtype, np.floating)
        ]
        self.vector = np.concatenate([self.arrays[name].ravel() for name in moving])
        self.gradient = np.zeros_like(self.vector)
        self._gradients: dict[str, np.ndarray] = {}
        start = 0
        for name in moving:
            shape, stop = self.arrays[name].shape, start + self.arrays[name].size
            self.arrays[name] = self.vector[start:stop].reshape(shape)
            self._gradients[name] = self.gradient[start:stop].reshape(shape)
            start = stop
        #: 1 for the numbers of matrices, which weight decay shrinks, 0 for biases and gains.
        self.is_weight = np.concatenate(
            [np.full(self.arrays[n].size, self.arrays[n].ndim > 1) for n in moving]
        ).astype(np.float32)

    def move(self, gradients: Mapping[str, Array], rate: float) -> None:
        """One step; arrays without a gradient have gradient 0."""
        if len(gradients) < len(self._gradients):
            self.gradient[:] = 0.0
        for name, gradient in gradients.items():
            if name in self._gradients:
                self._gradients[name][...] = gradient
        self._step(rate)

    @abstractmethod
    def _step(self, rate: float) -> None:
        """Move the vector, given its gradient."""

    def like(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Copies of the given arrays, with the current values of those that the steps change."""
        return {
            name: self.arrays[name].astype(array.dtype) if name in self._gradients else array.copy()
            for name, array in arrays.items()
        }


class Adam(Optimiser):
    """Adam with decoupled weight decay, on matrices only (AdamW).

    Parameters
    ----------
    arrays, constant
        As for `Optimiser`.
    betas : tuple of float, default=(0.9, 0.999)
    epsilon : float, default=1e-8
    weight_decay : float, default=0.0
        Each step shrinks the weights by this factor times the rate.

    References
    ----------
    Kingma and Ba, "Adam", ICLR 2015, algorithm 1; Loshchilov and Hutter, "Decoupled weight decay
    regularization", ICLR 2019, algorithm 2.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        constant: Collection[str] = (),
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(arrays, constant)
        self.betas, self.epsilon, self.weight_decay = betas, epsilon, weight_decay
        self.first, self.second = np.zeros_like(self.vector), np.zeros_like(self.vector)
        self.scratch = np.empty_like(self.vector)
        self.count = 0

    def _step(self, rate: float) -> None:
        self.count += 1
        g, scratch, (b1, b2) = self.gradient, self.scratch, self.betas
        self.first *= b1
        self.first += np.multiply(g, 1 - b1, out=scratch)
        self.second *= b2
        np.multiply(g, g, out=scratch)
        scratch *= 1 - b2
        self.second += scratch
        np.sqrt(self.second, out=scratch)
        scratch /= np.sqrt(1 - b2**self.count)
        scratch += self.epsilon
        np.divide(self.first, scratch, out=scratch)
        scratch *= rate / (1 - b1**self.count)
        if self.weight_decay:
            np.multiply(self.is_weight, self.vector, out=g)
            g *= rate * self.weight_decay
            self.vector -= g
        self.vector -= scratch


class NesterovSGD(Optimiser):
    """Stochastic gradient descent with (Nesterov's) momentum.

    Parameters
    ----------
    arrays, constant
        As for `Optimiser`.
    momentum : float, default=0.9
    nesterov : bool, default=True
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        constant: Collection[str] = (),
        *,
        momentum: float = 0.9,
        nesterov: bool = True,
    ) -> None:
        super().__init__(arrays, constant)
        self.momentum, self.nesterov = momentum, nesterov
        self.velocity = np.zeros_like(self.vector)

    def _step(self, rate: float) -> None:
        # v becomes m v - r g. Nesterov's step is m v - r g with the new v: v + (m - 1) v - r g.
        self.velocity *= self.momentum
        self.velocity -= rate * self.gradient
        self.vector += self.velocity
        if self.nesterov:
            self.vector += (self.momentum - 1) * self.velocity - rate * self.gradient
