"""Safetensors files: headers are read and validated, tensors read and written in blocks.

A file has eight bytes with the length of the header (little-endian), the header, which is JSON,
and the tensors one after the other without gaps. Format:
https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skmergecal._typing import Array

__all__ = [
    "DTYPES",
    "Checkpoint",
    "StoredTensor",
    "decode",
    "encode",
    "make_header",
    "read_checkpoint",
]

#: Longest header that the format allows.
_LONGEST_HEADER = 100_000_000
#: Entries of an array of the widest type, in a file of 64-bit length.
_MOST_ENTRIES = 2**60 - 1

#: NumPy types by their names in the format; bfloat16, which NumPy lacks, is read as its bits.
DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("u1"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "BF16": np.dtype("<u2"),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}


class StoredTensor(NamedTuple):
    """Type, shape and position of a tensor in its file.

    Attributes
    ----------
    dtype : str
        Key of `DTYPES`.
    shape : tuple of int
    start, stop : int
        Offsets in bytes from the start of the file.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def is_floating(self) -> bool:
        """Whether it is averaged; integer and boolean tensors are copied."""
        return "F" in self.dtype


@dataclass(frozen=True)
class Checkpoint:
    """A file whose header was read and validated.

    Attributes
    ----------
    path : Path
    tensors : dict of str to Tensor
    metadata : dict of str to str
    """

    path: Path
    tensors: Mapping[str, StoredTensor]
    metadata: Mapping[str, str]

    def read(self, start: int, stop: int) -> bytes:
        """Bytes of the file, opened at each read: limits on open files do not apply."""
        with self.path.open("rb") as file:
            file.seek(start)
            found = file.read(stop - start)
        if len(found) != stop - start:
            raise _broken(self.path, "it was truncated while it was read")
        return found


def _broken(path: Path, reason: str) -> ValueError:
    return ValueError(f"{str(path)!r} is not a valid safetensors file: {reason}")


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read and validate the header of a file.

    Raises
    ------
    ValueError
        If the header is invalid or does not match the file; the message names file and reason.
    """
    path = Path(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < 8:
            raise _broken(path, f"it has {size} bytes, but the length of the header takes 8")
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, _LONGEST_HEADER):
            raise _broken(path, f"its header should have {length} bytes, but the file has {size}")
        text = file.read(length)
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise _broken(path, f"its header cannot be read ({error})") from error
    if not isinstance(header, dict):
        raise _broken(path, "its header is not a JSON object")
    metadata = header.pop("__metadata__", None)
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _broken(path, "its __metadata__ does not map names to strings")
    _check_text(path, [*header, *metadata, *metadata.values()])
    tensors = {name: _tensor(path, name, entry, 8 + length) for name, entry in header.items()}
    place = 8 + length
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1][2:]):
        if tensor.start != place:
            relation = "overlaps the previous one" if tensor.start < place else "leaves a gap"
            raise _broken(path, f"tensor {name!r} {relation}")
        place = tensor.stop
    if place != size:
        raise _broken(path, f"its tensors end at byte {place}, but the file has {size}")
    return Checkpoint(path, tensors, metadata)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        msg = f"duplicate key {next(n for n in names if names.count(n) > 1)!r}"
        raise ValueError(msg)
    return found


def _check_text(path: Path, texts: list[str]) -> None:
    """Refuse text that cannot be written again: JSON can escape one half of a character."""
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise _broken(path, f"{text!r} in its header is no valid text") from error


def _tensor(path: Path, name: str, entry: Any, offset: int) -> StoredTensor:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _broken(path, f"tensor {name!r} has no dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        msg = f"tensor {name!r} of {str(path)!r} has dtype {dtype!r}; known: {', '.join(DTYPES)}"
        raise ValueError(msg)
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        raise _broken(path, f"shape or data_offsets of tensor {name!r} are not counts")
    start, stop = offsets
    if not _can_be_counted(shape):
        raise _broken(path, f"tensor {name!r} has a shape that no array can have")
    if stop - start != math.prod(shape) * DTYPES[dtype].itemsize:
        raise _broken(path, f"tensor {name!r}, {dtype} {shape}, has {stop - start} bytes")
    return StoredTensor(dtype, tuple(shape), offset + start, offset + stop)


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)


def _can_be_counted(shape: list[int]) -> bool:
    """Whether the lengths of an array, and their product without zeros, are 64-bit numbers."""
    entries = 1
    for length in shape:
        entries *= max(length, 1)
        if entries > _MOST_ENTRIES:
            return False
    return True


def make_header(
    tensors: Mapping[str, StoredTensor], metadata: Mapping[str, str]
) -> tuple[bytes, list[str]]:
    """Header of a file, and the order of its tensors: the widest types first, then by name.

    This order keeps each tensor aligned to the size of its type, which helps readers that map
    files into memory, and does not depend on the order in ``tensors``.
    """
    order = sorted(tensors, key=lambda name: (-DTYPES[tensors[name].dtype].itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    place = 0
    for name in order:
        _, shape, start, stop = tensors[name]
        offsets = [place, place + stop - start]
        header[name] = {
            "dtype": tensors[name].dtype,
            "shape": list(shape),
            "data_offsets": offsets,
        }
        place = offsets[1]
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, order


def decode(raw: bytes, dtype: str) -> Array:
    """Convert bytes of a floating-point type to float64."""
    numbers = np.frombuffer(raw, dtype=DTYPES[dtype])
    if dtype == "BF16":  # the upper half of the bits of a float32
        numbers = (numbers.astype("<u4") << 16).view("<f4")
    return numbers.astype(np.float64)


def encode(numbers: Array, dtype: str) -> bytes:
    """Convert float64 to bytes of a floating-point type, rounded once, ties to even."""
    with np.errstate(over="ignore"):  # numbers that are too large for the type become infinity
        if dtype != "BF16":
            return numbers.astype(DTYPES[dtype]).tobytes()
        single = numbers.astype("<f4")
        # Round to odd: towards 0, with the last bit set if anything was cut off. The second
        # rounding then gives the same as a single one.
        away = np.abs(single) > np.abs(numbers)
        single = np.where(away, np.nextafter(single, np.float32(0)), single)
    bits = single.view("<u4") | (single != numbers)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(numbers), 0x7FC0, rounded).astype("<u2").tobytes()
