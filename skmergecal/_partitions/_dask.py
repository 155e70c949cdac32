"""DaskPartitions: partitions that Dask computes, on a cluster or in threads."""

from __future__ import annotations

import sys
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

__all__ = ["DaskPartitions", "DaskRun", "delayed", "has_client", "in_partition"]

#: So many results are combined in one task.
_FAN_IN = 8
_NO_MARK: Mark = (0, 0, 0.0)

Delayed = Any


@dataclass
class DaskRun:
    """What one fit has on the workers, and how it tells what it does.

    Attributes
    ----------
    stored : list of list
        Partitions that are kept on the workers.
    marks : dict of int to list
        By the number of stored partitions: the marks of each.
    report : callable or None
        Is told the number and the name of each round.
    rounds : int
        Number of rounds so far.
    """

    stored: list[list[Delayed]] = field(default_factory=list)
    marks: dict[int, list[Mark]] = field(default_factory=dict)
    report: Callable[[int, str], None] | None = None
    rounds: int = 0

    def store(self, parts: Sequence[Delayed]) -> int:
        """Compute partitions, and keep them where they are; their number."""
        dask = optional_import("dask", extra="distributed", purpose="a Dask collection")
        return self.hold(dask.persist(*parts))

    def hold(self, parts: Sequence[Delayed]) -> int:
        """Take partitions as they are, computed or not; their number."""
        self.stored.append(list(parts))
        return len(self.stored) - 1

    def release(self) -> None:
        """Let the workers forget everything."""
        for parts in self.stored:
            parts.clear()

    def next_round(self, what: str) -> str:
        """Name of the tasks of the next round."""
        self.rounds += 1
        name = f"{what or 'sums'}, round {self.rounds}"
        if self.report is not None:
            self.report(self.rounds, what)
        return name


@dataclass(frozen=True, eq=False)
class _Work:
    """What one task does with the parts of a partition: nothing that it shares with others."""

    number: int
    expression: Expression
    function: Callable[..., Any] | None
    arguments: tuple[Any, ...]
    marks: Sequence[Mark | None]
    """Of each of the parts, where it is known."""

    def __call__(self, *parts: Any) -> Any:
        with in_partition(self.number):
            found = []
            for part, known in zip(parts, self.marks, strict=True):
                found.append(_NO_MARK if part is None else part.mark())
                if known is not None:
                    refuse_other_rows(f"partition {self.number}", found[-1], known)
            value = evaluate(self.expression, parts)
            if self.function is None:
                return value
            made = None if value is None else self.function(value, *self.arguments)
        return made, ([found] if None in self.marks else [])


def _combined(results: Sequence[Any], how: Reduction) -> Any:
    made = combine_all(how, [value for value, _ in results])
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

    def _tasks(
        self, name: str, function: Callable[..., Any] | None, arguments: tuple[Any, ...]
    ) -> list[Delayed]:
        token, run = uuid4().hex, self._run
        columns = [run.stored[base] for base in self._bases]
        known = [run.marks.get(base) for base in self._bases]
        tasks = []
        for number, parts in enumerate(zip(*columns, strict=True)):
            marks = [None if of is None else of[number] for of in known]
            work = _Work(number, self._expression, function, arguments, marks)
            key = (f"{name}-{token}", number)
            tasks.append(delayed(work)(*parts, dask_key_name=key))
        return tasks

    def stored(self, what: str = "") -> Partitions[Part]:
        """The same, computed now and kept on the workers."""
        parts = self._tasks(what or "rows", None, ())
        return type(self)(self._run, [self._run.store(parts)], Expression())

    def reduce(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        how: Reduction = "sum",
        what: str = "",
    ) -> Any:
        """One round: a task for each partition, and a tree of tasks that combine their results.

        Raises
        ------
        ValueError
            If there are no rows, or others than in the first round.
        """
        dask = optional_import("dask", extra="distributed", purpose="a Dask collection")
        name = self._run.next_round(what)
        level, depth = self._tasks(name, function, arguments), 0
        token = uuid4().hex
        while len(level) > 1 or depth == 0:
            depth += 1
            level = [
                delayed(_combined)(
                    level[first : first + _FAN_IN],
                    how,
                    dask_key_name=(f"combine {name}-{token}-{depth}", first),
                )
                for first in range(0, len(level), _FAN_IN)
            ]
        ((result, marks),) = dask.compute(*level)
        for base, of_all in zip(self._bases, zip(*marks, strict=True), strict=False):
            self._run.marks.setdefault(base, list(of_all))
        if result is None:
            msg = "the partitions have no rows of positive weight: at least one is needed"
            raise ValueError(msg)
        return result


def delayed(function: Any, **how: Any) -> Any:
    """A Delayed of a function, or of an object that goes along as one task."""
    module = optional_import("dask.delayed", extra="distributed", purpose="a Dask collection")
    return module.delayed(function, pure=False, traverse=False, **how)


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
