"""Settings of a torch module: what its output depends on, and what has no average."""

from __future__ import annotations

import copy
import dis
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from skmergecal._networks.trace import is_layer, output
from skmergecal._torch import RandomNumbers, copy_module, copy_value

__all__ = ["ModuleSettings", "module_settings"]

#: The widest input that is looked for where no layer gives it.
_MAX_WIDTH = 256
_NOTHING = "no such attribute"
#: In place of parameters, averaged buffers and parts in a list: they are compared where they are.
_REGISTERED = "a part of the module"
_PLAIN = (str, bool, int, float, complex, np.generic, np.ndarray, torch.Tensor, nn.Module)
#: What torch itself keeps in a module.
_OF_TORCH = frozenset(vars(nn.Module()))
#: Counters in layers of torch. Those of other modules are recognised by what an evaluation reads.
_COUNTERS = frozenset({"num_batches_tracked"})
#: Letters of a value in a message.
_SHOWN = 60

#: For each part of a module, the attributes that its evaluation reads, and those that it sets.
Uses = dict[str, tuple[set[str], set[str]]]


class ModuleSettings:
    """Type and settings of a part of a module: numbers, strings, functions, no dropout rates.

    Also lists of these, and tensors that cannot be averaged: of whole numbers or booleans, or kept
    outside of ``state_dict``.

    Equal if those that play a part in predictions are. Counters, names and seeds play none: the
    attributes that an evaluation does not read, or sets itself without a change of the output.

    Parameters
    ----------
    root : torch.nn.Module
        The whole module; not changed, and run only as a copy.
    name : str
        The name of the part in it.
    part : torch.nn.Module
    uses : callable
        Gives the attributes that an evaluation of the whole module uses; None if it cannot be run.
    registered : set of int
        As `_registered` gives them for the whole module.
    """

    def __init__(
        self,
        root: nn.Module,
        name: str,
        part: nn.Module,
        uses: Callable[[], Uses | None],
        registered: set[int],
    ) -> None:
        self.root, self.name, self.uses = root, name, uses
        self.kind = type(part).__qualname__
        self.own = not is_layer(part)
        self.forward = getattr(type(part), "forward", None)
        self.values = _attributes(part, registered, own=self.own)

    def __repr__(self) -> str:
        return f"{self.kind}({', '.join(f'{k}={v}' for k, v in self.values.items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModuleSettings) and self.difference(other) is None

    def difference(self, other: ModuleSettings) -> str | None:
        """The first attribute that differs and plays a part, with both values."""
        if self.kind != other.kind:
            return f"their type, {self.kind} and {other.kind}"
        for key in dict.fromkeys([*self.values, *other.values]):
            a, b = (settings.values.get(key, _NOTHING) for settings in (self, other))
            if not _same(a, b) and (self.counts(key, b) or other.counts(key, a)):
                advice = " (set it to one value in both if it plays no part in predictions)"
                values = f"{_shown(a)} and {_shown(b)}"
                return f"the attribute {key!r}, {values}{advice if self.own else ''}"
        return None

    def with_value(self, key: str, value: Any) -> ModuleSettings:
        """The same settings with another value of one."""
        other = copy.copy(self)
        other.values = {**self.values, key: value}
        return other

    def counts(self, key: str, value: Any) -> bool:
        """Whether the output may be another one with this value of an attribute."""
        uses = self.uses() if self.own else None
        if uses is None:
            stored = isinstance(self.values.get(key), torch.Tensor) and self._stores(key)
            return not stored
        read, written = uses[self.name]
        if key not in read:
            return False
        return key not in written or self._changes_output(key, value)

    def _stores(self, key: str) -> bool:
        """Whether a forward pass sets the attribute, as one that keeps what it computed."""
        code = getattr(self.forward, "__code__", None)
        return code is not None and any(
            step.opname == "STORE_ATTR" and step.argval == key
            for step in dis.get_instructions(code)
        )

    def _changes_output(self, key: str, value: Any) -> bool:
        outputs = []
        for change in (False, True):
            module = copy_module(self.root).eval()
            rows = _rows(module)
            try:
                if change:
                    setattr(module.get_submodule(self.name), key, copy_value(value, {}))
                with RandomNumbers().borrowed():
                    outputs.append(None if rows is None else output(module, rows))
            except Exception:  # whatever the module's own code raises on the other value
                return True
        before, after = outputs
        return before is None or after is None or not torch.equal(before, after)


