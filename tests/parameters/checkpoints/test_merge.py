"""Averaging files: right numbers, no trust in headers, bounded memory, all or nothing."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import merge_checkpoints
from skmergecal.parameters.checkpoints import _merge as _checkpoints
from skmergecal.parameters.checkpoints import decode, encode

NAMES = {"bool": "BOOL", "int64": "I64", "float16": "F16", "float32": "F32", "float64": "F64"}


def write(path, tensors, metadata=None):
    """A safetensors file of NumPy arrays, by the letter of the format."""
    header, data = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, array in tensors.items():
        raw = array.tobytes()
        header[name] = {
            "dtype": NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    return write_raw(path, header, data)


def write_raw(path, header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def read(path):
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    types = {v: k for k, v in NAMES.items()}
    data = raw[8 + length :]
    return {
        name: np.frombuffer(data[slice(*entry["data_offsets"])], types[entry["dtype"]]).reshape(
            entry["shape"]
        )
        for name, entry in header.items()
        if name != "__metadata__"
    }


def state(seed):
    rng = np.random.default_rng(seed)
    return {
        "mask": rng.random(3) > 0.5,
        "weight": rng.normal(size=(7, 5)).astype(np.float32),
        "half": rng.normal(size=4).astype(np.float16),
        "wide": rng.normal(size=(2, 3, 1)),
        "count": np.array(seed),
        "empty": np.zeros((0, 3), dtype=np.float32),
    }


@pytest.fixture
def files(tmp_path):
    return [write(tmp_path / f"{c}.safetensors", state(i)) for i, c in enumerate("abc")]


def test_the_average_is_that_of_the_arrays(files, tmp_path):
    out = tmp_path / "out.safetensors"
    merge_checkpoints(files, out, weights=[1, 2, 1])
    found, states = read(out), [state(i) for i in range(3)]
    assert set(found) == set(states[0])
    for name in ("weight", "half", "wide", "empty"):
        arrays = [s[name].astype(np.float64) for s in states]
        mean = (0.25 * arrays[0] + 0.25 * arrays[2]) + 0.5 * arrays[1]
        np.testing.assert_allclose(
            found[name], mean.astype(states[0][name].dtype), rtol=1e-15, atol=1e-15
        )
        assert found[name].dtype == states[0][name].dtype
    assert found["count"] == 1  # of the largest weight
    np.testing.assert_array_equal(found["mask"], states[1]["mask"])


def test_weights_by_path_and_one_hot_weights(files, tmp_path):
    out = tmp_path / "out.safetensors"
    merge_checkpoints(files, out, weights={str(f): float(i == 2) for i, f in enumerate(files)})
    for name, array in state(2).items():
        np.testing.assert_array_equal(read(out)[name], array)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 5), uniform=st.booleans())
def test_no_bit_depends_on_the_order_of_the_files(tmp_path_factory, seed, n, uniform):
    folder = tmp_path_factory.mktemp("order")
    rng = np.random.default_rng(seed)
    files = [write(folder / f"{i}", state(int(s))) for i, s in enumerate(rng.integers(0, 9, n))]
    weights = np.ones(n) if uniform else rng.random(n)
    results = set()
    for order in itertools.islice(itertools.permutations(range(n)), 0, None, 5):
        merge_checkpoints([files[i] for i in order], folder / "out", weights=weights[list(order)])
        results.add((folder / "out").read_bytes())
    assert len(results) == 1


def test_the_package_safetensors_reads_it_and_torch_agrees(tmp_path):
    numpy_files = pytest.importorskip("safetensors.numpy")
    torch_files = pytest.importorskip("safetensors.torch")
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    states = [
        {
            "w": torch.randn(30, 20, generator=generator),
            "b": torch.randn(300, generator=generator).to(torch.bfloat16),
            "n": torch.tensor(3),
        }
        for _ in range(2)
    ]
    paths = [tmp_path / "a", tmp_path / "b"]
    for path, tensors in zip(paths, states, strict=True):
        torch_files.save_file(tensors, path, metadata={"format": "pt"})
    merge_checkpoints(paths, tmp_path / "out")
    found = torch_files.load_file(tmp_path / "out")
    for name in ("w", "b"):
        mean = (states[0][name].double() + states[1][name].double()) / 2
        assert torch.equal(found[name], mean.to(states[0][name].dtype))
    assert found["n"] == 3
    numpy_files.save_file(state(0), tmp_path / "c")
    merge_checkpoints([tmp_path / "c"], tmp_path / "d")
    for name, array in numpy_files.load_file(tmp_path / "d").items():
        np.testing.assert_array_equal(array, state(0)[name])


def test_bfloat16_is_rounded_once():
    rng = np.random.default_rng(0)
    numbers = np.concatenate([rng.normal(size=1000) * 10.0 ** rng.uniform(-40, 38, 1000)])
    below, above = np.float64(1.0), decode(b"\x81\x3f", "BF16")[0]  # neighbours: 1 and 1 + 2^-7
    middle = (below + above) / 2
    ties = [middle, np.nextafter(middle, 2), np.nextafter(middle, 0)]
    np.testing.assert_array_equal(
        decode(encode(np.array(ties), "BF16"), "BF16"), [below, above, below]
    )
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e300, -1e300, 5e-324])
    np.testing.assert_array_equal(
        decode(encode(special, "BF16"), "BF16"), [0, 0, np.inf, -np.inf, np.nan, np.inf, -np.inf, 0]
    )
    raw = encode(numbers, "BF16")
    assert encode(decode(raw, "BF16"), "BF16") == raw
    bits = np.frombuffer(raw, "<u2").astype(np.int64)
    error = np.abs(decode(raw, "BF16") - numbers)
    for step in (-1, 1):  # no neighbour is nearer
        other = decode(((bits + step) & 0xFFFF).astype("<u2").tobytes(), "BF16")
        assert not (np.abs(other - numbers) < error).any()


def test_memory_does_not_grow_with_files_or_tensors(tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoints, "_BLOCK", 2**14)

    def peak(n_files, size):
        big = [{"w": np.full(size, i, dtype=np.float32)} for i in range(n_files)]
        paths = [write(tmp_path / f"{i}", s) for i, s in enumerate(big)]
        del big
        tracemalloc.start()
        merge_checkpoints(paths, tmp_path / "out")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2, 10)  # whatever is loaded at the first call
    # The smaller of two: what measures coverage needs memory of its own now and then.
    of_size = min(peak(2, 2**21) for _ in range(2))
    of_number = min(peak(16, 2**19) for _ in range(2))
    assert of_size < 2**20  # a tensor of 8 MiB; blocks of 2^13 numbers, 40 bytes each
    assert of_number < 2**20


def broken_files():
    ok = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    two = {**ok, "v": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}
    gap = {**ok, "v": {"dtype": "F32", "shape": [1], "data_offsets": [12, 16]}}
    twice = json.dumps(ok)[:-1].encode() + b"," + json.dumps(ok)[1:].encode()

    def changed(**entry):
        return {"w": {**ok["w"], **entry}}

    return [
        (ok, b"1234", "end at byte"),
        (ok, b"123456789", "end at byte"),
        (two, b"0" * 12, "overlaps"),
        (gap, b"0" * 16, "leaves a gap"),
        (twice, b"0" * 8, "duplicate key"),
        (b"{not json", b"", "cannot be read"),
        (b"[" * 100_000, b"", "cannot be read"),
        (b"\xff\xfe", b"", "cannot be read"),
        (b"[]", b"", "not a JSON object"),
        ({"w": 3}, b"", "no dtype, shape and data_offsets"),
        (changed(dtype=["F32"]), b"0" * 8, r"dtype \['F32'\]; known: BOOL"),
        (changed(dtype={}), b"0" * 8, "dtype {}; known: BOOL"),
        (changed(dtype=None), b"0" * 8, "dtype None; known: BOOL"),
        (changed(shape=[0, 2**70], data_offsets=[0, 0]), b"", "a shape that no array can have"),
        (changed(shape=[2**62, 0, 4], data_offsets=[0, 0]), b"", "a shape that no array can have"),
        (changed(shape=[2] * 99), b"0" * 8, "a shape that no array can have"),
        (changed(data_offsets=[0, 2**70]), b"0" * 8, r"has 1180591620717411303424 bytes"),
        (b'{"\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}', b"", "no valid text"),
        (b'{"__metadata__":{"a":"\\udfff"}}', b"", "no valid text"),
        (changed(dtype="F8_E4M3"), b"0" * 8, "dtype 'F8_E4M3'; known: BOOL"),
        (changed(shape=[-2]), b"0" * 8, "not counts"),
        (changed(shape=[2.0]), b"0" * 8, "not counts"),
        (changed(shape=[True, 2]), b"0" * 8, "not counts"),
        (changed(shape=[2**30, 2**29]), b"0" * 8, "has 8 bytes"),
        (changed(shape=[2**62, 2**62]), b"0" * 8, "a shape that no array can have"),
        (changed(data_offsets=[0, 8, 16]), b"0" * 8, "not counts"),
        (changed(data_offsets=[8, 0]), b"0" * 8, "has -8 bytes"),
        (changed(data_offsets=[8, 16]), b"0" * 16, "leaves a gap"),
        ({"__metadata__": {"a": 1}}, b"", "does not map names to strings"),
        ({"__metadata__": []}, b"", "does not map names to strings"),
        ({"__metadata__": False}, b"", "does not map names to strings"),
    ]


@pytest.mark.parametrize(("header", "data", "match"), broken_files())
def test_broken_headers(tmp_path, header, data, match):
    path = write_raw(tmp_path / "bad", header, data)
    with pytest.raises(ValueError, match=match):
        merge_checkpoints([path], tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad"]


def test_no_metadata_at_all_and_none_are_the_same(tmp_path):
    """The format's own readers take null for none."""
    entry = {"w": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}
    paths = [
        write_raw(tmp_path / "a", {"__metadata__": None, **entry}, b"ab"),
        write_raw(tmp_path / "b", entry, b"ab"),
        write_raw(tmp_path / "c", {"__metadata__": {}, **entry}, b"ab"),
    ]
    merge_checkpoints(paths, tmp_path / "out")
    assert (tmp_path / "out").read_bytes().endswith(b"ab")
    assert b"__metadata__" not in (tmp_path / "out").read_bytes()


