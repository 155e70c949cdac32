"""Warnings that point to the user's line; a repeated warning comes once per fit."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar, Token
from functools import wraps
from types import FrameType
from typing import NamedTuple, ParamSpec, TypeVar

__all__ = ["Gathered", "Warned", "warn_again", "warn_user", "warns_once"]

_NOT_THE_USER = {"skmergecal", "sklearn", "joblib"}

P = ParamSpec("P")
R = TypeVar("R")


class Warned(NamedTuple):
    """A warning that waits."""

    message: str
    category: type[Warning]
    who: str | None
    """What the message is about: ``{who}`` in its text. None: the text has no place for it."""


#: Warnings that wait for the end of the outermost call. Each thread, and each task, has its own.
_WAITING: ContextVar[list[Warned] | None] = ContextVar("_WAITING", default=None)


class Gathered:
    """Within it, warnings wait in the list that it gives, and the caller repeats them."""

    _token: Token[list[Warned] | None]

    def __enter__(self) -> list[Warned]:
        waiting: list[Warned] = []
        self._token = _WAITING.set(waiting)
        return waiting

    def __exit__(self, *error: object) -> None:
        _WAITING.reset(self._token)


def warn_user(
    message: str, category: type[Warning] = UserWarning, *, who: str | None = None
) -> None:
    """Warn in the name of the first caller outside of this package and scikit-learn.

    In functions that `warns_once` decorates, the warning comes at the end of the outermost one.
    There, messages that differ in ``{who}`` only are one, with a list. An empty ``who`` is what the
    user called; then the message loses " for {who}", and where others are named, it is left out.
    """
    waiting = _WAITING.get()
    if waiting is None:
        _warn(_text(message, [] if who is None else [who]), category)
    else:
        waiting.append(Warned(message, category, who))


def warn_again(found: Iterable[Warned], who: str | None = None) -> None:
    """Repeat gathered warnings; ``who`` is what they are about in the words of the caller."""
    for message, category, about in found:
        warn_user(message, category, who=about if about is None or who is None else who)


def warns_once(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that it gives each warning once, at its end."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if _WAITING.get() is not None:
            return function(*args, **kwargs)
        found: list[Warned] = []
        try:
            with Gathered() as found:
                return function(*args, **kwargs)
        finally:
            _warn_of_all(found)

    return call


def _warn_of_all(found: Sequence[Warned]) -> None:
    """One warning for each message; those with the same words before ``{who}`` are one, too."""
    topics: dict[tuple[str, type[Warning]], dict[str, dict[str, None]]] = {}
    for message, category, who in found:
        messages = topics.setdefault((message.partition("{who}")[0], category), {})
        messages.setdefault(message, {})[who or ""] = None
    for (_, category), messages in topics.items():
        named = {m: [who for who in about if who] for m, about in messages.items()}
        kept = {m: about for m, about in named.items() if about} or named
        _warn(" ".join(_text(m, about) for m, about in kept.items()), category)


def _text(message: str, about: Sequence[str]) -> str:
    *others, last = [who for who in about if who] or [""]
    if not last:
        return message.replace(" for {who}", "")
    return message.replace("{who}", f"{', '.join(others)} and {last}" if others else last)


def _warn(message: str, category: type[Warning]) -> None:
    level = 1
    frame: FrameType | None = sys._getframe(0)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in _NOT_THE_USER:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
