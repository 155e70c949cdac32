"""Many networks become one: averaged, aligned, repaired, selected, distilled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from skmergecal._numerics import log_softmax
from skmergecal._typing import Array
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters._align import align_networks
from skmergecal.parameters._average import average_parameters, check_same_architecture
from skmergecal.parameters._distil import distil, mixed_rows
from skmergecal.parameters._network import Network, as_float64, two_columns
from skmergecal.parameters._nodes import Affine, BatchNorm, Embedding
from skmergecal.parameters._registry import Parameters
from skmergecal.parameters._repair import (
    Refit,
    least_squares,
    mean_values,
    member_moments,
    refit_layers,
    rescale,
)
from skmergecal.parameters._select import select_and_merge

__all__ = ["ALIGNMENTS", "REPAIRS", "MergedParameters", "align_parameters", "merge_parameters"]

ALIGNMENTS = ("auto", "weights", "activations", "select")
REPAIRS = ("auto", "least_squares", "rescale")

#: Rows that alignment and repair look at; of more, every so-manieth.
MAX_ROWS = 20_000
#: Rows that closed forms are fitted on: they do not get better with more.
FEW_ROWS = 4000
#: Random rows for the check of an alignment where there are no others.
_RANDOM_ROWS = 64
#: Members whose logits differ by less, relative to their size, are one network.
_SAME = 1e-9
#: A model whose divergence from the pool is this share of the members' own is as good as the pool.
_NEAR = 0.1


@dataclass(frozen=True)
class MergedParameters:
    """What became of the members' parameters, step by step.

    Attributes
    ----------
    stages : dict of str to Parameters
        "plain", and then those of "aligned", "rescale", "least_squares", "select", "distilled" that
        were tried, in this order.
    chosen : str
        The stage that is the result.
    """

    stages: Mapping[str, Parameters]
    chosen: str

    @property
    def parameters(self) -> Parameters:
        """The result."""
        return self.stages[self.chosen]


def merge_parameters(
    parameters: Sequence[Parameters],
    weights: Array,
    *,
    alignment: str | None = "auto",
    repair: str | None = "auto",
    X: Array | None = None,
    names: Sequence[str] | None = None,
) -> MergedParameters:
    """Merge the parameters of several estimators of one architecture into one.

    Parameters
    ----------
    parameters : sequence of Parameters
        At least one.
    weights : ndarray of shape (n_members,)
        Adding up to 1. Members of weight 0 take no part.
    alignment : {"auto", "weights", "activations", "select"} or None, default="auto"
        How hidden units are matched. None: not at all.
    repair : {"auto", "least_squares", "rescale"} or None, default="auto"
        What is done afterwards. "select" ends in least squares, whatever is asked for here, and
        is followed by the epochs of "auto" only; without alignment, "auto" does nothing.
    X : ndarray of shape (n_rows, n_features), default=None
        Rows without labels, as the networks take them.
    names : sequence of str, default=None
        Names of the members, for errors.

    Returns
    -------
    MergedParameters

    Raises
    ------
    IncompatibleEstimatorsError
        If the architectures differ, or the networks are to be aligned and cannot be described.
    """
    names = names or [f"number {i}" for i in range(len(parameters))]
    plain = average_parameters(parameters, weights, names=names)
    only_plain = MergedParameters({"plain": plain}, "plain")
    active = [p for p, w in zip(parameters, weights, strict=True) if w > 0]
    if alignment is None and repair not in ("least_squares", "rescale"):
        if X is None or plain.network is None or len(active) == 1:
            return only_plain
        return _reset(active, plain, X)
    network = _network(active, alignment, repair)
    if network is None or len(active) == 1 or not _has_hidden(network):
        return only_plain
    if X is None and (alignment in ("activations", "select") or repair not in ("auto", None)):
        msg = (
            f"alignment={alignment!r} and repair={repair!r} look at rows, labelled or not: pass "
            "X, or use alignment='weights' with repair=None"
        )
        raise ValueError(msg)
    merge = _Merge.prepare(network, active, weights[weights > 0], X, plain)
    return merge.run(alignment, repair)


def align_parameters(
    parameters: Sequence[Parameters],
    *,
    by: str = "weights",
    X: Array | None = None,
    names: Sequence[str] | None = None,
) -> list[Parameters]:
    """Permute, flip and scale hidden units so that they match those of the first, in float64.

    Parameters
    ----------
    parameters : sequence of Parameters
        Of one architecture; not changed.
    by : {"weights", "activations"}, default="weights"
    X : ndarray of shape (n_rows, n_features), default=None
        Rows as the networks take them; needed for activations.
    names : sequence of str, default=None
        Names of the members, for errors.

    Returns
    -------
    list of Parameters
        Each the same function as before: checked.

    Raises
    ------
    IncompatibleEstimatorsError
        If the architectures differ, or the networks cannot be described.
    """
    names = names or [f"number {i}" for i in range(len(parameters))]
    check_same_architecture(parameters, names)
    network = _network(parameters, by, None)
    if network is None or not _has_hidden(network):
        return list(parameters)
    if X is None and by == "activations":
        msg = "activations need rows: pass X, or by='weights'"
        raise ValueError(msg)
    rows = probe_rows(network, _RANDOM_ROWS) if X is None else _some(X, FEW_ROWS)
    arrays = [as_float64(p.arrays) for p in parameters]
    shares = np.full(len(arrays), 1 / len(arrays))
    aligned = align_networks(network, arrays, shares, rows, by=by)
    return [replace(p, arrays=a) for p, a in zip(parameters, aligned, strict=True)]


def _network(
    active: Sequence[Parameters], alignment: str | None, repair: str | None
) -> Network | None:
    network = active[0].network
    if any(p.network != network for p in active):
        msg = "the networks differ in how their layers are connected: use method='logits'"
        raise IncompatibleEstimatorsError(msg)
    if network is None and len(active) > 1:
        reason = active[0].untraceable
        if reason is not None:
            msg = (
                f"hidden units cannot be aligned: {reason}. Pass alignment=None to average the "
                "parameters as they are, or use method='logits'."
            )
            raise IncompatibleEstimatorsError(msg)
        if alignment not in (None, "auto") or repair not in (None, "auto"):
            msg = (
                f"alignment={alignment!r} and repair={repair!r} need a description of the network, "
                "which this class of estimators did not register (Parameters.network): use "
                "alignment=None and repair=None"
            )
            raise IncompatibleEstimatorsError(msg)
    return network


def _has_hidden(network: Network) -> bool:
    return sum(isinstance(node, Affine | Embedding) for node in network.nodes) > 1


def _reset(active: Sequence[Parameters], plain: Parameters, X: Array) -> MergedParameters:
    """The plain average, its BatchNorm statistics measured on the rows."""
    network = plain.network
    assert network is not None
    same = all(
        np.array_equal(p.arrays[k], active[0].arrays[k]) for p in active for k in plain.arrays
    )
    if same or not any(isinstance(node, BatchNorm) for node in network.nodes):
        return MergedParameters({"plain": plain}, "plain")
    arrays = refit_layers(network, as_float64(plain.arrays), _some(X), None, statistics=True)
    return MergedParameters({"plain": _cast(plain, arrays)}, "plain")


def _some(X: Array, n_rows: int = MAX_ROWS) -> Array:
    if len(X) <= n_rows:
        return X
    return X[np.linspace(0, len(X) - 1, n_rows).astype(np.intp)]


def _cast(like: Parameters, arrays: Mapping[str, Array]) -> Parameters:
    cast = {
        name: arrays[name].astype(old.dtype) if np.issubdtype(old.dtype, np.floating) else old
        for name, old in like.arrays.items()
    }
    return replace(like, arrays=cast)


@dataclass
class _Merge:
    """The work on one set of members; arrays in float64."""

    network: Network
    members: list[dict[str, Array]]
    weights: Array
    X: Array | None
    plain: Parameters
    stages: dict[str, dict[str, Array]]

    @classmethod
    def prepare(
        cls,
        network: Network,
        active: Sequence[Parameters],
        weights: Array,
        X: Array | None,
        plain: Parameters,
    ) -> _Merge:
        """Members in an order of their own, so that the order given does not matter."""
        members = [as_float64(p.arrays) for p in active]
        order = sorted(
            range(len(members)),
            key=lambda i: (-weights[i], [float((a**2).sum()) for a in members[i].values()]),
        )
        members = [members[i] for i in order]
        return cls(network, members, weights[order], None if X is None else _some(X), plain, {})

    def run(self, alignment: str | None, repair: str | None) -> MergedParameters:
        """Try what was asked for, and take the last stage, or the best for "auto"."""
        self.stages["plain"] = self.with_statistics(_average(self.members, self.weights))
        chosen = "plain"
        aligned = self.members
        if alignment in ("auto", "weights", "activations"):
            by = "activations" if alignment == "activations" else "weights"
            aligned = align_networks(self.network, self.members, self.weights, self.rows(), by=by)
            average = _average(aligned, self.weights)
            chosen = "aligned"
            if self.is_each_member(average):
                return self.result(average, chosen)
            self.stages[chosen] = self.with_statistics(average)
        if self.X is None:
            return self.finished(chosen)
        if alignment == "select":
            self.add_selection()
            chosen = "select"
        elif alignment == "auto":
            chosen = self.best()
            if self.is_pool(chosen):  # members from one start: nothing to mend
                return self.finished(chosen)
            self.add_selection()
            chosen = self.best()
        elif repair is not None:
            chosen = self.repair(aligned, self.stages[chosen], repair, chosen)
        if repair == "auto" and not self.is_pool(chosen):
            start = self.stages[chosen]
            self.stages["distilled"] = distil(self.network, start, self.pooled, self.X)
            chosen = "distilled"
        return self.finished(chosen)

    def add_selection(self) -> None:
        assert self.X is not None
        self.stages["select"] = select_and_merge(
            self.network, self.members, self.weights, _some(self.X, FEW_ROWS)
        )

    def repair(
        self, aligned: list[dict[str, Array]], start: dict[str, Array], repair: str, chosen: str
    ) -> str:
        """Refit the layers of an average as asked for; "auto": both ways, and take the best."""
        X = self.rows()
        for name in ("rescale", "least_squares") if repair == "auto" else (repair,):
            refit: Refit
            if name == "rescale":
                refit = rescale(member_moments(self.network, aligned, self.weights, X))
            else:
                means = mean_values(self.network, aligned, self.weights, X)
                refit = least_squares(self.network, dict(enumerate(means)))
            self.stages[name] = refit_layers(self.network, start, X, refit, statistics=True)
            chosen = name
        return self.best() if repair == "auto" else chosen

    def rows(self) -> Array:
        """Rows to check an alignment on: those given, or random ones."""
        if self.X is not None:
            return _some(self.X, FEW_ROWS)
        return probe_rows(self.network, _RANDOM_ROWS)

    def pooled(self, X: Array) -> Array:
        """Logits of the pool."""
        total = np.zeros(())
        for weight, arrays in zip(self.weights, self.members, strict=True):
            total = total + weight * self.network.logits(arrays, X)
        return total

    def best(self) -> str:
        """The stage nearest to the pool, on the rows and between them."""
        return min(self.stages, key=lambda name: self.distance(self.stages[name]))

    @cached_property
    def judged(self) -> tuple[Array, Array]:
        """Rows to judge on, half of them between rows, and the pool's log-probabilities there."""
        X = self.rows()
        X = np.concatenate([X, mixed_rows(self.network, X, np.random.default_rng(1))])
        return X, log_softmax(two_columns(self.pooled(X)))

    def distance(self, arrays: Mapping[str, Array]) -> float:
        """Mean Kullback-Leibler divergence of a network from the pool."""
        X, pool = self.judged
        said = log_softmax(two_columns(self.network.logits(arrays, X)))
        return float((np.exp(pool) * (pool - said)).sum(axis=1).mean())

    def is_pool(self, name: str) -> bool:
        """Whether a stage is so near to the pool, compared to the members, that it is as good."""
        distances = [self.distance(member) for member in self.members]
        return self.distance(self.stages[name]) <= _NEAR * float(self.weights @ distances)

    def with_statistics(self, arrays: dict[str, Array]) -> dict[str, Array]:
        if self.X is None or not any(isinstance(node, BatchNorm) for node in self.network.nodes):
            return arrays
        return refit_layers(self.network, arrays, self.X, None, statistics=True)

    def is_each_member(self, average: dict[str, Array]) -> bool:
        """Whether the aligned members are one and the same network."""
        X = self.rows()
        said = self.network.logits(average, X)
        size = 1.0 + float(np.abs(said).max(initial=0.0))
        return all(
            float(np.abs(self.network.logits(m, X) - said).max(initial=0.0)) < _SAME * size
            for m in self.members
        )

    def result(self, arrays: dict[str, Array], chosen: str) -> MergedParameters:
        self.stages[chosen] = arrays
        return self.finished(chosen)

    def finished(self, chosen: str) -> MergedParameters:
        stages = {name: _cast(self.plain, arrays) for name, arrays in self.stages.items()}
        return MergedParameters(stages, chosen)


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
    """Random rows that every network of the architecture can take (0 or 1 where it embeds)."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, network.n_features))
    whole = network.whole_columns()
    X[:, whole] = 0.0
    return X
