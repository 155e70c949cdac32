"""The code of an estimator's own functions and classes, which pickles know by name only.

A transformer around a function of a notebook is another one once that function was written anew.
Libraries are known by name: their code does not change under one's hands.
"""

from __future__ import annotations

import pickle
import sys
import sysconfig
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

__all__ = ["own_code"]

_PLAIN = (type(None), bool, int, float, complex, str, bytes, np.ndarray, np.generic)
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")
_THIS_PACKAGE = __name__.partition(".")[0]


def own_code(thing: Any) -> list[Any]:
    """What the functions and classes that a thing refers to consist of.

    Followed are those outside of libraries, and what they name in their turn: functions, classes
    and constants of their module, also base classes, default values and decorated functions.
    Contents of lists, dicts and other objects that change as a program runs are left out.

    Parameters
    ----------
    thing : object
        An estimator, say.

    Returns
    -------
    list
        Of names, numbers, strings and arrays.

    Raises
    ------
    pickle.PicklingError, TypeError, AttributeError
        If the thing holds what cannot be pickled.
    """
    collector = _Collector()
    collector.dump(thing)
    waiting, parts = collector.found, []
    known = {id(item) for item in waiting}
    while waiting:
        item = waiting.pop()
        parts.append(f"{item.__module__}.{item.__qualname__}")
        for value in _values(item):
            if _is_code(value) and id(value) not in known:
                known.add(id(value))
                waiting.append(value)
            elif _is_plain(value):
                parts.append(value)
    return parts


class _Collector(pickle.Pickler):
    """Pickles to nowhere, and sees every object on the way."""

    def __init__(self) -> None:
        super().__init__(self)
        self.found: list[Any] = []

    def write(self, content: Any) -> int:
        """Let the content go."""
        return len(content)

    def persistent_id(self, obj: Any) -> None:
        """Keep an own function or class; pickle it as usual."""
        if _is_code(obj) and not any(obj is other for other in self.found):
            self.found.append(obj)


def _is_code(value: Any) -> bool:
    """Whether it is a function or class, and not one of a library."""
    if not isinstance(value, FunctionType | type):
        return False
    name = str(value.__module__)
    package = name.partition(".")[0]
    if package == "__main__":
        return True
    if package == _THIS_PACKAGE or package in sys.stdlib_module_names:
        return False
    path = getattr(sys.modules.get(name), "__file__", None) or ""
    installed = "site-packages" in path or "dist-packages" in path
    return not (installed or path.startswith(_STANDARD_LIBRARY))


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | frozenset):
        return all(_is_plain(item) for item in value)
    return isinstance(value, _PLAIN)


def _values(item: Any) -> Iterator[Any]:
    """What a function or class consists of, and what it names."""
    if isinstance(item, FunctionType):
        yield from _values_of_function(item)
        return
    yield from item.__bases__
    for name, value in sorted(vars(item).items()):
        yield name
        yield from _with_wrapped(value)


def _with_wrapped(value: Any) -> Iterator[Any]:
    """A value, and the functions that a method, a property or a decorator holds."""
    yield value
    if not isinstance(value, ModuleType):
        for where in ("__func__", "fget", "fset", "__wrapped__"):
            yield getattr(value, where, None)


def _values_of_function(function: FunctionType) -> Iterator[Any]:
    yield from function.__defaults__ or ()
    for name, value in sorted((function.__kwdefaults__ or {}).items()):
        yield from (name, value)
    for cell in function.__closure__ or ():
        try:
            yield from _with_wrapped(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    for code in _nested(function.__code__):
        yield code.co_code
        yield from (code.co_argcount, code.co_kwonlyargcount, code.co_flags, code.co_varnames)
        yield getattr(code, "co_exceptiontable", b"")
        yield tuple(value for value in code.co_consts if not isinstance(value, CodeType))
        for name in code.co_names:
            yield name
            yield from _with_wrapped(function.__globals__.get(name))


def _nested(code: CodeType) -> Iterator[CodeType]:
    """The code, and that of the functions inside it."""
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _nested(value)