@pytest.mark.parametrize("raw", [b"", b"1234567", (2**63).to_bytes(8, "little") + b"{}"])
def test_files_too_short_for_their_header(tmp_path, raw):
    (tmp_path / "bad").write_bytes(raw)
    with pytest.raises(ValueError, match=r"bad' is not a valid safetensors file: .* bytes"):
        merge_checkpoints([tmp_path / "bad"], tmp_path / "out")


def test_files_that_differ(tmp_path, files):
    first, out = files[0], tmp_path / "out"
    fewer = {k: v for k, v in state(1).items() if k != "half"}
    for other, match in [
        (write(tmp_path / "1", fewer), r"tensor 'half' is F16 \(4,\) in the first, missing in"),
        (write(tmp_path / "2", state(1) | {"wide": np.ones(2)}), r"'wide' is F64 \(2, 3, 1\)"),
        (write(tmp_path / "3", state(1) | {"half": np.ones(4)}), r"'half' is F16 \(4,\) .* F64"),
        (write(tmp_path / "4", state(1), {"format": "pt"}), "metadata 'format' is None .* pt"),
    ]:
        with pytest.raises(IncompatibleEstimatorsError, match=match):
            merge_checkpoints([first, other], out)
    assert not out.exists()


def test_what_else_users_get_wrong(tmp_path, files):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="no files to merge"):
        merge_checkpoints([], out)
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        merge_checkpoints(files, out, weights=[1, 2])
    with pytest.raises(ValueError, match="is one of the files to merge"):
        merge_checkpoints(files, tmp_path / "." / files[1].name)
    merge_checkpoints(files, out)  # another name
    with pytest.raises(FileNotFoundError):
        merge_checkpoints([tmp_path / "nothing"], out)


