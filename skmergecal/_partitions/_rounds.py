"""Rounds: passes over the partitions, which problems that do not depend on each other share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Generic, TypeVar

from skmergecal._partitions._partitions import InMemory, Partitions, Reduction

__all__ = ["Request", "answer", "remembered", "together"]

Found = TypeVar("Found")


class _Remembered(Generic[Found]):
    """Has no ``__set__``: what it puts into the object is found there from then on."""

    def __init__(self, find: Callable[[Any], Found]) -> None:
        self.find, self.__doc__ = find, find.__doc__

    def __get__(self, owner: Any, _: type) -> Found:
        found = self.find(owner)
        vars(owner)[self.find.__name__] = found
        return found


def remembered(find: Callable[[Any], Found]) -> _Remembered[Found]:
    """A property that is found once: the one of functools without its lock.

    Until Python 3.12 that lock is shared by all objects of a class. A problem that waits for a
    round while it holds the lock would stop the others before they ask for the round.
    """
    return _Remembered(find)


@dataclass
class Request:
    """What one call of ``reduce`` asks of its partitions.

    Attributes
    ----------
    partitions : Partitions
    function, arguments, how, what
        As for ``reduce``.
    """

    partitions: Any
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    how: Reduction
    what: str
    result: Any = None
    error: BaseException | None = None
    answered: threading.Event = field(default_factory=threading.Event)


class _Meeting:
    """Problems in threads, which wait for each other before each round."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.running = 0
        self.waiting: list[tuple[tuple[int, ...], Request]] = []
        self.ended: BaseException | None = None

    def ask(self, place: tuple[int, ...], request: Request) -> Any:
        """In the thread of a problem: wait for the next round."""
        with self.changed:
            if self.ended is not None:
                raise self.ended
            self.waiting.append((place, request))
            self.running -= 1
            self.changed.notify_all()
        request.answered.wait()
        if request.error is not None:
            raise request.error
        return request.result

    def hold_rounds(self) -> None:
        """In the thread that called `together`: rounds, until no problem asks for one."""
        try:
            while True:
                with self.changed:
                    self.changed.wait_for(lambda: self.running == 0)
                    asked = [request for _, request in sorted(self.waiting, key=itemgetter(0))]
                if not asked:
                    return
                try:
                    _hold_round(asked)
                except Exception as error:  # raised again in the threads of the problems
                    self._answer(error)
                self._answer(None)
        except BaseException as error:  # an interrupt: every problem is to end
            self.ended = error
            self._answer(error)
            raise

    def _answer(self, error: BaseException | None) -> None:
        """Let those who wait go on, with the results of their requests or with an error."""
        with self.changed:
            waiting, self.waiting = self.waiting, []
            self.running += len(waiting)
        for _, request in waiting:
            request.error = error or request.error
            request.answered.set()


#: The meeting that a problem takes part in, and its place among the others.
_MEETING: ContextVar[tuple[_Meeting, tuple[int, ...]] | None] = ContextVar("_MEETING", default=None)


def together(rows: Partitions[Any], problems: Sequence[Callable[[], Found]]) -> list[Found]:
    """What problems that do not depend on each other find, in their order.

    Their sums over partitions are found in the same rounds: each problem has a thread, and a round
    begins when all wait for one. In memory they are solved one after the other.

    Parameters
    ----------
    rows : Partitions
        What the problems are about, to know where they lie.
    problems : sequence of callable
        Each gets all that it knows of rows by ``reduce``.
    """
    if isinstance(rows, InMemory) or len(problems) < 2:
        return [problem() for problem in problems]
    outer = _MEETING.get()
    meeting, place = outer or (_Meeting(), ())
    found: list[Any] = [None] * len(problems)
    errors: dict[int, BaseException] = {}

    def solve(number: int) -> None:
        _MEETING.set((meeting, (*place, number)))
        try:
            found[number] = problems[number]()
        except BaseException as error:  # raised again in the thread that called
            errors[number] = error
        finally:
            with meeting.changed:
                meeting.running -= 1
                meeting.changed.notify_all()

    with meeting.changed:
        # The thread of an outer problem does not count while it waits for these.
        meeting.running += len(problems) - (outer is not None)
    threads = [
        threading.Thread(target=copy_context().run, args=(solve, number), daemon=True)
        for number in range(len(problems))
    ]
    for thread in threads:
        thread.start()
    try:
        if outer is None:
            meeting.hold_rounds()
    finally:
        for thread in threads:
            thread.join()
        if outer is not None:
            with meeting.changed:
                meeting.running += 1
    if errors:
        raise errors[min(errors)]
    return found


def answer(request: Request) -> Any:
    """The result of a request, now or with those of other problems."""
    meeting = _MEETING.get()
    if meeting is not None:
        return meeting[0].ask(meeting[1], request)
    _hold_round([request])
    if request.error is not None:
        raise request.error
    return request.result


def _hold_round(requests: Sequence[Request]) -> None:
    """Answer requests, those of one source in one round."""
    sources: dict[int, list[Request]] = {}
    for request in requests:
        sources.setdefault(id(request.partitions.source), []).append(request)
    for own in sources.values():
        results = own[0].partitions.reduce_all(own)
        for request, result in zip(own, results, strict=True):
            if result is None:
                request.error = ValueError(request.partitions.without_rows)
            request.result = result
