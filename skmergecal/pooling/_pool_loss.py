"""Log loss of a weighted sum of members' log-probabilities, its gradient and its Hessian."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from typing import NamedTuple

import numpy as np

from skmergecal._partitions import SIZES, InMemory, Partitions, Rows, Sizes
from skmergecal._typing import Array, IntArray

__all__ = ["PoolLoss", "rows_of_block"]

#: Numbers in a block of rows, for all members together.
_BLOCK = 1 << 16
#: Up to this many gaps are kept between evaluations; more are computed again, block by block.
_KEPT = 1 << 22
#: Up to this many classes, blocks are stored class by class; with more, row by row.
_FEW_CLASSES = 32
#: Range of the exponents of the members' units, so that neither the squares of the units nor those
#: of the numbers in these units overflow.
_EXPONENTS = -400, 600


class _GapBlock(NamedTuple):
    gaps: Array
    """Gaps to the true class in the members' units, (n_members, (n_classes - 1) * rows)."""
    weight: Array


class PoolLoss:
    """Mean log loss of softmax(sum_k beta_k z_k) and its derivatives in beta.

    With g_k the gaps of the other classes to the true one, the loss of a row is
    log(1 + sum exp(u)), u = sum_k beta_k g_k. It is computed in units of the members, so that no
    square overflows: the variables of the search are x_k = beta_k * unit_k.

    Parameters
    ----------
    rows : Partitions of Rows
        Their opinions are float64 and finite, their weights positive.

    Attributes
    ----------
    total : float
        Sum of the weights.
    unit : ndarray of shape (n_members,)
        Powers of two, about the largest absolute value of each member.
    n_rows, n_classes : int
    """

    def __init__(self, rows: Partitions[Rows]) -> None:
        self.rows = rows
        sizes, largest = rows.reduce(
            _sizes_and_units, how=(SIZES, "max"), what="sizes of the opinions"
        )
        self.n_rows, self.total, self.n_classes = Sizes(*sizes)
        self.unit = np.ldexp(1.0, np.frexp(largest)[1].clip(*_EXPONENTS))
        self._parts = self._cut_parts()

    @property
    def n_members(self) -> int:
        """Number of members."""
        return len(self.unit)

    def of_members(self, members: IntArray) -> PoolLoss:
        """The same loss of some members alone."""
        if len(members) == self.n_members:
            return self
        found = copy(self)
        found.rows = self.rows.map(Rows.of_members, members.tolist())
        found.unit = self.unit[members]
        found._parts = found._cut_parts()
        return found

    def _cut_parts(self) -> Partitions[PoolLossOfPart]:
        # In partitions each round has parts of its own.
        return self.rows.map(PoolLossOfPart, self.unit, isinstance(self.rows, InMemory))

    def value(self, beta: Array) -> float:
        """Mean loss at beta, without derivatives."""
        loss = self._parts.reduce(PoolLossOfPart.value, beta * self.unit, what="logarithmic pool")
        return float(loss / self.total)

    def derivatives(self, x: Array) -> tuple[float, Array, Array]:
        """Mean loss at beta = x / unit, its gradient and its Hessian in x."""
        loss, gradient, square, hessian = self._parts.reduce(
            PoolLossOfPart.derivatives, x, what="logarithmic pool"
        )
        hessian = hessian + square
        # Rounding in the subtraction should not give a negative curvature.
        lost = np.finfo(float).eps * square.diagonal()
        np.fill_diagonal(hessian, np.maximum(hessian.diagonal(), lost))
        return loss / self.total, gradient / self.total, hessian / self.total


def _sizes_and_units(rows: Rows) -> tuple[tuple[int, float, int], Array]:
    """Sizes, and the largest absolute value of each member."""
    return rows.sizes(), np.array(rows.largest())


