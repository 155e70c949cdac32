"""Copies of torch modules: running one may change it, so that what belongs to users is never run.

torch is imported by whoever made the module; nothing here imports it for others.
"""

from __future__ import annotations

import copy
import gc
import sys
from collections import OrderedDict
from types import BuiltinFunctionType, FunctionType
from typing import Any

__all__ = ["all_parts", "copy_module", "copy_to_read", "copy_value", "with_plain_weights"]

_FUNCTIONS = (type, FunctionType, BuiltinFunctionType)
_ATOMS = frozenset({str, int, float, bool, complex, type(None), *_FUNCTIONS})
_CONTAINERS = frozenset({dict, OrderedDict, list, tuple, set})


def all_parts(module: Any) -> list[Any]:
    """The module and all inside, each once, in the order of ``module.modules()``, which is slow."""
    found: dict[int, Any] = {}
    _add_parts(module, found)
    return list(found.values())


def _add_parts(module: Any, found: dict[int, Any]) -> None:
    if id(module) not in found:
        found[id(module)] = module
        for part in module._modules.values():
            if part is not None:
                _add_parts(part, found)


def copy_module(module: Any, memo: dict[int, Any] | None = None) -> Any:
    """A deep copy that shares no tensor with the module.

    ``copy.deepcopy`` refuses modules that keep a hidden layer (a tensor with a graph) or have
    parametrizations, and takes longer than a prediction.
    """
    return copy_value(module, {} if memo is None else memo)


def copy_to_read(module: Any, memo: dict[int, Any]) -> Any:
    """A copy that may be run in evaluation mode, where torch's own layers only read their tensors.

    A module of nothing but these shares the tensors with its copy, which so costs little.
    """
    if id(module) in memo:  # a net has the instance that it was made with twice
        return memo[id(module)]
    if all(map(_only_reads, all_parts(module))):
        return _copy_structure(module, memo)
    return copy_module(module, memo)


def _only_reads(part: Any) -> bool:
    return (
        type(part).__module__.startswith("torch.nn.modules.")
        and getattr(part, "max_norm", None) is None
        and not part._forward_pre_hooks
        and not part._forward_hooks
    )


def _copy_structure(module: Any, memo: dict[int, Any]) -> Any:
    copied = memo.get(id(module))
    if copied is None:
        copied = memo[id(module)] = object.__new__(type(module))
        contents = vars(copied)
        contents.update(vars(module))
        contents["_modules"] = {
            name: None if part is None else _copy_structure(part, memo)
            for name, part in module._modules.items()
        }
    return copied


