"""Merge of several networks into one: averaged, aligned, repaired, selected, distilled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from skmergecal._networks._align import align_networks
from skmergecal._networks._axes import Einsum
from skmergecal._networks._distil import distil, mixed_rows
from skmergecal._networks._network import Network, as_float32, as_float64, in_single, two_columns
from skmergecal._networks._nodes import AffineLayer, BatchNorm, Embedding, Multiply
from skmergecal._networks._repair import (
    Refit,
    least_squares,
    mean_values,
    member_moments,
    refit_layers,
    rescale,
)
from skmergecal._networks._select import select_and_merge
from skmergecal._networks._windows import Convolution
from skmergecal._numerics import log_softmax
from skmergecal._typing import Array

__all__ = [
    "FEW_ROWS",
    "MAX_ROWS",
    "RANDOM_ROWS",
    "has_hidden",
    "merge_networks",
    "probe_rows",
    "some_rows",
]


#: Maximum number of rows for alignment and repair; of more rows, evenly spaced ones are used.
MAX_ROWS = 20_000
#: Maximum number of rows for fits in closed form, which do not improve with more.
FEW_ROWS = 4000
#: Number of random rows for the check of an alignment when no rows are given.
RANDOM_ROWS = 64
#: Members are the same network if their logits differ by less, relative to their size.
_SAME = 1e-9
#: A model is as good as the pool if its divergence from it is this share of the members' mean.
_NEAR = 0.1
#: The training begins with the nearest member where the divergence of that is less than this share
#: of the merged net's. Otherwise the merged net, which has units of all members, gets further.
_NEARER = 2 / 3


def has_hidden(network: Network) -> bool:
    """Whether there is a hidden layer, or a product: logits that are not linear in the arrays."""
    layers = AffineLayer | Embedding | Convolution | Einsum | Multiply
    return sum(isinstance(node, layers) for node in network.nodes) > 1


def some_rows(X: Array, n_rows: int = MAX_ROWS) -> Array:
    """All rows, or ``n_rows`` evenly spaced ones if there are more."""
    if len(X) <= n_rows:
        return X
    return X[np.linspace(0, len(X) - 1, n_rows).astype(np.intp)]


def merge_networks(
    network: Network,
    members: Sequence[Mapping[str, Array]],
    weights: Array,
    X: Array | None,
    *,
    alignment: str | None,
    repair: str | None,
) -> tuple[dict[str, dict[str, Array]], str]:
    """Merge the arrays of several networks of one description.

    Parameters
    ----------
    network : Network
    members : sequence of dict of str to ndarray
        At least two.
    weights : ndarray of shape (n_members,)
        Positive; their sum is 1.
    X : ndarray of shape (n_rows, n_features) or None
        Rows without labels.
    alignment, repair : str or None
        As for `skmergecal.parameters.merge_parameters`.

    Returns
    -------
    stages : dict of str to dict of str to ndarray
        The networks after each stage, in float64.
    chosen : str
        The stage that is the result.
    """
    merge = _Merge.prepare(network, members, weights, X)
    chosen = merge.merge(alignment, repair)
    return merge.stages, chosen


@dataclass
class _Merge:
    """The work on one set of members.

    Averages are taken in float64. Values are computed in the members' precision: single, if they
    hold no number of double precision, as those of torch.
    """

    network: Network
    members: list[dict[str, Array]]
    single: bool
    weights: Array
    X: Array | None
    stages: dict[str, dict[str, Array]]
    measured: dict[int, tuple[Mapping[str, Array], float]] = field(default_factory=dict)

    @classmethod
    def prepare(
        cls,
        network: Network,
        members: Sequence[Mapping[str, Array]],
        weights: Array,
        X: Array | None,
    ) -> _Merge:
        """Sort the members by weights and norms, so that the order given does not matter."""
        arrays = [as_float64(member) for member in members]
        order = sorted(
            range(len(arrays)),
            key=lambda i: (-weights[i], [float((a**2).sum()) for a in arrays[i].values()]),
        )
        arrays = [arrays[i] for i in order]
        numbers = [a for member in members for a in member.values() if a.dtype.kind == "f"]
        single = all(array.dtype.itemsize <= 4 for array in numbers)
        return cls(network, arrays, single, weights[order], None if X is None else some_rows(X), {})

    def merge(self, alignment: str | None, repair: str | None) -> str:
        """Compute the stages that are set; return the name of the last, of the best for "auto"."""
        self.stages["plain"] = self.with_statistics(_average(self.members, self.weights))
        chosen = "plain"
        aligned = self.members
        if alignment in ("auto", "weights", "activations"):
            by = "activations" if alignment == "activations" else "weights"
            aligned = align_networks(self.network, self.members, self.weights, self.rows(), by=by)
            average = _average(aligned, self.weights)
            chosen = "aligned"
            if self.is_each_member(average):
                self.stages[chosen] = average
                return chosen
            self.stages[chosen] = self.with_statistics(average)
        if self.X is None:
            return chosen
        if alignment == "select":
            self.add_selection()
            chosen = "select"
        elif alignment == "auto":
            chosen = self.best()
            if self.is_pool(chosen):  # members from one start: nothing to repair
                return chosen
            self.add_selection()
            chosen = self.best()
        elif repair is not None:
            chosen = self.repair(aligned, self.stages[chosen], repair, chosen)
        if repair == "auto" and not self.is_pool(chosen):
            start, nearest = self.stages[chosen], min(self.members, key=self.distance)
            if alignment == "auto" and self.distance(nearest) < _NEARER * self.distance(start):
                start = nearest
            self.stages["distilled"] = distil(self.network, start, self.pooled, self.X)
            chosen = self.best() if alignment == "auto" else "distilled"
        return chosen

    def add_selection(self) -> None:
        assert self.X is not None
        self.stages["select"] = select_and_merge(
            self.network,
            self.members,
            self.weights,
            some_rows(self.X, FEW_ROWS),
            single=self.single,
        )

    def repair(
        self, aligned: list[dict[str, Array]], start: dict[str, Array], repair: str, chosen: str
    ) -> str:
        """Refit the layers of an average in the way that is set, "auto": in both, for the best."""
        X = self.rows()
        for name in ("rescale", "least_squares") if repair == "auto" else (repair,):
            refit: Refit
            if name == "rescale":
                refit = rescale(member_moments(self.network, aligned, self.weights, X))
            else:
                means = mean_values(self.network, aligned, self.weights, X)
                refit = least_squares(self.network, means)
            self.stages[name] = refit_layers(self.network, start, X, refit, statistics=True)
            chosen = name
        return self.best() if repair == "auto" else chosen

    def rows(self) -> Array:
        """Rows to check an alignment: those given, or random ones."""
        if self.X is not None:
            return some_rows(self.X, FEW_ROWS)
        return probe_rows(self.network, RANDOM_ROWS)

    def logits(self, arrays: Mapping[str, Array], X: Array) -> Array:
        """Logits of a network, in the members' precision."""
        if self.single:
            arrays, X = as_float32(arrays), in_single(X)
        return self.network.logits(arrays, X)

    def pooled(self, X: Array) -> Array:
        """Logits of the pool, in the members' precision."""
        found = (
            float(weight) * self.logits(arrays, X)
            for weight, arrays in zip(self.weights, self.members, strict=True)
        )
        return np.asarray(sum(found))

    def best(self) -> str:
        """Name of the stage nearest to the pool, on rows and mixed rows."""
        return min(self.stages, key=lambda name: self.distance(self.stages[name]))

    @cached_property
    def judged(self) -> tuple[Array, Array]:
        """Rows and mixed rows to compare stages on, and the pool's log-probabilities there."""
        X = self.rows()
        X = np.concatenate([X, mixed_rows(self.network, X, np.random.default_rng(1))])
        return X, log_softmax(two_columns(self.pooled(X)))

    def distance(self, arrays: Mapping[str, Array]) -> float:
        """Mean Kullback-Leibler divergence of a network from the pool, computed once."""
        if id(arrays) not in self.measured:
            X, pool = self.judged
            found = log_softmax(two_columns(self.logits(arrays, X)))
            divergence = float((np.exp(pool) * (pool - found)).sum(axis=1).mean())
            # The arrays are kept, too, so that no others can take their number.
            self.measured[id(arrays)] = arrays, divergence
        return self.measured[id(arrays)][1]

    def is_pool(self, name: str) -> bool:
        """Whether a stage is nearly the pool, compared to the members' distances from it."""
        distances = [self.distance(member) for member in self.members]
        return self.distance(self.stages[name]) <= _NEAR * float(self.weights @ distances)

    def with_statistics(self, arrays: dict[str, Array]) -> dict[str, Array]:
        if self.X is None or not any(isinstance(node, BatchNorm) for node in self.network.nodes):
            return arrays
        return refit_layers(self.network, arrays, self.X, None, statistics=True)

    def is_each_member(self, average: dict[str, Array]) -> bool:
        """Whether all members compute the same as the average of the aligned ones."""
        X = self.rows()
        found = self.network.logits(average, X)
        size = 1.0 + float(np.abs(found).max(initial=0.0))
        return all(
            float(np.abs(self.network.logits(m, X) - found).max(initial=0.0)) < _SAME * size
            for m in self.members
        )


def _average(members: Sequence[Mapping[str, Array]], weights: Array) -> dict[str, Array]:
    average = {}
    for name, first in members[0].items():
        if np.issubdtype(first.dtype, np.floating):
            total = np.zeros(first.shape)
            for weight, member in zip(weights, members, strict=True):
                total += weight * member[name]
            average[name] = total
        else:
            average[name] = first.copy()
    return average


def probe_rows(network: Network, n_rows: int) -> Array:
    """Random rows that every network of the architecture can take (0 in embedded columns)."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, network.n_features))
    whole = network.whole_columns()
    X[:, whole] = 0.0
    return X
