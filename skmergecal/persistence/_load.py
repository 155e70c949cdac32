"""load: a model from a file, without running anything that the file holds."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from skmergecal._typing import Estimator
from skmergecal.persistence._archive import (
    Archive,
    labels_of,
    read_archive,
    refuse,
    type_name,
)
from skmergecal.persistence._dump import skops_io
from skmergecal.persistence._nets import STUB_TYPE, check_nets, read_tensors, with_nets
from skmergecal.persistence._trusted_types import TRUSTED_TYPES

__all__ = ["load", "restore", "untrusted_types"]


def load(path: str | os.PathLike[str], *, net: Any = None, trusted: Iterable[str] = ()) -> Any:
    """Read a model that `save` has written.

    The file is checked before anything of it is used, and no type is trusted because the file names
    it: estimators of scikit-learn that skops trusts and `TRUSTED_TYPES` are, and what you add.

    Parameters
    ----------
    path : str or path
        The file.
    net : skorch net or dict of str to skorch net, default=None
        If the model has nets: an unfitted net, made as theirs were, or one for each name. A name is
        that of the member, with those of the merges around it: ``"a"``, or ``"outer/a"``; without
        any merge it is ``"estimator"``. Nets get their parameters, modules and devices from here,
        and their weights and labels from the file. Nets trained on a GPU load on a CPU.
    trusted : iterable of str, default=()
        Names of further types, as the error lists them, and as `save` does. Types of torch and
        skorch are never trusted.

    Returns
    -------
    estimator
        What was saved, with the same predictions to the last bit where the packages are of the same
        versions.

    Raises
    ------
    ValueError
        If the file is not one of `save`, or was changed; if it needs types that are not trusted:
        the message lists them; if ``net`` lacks a name or has one too many, or has other layers.
    TypeError
        If ``net`` is no skorch net, or ``trusted`` no list of names.
    ImportError
        If skops, or safetensors for nets, is not installed.

    Warns
    -----
    OtherVersionWarning
        If another version of skmergecal has written the file; scikit-learn has its own warning.

    See Also
    --------
    skmergecal.persistence.save : Writes the file, with an example.

    Notes
    -----
    What a file can still do: hold numbers that make no sense, and trees that crash the process
    where their type is trusted. ``memory`` of a loaded model is not used for predictions.

    Examples
    --------
    >>> from skmergecal.persistence import load
    >>> model = load("model.skmergecal")  # doctest: +SKIP
    >>> model.predict_proba(X[:1])  # doctest: +SKIP
    array([[0.97, 0.03]])
    """
    listed = isinstance(trusted, Iterable) and not isinstance(trusted, str)
    names = list(trusted) if listed else []
    if not listed or not all(isinstance(name, str) for name in names):
        msg = (
            "trusted should be a list of names of types, ['sklearn.tree._tree.Tree'] for "
            f"instance; got {trusted!r}"
        )
        raise TypeError(msg)
    archive = read_archive(Path(path).read_bytes())
    nets = check_nets(archive.nets, net)
    return restore(archive, lambda number: nets[archive.nets[number]["name"]], names)


def restore(
    archive: Archive,
    like: Callable[[int], Estimator],
    trusted: list[str] | None = None,
    made: dict[int, Estimator] | None = None,
) -> Any:
    """The model of an archive.

    Parameters
    ----------
    archive : Archive
    like : callable
        Returns the net that one with a number is made like.
    trusted : list of str or None
        None where the file was made of a model of this process.
    made : dict, default=None
        Gets the nets.
    """
    found = untrusted_types(archive.model)
    lacking = [] if trusted is None else sorted(set(found) - set(trusted))
    if lacking:
        msg = (
            f"the file needs types that are not trusted: {lacking}. Look at each of them: where it "
            "is read, its class decides what happens, and crafted trees can crash the process. "
            f"If you trust the file with them, pass load(path, trusted={lacking})"
        )
        raise ValueError(msg)
    _refuse_nets(found)
    tensors = read_tensors(archive.nets, archive.tensors)
    try:
        model = skops_io().loads(archive.model, trusted=[*TRUSTED_TYPES, STUB_TYPE, *found])
    except ImportError:
        raise
    except Exception as error:  # whatever a constructor raises
        msg = f"the model cannot be made from the file: {type(error).__name__}: {error}"
        raise ValueError(msg) from error
    whole = with_nets(model, archive.nets, tensors, like, made)
    try:
        about = type_name(whole), labels_of(whole)
    except Exception as error:  # whatever the classes of a damaged model raise
        refuse(f"its model has no labels that can be read ({error})")
    if about != (archive.estimator, archive.classes):
        refuse("its manifest has another type or other classes than its model")
    return whole


def untrusted_types(model: bytes) -> list[str]:
    """Names of types in a file of skops that neither skops trusts nor we do."""
    skops = skops_io()
    try:
        found: list[str] = skops.get_untrusted_types(data=model)
    except Exception as error:  # whatever skops raises for what is no such file
        refuse(f"skops cannot read it ({type(error).__name__}: {error})")
    return [name for name in found if name not in TRUSTED_TYPES and name != STUB_TYPE]


def _refuse_nets(names: Iterable[str]) -> None:
    """Raise ValueError where one of the types is of torch or skorch, or derives from these."""
    for name in names:
        module, _, attribute = name.rpartition(".")
        if name.partition(".")[0] not in ("torch", "skorch"):
            try:  # the caller has named it, so that it would be imported anyway
                kind = getattr(importlib.import_module(module), attribute, None)
            except ImportError:
                continue
            if not isinstance(kind, type) or not _holds_bytes_of_others(kind):
                continue
        msg = (
            f"{name} is never read from a file: skorch and torch unpickle what they find, which "
            "can run any code. Nets are saved by skmergecal.persistence.save, and loaded with net="
        )
        raise ValueError(msg)


def _holds_bytes_of_others(kind: type) -> bool:
    unsafe = [("skorch", "NeuralNet"), ("torch.nn", "Module"), ("torch", "Tensor")]
    loaded = [getattr(sys.modules.get(module), name, None) for module, name in unsafe]
    return any(isinstance(base, type) and issubclass(kind, base) for base in loaded)