class Crash(BaseException):
    """Nobody catches it."""


@pytest.mark.parametrize("old", [None, b"an older file"])
@pytest.mark.parametrize("point", ["encode", "decode", "os.fsync", "Path.replace"])
def test_an_error_leaves_nothing_behind(tmp_path, files, monkeypatch, point, old):
    out = tmp_path / "out"
    if old is not None:
        out.write_bytes(old)
    before = sorted(tmp_path.iterdir())
    calls = itertools.count()

    def crash(*args):
        if next(calls) >= (2 if point in ("encode", "decode") else 0):
            raise Crash
        return {"encode": encode, "decode": decode}[point](*args)

    monkeypatch.setattr(f"{_checkpoints.__name__}.{point}", crash)
    with pytest.raises(Crash):
        merge_checkpoints(files, out)
    assert sorted(tmp_path.iterdir()) == before
    assert old is None or out.read_bytes() == old


DYING = """
import os, sys
from skmergecal.parameters.checkpoints import _merge as _checkpoints
*paths, out, points = sys.argv[1:]
owners = {"fsync": _checkpoints.os, "replace": _checkpoints.Path}
for point in points.split():
    if not hasattr(os, "fork") or os.fork() == 0:
        setattr(owners.get(point, _checkpoints), point, lambda *args: os._exit(9))
        _checkpoints.merge_checkpoints(paths, out)
        os._exit(1)
    code = os.waitstatus_to_exitcode(os.wait()[1])
    with open(out, "rb") as file:
        assert (code, file.read()) == (9, b"an older file"), point
os._exit(9)
"""


