"""Sizes that the parameters of a skorch net give its module, where the module got other ones."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from skorch import NeuralNet
from torch import nn

from skmergecal._torch import RandomNumbers, with_plain_weights

__all__ = ["keep_sizes"]

_PREFIX = "module__"


def keep_sizes(net: NeuralNet) -> None:
    """Change the parameters of a fitted net so that its clones make a module like its own.

    That is the case where one size, or the first of several, or all sizes of the old value, have to
    be another one. Where no parameter states a size, none is changed.

    Parameters
    ----------
    net : NeuralNet
        Fitted; its module has layers of other sizes than its parameters say.
    """
    if isinstance(net.module, nn.Module):
        net.module = deepcopy(net.module_)
        return
    given = net.get_params_for("module")
    with RandomNumbers().borrowed():
        made = _sizes(net.module(**given))
        wanted = _sizes(net.module_)
        if set(made) != set(wanted):
            return
        pairs = zip(made.values(), (wanted[name] for name in made), strict=True)
        changes = {p for a, b in pairs if len(a) == len(b) for p in zip(a, b, strict=True)}
        for old, new in sorted((a, b) for a, b in changes if a != b):
            for change in _changes(given, old, new):
                try:
                    found = _sizes(net.module(**{**given, **change}))
                except Exception:  # a module of the user's may refuse a size in any way
                    continue
                if found == wanted:
                    vars(net).update({_PREFIX + name: value for name, value in change.items()})
                    return


def _sizes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    plain = with_plain_weights(module)
    return {name: tuple(tensor.shape) for name, tensor in plain.state_dict().items()}


def _changes(given: dict[str, Any], old: int, new: int) -> Iterator[dict[str, Any]]:
    """Each parameter of the old size with the new one, and all of them."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if type(value) is int and value == old:
            found[name] = new
        elif isinstance(value, list | tuple) and len(value) > 0 and value[0] == old:
            found[name] = type(value)([new, *value[1:]])
    yield from ({name: value} for name, value in found.items())
    yield found
