"""Nets in saved models: stubs in their place, their tensors beside the model.

skorch cannot be trusted with a file: it unpickles what its state holds. A net is made again from
the unfitted one that the caller passes, and gets the tensors of the file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone

from skmergecal._optional import is_instance_of, optional_import
from skmergecal._torch import RandomNumbers
from skmergecal._typing import Estimator
from skmergecal.members import holds_no_nets, is_skorch, replace_inside
from skmergecal.merging import MergedClassifier
from skmergecal.persistence._archive import refuse, type_name

__all__ = [
    "STUB_TYPE",
    "NetStub",
    "check_nets",
    "read_tensors",
    "same_tensors",
    "take_nets",
    "with_nets",
]

#: Attributes of a fitted net that are stored beside its tensors.
_ATTRIBUTES = ("classes_inferred_", "n_features_in_", "feature_names_in_")
STUB_TYPE = "skmergecal.persistence._nets.NetStub"


@dataclass(frozen=True)
class NetStub:
    """Stands for a net in a saved model.

    Attributes
    ----------
    number : int
        Which of the nets of the file.
    classes : list or None
        Parameter ``classes`` of the net.
    attributes : dict
        Some of its attributes.
    """

    number: int
    classes: Any = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


def take_nets(model: Estimator) -> tuple[Estimator, list[Estimator], list[dict[str, Any]], Any]:
    """A copy with stubs, the nets, what the manifest says of them, and their tensors as bytes."""
    names = {id(net): name for name, net in _named_nets(model, (), set())}
    nets: list[Estimator] = []

    def stub(value: Any) -> NetStub | None:
        if is_skorch(value):
            nets.append(value)
            inside = {n: vars(value)[n] for n in _ATTRIBUTES if n in vars(value)}
            classes = getattr(value, "classes", None)
            classes = classes.tolist() if isinstance(classes, np.ndarray) else classes
            return NetStub(len(nets) - 1, classes, inside)
        if is_instance_of(value, "torch.nn", "Module") or is_instance_of(value, "torch", "Tensor"):
            msg = (
                f"the model holds a {type_name(value)} outside of a skorch net, which cannot be "
                "saved safely: put the module into a skorch.NeuralNetClassifier"
            )
            raise TypeError(msg)
        return None

    stubbed = replace_inside(model, stub)
    entries: list[dict[str, Any]] = []
    tensors: dict[str, Any] = {}
    for number, net in enumerate(nets):
        own = _tensors(net)
        forms = {name: _form(tensor) for name, tensor in own.items()}
        name = names.get(id(net), "estimator")
        entries.append({"name": name, "fitted": _is_fitted(net), "tensors": forms})
        tensors |= {f"{number}/{n}": t.detach().cpu().contiguous().clone() for n, t in own.items()}
    if not nets:
        return stubbed, [], [], None
    return stubbed, nets, entries, _safetensors("saving").save(tensors)


def _named_nets(
    value: Any, path: tuple[str, ...], seen: set[int]
) -> Iterator[tuple[str, Estimator]]:
    """Nets inside of a model, each with the names of the members that it is in."""
    if holds_no_nets(value) or id(value) in seen:
        return
    seen.add(id(value))
    if is_skorch(value):
        yield "/".join(path) or "estimator", value
        return
    if isinstance(value, list | tuple):
        inside = [(item, path) for item in value]
    elif isinstance(value, dict):
        inside = [(item, path) for item in value.values()]
    else:
        members = [*_members(value), *vars(value).get("named_estimators_", {}).items()]
        inside = [(member, (*path, name)) for name, member in members]
        if members and "merged_estimator_" in vars(value):
            merged = vars(value)["merged_estimator_"]
            inside.append((merged, (*path, _made_like(merged, members))))
        inside += [(item, path) for item in vars(value).values()]
    for item, place in inside:
        if hasattr(item, "__dict__") or isinstance(item, list | tuple | dict):
            yield from _named_nets(item, place, seen)


def _made_like(merged: Estimator, members: list[tuple[str, Estimator]]) -> str:
    """The first member with nets of the same modules as a merged one; if there is none, the first.

    Mostly all are of one architecture; else the merged one was made from one of them.
    """
    made = _modules_of(merged)
    return next((name for name, member in members if _modules_of(member) == made), members[0][0])


def _modules_of(estimator: Estimator) -> list[tuple[str, dict[str, list[Any]]]]:
    return [
        (type_name(vars(net)["module_"]), {name: _form(t) for name, t in _tensors(net).items()})
        for _, net in _named_nets(estimator, (), set())
        if _is_fitted(net)
    ]


def _members(estimator: Estimator) -> list[tuple[str, Estimator]]:
    if isinstance(estimator, MergedClassifier):
        named = estimator.named_estimators.items()
        return [(name, member) for name, member in named if not isinstance(member, str)]
    given = vars(estimator).get("estimators")
    if not isinstance(given, list):
        return []
    return [item for item in given if isinstance(item, tuple) and isinstance(item[0], str)]


def _is_fitted(net: Estimator) -> bool:
    return bool(vars(net).get("initialized_", False))


def _tensors(net: Estimator) -> dict[str, Any]:
    """Parameters and buffers of the fitted modules of a net, by attribute and name."""
    found: dict[str, Any] = {}
    if not _is_fitted(net):
        return found
    for attribute, module in vars(net).items():
        if not attribute.endswith("_") or not is_instance_of(module, "torch.nn", "Module"):
            continue
        own = dict(module.named_parameters(remove_duplicate=False))
        own |= dict(module.named_buffers(remove_duplicate=False))
        others = set(module.state_dict()) - set(own)
        if others:
            msg = (
                f"{type_name(module)} has state that is no tensor, {sorted(others)}: it cannot be "
                "saved. Register what it needs as parameters and buffers"
            )
            raise TypeError(msg)
        found |= {f"{attribute}.{name}": tensor for name, tensor in own.items()}
    return found


def same_tensors(net: Estimator, other: Estimator) -> bool:
    """Whether two nets have the same parameters and buffers, to the last bit."""
    return _bits(net) == _bits(other)


def _bits(net: Estimator) -> dict[str, bytes]:
    byte = sys.modules["torch"].uint8
    flat = {name: t.detach().cpu().contiguous().reshape(-1) for name, t in _tensors(net).items()}
    return {name: t.view(byte).numpy().tobytes() for name, t in flat.items()}


def _form(tensor: Any) -> list[Any]:
    return [str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]


def check_nets(entries: list[dict[str, Any]], net: Any) -> dict[str, Estimator]:
    """The unfitted net for each name, from what the caller passed.

    Raises
    ------
    ValueError
        If there are names without a net, or nets without a name.
    TypeError
        If something else than a net was passed.
    """
    names = sorted({entry["name"] for entry in entries})
    given = dict(net) if isinstance(net, Mapping) else dict.fromkeys(names, net)
    if net is not None and not names:
        msg = "the file holds no nets, but net= was passed: leave it out"
        raise ValueError(msg)
    missing = [name for name in names if given.get(name) is None]
    surplus = [name for name in given if name not in names]
    if missing or surplus:
        msg = (
            f"the file holds the nets {names}; for {missing or surplus} there is "
            + (f"no net in net={_shown(net)}" if missing else "a net in net=, but not in the file")
            + ": pass one unfitted skorch net that is made as they were, or a dict of such nets "
            "with these names"
        )
        raise ValueError(msg)
    for name, own in given.items():
        if not is_skorch(own):
            msg = f"net should be an unfitted skorch net; got {type(own).__name__} for {name!r}"
            raise TypeError(msg)
    return given


def _shown(net: Any) -> str:
    return str(sorted(net)) if isinstance(net, Mapping) else repr(net)


def read_tensors(entries: list[dict[str, Any]], content: bytes | None) -> dict[str, Any]:
    """The tensors of the file, which must be those that its manifest names."""
    if content is None:
        return {}
    try:
        tensors: dict[str, Any] = _safetensors("loading").load(content)
    except ImportError:
        raise
    except Exception:  # whatever safetensors raises for what is no such file
        refuse("its tensors cannot be read")
    expected = {
        f"{number}/{name}": form
        for number, entry in enumerate(entries)
        for name, form in entry["tensors"].items()
    }
    found = {name: _form(tensor) for name, tensor in tensors.items()}
    if found != expected:
        names = sorted(n for n in {*found, *expected} if found.get(n) != expected.get(n))
        refuse(f"its tensors {names[:5]} are not those of its manifest")
    return tensors


def with_nets(
    model: Estimator,
    entries: list[dict[str, Any]],
    tensors: Mapping[str, Any],
    like: Callable[[int], Estimator],
    made: dict[int, Estimator] | None = None,
) -> Estimator:
    """A model with nets in the place of its stubs.

    Parameters
    ----------
    model : estimator
    entries : list of dict
        Of the manifest.
    tensors : dict
        Of all nets.
    like : callable
        Returns the net that one with a number is made like.
    made : dict, default=None
        Gets the nets by number.
    """
    made = {} if made is None else made

    def net_of(value: Any) -> Estimator | None:
        if not isinstance(value, NetStub):
            return None
        number = vars(value).get("number")
        if type(number) is not int or not 0 <= number < len(entries):
            refuse(f"it has a net of number {number!r}, and {len(entries)} nets")
        if number not in made:
            own = {n: tensors[f"{number}/{n}"] for n in entries[number]["tensors"]}
            made[number] = _made_net(value, entries[number], own, like(number))
        return made[number]

    whole = replace_inside(model, net_of)
    if len(made) < len(entries):
        refuse(f"its manifest names {len(entries)} nets, and the model has {len(made)}")
    return whole


def _made_net(
    stub: NetStub, entry: Mapping[str, Any], tensors: Mapping[str, Any], like: Estimator
) -> Estimator:
    """A net like another one, with what the file has of it."""
    with RandomNumbers().borrowed():
        made = clone(like)
        if stub.classes is not None:
            made.set_params(classes=stub.classes)
        if not entry["fitted"]:
            return made
        made.initialize()
    own = _tensors(made)
    for name, tensor in own.items():
        if name in tensors and is_instance_of(
            tensor, "torch.nn.parameter", "UninitializedTensorMixin"
        ):
            tensor.materialize(tensors[name].shape)
    forms = {name: _form(tensor) for name, tensor in own.items()}
    if forms != entry["tensors"]:
        names = sorted(n for n in {*forms, *tensors} if forms.get(n) != entry["tensors"].get(n))
        seen = {n: (entry["tensors"].get(n), forms.get(n)) for n in names[:3]}
        msg = (
            f"net {entry['name']!r} has other tensors in the file than in net= (file, net): {seen}"
            ": pass a net whose module has the same layers and types"
        )
        raise ValueError(msg)
    with sys.modules["torch"].no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
    attributes = vars(stub).get("attributes")
    for name in _ATTRIBUTES:
        if isinstance(attributes, dict) and name in attributes:
            setattr(made, name, attributes[name])
    return made


def _safetensors(doing: str) -> Any:
    return optional_import("safetensors.torch", extra="persistence", purpose=f"{doing} nets")
