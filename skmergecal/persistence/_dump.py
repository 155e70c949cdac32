"""dump: a model in the format of skops, with the same bytes each time."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from skmergecal._optional import optional_import
from skmergecal.persistence._archive import check_size, undated

__all__ = ["dump", "skops_io"]

#: The member of skops' zip that describes the objects; the others are arrays.
_SCHEMA = "schema.json"


def skops_io() -> Any:
    """The module of skops that reads and writes models."""
    return optional_import("skops.io", extra="persistence", purpose="saving and loading models")


def dump(model: Any) -> bytes:
    """A model in the format of skops; deflated, unless it would seem to be a bomb then."""
    with zipfile.ZipFile(io.BytesIO(skops_io().dumps(model))) as given:
        schema, names = _numbered(json.loads(given.read(_SCHEMA)))
        parts = {names(name): given.read(name) for name in given.namelist() if name != _SCHEMA}
    parts[_SCHEMA] = json.dumps(schema).encode()
    content = _zip_of(parts, zipfile.ZIP_DEFLATED)
    try:
        check_size(content)
    except ValueError:
        content = _zip_of(parts, zipfile.ZIP_STORED)
    return content


def _numbered(schema: Any) -> tuple[Any, Callable[[str], str]]:
    """The schema with objects numbered in its order, and the new names of its files.

    skops tells objects apart by their addresses, which differ each time.
    """
    numbers: dict[str, int] = {}

    def number(address: str) -> int:
        return numbers.setdefault(address, len(numbers))

    def renamed(file: str) -> str:
        path = PurePosixPath(file)
        return f"{number(path.stem)}{path.suffix}"

    def renumbered(node: Any) -> Any:
        if isinstance(node, list):
            return [renumbered(part) for part in node]
        if not isinstance(node, dict):
            return node
        node = {key: renumbered(part) for key, part in node.items()}
        # Values of the model itself are nodes: they are no numbers and no names of files.
        if isinstance(node.get("__id__"), int):
            node["__id__"] = number(str(node["__id__"]))
        if isinstance(node.get("file"), str):
            node["file"] = renamed(node["file"])
        return node

    return renumbered(schema), renamed


def _zip_of(parts: dict[str, bytes], compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            archive.writestr(undated(name), content, compression)
    return buffer.getvalue()
