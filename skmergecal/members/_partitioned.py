"""Frozen members read partition by partition, where the rows lie."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np

from skmergecal._compat import _safe_indexing
from skmergecal._memory import Memo
from skmergecal._numerics import ROWS_TO_COMPARE
from skmergecal._optional import optional_import
from skmergecal._partitions import (
    DaskPartitions,
    DaskRun,
    GapOpinions,
    Partitions,
    Rows,
    delayed,
    delayed_partitions,
    first_rows,
    has_client,
    in_partition,
    meta_of,
    refuse_unlike_rows,
    remembered,
    softenings,
    tasks,
    weights_of_part,
)
from skmergecal._typing import Array, Estimator, IntArray, NamedEstimators
from skmergecal._validation import (
    check_labels,
    check_logits,
    encode_labels,
    union_of_classes,
    warn_if_few,
)
from skmergecal._warnings import Gathered, Warned, warn_again
from skmergecal.members._cache import Cache
from skmergecal.members._collect import (
    all_frozen,
    encode_for,
    known_members,
    make_member,
    merged_classes,
    refuse_lacking,
)
from skmergecal.members._feature_names import warn_of_names
from skmergecal.members._held_out_part import HeldOutMembers, HeldOutPart
from skmergecal.members._labels import refuse_codes
from skmergecal.members._member import AveragedOpinion, Member, Opinion
from skmergecal.members._prediction_column import PredictionColumn, rows_for_columns

__all__ = [
    "PartitionedMembers",
    "check_can_be_sent",
    "classes_in_partitions",
    "logits_in_partitions",
    "read_partitions",
    "read_parts",
]

Known = Sequence[tuple[str, Estimator, np.ndarray]]


@dataclass(frozen=True)
class PartitionedMembers(HeldOutMembers):
    """Frozen members, with their opinions in partitions: there are no arrays of all rows.

    Attributes
    ----------
    partitions : Partitions of HeldOutPart
    total : float
        Sum of the weights of all rows.
    logs : Partitions of Rows or None
        Log-probabilities that were computed before.
    single : bool
        Whether log-probabilities are kept in float32, as opinions came: zeros are softened before.
    n_rows : int or None
        Number of rows, where it is known.
    of_classes : ndarray of shape (n_classes,) or None
        Weights of the rows of each class, where they are known.
    columns : Partitions of _RawPart or None
        What the models gave, where each member is one that gives probabilities of two classes.
    as_gaps : bool
        Whether each round computes log-probabilities again, from the gap between two classes.
    """

    partitions: Partitions[HeldOutPart] | None = None
    total: float = 0.0
    logs: Partitions[Rows] | None = None
    single: bool = False
    n_rows: int | None = None
    of_classes: Array | None = None
    columns: Partitions[_RawPart] | None = None
    as_gaps: bool = False

    @property
    def parts(self) -> Partitions[HeldOutPart]:
        """The opinions, y and weights, all that pools and temperatures learn from."""
        assert self.partitions is not None
        return self.partitions

    @remembered
    def log_rows(self) -> Partitions[Rows]:
        """The members' log-probabilities, softened; computed once, as each round needs them."""
        if self.logs is not None:
            return self.logs
        if self.as_gaps and self.columns is not None:
            return self.columns.map(_RawPart.gaps, self.softenings)
        kept = self.parts.map(_log_rows, self.softenings, self.single).stored("log-probabilities")
        return kept.map(_in_double) if self.single else kept

    @property
    def read(self) -> bool:
        """Whether the members' opinions are there."""
        return True

    @property
    def memo(self) -> Memo:
        """Remembers nothing."""
        return Memo.none()

    def memo_of(self, member: int) -> Memo:
        """Remembers nothing."""
        return Memo.none()

    @property
    def total_weight(self) -> float:
        """Number of held-out rows, counted by their weights."""
        return self.total

    @remembered
    def weight_of_classes(self) -> Array:
        """Weight of the held-out rows of each class."""
        return self.counted_classes() if self.of_classes is None else self.of_classes


def _log_rows(part: HeldOutPart, amounts: Sequence[float], single: bool) -> Rows:
    rows = part.log_rows(amounts)
    kind = np.float32 if single else np.float64
    return Rows([z.astype(kind, copy=False) for z in rows.opinions], rows.y, rows.weight)


def _in_double(rows: Rows) -> Rows:
    return Rows([z.astype(np.float64) for z in rows.opinions], rows.y, rows.weight)