def rows_of_block(n_members: int, n_classes: int) -> int:
    """Number of rows of a block."""
    return max(_BLOCK // (n_members * n_classes), 1)


class PoolLossOfPart:
    """The summed loss of the rows of a partition, in given units, perhaps of several points."""

    def __init__(self, rows: Rows, unit: Array, several: bool) -> None:
        self.z, self.y, self.weight, self.unit = rows.opinions, rows.y, rows.counts, unit
        self._two, n_classes = rows.gaps, rows.n_classes
        self.rows = rows_of_block(len(self.z), n_classes)
        self._axis = 0 if n_classes <= _FEW_CLASSES else 1
        self._weighted = np.empty(len(self.z) * (n_classes - 1) * min(self.rows, len(self.y)))
        few = several and len(self.z) * len(self.y) * (n_classes - 1) <= _KEPT
        # One place for the gaps of all blocks: on Dask's workers each new array has new pages.
        room = len(self.z), min(self.rows, len(self.y))
        self._room = None if few or n_classes > 2 else np.empty(room)
        self._kept = list(self._cut()) if few else None

    def _cut(self) -> Iterator[_GapBlock]:
        for start in range(0, len(self.y), self.rows):
            part = slice(start, start + self.rows)
            yield _GapBlock(self._gaps(part), self.weight[part])

    def _gaps(self, part: slice) -> Array:
        """Gaps of some rows, class by class or row by row."""
        y = self.y[part]
        if self._two is not None or self.z[0].shape[1] == 2:
            gaps = (
                np.empty((len(self.z), len(y))) if self._room is None else self._room[:, : len(y)]
            )
            if self._two is not None:
                for gap, own in zip(self._two, gaps, strict=True):
                    own[:] = gap[part]
            else:
                for m, own in zip(self.z, gaps, strict=True):
                    np.subtract(m[part, 1], m[part, 0], out=own)
            gaps *= np.where(y == 1, -1.0, 1.0)
            gaps *= (1 / self.unit)[:, None]
            return gaps
        rows = np.arange(len(y))
        if self._axis == 0:
            logits = np.array([m[part].T for m in self.z])
            true, last, others = (y, rows), logits[:, -1], logits[:, :-1]
        else:
            logits = np.array([m[part] for m in self.z])
            true, last, others = (rows, y), logits[:, :, -1], logits[:, :, :-1]
        at = (slice(None), *true)
        of_true = logits[at]
        logits[at] = last  # the last class takes the place of the true one, in any order
        gaps = others - np.expand_dims(of_true, self._axis + 1)
        gaps *= (1 / self.unit)[:, None, None]
        flat: Array = gaps.reshape(len(self.z), -1)
        return flat

    def _blocks(self) -> Iterable[_GapBlock]:
        return self._cut() if self._kept is None else self._kept

    def _exp(self, block: _GapBlock, x: Array) -> tuple[Array, Array, Array]:
        """Exponentials exp(u - top), top = max(u, 0), and their sum with the true class's."""
        rows = len(block.weight)
        u = (x @ block.gaps).reshape((-1, rows) if self._axis == 0 else (rows, -1))
        top = u.max(axis=self._axis, initial=0.0)
        u -= np.expand_dims(top, self._axis)
        np.exp(u, out=u)
        return u, top, u.sum(axis=self._axis) + np.exp(-top)

    def value(self, x: Array) -> float:
        """Loss at beta = x / unit."""
        loss = 0.0
        for block in self._blocks():
            _, top, total = self._exp(block, x)
            loss += float((top + np.log(total)) @ block.weight)
        return loss

    def derivatives(self, x: Array) -> tuple[float, Array, Array, Array]:
        """Loss, its gradient in x, and two matrices whose sum is its Hessian."""
        # With p_c = exp(u_c) / (1 + sum exp(u)) and g_c the members' gaps of class c, a row adds
        #     sum_c p_c g_c    to the gradient,
        #     sum_c p_c g_c g_c' - (sum_c p_c g_c) (sum_c p_c g_c)'    to the Hessian,
        # each times its weight. The true class has gap 0 and adds nothing.
        n_members = len(self.z)
        loss, gradient = 0.0, np.zeros(n_members)
        square, hessian = np.zeros((2, n_members, n_members))
        for block in self._blocks():
            gaps, weight = block
            p, top, total = self._exp(block, x)
            loss += float((top + np.log(total)) @ weight)
            p *= np.expand_dims(weight / total, self._axis)
            weighted = self._weighted[: gaps.size].reshape(gaps.shape)
            np.multiply(gaps, p.ravel(), out=weighted)
            means = weighted.reshape(n_members, *p.shape).sum(axis=1 + self._axis)
            gradient += means.sum(axis=1)
            square += weighted @ gaps.T
            hessian -= (means / weight) @ means.T
        return loss, gradient, square, hessian
