"""SavedStateMixin: what our estimators write into pickles and other files, each thing once.

What follows from the rest is not stored but set again. An estimator that comes a second time is
stored as `Same`: not every format remembers what it has written already.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from inspect import Parameter, signature
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator

from skmergecal._memory import makes_key
from skmergecal._version import __version__
from skmergecal._warnings import warn_user
from skmergecal.exceptions import OtherVersionWarning

__all__ = ["Same", "SavedStateMixin"]

_VERSION = "_skmergecal_version"
#: Packages whose estimators hold others under these names, and are saved with all attributes.
_PACKAGES = ("sklearn.", "skmergecal.")
_HOLDERS = ("estimator", "estimators")
#: Types that nothing is stored in.
_PLAIN = {str, int, float, bool, type(None), np.ndarray, np.float64, np.dtype}


@dataclass(frozen=True)
class Same:
    """Stands for an estimator that is stored elsewhere in the same state.

    Attributes
    ----------
    place : str
        Names and numbers that lead there from the state, in JSON.
    """

    place: str


class SavedStateMixin(BaseEstimator):
    """State with the version of the package, in which each fitted estimator stands once."""

    def _follows(self) -> dict[str, Any]:
        """Attributes that follow from the others: they are not stored, but set again."""
        return {}

    def _needs(self, state: dict[str, Any]) -> list[str]:
        """Attributes that a fitted object, which has ``classes_``, cannot do without."""
        return []

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        if makes_key():  # pickle writes each thing once by itself, and the version changes nothing
            return state
        for name, value in self._follows().items():
            if name in state and _is_same(state[name], value):
                del state[name]
        return {**_each_once(state, self._get_param_names()), _VERSION: __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        kind: Any = type(self)
        state = {**_defaults_of_parameters(kind), **state}
        version = state.pop(_VERSION, None)
        _warn_of_version(kind.__name__, version)
        needed = [*self._get_param_names(), *(self._needs(state) if "classes_" in state else [])]
        _refuse_missing(kind.__name__, [name for name in needed if name not in state], version)
        for name in set(state).difference(self._get_param_names()):
            state[name] = _filled(state[name], state, version)
        self.__dict__.update(state)
        self.__dict__.update({n: v for n, v in self._follows().items() if n not in state})


def _is_same(one: Any, other: Any) -> bool:
    """Whether these are the same object, or lists or dicts of the same objects."""
    if one is other:
        return True
    if type(one) is not type(other) or not isinstance(one, list | dict) or len(one) != len(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and _is_same(list(one.values()), list(other.values()))
    return all(a is b for a, b in zip(one, other, strict=True))


@cache
def _defaults_of_parameters(kind: Any) -> dict[str, Any]:
    parameters = signature(kind).parameters.items()
    return {n: p.default for n, p in parameters if p.default is not Parameter.empty}


@cache
def _is_record(kind: Any) -> bool:
    return is_dataclass(kind) and kind.__module__.startswith("skmergecal.")


@cache
def _fields(kind: Any) -> dict[str, Field]:
    return {field.name: field for field in fields(kind)}


def _is_estimator(value: Any) -> bool:
    return hasattr(value, "__dict__") and not isinstance(value, type | np.ndarray)


def _each_once(state: dict[str, Any], parameters: Collection[str]) -> dict[str, Any]:
    """A state in which estimators that parameters, or other attributes, have already are `Same`."""
    known: dict[int, tuple[Any, ...]] = {}
    for name in parameters:
        _note(state.get(name), (name,), known)
    others = {name: value for name, value in state.items() if name not in parameters}
    return state | {name: _replaced(value, (name,), known) for name, value in others.items()}


def _note(value: Any, place: tuple[Any, ...], known: dict[int, tuple[Any, ...]]) -> None:
    """Note the places of estimators, those inside of others included."""
    if type(value) in _PLAIN:
        return
    if isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _note(item, (*place, number), known)
    elif isinstance(value, dict):
        for name, item in value.items():
            if isinstance(name, str):
                _note(item, (*place, name), known)
    elif _is_estimator(value) and id(value) not in known:
        known[id(value)] = place
        if type(value).__module__.startswith(_PACKAGES):
            for name in _HOLDERS:
                _note(vars(value).get(name), (*place, name), known)


def _replaced(value: Any, place: tuple[Any, ...], known: dict[int, tuple[Any, ...]]) -> Any:
    """A value of a state with `Same` in the place of estimators that are known; itself if none."""
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if _is_record(kind):
        inside = {n: _replaced(v, (*place, n), known) for n, v in vars(value).items()}
        return value if _is_same(inside, vars(value)) else _with(value, inside)
    if type(value) in (list, tuple):
        items = [_replaced(v, (*place, n), known) for n, v in enumerate(value)]
        return value if _is_same(items, list(value)) else type(value)(items)
    if not _is_estimator(value):
        return value
    if id(value) in known:
        return Same(json.dumps(known[id(value)]))
    if isinstance(value, FrozenEstimator) and id(value.estimator) in known:
        known[id(value)] = place
        return _with(
            value, {**vars(value), "estimator": Same(json.dumps(known[id(value.estimator)]))}
        )
    _note(value, place, known)
    return value


def _with(value: Any, attributes: Mapping[str, Any]) -> Any:
    """A shallow copy with other attributes."""
    copied = object.__new__(type(value))
    vars(copied).update(attributes)
    return copied


def _filled(value: Any, state: dict[str, Any], version: str | None) -> Any:
    """A value of a state with estimators in the place of `Same`; records are checked."""
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, Same):
        return _find(value, state)
    record = _is_record(kind)
    if record:
        absent = [field for name, field in _fields(kind).items() if name not in vars(value)]
        required = [f.name for f in absent if f.default is f.default_factory is MISSING]
        _refuse_missing(kind.__name__, required, version)
        for field in absent:
            if field.default_factory is not MISSING:
                vars(value)[field.name] = field.default_factory()
    if record or (isinstance(value, FrozenEstimator) and "estimator" in vars(value)):
        vars(value).update({n: _filled(v, state, version) for n, v in vars(value).items()})
    if type(value) in (list, tuple):
        items = [_filled(item, state, version) for item in value]
        return value if _is_same(items, list(value)) else type(value)(items)
    return value


def _find(same: Same, state: dict[str, Any]) -> Any:
    """The estimator that a `Same` stands for; attributes are looked up, no code is called."""
    found: Any = state
    try:
        for step in json.loads(same.place):
            inside = found if isinstance(found, dict | list | tuple) else vars(found)
            found = inside[step]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        msg = (
            f"the file is damaged: it says that an estimator stands at {same.place}, where there "
            "is none. Save the model again"
        )
        raise ValueError(msg) from error
    return found


def _warn_of_version(kind: str, version: Any) -> None:
    """Warn where a state is of another version than this one, patches aside."""
    if isinstance(version, str) and version.split(".")[:2] == __version__.split(".")[:2]:
        return
    by, instead = "a version that it does not name", "the version that wrote it"
    if isinstance(version, str):
        by = version[:40]
        instead = f"skmergecal=={'.'.join(by.split('.')[:2])}.*"
    warn_user(
        f"{kind} was saved by skmergecal {by} and is loaded by {__version__}: compare its "
        f"predictions with stored ones, and save it again; or install {instead}",
        OtherVersionWarning,
    )


def _refuse_missing(kind: str, names: list[str], version: Any) -> None:
    if not names:
        return
    by = version[:40] if isinstance(version, str) else "a version that it does not name"
    msg = (
        f"{kind} was saved without {names}, by skmergecal {by}; skmergecal {__version__} needs "
        "them: load it with the version that wrote it, or fit and save the model again"
    )
    raise ValueError(msg)