def copy_value(value: Any, memo: dict[int, Any]) -> Any:
    """A deep copy; what nothing can copy (a lock, a file) is shared."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind in _CONTAINERS and not value:
        return kind()  # as most containers of a module are
    known = memo.get(id(value))
    if known is not None:
        return known
    torch = sys.modules["torch"]
    if isinstance(value, torch.Tensor):
        copied = _copy_tensor(value)
    elif issubclass(kind, dict) and kind in _CONTAINERS:
        copied = kind((copy_value(k, memo), copy_value(v, memo)) for k, v in value.items())
    elif kind in _CONTAINERS:
        copied = kind([copy_value(part, memo) for part in value])
    elif isinstance(value, torch.nn.Module) and not _copies_itself(value):
        copied = object.__new__(kind)
        memo[id(value)] = copied  # before its contents, which may refer to it
        contents = vars(copied)
        for name, part in vars(value).items():
            contents[name] = part if type(part) in _ATOMS else copy_value(part, memo)
    else:
        copied = _deepcopy(value, memo)
    memo[id(value)] = copied
    return copied


def _copies_itself(module: Any) -> bool:
    """Whether its class defines how it is copied: compiled and scripted modules."""
    parametrized = "parametrizations" in module._modules  # these define it only to refuse pickling
    names = ("__deepcopy__", "__getstate__", "__reduce__", "__reduce_ex__")
    plain = sys.modules["torch"].nn.Module
    return not parametrized and any(
        getattr(type(module), name, None) is not getattr(plain, name, None) for name in names
    )


def _copy_tensor(tensor: Any) -> Any:
    """A tensor of its own, without the graph that it came from."""
    torch = sys.modules["torch"]
    copied = tensor.detach().clone()
    if isinstance(tensor, torch.nn.Parameter):
        copied = torch.nn.Parameter(copied, requires_grad=tensor.requires_grad)
    elif tensor.is_leaf and tensor.requires_grad:
        copied.requires_grad_()
    if vars(tensor):
        vars(copied).update(vars(tensor))
    return copied


def _deepcopy(value: Any, memo: dict[int, Any]) -> Any:
    for prepare in (lambda *_: None, _copy_tensors_inside):
        trial = dict(memo)  # an attempt that fails leaves things half made
        prepare(value, trial)
        try:
            copied = copy.deepcopy(value, trial)
        except Exception:  # whatever the value's own code raises
            continue
        memo.update(trial)
        return copied
    return value


def _copy_tensors_inside(value: Any, memo: dict[int, Any]) -> None:
    """Remember copies of the tensors inside, which ``deepcopy`` refuses if they have a graph."""
    tensor = sys.modules["torch"].Tensor
    seen, todo = set(), [value]
    while todo:
        item = todo.pop()
        if id(item) in seen or isinstance(item, _FUNCTIONS) or type(item) in _ATOMS:
            continue
        seen.add(id(item))
        if not isinstance(item, tensor):
            todo.extend(gc.get_referents(item))
        elif id(item) not in memo:
            memo[id(item)] = _copy_tensor(item)


def with_plain_weights(module: Any) -> Any:
    """The module, or a copy whose weights are what parametrizations and masks make of them.

    The arrays behind a parametrization (a direction and a length, an orthogonal base) have no
    meaningful average; the weights that layers compute with have.
    """
    if not any(_parametrized(part) or _reweighted(part) for part in module.modules()):
        return module
    plain = copy_module(module).eval()
    for part in list(plain.modules()):
        _make_plain(part)
    return plain.train(module.training)


def _parametrized(part: Any) -> bool:
    return "parametrizations" in part._modules


def _reweighted(part: Any) -> list[Any]:
    """The hooks of torch.nn.utils that compute a weight before each call."""
    kinds = ("WeightNorm", "SpectralNorm", "BasePruningMethod")
    return [
        hook
        for hook in part._forward_pre_hooks.values()
        if any(
            c.__name__ in kinds and c.__module__.startswith("torch.") for c in type(hook).__mro__
        )
    ]


def _make_plain(part: Any) -> None:
    nn = sys.modules["torch"].nn
    for hook in _reweighted(part):
        name = getattr(hook, "_tensor_name", None) or hook.name
        remove = {
            "WeightNorm": nn.utils.remove_weight_norm,
            "SpectralNorm": nn.utils.remove_spectral_norm,
        }
        remove.get(type(hook).__name__, sys.modules["torch.nn.utils.prune"].remove)(part, name)
        for key, load in list(part._load_state_dict_pre_hooks.items()):  # torch forgets this one
            if type(getattr(load, "hook", load)).__name__ == "SpectralNormLoadStateDictPreHook":
                del part._load_state_dict_pre_hooks[key]
    if not _parametrized(part):
        return
    weights = {}
    for name, chain in part.parametrizations.items():
        learned = any(True for _ in chain.parameters())
        weights[name] = getattr(part, name).detach().clone(), learned
    # torch's own remove_parametrizations changes the class, which is that of the original, too.
    part.__class__ = nn.utils.parametrize.type_before_parametrizations(part)
    del part._modules["parametrizations"]
    for name, (weight, learned) in weights.items():
        if learned:
            part.register_parameter(name, nn.Parameter(weight))
        else:
            part.register_buffer(name, weight)
