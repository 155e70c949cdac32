"""Affine transformers: fitted steps read as x * scale + shift or x @ matrix + shift."""

from __future__ import annotations

from collections import UserList
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.feature_selection import SelectFromModel, SelectorMixin
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils import get_tags

from skmergecal._typing import Array, IntArray

__all__ = ["AffineStep", "column_numbers", "is_identity", "read_affine"]


class AffineStep(NamedTuple):
    """x * scale + shift, or x @ scale + shift if scale is a matrix.

    Attributes
    ----------
    scale : ndarray of shape (n_in,), or (sparse) array of shape (n_in, n_out)
    shift : ndarray of shape (n_out,)
    checks_all : bool
        Whether the step refuses rows in which a column that it drops is no finite number.
    """

    scale: Any
    shift: Array
    checks_all: bool = False

    @property
    def columns(self) -> tuple[int, ...] | None:
        """The columns of its input that it looks at, in ascending order; None: all."""
        if self.checks_all or not sparse.issparse(self.scale):
            return None
        matrix: Any = self.scale
        entries = np.diff(matrix.tocsr().indptr)
        return None if entries.all() else tuple(np.flatnonzero(entries).tolist())

    def of(self, outputs: Sequence[int]) -> AffineStep:
        """The same map, of some of its outputs."""
        chosen = list(outputs)
        scale = sparse.diags(self.scale).tocsr() if self.scale.ndim == 1 else self.scale
        return AffineStep(scale[:, chosen], self.shift[chosen], self.checks_all)

    @property
    def keeps_width(self) -> bool:
        """Whether input and output have the same number of features."""
        return self.scale.ndim == 1 or self.scale.shape[0] == self.scale.shape[1]


def read_affine(step: Any) -> AffineStep | None:
    """The map of a fitted transformer, or None if it is not known to be affine."""
    if step is None or isinstance(step, str):  # "passthrough"
        return None
    if isinstance(step, SelectorMixin):
        mask = step.get_support()
        picked = _picked(np.flatnonzero(mask), len(mask))
        return picked._replace(checks_all=_checks_all(step))
    found = _FAMILIES.get(type(step))
    return None if found is None else found(step)


def _checks_all(selector: SelectorMixin) -> bool:
    """Whether it was fitted on finite numbers only, as scikit-learn's own are by most settings."""
    own = type(selector).__module__.startswith("sklearn.")
    if not own or isinstance(selector, SelectFromModel):  # that leaves it to its model
        return False
    return not get_tags(selector).input_tags.allow_nan


def _centred(step: Any, centre: Any, scale: Any) -> AffineStep:
    """(x - centre) / scale."""
    n = step.n_features_in_
    divisor = np.ones(n) if scale is None else np.asarray(scale, dtype=np.float64)
    offset = np.zeros(n) if centre is None else np.asarray(centre, dtype=np.float64)
    return AffineStep(1 / divisor, -offset / divisor)


def _min_max(step: MinMaxScaler) -> AffineStep | None:
    return None if step.clip else AffineStep(step.scale_, step.min_)


def _max_abs(step: MaxAbsScaler) -> AffineStep | None:
    clips = getattr(step, "clip", False)  # since scikit-learn 1.8
    return None if clips else _centred(step, None, step.scale_)


def _principal_components(step: PCA | IncrementalPCA) -> AffineStep:
    matrix = step.components_.astype(np.float64).T
    if step.whiten:
        deviation = np.sqrt(step.explained_variance_)
        matrix = matrix / np.maximum(deviation, np.finfo(deviation.dtype).eps)
    return AffineStep(matrix, -step.mean_ @ matrix)


def _picked(columns: IntArray, n_features: int) -> AffineStep:
    n = len(columns)
    matrix = sparse.csr_array((np.ones(n), (columns, np.arange(n))), shape=(n_features, n))
    return AffineStep(matrix, np.zeros(n))


def _columns(step: ColumnTransformer) -> AffineStep | None:
    """Map of a ColumnTransformer: selected columns, each group scaled or passed through."""
    if step.transformer_weights:
        return None
    matrices, shifts = [], []
    for _, part, columns in step.transformers_:
        if isinstance(part, str) and part == "drop":
            continue
        if isinstance(columns, slice) and isinstance(columns.start or columns.stop, str):
            return None
        numbers = column_numbers(columns, step)
        if len(numbers) == 0:
            continue
        picked = _picked(numbers, step.n_features_in_)
        passes = part == "passthrough" or is_identity(part)
        inner = AffineStep(np.ones(len(numbers)), picked.shift) if passes else read_affine(part)
        if inner is None:
            return None
        scale = sparse.diags(inner.scale) if inner.scale.ndim == 1 else inner.scale
        matrices.append(picked.scale @ sparse.csr_array(scale))
        shifts.append(inner.shift)
    return AffineStep(sparse.hstack(matrices), np.concatenate(shifts)) if matrices else None


def is_identity(part: Any) -> bool:
    """Whether a part of a ColumnTransformer passes its columns on, once it is fitted."""
    return isinstance(part, FunctionTransformer) and part.func is None


def column_numbers(columns: Any, step: ColumnTransformer) -> IntArray:
    """Indices of columns given by index, name, slice or mask."""
    names = list(getattr(step, "feature_names_in_", ()))
    if isinstance(columns, UserList):  # reading it warns in scikit-learn 1.6 and 1.7
        columns = columns.data
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):  # the last one counts
            start = None if columns.start is None else names.index(columns.start)
            stop = None if columns.stop is None else names.index(columns.stop) + 1
            columns = slice(start, stop, columns.step)
        return np.arange(step.n_features_in_)[columns]
    wanted = [columns] if isinstance(columns, str) else np.atleast_1d(columns).tolist()
    if wanted and isinstance(wanted[0], str):
        return np.array([names.index(column) for column in wanted], dtype=np.intp)
    is_mask = bool(wanted) and isinstance(wanted[0], bool)
    return np.arange(step.n_features_in_)[np.array(wanted, dtype=bool if is_mask else np.intp)]


_FAMILIES: dict[type, Callable[[Any], AffineStep | None]] = {
    StandardScaler: lambda s: _centred(s, s.mean_ if s.with_mean else None, s.scale_),
    RobustScaler: lambda s: _centred(
        s, s.center_ if s.with_centering else None, s.scale_ if s.with_scaling else None
    ),
    MaxAbsScaler: _max_abs,
    MinMaxScaler: _min_max,
    PCA: _principal_components,
    IncrementalPCA: _principal_components,
    TruncatedSVD: lambda s: AffineStep(s.components_.T, np.zeros(len(s.components_))),
    ColumnTransformer: _columns,
}