@pytest.mark.skipif(os.name == "nt", reason="rights of Windows are others")
def test_a_file_that_is_replaced_keeps_its_rights_and_links_to_it(tmp_path, files):
    out, link = tmp_path / "private", tmp_path / "link"
    out.touch(mode=0o600)
    link.symlink_to(out)
    merge_checkpoints(files, link)
    assert link.is_symlink()
    assert out.stat().st_mode & 0o777 == 0o600
    assert out.stat().st_size > 0


def test_a_process_that_dies_leaves_the_old_file(tmp_path, files):
    out = tmp_path / "out"
    out.write_bytes(b"an older file")
    points = ["encode", "fsync", "replace"]
    # imports are made once where processes can be copied
    for point in [" ".join(points)] if hasattr(os, "fork") else points:
        command = [sys.executable, "-c", DYING, *map(str, files), str(out), point]
        run = subprocess.run(command, check=False)
        assert run.returncode == 9
        assert out.read_bytes() == b"an older file"
    foreign = [".out.tmp", ".out.0123456789abcdeg.tmp", ".other.0123456789abcdef.tmp", ".out"]
    for name in foreign:
        (tmp_path / name).touch()
    before = {*files, out, *(tmp_path / name for name in foreign)}
    assert len({*tmp_path.iterdir()} - before) == 1  # each merge removes what the last one left
    merge_checkpoints(files, out)
    assert {*tmp_path.iterdir()} == before
    assert read(out).keys() == state(0).keys()


def test_a_merge_leaves_the_file_that_another_one_is_writing(tmp_path, files, monkeypatch):
    out, calls = tmp_path / "out", itertools.count()

    def encode_while_another_merges(*args):
        if next(calls) == 0:
            merge_checkpoints(files[:1], out)
        return encode(*args)

    monkeypatch.setattr(_checkpoints, "encode", encode_while_another_merges)
    merge_checkpoints(files, out, weights=[1, 2, 1])
    merge_checkpoints(files, tmp_path / "expected", weights=[1, 2, 1])
    assert out.read_bytes() == (tmp_path / "expected").read_bytes()
    assert sorted(tmp_path.iterdir()) == sorted([*files, out, tmp_path / "expected"])