def _narrowed(values: Array) -> Any:
    """The same numbers in float32, if it holds them; of two that add up to 1 the second."""
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    if values.shape[1] == 2 and (values[:, 0] == 1 - values[:, 1]).all():
        narrow, values = narrow[:, 1].copy(), values[:, 1]
    return narrow if (narrow == values).all() else _widened(values)


def _are_gaps(members: Sequence[Member], n_classes: int) -> bool:
    """Whether each member is one model that gives probabilities of two classes."""
    return n_classes == 2 and not any(m.parts or m.logarithmic or len(m.missing) for m in members)


def _are_single(estimators: NamedEstimators, meta: Any) -> bool:
    """Whether all opinions are stored predictions in float32."""
    columns = [getattr(estimator, "estimator", estimator) for _, estimator in estimators]
    if not all(isinstance(column, PredictionColumn) for column in columns):
        return False
    tables = meta.values() if isinstance(meta, Mapping) else [meta]
    kinds = {
        str(kind) for t in tables for kind in (t.dtypes if hasattr(t, "columns") else [t.dtype])
    }
    return kinds == {"float32"}


class _RawPart(NamedTuple):
    """What the models of all members give in their own columns, one after the other."""

    raw: list[Array]
    y: IntArray
    weight: Array | None
    warned: list[Warned]

    def mark(self) -> tuple[int, int, float]:
        """What shows whether the rows have come back as they were."""
        firsts = [own if own.ndim == 1 else own[:, 0] for own in self.raw]
        total = sum(float(own.sum(dtype=np.float64)) for own in firsts)
        if self.weight is not None:
            total += float(self.weight.sum())
        return len(self.y), int(self.y.sum()), total

    def facts(self, n_classes: int) -> tuple[int, float, Array, list[Warned]]:
        """Number of rows, their weight, that of each class, and what members warned of."""
        total = float(len(self.y) if self.weight is None else self.weight.sum())
        of_classes = np.bincount(self.y, self.weight, n_classes).astype(np.float64)
        return len(self.y), total, of_classes, self.warned

    def aligned(self, members: Sequence[Member]) -> HeldOutPart:
        """The opinions, in the columns of the merged classes."""
        raw = map(_widened, self.raw)
        opinions = [m.opinion_by(lambda model: model.align(next(raw))) for m in members]
        return HeldOutPart(opinions, self.y.astype(np.intp, copy=False), self.weight)

    def gaps(self, softenings: Sequence[float]) -> Rows:
        """Softened probabilities of two classes as gaps between their logs, in float32."""
        found = [_gap_of(own, amount) for own, amount in zip(self.raw, softenings, strict=True)]
        return Rows(GapOpinions(found), self.y, self.weight)


def _widened(raw: Array) -> Array:
    """Both columns in float64, where one stands for two: see `_narrowed`."""
    wide = raw.astype(np.float64, copy=False)
    return wide if wide.ndim > 1 else np.column_stack([1 - wide, wide])


def _gap_of(raw: Array, softening: float) -> Any:
    """Gap log p_1 - log p_0, with logarithms in float32, which take a fifth of the time."""
    second = raw.T[-1].astype(np.float64) if raw.ndim > 1 else raw.astype(np.float64)
    first = raw.T[0].astype(np.float64) if raw.ndim > 1 else 1 - second
    logs = []
    for p in (second, first):
        if softening:
            p *= 1.0 - softening
            p += softening / 2
        logs.append(np.log(p.astype(np.float32)))
    return logs[0] - logs[1]


def read_partitions(
    estimators: NamedEstimators,
    run: DaskRun,
    X: Any,
    y: Any,
    sample_weight: Any,
    missing_classes: str = "auto",
    drop_missing: bool = False,
) -> PartitionedMembers:
    """Read the opinions of frozen members where the rows lie, and keep them there.

    Parameters
    ----------
    estimators : sequence of (str, FrozenEstimator)
    run : DaskRun
        Keeps the opinions; who made it releases them.
    X, y, sample_weight : Dask collections
        X may also be a dict of such: stored predictions by name.
    missing_classes : {"auto", "error", "soften"}, default="auto"
        As for `collect`.
    drop_missing : bool, default=False
        Whether rows in which a stored prediction is NaN are left out.
    """
    if not all_frozen(estimators):
        unfitted = [name for name, e in estimators if not all_frozen([(name, e)])]
        msg = (
            f"estimators {unfitted} are to be fitted, but X is a Dask collection, whose rows are "
            "not in one place: MergedClassifier.from_partitions trains one on each partition; or "
            "fit them first and pass them in FrozenEstimator, or to MergedClassifier.from_fitted"
        )
        raise ValueError(msg)
    parts = delayed_partitions(X=X, y=y, sample_weight=sample_weight)
    how = missing_classes, drop_missing
    return read_parts(estimators, run, parts, meta_of(X), sample_weight is not None, *how)


