"""DaskPartitions: partitions that Dask computes, on a cluster or in threads."""

from __future__ import annotations

import importlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import uuid4

from skmergecal._optional import optional_import
from skmergecal._partitions._lazy import (
    Expression,
    LazyPartitions,
    Mark,
    evaluate,
    refuse_other_rows,
)
from skmergecal._partitions._partitions import Part, Partitions, Reduction, combine_all
from skmergecal._partitions._rounds import Request

__all__ = ["DaskPartitions", "DaskRun", "delayed", "has_client", "in_partition", "tasks"]

#: So many results are combined in one task.
_FAN_IN = 16
_NO_MARK: Mark = (0, 0, 0.0)

Delayed = Any
#: What a request asks of a partition: a function of the value of an expression, with arguments.
Asked = tuple[Expression, Callable[..., Any], tuple[Any, ...]]


@dataclass
class DaskRun:
    """What one fit has on the workers, and the lines that it prints.

    Attributes
    ----------
    who : str
        In whose name lines are printed.
    verbose : int
        Above 0, a line is printed for each round.
    stored : list of list
        Partitions that are kept on the workers.
    futures : list of Future
        What keeps them there.
    marks : dict of int to list
        By the number of stored partitions: the marks of each.
    rounds : Counter
        Number of rounds so far, by what was computed.
    """

    who: str = ""
    verbose: int = 0
    stored: list[list[Delayed]] = field(default_factory=list)
    futures: list[Any] = field(default_factory=list)
    marks: dict[int, list[Mark]] = field(default_factory=dict)
    rounds: Counter[str] = field(default_factory=Counter)

    def store(self, parts: Sequence[Delayed]) -> int:
        """Compute partitions, and keep them where they are; their number."""
        dask = optional_import("dask", extra="distributed", purpose="a Dask collection")
        graph = _graph_of(parts)
        (kept,) = dask.persist(_Tasks(graph, [part.key for part in parts]))
        kept = kept.parts()
        if has_client():
            self.futures += importlib.import_module("distributed").futures_of([*kept])
        return self.hold(kept)

    def hold(self, parts: Sequence[Delayed]) -> int:
        """Take partitions as they are, computed or not; their number."""
        self.stored.append(list(parts))
        return len(self.stored) - 1

    def columns(self, bases: Sequence[int]) -> list[tuple[Delayed, ...]]:
        """For each partition the parts of some stored partitions."""
        return list(zip(*[self.stored[base] for base in bases], strict=True))

    def marks_of(self, bases: Sequence[int]) -> list[list[Mark | None]]:
        """For each partition the marks of these parts, where they are known."""
        unknown: list[Mark | None] = [None] * len(self.stored[bases[0]])
        known = [self.marks.get(base) or unknown for base in bases]
        return [list(marks) for marks in zip(*known, strict=True)]

    def release(self) -> None:
        """Let the workers forget everything, also where a traceback refers to it."""
        for future in self.futures:
            future.release()
        for parts in self.stored:
            parts.clear()

    @contextmanager
    def next_round(self, what: str) -> Iterator[str]:
        """The next round, under the name that its tasks get."""
        self.rounds[what] += 1
        name = f"round {self.rounds[what]} of the {what or 'sums'}"
        with self.timed(name):
            yield name

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Print how long some work took, if lines are to be printed."""
        began = time.perf_counter()
        yield
        if self.verbose > 0:
            seconds = time.perf_counter() - began
            sys.stdout.write(f"[{self.who}] {name}: {seconds:.2f} s\n")


@dataclass(frozen=True, eq=False)
class _Work:
    """What one task does with the parts of a partition: nothing that it shares with others."""

    number: int
    asked: Sequence[Asked]
    """What each request asks."""
    marks: Sequence[Mark | None]
    """Of each of the parts, where it is known."""

    def __call__(self, *parts: Any) -> Any:
        with in_partition(self.number):
            found = _checked_marks(self.number, parts, self.marks)
            known: dict[int, Any] = {}
            results = []
            for expression, function, arguments in self.asked:
                value = evaluate(expression, parts, known)
                results.append(None if value is None else function(value, *arguments))
        return results, ([found] if None in self.marks else [])


@dataclass(frozen=True, eq=False)
class _Value:
    """The value of an expression for the parts of a partition."""

    number: int
    expression: Expression
    marks: Sequence[Mark | None]

    def __call__(self, *parts: Any) -> Any:
        with in_partition(self.number):
            _checked_marks(self.number, parts, self.marks)
            return evaluate(self.expression, parts)


def _checked_marks(number: int, parts: Sequence[Any], marks: Sequence[Mark | None]) -> list[Mark]:
    found = []
    for part, known in zip(parts, marks, strict=True):
        found.append(_NO_MARK if part is None else part.mark())
        if known is not None:
            refuse_other_rows(f"partition {number}", found[-1], known)
    return found


@dataclass(frozen=True, eq=False)
class _Combine:
    """What one task makes of the results of several."""

    hows: Sequence[Reduction]

    def __call__(self, results: Sequence[Any]) -> Any:
        columns = zip(*[values for values, _ in results], strict=True)
        made = [combine_all(how, own) for how, own in zip(self.hows, columns, strict=True)]
        return made, [mark for _, marks in results for mark in marks]


class DaskPartitions(LazyPartitions[Part]):
    """Partitions whose parts lie on the workers of a cluster, or in this process without one.

    Parameters
    ----------
    run : DaskRun
    bases : sequence of int
        Numbers of the stored partitions that the expression is over; of the same rows.
    expression : Expression
    """

    without_rows = "the partitions have no rows of positive weight: at least one is needed"

    def __init__(self, run: DaskRun, bases: Sequence[int], expression: Expression) -> None:
        self._run, self._bases, self._expression = run, tuple(bases), expression

    @classmethod
    def of(
        cls, run: DaskRun, parts: Sequence[Delayed], *, kept: bool = True
    ) -> DaskPartitions[Any]:
        """Parts that are computed now, and kept; each has ``y`` and a method ``mark``.

        Those that are not kept are computed in each round.
        """
        return cls(run, [run.store(parts) if kept else run.hold(parts)], Expression())

    def _with(self, expression: Expression) -> Self:
        return type(self)(self._run, self._bases, expression)

    def _joined(self, other: Self) -> tuple[Self, Expression]:
        bases = list(self._bases)
        bases += [base for base in other._bases if base not in bases]
        both = type(self)(self._run, bases, self._expression)
        return both, other._expression.moved([bases.index(base) for base in other._bases])

    @property
    def source(self) -> Any:
        """The run of a fit."""
        return self._run

    def stored(self, what: str = "") -> Partitions[Part]:
        """The same, computed now and kept on the workers."""
        known = self._run.marks_of(self._bases)
        name = f"{what or 'rows'}-{uuid4().hex}"
        parts = [
            delayed(_Value(number, self._expression, marks))(*own, dask_key_name=(name, number))
            for number, (own, marks) in enumerate(
                zip(self._run.columns(self._bases), known, strict=True)
            )
        ]
        return type(self)(self._run, [self._run.store(parts)], Expression())

    def reduce_all(self, requests: Sequence[Request]) -> list[Any]:
        """One round: a task for each partition, and a tree of tasks that combine their results."""
        run, bases = self._run, self._bases
        for request in requests[1:]:
            bases += tuple(base for base in request.partitions._bases if base not in bases)
        asked = []
        moved: dict[tuple[int, ...], dict[int, Expression]] = {}
        for request in requests:
            own = request.partitions
            places = [bases.index(base) for base in own._bases]
            expression = own._expression.moved(places, moved.setdefault(own._bases, {}))
            asked.append((expression, request.function, request.arguments))
        what = ", ".join(dict.fromkeys(request.what for request in requests if request.what))
        with run.next_round(what) as name:
            hows = [request.how for request in requests]
            results, marks = self._round(f"{name}-{uuid4().hex}", bases, asked, hows)
        for base, of_all in zip(bases, zip(*marks, strict=True), strict=False):
            run.marks.setdefault(base, list(of_all))
        return results

    def _round(
        self, name: str, bases: Sequence[int], asked: Sequence[Asked], hows: Sequence[Reduction]
    ) -> Any:
        """The combined results, and the marks of the partitions where they were not known."""
        run = self._run
        graph = _graph_of([part for base in bases for part in run.stored[base]])
        level: list[Any] = []
        known = run.marks_of(bases)
        for number, (parts, marks) in enumerate(zip(run.columns(bases), known, strict=True)):
            level.append((name, number))
            graph[level[-1]] = (_Work(number, asked, marks), *(part.key for part in parts))
        return _computed(name, graph, level, _Combine(hows))


def _computed(name: str, graph: dict[Any, Any], level: list[Any], combine: _Combine) -> Any:
    """Results of tasks, combined on the way.

    All tasks are written into one graph, which takes Dask a tenth of the time of a Delayed each.
    """
    depth = 0
    while len(level) > 1 or depth == 0:
        depth += 1
        above = []
        for first in range(0, len(level), _FAN_IN):
            above.append((f"combine {depth} {name}", first))
            graph[above[-1]] = (combine, level[first : first + _FAN_IN])
        level = above
    dask = optional_import("dask", extra="distributed", purpose="a Dask collection")
    (found,) = dask.compute(_delayed_module().Delayed(level[0], graph))
    return found


def tasks(
    name: str, function: Any, partitions: Sequence[Sequence[Any]], first: Any
) -> list[Delayed]:
    """A task for each partition, all in one graph: Dask looks at each graph as a whole.

    Parameters
    ----------
    name : str
        Of the tasks.
    function : callable
        Gets ``first``, the number of the partition, and what it has.
    partitions : sequence of sequence
        Of each a Delayed, a dict of such, or None.
    first : Any
        For all partitions; it goes along as one task.
    """
    first = first if hasattr(first, "__dask_graph__") else delayed(first)
    values = [value for part in partitions for value in part]
    values += [v for value in values if isinstance(value, dict) for v in value.values()]
    graph = _graph_of([first, *(value for value in values if hasattr(value, "__dask_graph__"))])
    name = f"{name}-{uuid4().hex}"
    for number, part in enumerate(partitions):
        graph[(name, number)] = (function, *map(_as_argument, [first, number, *part]))
    return [_delayed_module().Delayed((name, number), graph) for number in range(len(partitions))]


def _as_argument(value: Any) -> Any:
    if isinstance(value, dict):
        return dict, [[key, own.key] for key, own in value.items()]
    return value.key if hasattr(value, "__dask_graph__") else value


def _graph_of(parts: Sequence[Delayed]) -> dict[Any, Any]:
    """The tasks of several Delayed, of each layer once."""
    graph: dict[Any, Any] = {}
    seen: set[Any] = set()
    for part in parts:
        own = part.__dask_graph__()
        for name, layer in getattr(own, "layers", {id(own): own}).items():
            if name not in seen:
                seen.add(name)
                graph.update(layer)
    return graph


class _Tasks:
    """A Dask collection of some tasks: one, as Dask goes through the graph of each."""

    def __init__(self, graph: dict[Any, Any], keys: list[Any]) -> None:
        self.graph, self.keys = graph, keys

    def parts(self) -> list[Delayed]:
        """A Delayed for each task, whose result is in the graph."""
        kind = _delayed_module().Delayed
        return [kind(key, {key: self.graph[key]}) for key in self.keys]

    def __dask_graph__(self) -> dict[Any, Any]:
        return self.graph

    def __dask_keys__(self) -> list[Any]:
        return self.keys

    @staticmethod
    def __dask_optimize__(graph: Any, keys: list[Any], **_: Any) -> dict[Any, Any]:
        needed, _ = importlib.import_module("dask.optimization").cull(dict(graph), keys)
        return {key: needed[key] for key in graph if key in needed}  # first partitions first

    @property
    def __dask_scheduler__(self) -> Any:
        return importlib.import_module("dask.threaded").get

    def __dask_postcompute__(self) -> tuple[Any, tuple[()]]:
        return list, ()

    def __dask_postpersist__(self) -> tuple[Any, tuple[Any]]:
        return type(self), (self.keys,)


def delayed(function: Any, **how: Any) -> Any:
    """A Delayed of a function, or of an object that goes along as one task."""
    return _delayed_module().delayed(function, pure=False, traverse=False, **how)


def _delayed_module() -> Any:
    return optional_import("dask.delayed", extra="distributed", purpose="a Dask collection")


@contextmanager
def in_partition(number: int) -> Iterator[None]:
    """Add the number of the partition to what is raised there."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in partition {number}")
        raise


def has_client() -> bool:
    """Whether a client of Dask's is there, so that tasks run on a cluster."""
    module = sys.modules.get("distributed")
    if module is None:
        return False
    try:
        module.default_client()
    except ValueError:
        return False
    return True
