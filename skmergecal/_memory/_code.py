"""The code of an estimator's own functions and classes, which pickles know by name only.

A transformer around a function of a notebook is another one once that function was written anew.
Libraries are known by name: their code does not change under one's hands.
"""

from __future__ import annotations

import pickle
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache, cached_property, partial, partialmethod
from types import CodeType, EllipsisType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

__all__ = ["own_code"]

_PLAIN = (type(None), bool, int, float, complex, str, bytes, np.ndarray, np.generic)
#: Where methods, properties and decorators hold functions.
_HOLDERS: dict[type, tuple[str, ...]] = {
    property: ("fget", "fset", "fdel"),
    cached_property: ("func",),
    partial: ("func",),
    partialmethod: ("func",),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    MethodType: ("__func__",),
    type(cache(len)): ("__wrapped__",),
}
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")
_THIS_PACKAGE = __name__.partition(".")[0]


def own_code(thing: Any) -> list[Any]:
    """What the functions and classes that a thing refers to consist of.

    Followed are those outside of libraries, and what they name in their turn: functions, classes
    and constants of their own modules, also base classes, default values and decorated functions.
    Contents of lists, dicts and other objects that change as a program runs are left out.

    Parameters
    ----------
    thing : object
        An estimator, say.

    Returns
    -------
    list
        Of names, numbers, strings and arrays: the same in every process.

    Raises
    ------
    pickle.PicklingError, TypeError, AttributeError
        If the thing holds what cannot be pickled.
    """
    collector = _Collector(_Nowhere())
    collector.dump(thing)
    waiting, parts = list(collector.found.values()), []
    known = set(collector.found)
    while waiting:
        item = waiting.pop()
        parts.append(f"{item.__module__}.{item.__qualname__}")
        for value in _values(item):
            if not _is_own(value):
                parts.extend(_plain_parts(value))
            elif id(value) not in known:
                known.add(id(value))
                waiting.append(value)
    return parts


class _Nowhere:
    """A file that lets its content go."""

    def write(self, content: Any) -> int:
        return len(content)


class _Collector(pickle.Pickler):
    """Sees every object that is pickled."""

    def __init__(self, file: _Nowhere) -> None:
        super().__init__(file)
        self.found: dict[int, Any] = {}

    def persistent_id(self, obj: Any) -> None:
        """Keep an own function or class; pickle it as usual."""
        if _is_own(obj):
            self.found[id(obj)] = obj


def _is_own(value: Any) -> bool:
    """Whether it is a function or class, and not one of a library."""
    # Types are asked, never values: a lazy proxy may do anything when it is asked for attributes.
    return issubclass(type(value), FunctionType | type) and _is_own_module(str(value.__module__))


def _is_own_module(name: str) -> bool:
    package = name.partition(".")[0]
    if package == "__main__":
        return True
    if package == _THIS_PACKAGE or package in sys.stdlib_module_names:
        return False
    path = getattr(sys.modules.get(name), "__file__", None) or ""
    installed = "site-packages" in path or "dist-packages" in path
    return not (installed or path.startswith(_STANDARD_LIBRARY))


def _plain_parts(value: Any) -> Iterator[Any]:
    """A constant, taken apart so that it is the same in every process; else nothing."""
    if type(value) is tuple:
        yield len(value)
        for item in value:
            yield from _plain_parts(item)
    elif type(value) is frozenset:
        yield from sorted(map(repr, value))
    elif type(value) is slice:
        yield from ("slice", str(value))
    elif type(value) is EllipsisType:
        yield "..."
    elif issubclass(type(value), _PLAIN):
        yield value


def _values(item: Any) -> Iterator[Any]:
    """What a function or class consists of, and what it names."""
    if isinstance(item, FunctionType):
        yield from _values_of_function(item)
        return
    yield from item.__bases__
    for name, value in sorted(vars(item).items(), key=lambda pair: pair[0]):
        if not name.startswith("__"):  # the others are bookkeeping, unless they are functions
            yield from (name, value)
        yield from _functions_in(value)


def _functions_in(value: Any) -> Iterator[Any]:
    """A function or class, and those that a method, a property or a decorator holds."""
    if issubclass(type(value), FunctionType | type):
        yield value
    for holder, places in _HOLDERS.items():
        if issubclass(type(value), holder):
            for place in places:
                yield from _functions_in(getattr(value, place))


def _values_of_function(function: FunctionType) -> Iterator[Any]:
    yield function.__defaults__
    for name, value in sorted((function.__kwdefaults__ or {}).items()):
        yield from (name, value)
    for cell in function.__closure__ or ():
        try:
            yield from _functions_in(cell.cell_contents)
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    for code in _nested(function.__code__):
        yield code.co_code
        yield from (code.co_argcount, code.co_kwonlyargcount, code.co_flags, code.co_varnames)
        yield code.co_exceptiontable
        yield code.co_consts
        yield from _named(code, function.__globals__)


def _nested(code: CodeType) -> Iterator[CodeType]:
    """The code, and that of the functions inside it."""
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _nested(value)


def _named(code: CodeType, namespace: dict[str, Any]) -> Iterator[Any]:
    """The names in the code, and what they stand for, there or in own modules that it names."""
    namespaces = [namespace]
    for name in code.co_names:
        yield name
        for value in [*(space.get(name) for space in namespaces), sys.modules.get(name)]:
            if type(value) is not ModuleType:
                yield value
                yield from _functions_in(value)
            elif _is_own_module(value.__name__):
                namespaces.append(vars(value))
