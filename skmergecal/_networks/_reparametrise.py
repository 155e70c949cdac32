"""Reparametrisation of a network: permute, flip and scale hidden units, with the same outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skmergecal._networks._network import Network
from skmergecal._networks._nodes import Arrays
from skmergecal._networks._units import UnitSpace
from skmergecal._typing import Array, IntArray

__all__ = ["balance", "check_same_function", "reparametrise"]

#: Limit of sweeps of balancing. Each brings the norms nearer to balance, by a constant factor.
_SWEEPS = 1000
_ROWS_TO_CHECK = 256
#: Relative difference of logits that rounding in float64 explains.
_ROUNDING = 1e-7


def reparametrise(
    arrays: dict[str, Array], space: UnitSpace, order: IntArray, signs: Sequence[Array]
) -> None:
    """Permute the units of a space, and flip those with sign -1. In place.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Changed in place.
    space : UnitSpace
    order : ndarray of shape (size,)
        For each new place, the old place of its unit.
    signs : sequence of ndarray of shape (size,)
        One for each of the space's groups, in the new order.
    """
    for slot in space.slots:
        view = slot.view(arrays)
        view[...] = view[order]
    for group, sign in zip(space.groups, signs, strict=True):
        scale_units(arrays, group.slots, sign)


def scale_units(arrays: dict[str, Array], slots: Sequence, scale: Array) -> None:
    """Multiply the arrays that make the units, and divide those that take them in. In place."""
    for slot in slots:
        view = slot.view(arrays)
        view *= (scale**slot.power).reshape(-1, *[1] * (view.ndim - 1))


def balance(arrays: dict[str, Array], spaces: Sequence[UnitSpace]) -> None:
    """Give the incoming and the outgoing weights of each unit the same norm. In place.

    This concerns units that can be scaled by any positive number. The balance is the minimum of the
    sum of squares over all scales, a convex problem in their logarithms: networks that differ only
    in scales become equal.

    References
    ----------
    Neyshabur, Salakhutdinov and Srebro, "Path-SGD", NeurIPS 2015.
    """
    groups = [group for space in spaces for group in space.groups if group.homogeneous]
    for _ in range(_SWEEPS):
        moved = 0.0
        for group in groups:
            inner, outer = (
                sum(
                    (slot.table(arrays) ** 2).sum(axis=1) for slot in group.slots if slot.power == p
                )
                for p in (1, -1)
            )
            # With a the incoming and b the outgoing sum of squares, s^2 a + b / s^2 is lowest at
            # s^4 = b / a. Where one of them is 0 there is no minimum, and the unit stays as it is.
            free = (np.asarray(inner) > 0) & (np.asarray(outer) > 0)
            ratio = np.divide(outer, inner, out=np.ones(len(free)), where=free)
            scale = ratio**0.25
            scale_units(arrays, group.slots, scale)
            moved = max(moved, float(np.abs(np.log(scale)).max(initial=0.0)))
        if moved < 1e-14:
            return


def check_same_function(network: Network, before: Arrays, after: Arrays, X: Array) -> None:
    """Check that a reparametrised network has the same logits as before.

    Raises
    ------
    RuntimeError
        If not: a bug of this package, or an error in a registered description of a network.
    """
    X = X[:_ROWS_TO_CHECK]
    old, new = network.logits(before, X), network.logits(after, X)
    error = float(np.abs(old - new).max(initial=0.0)) / (1.0 + float(np.abs(old).max(initial=0.0)))
    if not error <= _ROUNDING:
        msg = (
            f"a network with permuted units changed its logits by {error:.2g} relative to their "
            "size, because its description (Parameters.network) is wrong: use alignment=None"
        )
        raise RuntimeError(msg)
