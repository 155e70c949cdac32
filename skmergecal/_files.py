"""Files that take the place of others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

__all__ = ["open_draft", "place_of"]


def place_of(path: str | os.PathLike[str]) -> Path:
    """Where a file is written: for a link, the file that it leads to."""
    return Path(os.path.realpath(path))


def open_draft(draft: Path, target: Path) -> IO[bytes]:
    """Open a new file for writing, with the rights of the one that it will replace.

    It never has more: what only its owner may read would be open to others while it is written.
    """
    if not target.exists():
        return draft.open("xb")
    rights = target.stat().st_mode & 0o777
    file = open(draft, "xb", opener=lambda path, flags: os.open(path, flags, rights))  # noqa: SIM115
    try:
        os.chmod(draft, rights)  # the process's mask may have taken some away
    except OSError:
        file.close()
        raise
    return file