def read_parts(
    estimators: NamedEstimators,
    run: DaskRun,
    partitions: list[tuple[Any, ...]],
    meta: Any,
    weighted: bool,
    missing_classes: str = "auto",
    drop_missing: bool = False,
) -> PartitionedMembers:
    """The same for partitions that are there already.

    Parameters
    ----------
    estimators, run, missing_classes, drop_missing
        As for `read_partitions`.
    partitions : list of tuple
        X, y and weights of each, each a Delayed; None for weights that are not there.
    meta : array-like
        No rows, as `meta_of` gives them.
    weighted : bool
        Whether there are weights.
    """
    known = known_members(estimators)
    classes = merged_classes(known)
    check_can_be_sent(estimators)
    warn_of_names(estimators, meta)
    head = first_rows(partitions, ROWS_TO_COMPARE)
    if head is None:
        msg = "X has no rows in any of its partitions: at least one is needed"
        raise ValueError(msg)
    head = rows_for_columns(head, estimators)
    members = [make_member(name, e, classes, head, None, Cache(None)) for name, e in estimators]
    single = _are_single(estimators, meta)
    how = _MemberReader(members, known, classes, drop_missing, single)
    reader = delayed(how, name=f"members-{uuid4().hex}")
    what = _opinions_of([member.name for member in members])
    with run.timed(what):
        raw = DaskPartitions.of(run, tasks(what, _read, partitions, reader))
        n_rows, total, of_classes, warned = raw.reduce(
            _RawPart.facts, len(classes), how=("sum", "sum", "sum", "join"), what="number of rows"
        )
    warn_again(warned)
    if weighted:
        warn_if_few(total, len(classes))
    if missing_classes == "soften":
        members = [member.filled(1 / (total + 1) / len(classes)) for member in members]
    parts = raw.map(_RawPart.aligned, [member.without_estimator() for member in members])
    members = _softened(members, parts, total)
    nothing: Any = None
    found = PartitionedMembers(
        *(members, classes, [], nothing, nothing, nothing, [], None, parts, total),
        single=single,
        n_rows=n_rows,
        of_classes=of_classes,
        columns=raw if single and _are_gaps(members, len(classes)) else None,
    )
    if missing_classes == "error":
        refuse_lacking(members, classes, found.seen_classes)
    if not all(np.array_equal(own, known[0][2]) for _, _, own in known):
        refuse_codes(known, classes[found.seen_classes])
    return found


def _opinions_of(names: Sequence[str]) -> str:
    """What is read, for those who watch: of many members the first ones are named."""
    if len(names) == 1:
        return f"opinion of {names[0]}"
    first, others = ", ".join(names[:3]), len(names) - 3
    return f"opinions of {first}" + (f" and {others} more" if others > 0 else "")


def classes_in_partitions(y: Any) -> np.ndarray:
    """The labels that a Dask collection has, by one pass over it."""
    dask = optional_import("dask", extra="distributed", purpose="a Dask collection")
    parts = [delayed(_labels_of_part)(part) for (part,) in delayed_partitions(y=y)]
    found = [labels for labels in dask.compute(*parts) if len(labels)]
    if not found:
        msg = "y has no rows in any of its partitions: at least one is needed"
        raise ValueError(msg)
    return union_of_classes(*found)


def _labels_of_part(y: Any) -> np.ndarray:
    return np.unique(check_labels(y)) if len(y) else np.empty(0)


def logits_in_partitions(
    run: DaskRun, X: Any, y: Any, sample_weight: Any, classes: np.ndarray | None
) -> tuple[Partitions[Rows], np.ndarray]:
    """Bare logits, checked and kept where they lie, and the labels of their columns.

    Parameters
    ----------
    run, X, y, sample_weight
        As for `read_partitions`.
    classes : ndarray of shape (n_classes,) or None
        None: the labels of y, found by a pass over it.
    """
    partitions = delayed_partitions(X=X, y=y, sample_weight=sample_weight)
    labels = classes_in_partitions(y) if classes is None else classes
    made = tasks("logits", _read_logits, partitions, labels)
    rows: Partitions[Rows] = DaskPartitions.of(run, made)
    return rows, labels


