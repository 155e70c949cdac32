"""Code of user-defined functions and classes that an estimator refers to, as part of cache keys.

Pickles contain functions and classes by name only. A transformer around a function of a notebook
has to get another key when that function is redefined. Functions of libraries are identified by
name: their code does not change during a session.
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
#: Attributes in which methods, properties and decorators hold functions.
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
    """Code and constants of the user-defined functions and classes that an object refers to.

    Functions and classes outside of libraries are followed recursively: the functions, classes
    and constants of user modules that they name, their base classes, default values and decorated
    functions. Contents of lists, dicts and other mutable objects are left out, because they may
    change while a program runs.

    Parameters
    ----------
    thing : object
        For example an estimator.

    Returns
    -------
    list
        Names, numbers, strings and arrays that are the same in every process.

    Raises
    ------
    pickle.PicklingError, TypeError, AttributeError
        If the object cannot be pickled.
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
    """A file that discards what is written to it."""

    def write(self, content: Any) -> int:
        return len(content)


class _Collector(pickle.Pickler):
    """Pickler that collects the user-defined functions and classes among the pickled objects."""

    def __init__(self, file: _Nowhere) -> None:
        super().__init__(file)
        self.found: dict[int, Any] = {}

    def persistent_id(self, obj: Any) -> None:
        """Collect a user-defined function or class; returning None pickles it as usual."""
        if _is_own(obj):
            self.found[id(obj)] = obj


def _is_own(value: Any) -> bool:
    """Whether a value is a function or class that is not defined in a library."""
    # type() instead of isinstance(), which reads __class__: a lazy proxy may run any code when an
    # attribute is read.
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
    """Parts of a constant, the same in every process; nothing for other values."""
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
    """Contents of a function or class, and the values of the names that it uses."""
    if isinstance(item, FunctionType):
        yield from _values_of_function(item)
        return
    yield from item.__bases__
    for name, value in sorted(vars(item).items(), key=lambda pair: pair[0]):
        if not name.startswith("__"):  # dunder attributes other than functions are bookkeeping
            yield from (name, value)
        yield from _functions_in(value)


def _functions_in(value: Any) -> Iterator[Any]:
    """A function or class itself, and those inside a method, property or decorator."""
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
        except ValueError:  # the cell is still empty
            continue
    for code in _nested(function.__code__):
        yield code.co_code
        yield from (code.co_argcount, code.co_kwonlyargcount, code.co_flags, code.co_varnames)
        yield code.co_exceptiontable
        yield code.co_consts
        yield from _named(code, function.__globals__)


def _nested(code: CodeType) -> Iterator[CodeType]:
    """A code object, and those of the functions nested in it."""
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _nested(value)


def _named(code: CodeType, namespace: dict[str, Any]) -> Iterator[Any]:
    """Names in the code and their values, in the namespace or in user modules that it names."""
    namespaces = [namespace]
    for name in code.co_names:
        yield name
        for value in [*(space.get(name) for space in namespaces), sys.modules.get(name)]:
            if type(value) is not ModuleType:
                yield value
                yield from _functions_in(value)
            elif _is_own_module(value.__name__):
                namespaces.append(vars(value))
