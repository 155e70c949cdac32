"""Averages of checkpoint files, computed in blocks so that files may be larger than memory."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from skmergecal._files import open_draft, place_of
from skmergecal._typing import Array
from skmergecal._validation import check_list, check_member_weights, check_parameters
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters.checkpoints._safetensors import (
    DTYPES,
    Checkpoint,
    StoredTensor,
    decode,
    encode,
    make_header,
    read_checkpoint,
)

_WINDOWS = sys.platform == "win32"
if not _WINDOWS:
    import fcntl

__all__ = ["merge_checkpoints"]

#: Number of entries that are in memory at once, of all files together.
_BLOCK = 2**19


@check_parameters(out=[str, os.PathLike])
def merge_checkpoints(
    paths: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str], *, weights: Any = None
) -> None:
    """Average the tensors of safetensors files into a new file.

    Sums are computed in float64 and rounded once to the tensor's type. Integer and boolean tensors
    are not averaged but copied from the file with the largest weight (of several, the first by
    name). Only a few blocks are in memory at once, less than the largest tensor. The result does
    not depend on the order of the files, bit for bit. It is written to a temporary file that is
    then renamed: after a crash there is either no new file, or a complete one. What a killed
    process left behind, the next merge into the same file removes.

    Parameters
    ----------
    paths : sequence of str or path
        Files with the same names, shapes and types of tensors, and the same metadata.
    out : str or path
        The file to write, no one of ``paths``. An existing file is replaced, with its rights; for a
        link, the file that it leads to.
    weights : array-like of shape (n_paths,), dict by path, or None, default=None
        Non-negative; scaled to sum to 1. None: equal weights.

    Raises
    ------
    IncompatibleEstimatorsError
        If tensors or metadata do not match; the message names the first difference.
    ValueError
        If a file or the weights are invalid, or ``out`` is one of the files.

    See Also
    --------
    skmergecal.parameters.average_parameters : The same for fitted estimators.

    Notes
    -----
    Files are never unpickled: a malicious one can only raise an error.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skmergecal.parameters import merge_checkpoints
    >>> header = b'{"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path, out = Path(folder, "a.safetensors"), Path(folder, "merged.safetensors")
    ...     _ = path.write_bytes(len(header).to_bytes(8, "little") + header + b"ab")
    ...     merge_checkpoints([path, path], out)
    ...     out.read_bytes()[-2:]
    b'ab'
    """
    out = Path(out)
    members = _read_members(paths, weights, out)
    first = members[0][1]
    header, order = make_header(first.tensors, first.metadata)
    with _replacing(place_of(out)) as file:
        file.write(header)
        for name in order:
            for block in _merged_blocks(members, name):
                file.write(block)


def _read_members(
    paths: Sequence[str | os.PathLike[str]], weights: Any, out: Path
) -> list[tuple[float, Checkpoint]]:
    """Files of positive weight, checked and sorted by descending weight."""
    what = "file, str or path: there are no files to merge otherwise"
    names = []
    for path in check_list("paths", paths, what):
        if not isinstance(path, str | os.PathLike):
            msg = f"paths should be a list of files, each a str or path; got {path!r}"
            raise TypeError(msg)
        names.append(os.fspath(path))
    given = check_member_weights(np.ones(len(names)) if weights is None else weights, names)
    checkpoints = [read_checkpoint(name) for name in names]
    _refuse_input_as_output(checkpoints, out)
    _check_same_tensors(checkpoints)
    members = [(float(w), c) for w, c in zip(given, checkpoints, strict=True) if w > 0]
    return sorted(members, key=lambda member: (-member[0], str(member[1].path)))


def _merged_blocks(members: Sequence[tuple[float, Checkpoint]], name: str) -> Iterator[bytes]:
    floating = members[0][1].tensors[name].is_floating
    taking_part = members if floating else members[:1]
    places = [checkpoint.tensors[name] for _, checkpoint in taking_part]
    dtype = places[0].dtype
    size = max(_BLOCK // len(taking_part), 1) * DTYPES[dtype].itemsize
    for begin in range(0, places[0].stop - places[0].start, size):
        blocks = [
            (weight, checkpoint.read(t.start + begin, min(t.start + begin + size, t.stop)))
            for (weight, checkpoint), t in zip(taking_part, places, strict=True)
        ]
        yield encode(_weighted_sum(blocks, dtype), dtype) if floating else blocks[0][1]


def _weighted_sum(blocks: list[tuple[float, bytes]], dtype: str) -> Array:
    """Sum in the order of weights and contents, so that the order of the files has no effect."""
    blocks.sort()
    with np.errstate(invalid="ignore"):  # infinity minus infinity is NaN
        total = blocks[0][0] * decode(blocks[0][1], dtype)
        for weight, raw in blocks[1:]:
            total += weight * decode(raw, dtype)
    return total


def _refuse_input_as_output(checkpoints: Sequence[Checkpoint], out: Path) -> None:
    for checkpoint in checkpoints:
        if out.exists() and out.samefile(checkpoint.path):
            msg = f"out={str(out)!r} is one of the files to merge: choose another name"
            raise ValueError(msg)


def _check_same_tensors(checkpoints: Sequence[Checkpoint]) -> None:
    first = checkpoints[0]
    for other in checkpoints[1:]:
        for what, found in _differences(first, other):
            if found[0] != found[1]:
                msg = (
                    f"{str(first.path)!r} and {str(other.path)!r} cannot be averaged: {what} is "
                    f"{found[0]} in the first, {found[1]} in the second"
                )
                raise IncompatibleEstimatorsError(msg)


def _differences(a: Checkpoint, b: Checkpoint) -> Iterator[tuple[str, list[object]]]:
    for name in sorted({*a.tensors, *b.tensors}):
        yield f"tensor {name!r}", [_describe(c.tensors.get(name)) for c in (a, b)]
    for key in sorted({*a.metadata, *b.metadata}):
        yield f"metadata {key!r}", [c.metadata.get(key) for c in (a, b)]


def _describe(tensor: StoredTensor | None) -> str:
    return "missing" if tensor is None else f"{tensor.dtype} {tensor.shape}"


@contextmanager
def _replacing(out: Path) -> Iterator[IO[bytes]]:
    """A temporary file that replaces ``out`` once it is complete and on disk."""
    _remove_leftovers(out)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open_draft(temporary, out) as file:
            with suppress(OSError):  # not every file system has locks
                _lock(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
            if not _WINDOWS:  # renamed while it is locked
                temporary.replace(out)
        if _WINDOWS:  # which renames no open files
            temporary.replace(out)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    _sync_folder(out.parent)


def _remove_leftovers(out: Path) -> None:
    """Remove temporary files for ``out`` that no living process is writing."""
    ours = re.compile(rf"\.{re.escape(out.name)}\.[0-9a-f]{{16}}\.tmp")
    for path in [p for p in out.parent.glob(".*") if ours.fullmatch(p.name)]:
        with suppress(OSError):
            if _WINDOWS:  # which removes no open files
                path.unlink()
                continue
            with path.open("r+b") as file:
                _lock(file)
                path.unlink()


def _lock(file: IO[bytes]) -> None:
    """Lock a file for as long as it is open, or raise OSError if another process has done so."""
    if not _WINDOWS:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sync_folder(folder: Path) -> None:
    """Sync a folder, so that a renaming survives a power cut; not on Windows (PermissionError)."""
    with suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
