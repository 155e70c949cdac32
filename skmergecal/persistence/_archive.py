"""The file: a zip of a manifest, a model in the format of skops, and tensors of nets.

Nothing in it is believed: sizes, names, hashes and forms are checked before any of it is used, and
no member of the zip is written to disk.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from importlib import metadata
from typing import Any, NamedTuple, NoReturn

import numpy as np

from skmergecal._version import __version__

__all__ = [
    "MODEL",
    "TENSORS",
    "Archive",
    "check_size",
    "labels_of",
    "read_archive",
    "refuse",
    "type_name",
    "undated",
]

MANIFEST, MODEL, TENSORS = "manifest.json", "model.skops", "nets.safetensors"
_FORMAT = "skmergecal"
_FORMAT_VERSION = 1
#: What a zip may unpack to: so many bytes, or so many times its own size.
_BYTES, _TIMES = 1 << 26, 100
_PACKAGES = ("numpy", "scikit-learn", "skops", "safetensors", "skorch", "torch")


class Archive(NamedTuple):
    """What a file holds."""

    estimator: str
    """Name of the type of the model."""
    classes: list[Any] | None
    """Its labels, as JSON has them."""
    nets: list[dict[str, Any]]
    """Of each net its name, whether it is fitted, and dtype and shape of its tensors."""
    model: bytes
    """In the format of skops, with stubs in the place of nets."""
    tensors: bytes | None
    """In the format of safetensors; None without nets."""

    def to_bytes(self) -> bytes:
        """The file."""
        parts = {MODEL: self.model}
        if self.tensors is not None:
            parts[TENSORS] = self.tensors
        manifest = {
            "format": _FORMAT,
            "format_version": _FORMAT_VERSION,
            "versions": {"skmergecal": __version__, **_installed()},
            "sha256": {name: _hash(content) for name, content in parts.items()},
            "estimator": self.estimator,
            "classes": self.classes,
            "nets": self.nets,
        }
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            text = json.dumps(manifest, indent=1)
            archive.writestr(undated(MANIFEST), text, zipfile.ZIP_DEFLATED)
            archive.writestr(undated(MODEL), self.model)  # a zip itself
            if self.tensors is not None:
                archive.writestr(undated(TENSORS), self.tensors, zipfile.ZIP_DEFLATED)
        return buffer.getvalue()


def read_archive(content: bytes) -> Archive:
    """Read a file and check that it is what its manifest says.

    Raises
    ------
    ValueError
        If it is not.
    """
    parts = _parts(content)
    try:
        manifest = json.loads(parts[MANIFEST].decode("utf-8"))
    except (ValueError, RecursionError):
        refuse("its manifest is no JSON")
    _check_manifest(manifest)
    if set(manifest["sha256"]) != set(parts) - {MANIFEST}:
        refuse(f"its manifest is of other parts than {sorted(parts)}")
    for name, expected in manifest["sha256"].items():
        if _hash(parts[name]) != expected:
            refuse(f"{name} is not what its manifest says: it was changed or damaged")
    check_size(parts[MODEL])
    nets = manifest["nets"]
    if bool(nets) != (TENSORS in parts):
        refuse("its manifest and its tensors disagree on whether there are nets")
    return Archive(
        manifest["estimator"], manifest["classes"], nets, parts[MODEL], parts.get(TENSORS)
    )


def _parts(content: bytes) -> dict[str, bytes]:
    """The members of the zip, which may have no other names than ours."""
    check_size(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [info.filename for info in archive.infolist()]
        if len(set(names)) < len(names) or not {MANIFEST, MODEL} <= set(names) <= {
            *(MANIFEST, MODEL, TENSORS)
        }:
            refuse(
                f"it has the parts {names[:10]} instead of {MANIFEST}, {MODEL} and, with nets, "
                f"{TENSORS}: a file of skops itself is read by skops.io.load"
            )
        try:
            return {name: archive.read(name) for name in names}
        except (zipfile.BadZipFile, RuntimeError, EOFError, zlib.error) as error:
            refuse(f"it cannot be unpacked ({error})")


def check_size(content: bytes) -> None:
    """Raise ValueError where a zip would unpack to far more than it is."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            declared = sum(info.file_size for info in archive.infolist())
    except Exception:  # whatever zipfile raises for what is no zip
        refuse("it is no zip file")
    if declared > max(_BYTES, _TIMES * len(content)):
        refuse(f"{len(content)} bytes would unpack to {declared}, over {_TIMES} times as much")


def _check_manifest(manifest: Any) -> None:
    """Raise ValueError where the manifest has not the form of ours."""
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        refuse("its manifest is not one of skmergecal")
    version = manifest.get("format_version")
    if type(version) is int and version > _FORMAT_VERSION:
        msg = (
            f"the file has format {version}, and this version of skmergecal reads {_FORMAT_VERSION}"
            ": install a later version"
        )
        raise ValueError(msg)
    kinds = {
        "format": str,
        "format_version": int,
        "versions": dict,
        "sha256": dict,
        "estimator": str,
        "classes": list | None,
        "nets": list,
    }
    wrong = [n for n, kind in kinds.items() if n not in manifest or not _is_a(manifest[n], kind)]
    wrong += [name for name in manifest if name not in kinds]
    wrong += [] if version == _FORMAT_VERSION else ["format_version"]
    if wrong or not all(map(_is_net, manifest["nets"])):
        refuse(f"its manifest has another form than ours, in {wrong or ['nets']}")


def _is_a(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_net(entry: Any) -> bool:
    if not isinstance(entry, dict) or set(entry) != {"name", "fitted", "tensors"}:
        return False
    tensors = entry["tensors"]
    return (
        isinstance(entry["name"], str)
        and isinstance(entry["fitted"], bool)
        and isinstance(tensors, dict)
        and all(isinstance(form, list) and len(form) == 2 for form in tensors.values())
    )


def labels_of(model: Any) -> list[Any] | None:
    """The labels of a model as JSON has them; None where it has none."""
    classes = getattr(model, "classes_", None)
    if classes is None:
        return None
    plain = (str, int, float, bool)
    values: list[Any] = np.asarray(classes).tolist()
    return [value if isinstance(value, plain) else str(value) for value in values]


def type_name(model: Any) -> str:
    """Name of the type of a model."""
    return f"{type(model).__module__}.{type(model).__qualname__}"


def refuse(reason: str) -> NoReturn:
    """Raise the error of a file that is not what `save` writes."""
    msg = (
        f"the file is refused: {reason}. Load a file that skmergecal.persistence.save has written, "
        "as it was written"
    )
    raise ValueError(msg)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def undated(name: str) -> zipfile.ZipInfo:
    """A member of a zip without a date: the same model gives the same bytes."""
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o644 << 16
    return info


def _installed() -> Mapping[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