def _read_logits(classes: np.ndarray, number: int, X: Any, y: Any, weight: Any) -> Rows:
    with in_partition(number):
        refuse_unlike_rows(X=X, y=y, sample_weight=weight)
        if not len(y):
            return Rows([], np.empty(0, dtype=np.intp), None)
        z = check_logits(X)
        if z.shape[1] != len(classes):
            msg = (
                f"logits have {z.shape[1]} columns, but there are {len(classes)} classes "
                f"{classes.tolist()[:10]}: pass classes= with one label for each column, in order"
            )
            raise ValueError(msg)
        codes = encode_labels(check_labels(y), classes, remedy="Pass all labels as classes=.")
        return Rows([z], codes, weights_of_part(weight, len(codes))).without_weightless()


def check_can_be_sent(estimators: NamedEstimators) -> None:
    """Raise PicklingError, naming the member, where it cannot be sent to workers."""
    if not has_client():
        return  # nothing is sent
    dumps = importlib.import_module("distributed.protocol.pickle").dumps
    for name, estimator in estimators:
        try:
            dumps(estimator)
        except Exception as error:
            msg = (
                f"estimator {name!r} cannot be pickled, so that it cannot be sent to the workers "
                f"of the cluster ({error}): define its class and functions in a module, or call "
                "fit without a client, where Dask computes in threads of this process"
            )
            raise pickle.PicklingError(msg) from error


@dataclass(frozen=True)
class _MemberReader:
    """What the tasks that read members need; it goes along as one task of the graph."""

    members: Sequence[Member]
    known: Known
    classes: np.ndarray
    drop_missing: bool
    single: bool


def _read(reader: _MemberReader, number: int, X: Any, y: Any, weight: Any) -> _RawPart:
    with in_partition(number), Gathered() as warned:
        part = _read_rows(reader, X, y, weight)
    return part._replace(warned=[*warned])


def _read_rows(reader: _MemberReader, X: Any, y: Any, weight: Any) -> _RawPart:
    refuse_unlike_rows(X=X, y=y, sample_weight=weight)
    if not len(y):
        return _RawPart([], np.empty(0, dtype=np.intp), None, [])
    X = rows_for_columns(X, [(m.name, m.estimator) for m in reader.members])
    labels = check_labels(y)
    weights = weights_of_part(weight, len(labels))
    kept = np.ones(len(labels), dtype=bool) if weights is None else weights > 0
    if reader.drop_missing:
        for values in X.values():
            kept &= ~np.isnan(np.asarray(values).reshape(len(labels), -1)).any(axis=1)
    if not kept.all():
        rows = np.flatnonzero(kept)
        X, labels = _safe_indexing(X, rows), labels[rows]
        weights = None if weights is None else weights[rows]
    if not len(labels):
        return _RawPart([], np.empty(0, dtype=np.intp), None, [])
    codes = encode_for(labels, reader.classes, reader.known)
    raw = [model.read(X) for member in reader.members for model in member.models]
    if reader.single:
        raw = [_narrowed(own) for own in raw]
        codes = codes.astype(np.min_scalar_type(-len(reader.classes)))
    return _RawPart(raw, codes, weights, [])


def _leaves(opinion: Opinion) -> Sequence[Opinion]:
    return opinion.parts if isinstance(opinion, AveragedOpinion) else (opinion,)


def _probabilities(part: HeldOutPart) -> Rows:
    """Those of each model; log-probabilities hold no zeros but those of unknown classes."""
    leaves = [leaf for opinion in part.opinions for leaf in _leaves(opinion)]
    found = [
        np.where(np.isneginf(leaf.values), 0.0, 1.0) if leaf.logarithmic else leaf.values
        for leaf in leaves
    ]
    return Rows(found, part.y, part.weight)


def _softened(
    members: Sequence[Member], parts: Partitions[HeldOutPart], total: float
) -> list[Member]:
    """The members with the softening that their opinions call for."""
    amounts = iter(softenings(parts.map(_probabilities)))
    found = []
    for member in members:
        own = max(next(amounts) for _ in member.models)
        found.append(member.softened(1 / (total + 1) if len(member.lost) else own))
    return found
