"""Private copies of skorch nets: they are read and trained, the user's own never runs."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from skmergecal._optional import is_instance_of
from skmergecal._torch import RandomNumbers, copy_to_read, copy_value
from skmergecal._typing import Estimator

__all__ = [
    "copy_net",
    "has_nets",
    "holds_no_nets",
    "read_net",
    "read_with_private_nets",
    "replace_inside",
]

#: Types that are not looked into.
_WITHOUT_NETS = (
    str,
    int,
    float,
    type(None),
    np.ndarray,
    np.generic,
    type,
    FunctionType,
    BuiltinFunctionType,
    ModuleType,
)

#: Of most attributes of nets.
_PLAIN = frozenset({str, int, float, bool, type(None), list, dict, tuple, type, FunctionType})

#: Packages whose objects hold no nets, but are many.
_PACKAGES = ("numpy", "scipy.", "pandas.", "sklearn.tree.", "sklearn.ensemble._hist")
#: Modules that drew no random numbers when they were read first.
_DRAW_NOTHING: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def copy_net(net: Estimator) -> Estimator:
    """A deep copy of a net with everything in it; its module may be of a class that has no name.

    ``copy.deepcopy`` pickles a net, and so refuses modules of local classes.
    """
    memo: dict[int, Any] = {}
    copied = object.__new__(type(net))
    memo[id(net)] = copied
    modules = _modules(net)  # before the optimiser, which refers to their parameters
    values = {name: copy_value(value, memo) for name, value in {**modules, **vars(net)}.items()}
    vars(copied).update((name, values[name]) for name in vars(net))
    return copied


def read_net(net: Estimator, read: Callable[[Estimator], Any]) -> Any:
    """What a function reads from a net, as the net is now: it gets a copy.

    Prediction sets the mode of a module, and its ``forward`` may count, store or average: neither
    may reach the user's net or another thread. Random numbers that are drawn on the way come from
    torch's stream and leave it where it was.
    """
    private = _private_net(net)
    if net.module_ in _DRAW_NOTHING:
        return read(private)
    numbers = RandomNumbers()
    with numbers.borrowed():
        output = read(private)
    if not numbers.drawn:
        _DRAW_NOTHING[net.module_] = True
        return output
    with RandomNumbers().borrowed():  # from the start, the loader's own numbers included
        return read(_private_net(net, loader_draws=True))


def read_with_private_nets(estimator: Estimator, read: Callable[[Estimator], Any]) -> Any:
    """The same for an estimator with nets somewhere inside."""
    with RandomNumbers().borrowed():
        return read(_with_private_nets(estimator, {}))


def has_nets(estimator: Estimator) -> bool:
    """Whether there are nets, or modules of torch, somewhere inside."""
    return "torch" in sys.modules and _with_private_nets(estimator, {}) is not estimator


def holds_no_nets(value: Any) -> bool:
    """Whether a value is of a type that need not be looked into."""
    return isinstance(value, _WITHOUT_NETS) or type(value).__module__.startswith(_PACKAGES)


def _modules(net: Estimator) -> dict[str, Any]:
    kind = sys.modules["torch"].nn.Module
    return {
        name: value
        for name, value in vars(net).items()
        if type(value) not in _PLAIN and isinstance(value, kind)
    }


def _private_net(net: Estimator, *, loader_draws: bool = False) -> Estimator:
    """A net with modules of its own, all else shared."""
    memo: dict[int, Any] = {}
    private = object.__new__(type(net))
    vars(private).update(vars(net))
    # Past skorch's __setattr__, which takes stock of all modules.
    vars(private).update((n, copy_to_read(m, memo)) for n, m in _modules(net).items())
    if not loader_draws and net.iterator_valid is sys.modules["torch"].utils.data.DataLoader:
        # Else each of its loops takes a number from the generator that all threads share.
        vars(private)["iterator_valid__generator"] = sys.modules["torch"].Generator()
    return private


def _with_private_nets(value: Any, memo: dict[int, Any]) -> Any:
    """The value itself if no net is inside, else a copy in which the nets are private."""

    def private(value: Any) -> Any:
        if is_instance_of(value, "skorch", "NeuralNet"):
            return _private_net(value)
        return copy_to_read(value, memo) if is_instance_of(value, "torch.nn", "Module") else None

    return replace_inside(value, private, memo)


def replace_inside(
    value: Any, replacement: Callable[[Any], Any], memo: dict[int, Any] | None = None
) -> Any:
    """A copy in which what is inside of an estimator is replaced; itself if nothing is.

    Parameters
    ----------
    value : object
        It is not changed. Objects that hold nothing that is replaced are shared with the copy.
    replacement : callable
        Returns what takes the place of an object, or None where it stays and is looked into.
    memo : dict, default=None
        What has become of objects, by identity.
    """
    memo = {} if memo is None else memo
    if holds_no_nets(value):
        return value
    if id(value) in memo:
        return memo[id(value)]
    memo[id(value)] = value  # where it refers to itself
    found = replacement(value)
    if found is not None:
        memo[id(value)] = found
    elif isinstance(value, list | tuple):
        items = [replace_inside(item, replacement, memo) for item in value]
        if any(new is not old for new, old in zip(items, value, strict=True)):
            memo[id(value)] = type(value)(items)
    elif isinstance(value, dict) or hasattr(value, "__dict__"):
        inside = value if isinstance(value, dict) else vars(value)
        named = {n: replace_inside(item, replacement, memo) for n, item in inside.items()}
        if any(named[name] is not old for name, old in inside.items()):
            if inside is value:
                memo[id(value)] = copied = copy.copy(value)
                copied.update(named)
            else:
                memo[id(value)] = copied = object.__new__(type(value))
                vars(copied).update(named)
    return memo[id(value)]
