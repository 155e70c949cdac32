"""Files that take the place of others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["open_draft", "place_of"]


def place_of(path: str | os.PathLike[str]) -> Path:
    """Where a file is written: for a link, the file that it leads to."""
    return Path(os.path.realpath(path))


@contextmanager
def open_draft(draft: Path, target: Path) -> Iterator[IO[bytes]]:
    """A new file for writing, with the rights of the one that it will replace.

    It never has more: what only its owner may read would be open to others while it is written.
    """
    rights = target.stat().st_mode & 0o777 if target.exists() else None

    def opener(path: str, flags: int) -> int:
        return os.open(path, flags, 0o666 if rights is None else rights)

    with open(draft, "xb", opener=opener) as file:
        if rights is not None:
            os.chmod(draft, rights)  # the process's mask may have taken some away
        yield file
