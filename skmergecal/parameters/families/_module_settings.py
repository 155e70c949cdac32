"""Settings of a torch module: the attributes without a tensor that its output depends on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from skmergecal._networks.trace import is_layer, output
from skmergecal._torch import RandomNumbers, copy_module

__all__ = ["ModuleSettings", "module_settings"]

#: The widest input that is looked for where no layer gives it.
_MAX_WIDTH = 256
_NOTHING = "no such attribute"

#: For each part of a module, the attributes that its evaluation reads, and those that it sets.
Uses = dict[str, tuple[set[str], set[str]]]


class ModuleSettings:
    """Type and settings of a part of a module: numbers, strings, functions, no dropout rates.

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
    """

    def __init__(
        self, root: nn.Module, name: str, part: nn.Module, uses: Callable[[], Uses | None]
    ) -> None:
        self.root, self.name, self.uses = root, name, uses
        self.kind = type(part).__qualname__
        self.own = not is_layer(part)
        self.values = {
            key: getattr(value, "__qualname__", value)
            for key, value in vars(part).items()
            if (callable(value) or isinstance(value, str | bool | int | float))
            and not key.startswith("_")
            and key != "training"
            and "drop" not in key
        }

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
            same = a == b or (a != a and b != b)
            if not same and (self.counts(key, b) or other.counts(key, a)):
                advice = " (set it to one value in both if it plays no part in predictions)"
                return f"the attribute {key!r}, {a!r} and {b!r}{advice if self.own else ''}"
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
            return True
        read, written = uses[self.name]
        if key not in read:
            return False
        return key not in written or self._changes_output(key, value)

    def _changes_output(self, key: str, value: Any) -> bool:
        outputs = []
        for change in (False, True):
            module = copy_module(self.root).eval()
            rows = _rows(module)
            if change:
                setattr(module.get_submodule(self.name), key, value)
            with RandomNumbers().borrowed():
                outputs.append(None if rows is None else output(module, rows))
        before, after = outputs
        return before is None or after is None or not torch.equal(before, after)


def module_settings(module: nn.Module) -> dict[str, ModuleSettings]:
    """The settings of a module and of all its parts, by name."""

    @cache
    def uses() -> Uses | None:
        return _uses(module)

    return {name: ModuleSettings(module, name, part, uses) for name, part in module.named_modules()}


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
        for read, _ in uses.values():
            read.clear()
        output(watched, rows)
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
