"""Members trained where the rows lie: one for each partition, and the rows that none has seen."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple, Self
from uuid import uuid4

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from skmergecal._compat import Interval, _safe_indexing
from skmergecal._optional import optional_import
from skmergecal._partitions import (
    DaskRun,
    are_dask,
    delayed,
    delayed_partitions,
    in_partition,
    meta_of,
    refuse_other_rows,
    refuse_unlike_rows,
    weights_of_part,
)
from skmergecal._torch import RandomNumbers
from skmergecal._typing import Array, Estimator, IntArray, NamedEstimators
from skmergecal._validation import check_labels, check_parameters
from skmergecal._warnings import Gathered, Warned, warn_again
from skmergecal.members._fit import fit_frozen, with_seeds
from skmergecal.members._partition_splits import (
    SplitFacts,
    blocks_of_partitions,
    check_splits,
    split_rows,
)
from skmergecal.members._partitioned import check_can_be_sent
from skmergecal.members._skorch import is_skorch

__all__ = ["HeldOutRows", "PartitionPlan", "plan_partitions"]


class _LabelledRows(NamedTuple):
    """Rows of a partition, or of several, with labels and weights."""

    X: Any
    y: np.ndarray
    weight: Array | None

    def rows(self, numbers: IntArray) -> _LabelledRows:
        weight = None if self.weight is None else self.weight[numbers]
        return _LabelledRows(_safe_indexing(self.X, numbers), self.y[numbers], weight)


@dataclass(frozen=True)
class HeldOutRows:
    """The rows that were kept from training, where they lie.

    Attributes
    ----------
    partitions : list of tuple
        X, y and weights of each partition, each a Delayed, or None for weights.
    counts : list of int
        How many rows each has.
    meta : array-like
        No rows, with the columns and types of X.
    weighted : bool
        Whether there are weights.
    """

    partitions: list[tuple[Any, Any, Any]]
    counts: list[int]
    meta: Any
    weighted: bool

    def in_memory(self, most: int) -> tuple[Any, np.ndarray, Array | None]:
        """The rows in this process: all of them, or so many, evenly spaced in each partition."""
        dask = optional_import("dask", extra="distributed", purpose="a Dask collection")
        share = min(1.0, most / sum(self.counts))
        wanted = [int(np.ceil(share * count)) for count in self.counts]
        parts = zip(self.partitions, wanted, strict=True)
        found = dask.compute(*[delayed(_some)(*part, n) for part, n in parts if n])
        return tuple(_joined(found))


@dataclass(frozen=True)
class PartitionPlan:
    """Which partitions each member is trained on, known from the labels alone.

    Attributes
    ----------
    estimator : estimator
        Unfitted.
    parts : list of tuple
        X, y, weights and groups of each partition, each a Delayed or None.
    splits : list
        What is known of the split of each partition.
    blocks : list of list of int
        Numbers of the partitions of each member.
    held_out : float
    entropy : int
        All seeds follow from it.
    meta : array-like
    weights_as : str or None
        Parameter of the estimator's ``fit`` that gets the weights.
    """

    estimator: Estimator
    parts: list[tuple[Any, ...]]
    splits: list[SplitFacts]
    blocks: list[list[int]]
    held_out: float
    entropy: int
    meta: Any
    weights_as: str | None

    @property
    def weighted(self) -> bool:
        """Whether there are weights."""
        return self.parts[0][2] is not None

    def unfitted(self) -> NamedEstimators:
        """The estimator under the name of each member: that of its first partition."""
        return [(f"partition_{block[0]}", self.estimator) for block in self.blocks]

    def train(self, run: DaskRun) -> tuple[NamedEstimators, HeldOutRows]:
        """Fit the members, and keep the held-out rows, which ``run`` releases.

        Both are made in one pass over the data: a source that draws at random would else give
        held-out rows that a member was trained on.

        Parameters
        ----------
        run : DaskRun
        """
        dask = optional_import("dask", extra="distributed", purpose="a Dask collection")
        check_can_be_sent([("estimator", self.estimator)])
        token, used = uuid4().hex, sorted(number for block in self.blocks for number in block)
        cut = {
            number: delayed(_cut)(
                *self.parts[number],
                self.splits[number].mark,
                self.held_out,
                (self.entropy, number),
                dask_key_name=(f"split of rows-{token}", number),
            )
            for number in used
        }
        held = [
            delayed(_held)(cut[number], dask_key_name=(f"held-out rows-{token}", number))
            for number in used
        ]
        fits = [
            delayed(_fit_member)(
                name,
                estimator,
                (self.entropy, block[0]),
                self.weights_as,
                [cut[number] for number in block],
                dask_key_name=(f"fit of {name}-{token}", 0),
            )
            for (name, estimator), block in zip(self.unfitted(), self.blocks, strict=True)
        ]
        with run.timed(f"fits of {len(fits)} members"):
            stored = run.stored[run.store([*held, *fits])]
            fitted = dask.compute(*stored[len(held) :])
        del stored[len(held) :]
        for (name, _), (_, warned) in zip(self.unfitted(), fitted, strict=True):
            warn_again(warned, f"estimator {name!r}")
        members = [(name, own) for (name, _), (own, _) in zip(self.unfitted(), fitted, strict=True)]
        rows = [(part[0], part[1], part[2] if self.weighted else None) for part in stored]
        counts = [self.splits[number].n_held for number in used]
        return members, HeldOutRows(rows, counts, self.meta, self.weighted)

    @classmethod
    def of(cls, estimator: Estimator, rows: dict[str, Any], **how: Any) -> Self:
        """Look at the labels of all partitions, and split them among members."""
        parts = delayed_partitions(**rows)
        entropy = check_random_state(how["random_state"]).randint(np.iinfo(np.int32).max)
        splits = _look(parts, how["held_out"], int(entropy))
        check_splits(splits, how["held_out"])
        blocks = blocks_of_partitions(splits, how["n_members"])
        others = int(entropy), meta_of(rows["X"]), how["weights_as"]
        return cls(estimator, parts, splits, blocks, how["held_out"], *others)


@check_parameters(
    held_out=[Interval(Real, 0, 1, closed="neither")],
    n_members=[Interval(Integral, 1, None, closed="left"), None],
    random_state=["random_state"],
)
def plan_partitions(
    estimator: Estimator,
    X: Any,
    y: Any,
    sample_weight: Any,
    groups: Any,
    held_out: float,
    n_members: int | None,
    random_state: Any,
    weights_as: str | None,
) -> PartitionPlan:
    """Which rows each member is trained on, by one pass over the labels.

    Parameters
    ----------
    estimator : estimator
        Unfitted.
    X, y, sample_weight, groups, held_out, n_members, random_state
        As for `MergedClassifier.from_partitions`.
    weights_as : str or None
        As in `PartitionPlan`.
    """
    if not are_dask(X, y):
        msg = (
            f"X is a {type(X).__name__}, which has no partitions: pass Dask collections, made by "
            "dask.array.from_array(X, chunks=(n_rows, -1)) or dask.dataframe.from_pandas(X, "
            "npartitions=...) for instance, and y in the same way. To merge classifiers trained on "
            "all rows, use MergedClassifier(...).fit"
        )
        raise TypeError(msg)
    rows = {"X": X, "y": y, "sample_weight": sample_weight, "groups": groups}
    how = {"held_out": held_out, "n_members": n_members, "random_state": random_state}
    return PartitionPlan.of(estimator, rows, weights_as=weights_as, **how)


def _look(parts: list[tuple[Any, ...]], held_out: float, entropy: int) -> list[SplitFacts]:
    """What is known of each partition from labels, weights and groups."""
    dask = optional_import("dask", extra="distributed", purpose="a Dask collection")
    token = uuid4().hex
    tasks = [
        delayed(_facts)(
            *part[1:], held_out, (entropy, number), dask_key_name=(f"labels-{token}", number)
        )
        for number, part in enumerate(parts)
    ]
    return list(dask.compute(*tasks))


def _facts(y: Any, weight: Any, groups: Any, held_out: float, seed: tuple[int, int]) -> SplitFacts:
    with in_partition(seed[1]):
        refuse_unlike_rows(y=y, sample_weight=weight, groups=groups)
        return split_rows(y, weight, groups, held_out, seed).facts


def _cut(
    X: Any,
    y: Any,
    weight: Any,
    groups: Any,
    mark: tuple[int, int, float],
    held_out: float,
    seed: tuple[int, int],
) -> tuple[_LabelledRows, _LabelledRows]:
    """The rows of a partition to train on, and those that are held out."""
    with in_partition(seed[1]):
        refuse_unlike_rows(X=X, y=y, sample_weight=weight, groups=groups)
        split = split_rows(y, weight, groups, held_out, seed)
        refuse_other_rows(f"partition {seed[1]}", split.facts.mark, mark)
        part = _LabelledRows(X, check_labels(y), weights_of_part(weight, len(y)))
        return part.rows(split.train), part.rows(split.held)


def _held(cut: tuple[_LabelledRows, _LabelledRows]) -> _LabelledRows:
    return cut[1]


def _some(X: Any, y: np.ndarray, weight: Array | None, wanted: int) -> _LabelledRows:
    """So many rows, evenly spaced."""
    numbers = (np.arange(wanted) + 0.5) * len(y) / wanted
    return _LabelledRows(X, y, weight).rows(numbers.astype(np.intp))


def _fit_member(
    name: str,
    estimator: Estimator,
    seed: tuple[int, int],
    weights_as: str | None,
    cuts: Sequence[tuple[_LabelledRows, _LabelledRows]],
) -> tuple[Estimator, list[Warned]]:
    """A clone fitted on the rows of some partitions, and frozen; and what it warned of."""
    rows = _joined([train for train, _ in cuts])
    own = np.random.SeedSequence(seed[0], spawn_key=(seed[1], 1)).generate_state(1)
    number = int(own[0] % np.iinfo(np.int32).max)
    try:
        seeded = with_seeds(estimator, number)
        inside = (seeded, *seeded.get_params(deep=True).values())
        nets = any(is_skorch(part) for part in inside)  # they draw from torch's generator
        params = {} if weights_as is None else {weights_as: rows.weight}
        with Gathered() as warned, RandomNumbers(number).borrowed() if nets else nullcontext():
            return fit_frozen(name, seeded, rows.X, rows.y, params=params), [*warned]
    except Exception as error:
        error.add_note(f"while fitting estimator {name!r}")
        raise


def _joined(parts: Sequence[_LabelledRows]) -> _LabelledRows:
    """Rows of several partitions, one after the other; categories are those of all of them."""
    if len(parts) == 1:
        return parts[0]
    y = np.concatenate([part.y for part in parts])
    weights: list[Any] = [part.weight for part in parts]
    weight: Array | None = None if weights[0] is None else np.concatenate(weights)
    X = [part.X for part in parts]
    if hasattr(X[0], "iloc"):
        dispatch = optional_import(
            "dask.dataframe.dispatch", extra="distributed", purpose="a Dask collection"
        )
        return _LabelledRows(dispatch.concat(X), y, weight)
    if hasattr(X[0], "tocsr"):
        return _LabelledRows(sparse.vstack(X, format="csr"), y, weight)
    return _LabelledRows(np.concatenate(X), y, weight)
