"""User-defined functions and classes that an estimator refers to, as part of cache keys.

Pickles contain functions and classes by name only. A transformer around a function of a notebook
has to get another key when that function is redefined, and when a list, table or object that the
function uses is changed. Functions of libraries are identified by name: their code does not change
during a session.
"""

from __future__ import annotations

import os
import pickle
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, cached_property, partial, partialmethod
from importlib.util import resolve_name
from threading import Lock, RLock
from types import CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any, ClassVar

from joblib.hashing import NumpyHasher

from skmergecal._memory._writes import (
    globals_read,
    imported_modules,
    names_read,
    names_written,
)

__all__ = ["code_of", "makes_key", "making_key", "own_code", "own_items"]

#: Attributes in which methods, properties and decorators hold functions and arguments.
_HOLDERS: dict[type, tuple[str, ...]] = {
    property: ("fget", "fset", "fdel"),
    cached_property: ("func",),
    partial: ("func", "args", "keywords"),
    partialmethod: ("func", "args", "keywords"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    type(cache(len)): ("__wrapped__",),
}
#: What has no content that could change a result: identified by its type.
_WITHOUT_CONTENT = (type(Lock()), type(RLock()), GetSetDescriptorType, MemberDescriptorType)
_CONSTANTS = (type(None), bool, int, float, complex, str, bytes)
_CONTAINERS = {"builtins", "collections"}
#: Functions, built in and others, that read files or whatever else no key can hold.
_READS_ALL = {"eval", "exec", "globals", "input"}
_READS_FILES = {
    *("open", "read_text", "read_bytes", "urlopen", "getcwd", "load", "loadtxt", "genfromtxt"),
    *("fromfile", "memmap", "read_csv", "read_parquet", "read_feather", "read_excel", "read_json"),
    *("read_pickle", "read_sql", "read_hdf"),
}
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")
_THIS_PACKAGE = __name__.partition(".")[0]


_MAKES_KEY: ContextVar[bool] = ContextVar("makes_key", default=False)


def makes_key() -> bool:
    """Whether the state of an estimator is asked for to identify it, not to store it."""
    return _MAKES_KEY.get()


@contextmanager
def making_key() -> Iterator[None]:
    """Mark what happens inside, in this thread, as the making of a key."""
    token = _MAKES_KEY.set(True)
    try:
        yield
    finally:
        _MAKES_KEY.reset(token)


def own_code(thing: Any) -> list[str]:
    """Hashes of the user-defined code that an object refers to, and of all that it uses, by value.

    Functions and classes outside of libraries are followed recursively: what they name, also in
    other modules of the user, their base classes, default values, closures and decorators. Only
    what the code merely adds to or counts up (a log, a counter) is left out.

    Parameters
    ----------
    thing : object
        For example an estimator.

    Returns
    -------
    list of str
        The same in every process.

    Raises
    ------
    Exception
        If the object, or something that its code uses, cannot be read.
    """
    return code_of(own_items(thing))


def own_items(thing: Any) -> list[Any]:
    """The user-defined functions and classes that an object itself refers to."""
    collector = _Collector(_Nowhere())
    collector.dump(thing)
    return list(collector.found.values())


def code_of(items: list[Any]) -> list[str]:
    """What `own_code` gives for an object that refers to these functions and classes."""
    follower = _Follower()
    with making_key():
        for item in items:
            follower.note(item)
        while follower.waiting:
            follower.follow(follower.waiting.pop())
    silent = follower.written - follower.read
    return [part for name, part in follower.parts if name not in silent]


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
        """Collect what is the user's own; returning None pickles it as usual."""
        if _is_own(obj) or _is_holder(obj):
            self.found[id(obj)] = obj


class _Follower:
    """Goes from functions and classes to all that they use.

    Attributes
    ----------
    parts : list of (name, part)
        Hashes of what was found, with the name under which the code knows it, if there is one.
    waiting : list
        Functions, classes and holders of functions that are yet to be followed.
    read, written : set of str
        Names that some code reads, or merely adds to.
    """

    def __init__(self) -> None:
        self.parts: list[tuple[str | None, str]] = []
        self.waiting: list[Any] = []
        self.read: set[str] = set()
        self.written: set[str] = set()
        self._known: dict[int, Any] = {}

    def note(self, item: Any) -> None:
        """Follow a function, class or holder, once."""
        if id(item) not in self._known:
            self._known[id(item)] = item
            self.waiting.append(item)

    def follow(self, item: Any) -> None:
        """Add the contents of a function, class or holder."""
        for name, value in self._contents(item):
            if issubclass(type(value), _CONSTANTS):
                part = f"{type(value).__name__} {value!r}"
            else:
                part = _ValueHasher(self.note).hash(value)
            if name is not None and type(value).__module__ not in _CONTAINERS:
                self.read.add(name)  # it may do anything when something is put into it
            self.parts.append((name, part))

    def _contents(self, item: Any) -> Iterator[tuple[str | None, Any]]:
        if isinstance(item, FunctionType):
            yield from self._of_function(item)
        elif isinstance(item, type):
            yield None, f"{item.__module__}.{item.__qualname__}"
            yield None, item.__bases__
            for name, value in sorted(vars(item).items(), key=lambda pair: pair[0]):
                # Other dunder attributes, and what abc notes in a class, are bookkeeping.
                if not name.startswith("__") or _is_own(value) or _is_holder(value):
                    yield from [(name, value)] if name != "_abc_impl" else []
        else:
            for place in _places(item):
                yield None, getattr(item, place)

    def _of_function(self, function: FunctionType) -> Iterator[tuple[str | None, Any]]:
        yield None, f"{function.__module__}.{function.__qualname__}"
        yield None, (function.__defaults__, function.__kwdefaults__)
        yield from sorted(vars(function).items())
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for name, cell in cells:
            try:
                yield name, cell.cell_contents
            except ValueError:  # the cell is still empty
                continue
        for code in _nested(function.__code__):
            yield None, (code.co_code, code.co_exceptiontable, code.co_names, code.co_varnames)
            yield None, (code.co_argcount, code.co_kwonlyargcount, code.co_flags)
            yield None, [value for value in code.co_consts if not isinstance(value, CodeType)]
            yield from self._named(code, function.__globals__)

    def _named(self, code: CodeType, namespace: dict[str, Any]) -> Iterator[tuple[str | None, Any]]:
        """Values of the names in the code, in its own module or in modules that it names."""
        read, written = names_read(code), names_written(code)
        self.read |= read
        self.written |= written
        outside = _READS_ALL & globals_read(code) | _READS_FILES & {*code.co_names}
        if outside:
            msg = f"code that uses {sorted(outside)} depends on more than can be read here"
            raise pickle.PicklingError(msg)
        if "getenv" in code.co_names:
            yield None, dict(os.environ)
        package = namespace.get("__package__") or ""
        modules = [_module(name, level, package) for name, level in imported_modules(code)]
        namespaces = [namespace, *(vars(module) for module in modules if module is not None)]
        for name in code.co_names:
            for space in namespaces:  # grows meanwhile: random.random
                value = space.get(name)
                if not issubclass(type(value), ModuleType):
                    yield from [(name, value)] if name in space else []
                elif not any(vars(value) is other for other in namespaces):
                    namespaces.append(vars(value))


class _ValueHasher(NumpyHasher):
    """Hashes values; functions, classes and modules in them by name, to be followed if own.

    Parameters
    ----------
    note : callable
        Takes the functions and classes that are found.
    """

    def __init__(self, note: Any) -> None:
        super().__init__(hash_name="sha1")
        self._note = note

    def persistent_id(self, obj: Any) -> str | None:
        """The name of what is not hashed by value; None for the rest."""
        kind = type(obj)
        if _is_own(obj) or _is_holder(obj):
            self._note(obj)
        if issubclass(kind, FunctionType | type):
            return f"{obj.__module__}.{obj.__qualname__}"
        if issubclass(kind, ModuleType):
            return obj.__name__
        return str(kind) if _is_holder(obj) or issubclass(kind, _WITHOUT_CONTENT) else None

    def save_pers(self, pid: str) -> None:
        """Write the name."""
        self.write(f"persistent {pid}".encode())

    def save_set(self, items: Any) -> None:
        """Sets have one order in every process: that of the hashes of their items."""
        self.save((type(items).__name__, sorted(_ValueHasher(self._note).hash(i) for i in items)))

    dispatch: ClassVar[dict] = {**NumpyHasher.dispatch, set: save_set, frozenset: save_set}


def _is_own(value: Any) -> bool:
    """Whether a value is a function or class that is not defined in a library."""
    # type() instead of isinstance(), which reads __class__: a lazy proxy may run any code when an
    # attribute is read.
    return issubclass(type(value), FunctionType | type) and _is_own_module(str(value.__module__))


def _is_holder(value: Any) -> bool:
    return bool(_places(value))


def _places(value: Any) -> tuple[str, ...]:
    """Attributes in which a value holds functions; none for most values."""
    kinds = (places for kind, places in _HOLDERS.items() if issubclass(type(value), kind))
    return next(kinds, ())


def _is_own_module(name: str) -> bool:
    package = name.partition(".")[0]
    if package == "__main__":
        return True
    if package == _THIS_PACKAGE or package in sys.stdlib_module_names:
        return False
    path = getattr(sys.modules.get(name), "__file__", None) or ""
    installed = "site-packages" in path or "dist-packages" in path
    return not (installed or path.startswith(_STANDARD_LIBRARY))


def _module(name: str, level: int, package: str) -> ModuleType | None:
    """The module of an import statement inside a function, if it was imported already."""
    return sys.modules.get(resolve_name("." * level + name, package) if level else name)


def _nested(code: CodeType) -> Iterator[CodeType]:
    """A code object, and those of the functions nested in it."""
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _nested(value)