def module_settings(module: nn.Module) -> dict[str, ModuleSettings]:
    """The settings of a module and of all its parts, by name."""

    @cache
    def uses() -> Uses | None:
        return _uses(module)

    registered = _registered(module)
    return {
        name: ModuleSettings(module, name, part, uses, registered)
        for name, part in module.named_modules()
    }


def _registered(module: nn.Module) -> set[int]:
    """Identities of all parts, parameters and buffers, which lists may hold once more."""
    return {id(x) for x in (*module.modules(), *module.parameters(), *module.buffers())}


def _attributes(part: nn.Module, registered: set[int], *, own: bool) -> dict[str, Any]:
    """Copies of what a part computes with, without its parts, parameters and averaged buffers."""
    found = {
        key: getattr(value, "__qualname__", None) or _copied(value, registered)
        for key, value in vars(part).items()
        if key not in _OF_TORCH
        and (own or not key.startswith("_"))
        and ("drop" not in key or isinstance(value, torch.Tensor))
        and (callable(value) or (_is_setting(value) and (own or value is not None)))
    }
    fixed = part._non_persistent_buffers_set
    buffers = {
        key: copy_value(buffer, {})
        for key, buffer in part._buffers.items()
        if buffer is not None
        and key not in _COUNTERS
        and (key in fixed or not (buffer.is_floating_point() or buffer.is_complex()))
    }
    return {**found, **buffers}


def _is_setting(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_setting, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_setting, value))
    return value is None or callable(value) or isinstance(value, _PLAIN)


def _copied(value: Any, registered: set[int]) -> Any:
    if id(value) in registered:
        return _REGISTERED
    if isinstance(value, dict):
        return {key: _copied(item, registered) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(item, registered) for item in value]
    return copy_value(value, {}) if isinstance(value, _PLAIN) else value


def _same(a: Any, b: Any) -> bool:
    """Whether two settings have one value; NaN is NaN."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        a, b = a.detach().cpu().to_dense(), b.detach().cpu().to_dense()
    if isinstance(a, torch.Tensor | np.ndarray) and isinstance(b, type(a)):
        return a.dtype == b.dtype and a.shape == b.shape and bool(_equal(a, b).all())
    if isinstance(a, nn.Module) and isinstance(b, nn.Module):
        return type(a) is type(b) and _same(dict(a.state_dict()), dict(b.state_dict()))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if any(isinstance(x, torch.Tensor | np.ndarray) for x in (a, b)):
        return False  # one of them only
    return bool(a == b or (a != a and b != b))


def _equal(a: Any, b: Any) -> Any:
    return (a == b) | ((a != a) & (b != b))


def _shown(value: Any) -> str:
    """A value in a message, a few words at most."""
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim > 0:
        return f"{value.dtype} of shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def _uses(module: nn.Module) -> Uses | None:
    watched = copy_module(module).eval()
    with RandomNumbers().borrowed():
        rows = _rows(copy_module(module).eval())
        if rows is None:
            return None
        uses: Uses = {name: (set(), set()) for name, _ in watched.named_modules()}
        for name, part in list(watched.named_modules()):
            if not is_layer(part):
                _watch(part, *uses[name])
        registered = _registered(watched)
        parts = dict(watched.named_modules())
        before = {name: _attributes(part, registered, own=True) for name, part in parts.items()}
        for read, _ in uses.values():
            read.clear()
        output(watched, rows)
        for name, part in parts.items():  # what was changed in place was set, too
            after = _attributes(part, registered, own=True)
            values = before[name].items()
            uses[name][1].update(key for key, value in values if not _same(value, after.get(key)))
    return uses


def _watch(part: nn.Module, read: set[str], written: set[str]) -> None:
    """Note the attributes of a module that are looked up and set from now on."""
    kind: Any = type(part)

    def get(self: nn.Module, key: str) -> Any:
        read.add(key)
        return kind.__getattribute__(self, key)

    def put(self: nn.Module, key: str, value: Any) -> None:
        written.add(key)
        kind.__setattr__(self, key, value)

    part.__class__ = type(kind.__name__, (kind,), {"__getattribute__": get, "__setattr__": put})


def _rows(module: nn.Module) -> np.ndarray | None:
    """Some rows that a module, a copy, takes: random numbers, or zeros where it embeds them."""
    known = (getattr(m, n, None) for m in module.modules() for n in ("in_features", "num_features"))
    first = next((width for width in known if width is not None), None)
    for width in [*([] if first is None else [first]), *range(1, _MAX_WIDTH)]:
        for rows in (np.random.default_rng(0).normal(size=(8, width)), np.zeros((8, width))):
            if isinstance(output(module, rows), torch.Tensor):
                return rows
    return None
