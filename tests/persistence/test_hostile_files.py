"""Files that somebody made to do harm: refused, with nothing run and nothing written."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import re
import sys
import zipfile

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.naive_bayes import GaussianNB
from skorch import NeuralNetClassifier
from torch import nn

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.persistence import TRUSTED_TYPES, load, save
from tests.saved_models import LABELS_OF_ROWS, NEW, ROWS, model

skops = pytest.importorskip("skops.io")
safetensors = pytest.importorskip("safetensors.torch")

MANIFEST, MODEL, TENSORS = "manifest.json", "model.skops", "nets.safetensors"


class Linear(nn.Linear):
    """A module that needs no parameters."""

    def __init__(self):
        super().__init__(6, 3)


def unfitted():
    return NeuralNetClassifier(
        Linear, criterion=nn.CrossEntropyLoss, max_epochs=1, train_split=None, verbose=0
    )


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """What is in a good file, by name."""
    torch.manual_seed(0)
    X, y = ROWS.astype(np.float32), np.unique(LABELS_OF_ROWS, return_inverse=True)[1]
    members = {"a": unfitted().fit(X[:60], y[:60]), "b": GaussianNB().fit(X[:60], y[:60])}
    saved = MergedClassifier.from_fitted(members, X[60:], y[60:], method="logits")
    path = tmp_path_factory.mktemp("good") / "model"
    save(saved, path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def read(parts, tmp_path):
    """Load the good file with some parts changed; the hashes fit them, unless told otherwise."""

    def read(changes=(), manifest=lambda m: m, hashed=True, folder="files", **kwargs):
        content = {**parts, **dict(changes)}
        about = json.loads(content[MANIFEST])
        if hashed:
            inside = [name for name in (MODEL, TENSORS) if content.get(name) is not None]
            about["sha256"] = {n: hashlib.sha256(content[n]).hexdigest() for n in inside}
        about = manifest(about)
        if MANIFEST not in dict(changes):
            content[MANIFEST] = about if isinstance(about, bytes) else json.dumps(about).encode()
        (tmp_path / folder).mkdir(exist_ok=True)
        path = tmp_path / folder / "model"
        with zipfile.ZipFile(path, "w") as archive:
            for name, part in content.items():
                if part is not None:
                    archive.writestr(name, part)
        before = set(os.listdir(tmp_path)), set(os.listdir(tmp_path / folder))
        try:
            return load(path, **{"net": unfitted(), **kwargs})
        finally:
            assert before == (set(os.listdir(tmp_path)), set(os.listdir(tmp_path / folder)))

    return read


def refused(match, function, *args, **kwargs):
    with pytest.raises(ValueError, match=match):
        function(*args, **kwargs)


def test_the_good_file_is_read(read):
    assert read().predict_proba(NEW.astype(np.float32)).shape == (len(NEW), 3)


MANIFESTS = {
    "another type": (lambda m: {**m, "estimator": "os.system"}, "another type or other classes"),
    "other classes": (lambda m: {**m, "classes": [2, 1, 0]}, "another type or other classes"),
    "no classes": (lambda m: {**m, "classes": None}, "another type or other classes"),
    "another name of a net": (
        lambda m: {**m, "nets": [{**m["nets"][0], "name": "z"}]},
        r"holds the nets \['z'\]",
    ),
    "a net twice": (lambda m: {**m, "nets": m["nets"] * 2}, r"tensors \['1/criterion|tensors \['1"),
    "no nets": (lambda m: {**m, "nets": []}, "was passed|disagree on whether there are nets"),
    "an unfitted net": (
        lambda m: {**m, "nets": [{**m["nets"][0], "fitted": False, "tensors": {}}]},
        "are not those of its manifest",
    ),
    "another shape": (
        lambda m: {
            **m,
            "nets": [{**m["nets"][0], "tensors": {"module_.weight": ["float32", [3, 7]]}}],
        },
        "are not those of its manifest",
    ),
    "a wrong hash": (
        lambda m: {**m, "sha256": {**m["sha256"], MODEL: "0" * 64}},
        "was changed or damaged",
    ),
    "no hash": (lambda m: {**m, "sha256": {}}, "of other parts"),
    "a later format": (lambda m: {**m, "format_version": 2}, "install a later version"),
    "a format of no kind": (lambda m: {**m, "format_version": True}, "format_version"),
    "another format": (lambda m: {**m, "format": "pickle"}, "not one of skmergecal"),
    "more": (lambda m: {**m, "code": "import os"}, r"\['code'\]"),
    "less": (lambda m: {k: v for k, v in m.items() if k != "classes"}, r"\['classes'\]"),
    "nets of no kind": (lambda m: {**m, "nets": [{"name": "a"}]}, r"in \['nets'\]"),
    "a list": (lambda m: [m], "not one of skmergecal"),
    "no JSON": (lambda m: b"\x80\x04K\x01.", "no JSON"),
    "depth": (lambda m: b"[" * 100_000, "no JSON"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_changed_manifest_is_refused(name, read):
    change, match = MANIFESTS[name]
    kwargs = {"net": {"a": unfitted()}} if "name" in name else {}
    if name == "another name of a net":
        refused(match, read, manifest=change, **kwargs)
        # With a net for that name it is the same model: a name is only an address.
        assert read(manifest=change, net={"z": unfitted()}).classes_.tolist() == [0, 1, 2]
        return
    refused(match, read, manifest=change, **kwargs)


def test_missing_extra_and_misshapen_tensors_are_refused(read, parts):
    tensors = safetensors.load(parts[TENSORS])
    weight = "0/module_.weight"
    changes = {
        "missing": {n: t for n, t in tensors.items() if n != weight},
        "extra": {**tensors, "0/module_.more": torch.zeros(2)},
        "shape": {**tensors, weight: torch.zeros(3, 7)},
        "dtype": {**tensors, weight: tensors[weight].double()},
    }
    for name, changed in changes.items():
        content = safetensors.save(changed)
        refused("was changed or damaged", read, {TENSORS: content}, hashed=False)
        refused("not those of its manifest", read, {TENSORS: content})

        def fits(manifest, changed=changed):
            forms = {
                n.partition("/")[2]: [str(t.dtype).removeprefix("torch."), list(t.shape)]
                for n, t in changed.items()
            }
            return {**manifest, "nets": [{**manifest["nets"][0], "tensors": forms}]}

        refused("has other tensors in the file", read, {TENSORS: content}, manifest=fits)
        assert name
    refused("its tensors cannot be read", read, {TENSORS: pickle.dumps(tensors)})
    refused("disagree on whether there are nets", read, {TENSORS: None})


def test_names_of_parts_are_ours(read, parts, tmp_path):
    outside = tmp_path / "outside"
    for name in ("../outside", str(outside), "a/../../outside", "model.skops/x", "evil.py"):
        refused("it has the parts", read, {name: b"print()"})
    assert not outside.exists()
    refused("it has the parts", read, {MODEL: None})
    path = tmp_path / "twice"
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(MODEL, b"")
    refused("it has the parts", load, path, net=unfitted())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", "{}")
    refused(r"skops itself is read by skops\.io\.load", load, path)


def bomb(name="zeros.npy", size=1 << 20):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", "{}")
        archive.writestr(name, bytes(size))
    return buffer.getvalue()


def test_what_unpacks_to_far_more_than_it_is_is_refused(read, tmp_path, monkeypatch):
    content = bomb(size=1 << 16)
    refused("skops cannot read it", read, {MODEL: content})  # hardly anything may be small
    monkeypatch.setattr("skmergecal.persistence._archive._BYTES", 1 << 16)
    content = bomb()
    refused("would unpack to", read, {MODEL: content})
    (tmp_path / "bomb").write_bytes(bomb(MODEL))
    refused("would unpack to", load, tmp_path / "bomb")
    # One that declares less than it has gets no more than it declares.
    lying = bomb(size=1 << 20).replace((1 << 20).to_bytes(4, "little"), (9).to_bytes(4, "little"))
    refused("skops cannot read it|cannot be unpacked", read, {MODEL: lying})


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", pickle.dumps(print), b"{}" * 99])
def test_what_is_no_zip_is_refused(content, read, tmp_path):
    (tmp_path / "file").write_bytes(content)
    refused("it is no zip file", load, tmp_path / "file")
    refused("it is no zip file", read, {MODEL: content})


def test_a_truncated_file_is_refused(tmp_path):
    save(model("calibrated"), tmp_path / "model")
    content = (tmp_path / "model").read_bytes()
    for size in (len(content) // 3, len(content) - 10):
        (tmp_path / "model").write_bytes(content[:size])
        refused("the file is refused", load, tmp_path / "model")
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    (tmp_path / "model").write_bytes(changed)
    refused("the file is refused", load, tmp_path / "model")


def schema_of(content, change):
    """A model of skops with its schema changed as text."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(buffer, "w") as new,
    ):
        for name in old.namelist():
            part = old.read(name)
            new.writestr(name, change(part.decode()) if name == "schema.json" else part)
    return buffer.getvalue()


def test_unknown_types_are_neither_imported_nor_made(read, parts, tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    (tmp_path / "evil_module.py").write_text(f"open({str(mark)!r}, 'w')\nclass GaussianNB: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name, into in (
        ("sklearn.naive_bayes", "evil_module"),
        ("skmergecal.members._member", "evil_module"),
        ("skmergecal.merging._classifier", "os"),
    ):
        content = schema_of(
            parts[MODEL], lambda text, name=name, into=into: text.replace(f'"{name}"', f'"{into}"')
        )
        refused(rf"types that are not trusted: \['{into}\.", read, {MODEL: content})
    assert "evil_module" not in sys.modules
    assert not mark.exists()


def test_a_schema_of_another_form_is_refused(read, parts):
    for change, match in (
        (lambda text: "[" * 100_000, "skops cannot read it"),
        (lambda text: text.replace('"ObjectNode"', '"PickleNode"'), "skops cannot read it"),
        (lambda text: text.replace('"_merge"', '"_other"'), r"saved without \['_merge'\]"),
        (lambda text: text.replace('"source"', '"sauce"'), r"saved without \['source'\]"),
        (lambda text: text.replace('"number"', '"n"'), r"it has a net of number|cannot be made"),
        (lambda text: re.sub(r'(\[\\+")estimators(\\+", 0)', r"\1nobody\2", text), "is damaged"),
        (lambda text: text.replace('.npy"', '.py"'), "skops cannot read it"),
    ):
        refused(match, read, {MODEL: schema_of(parts[MODEL], change)})


def test_a_net_in_the_place_of_another_object_is_no_way_in(read, parts):
    text = '"number": {'
    assert text in zipfile.ZipFile(io.BytesIO(parts[MODEL])).read("schema.json").decode()
    stub = skops.dumps(GaussianNB())
    refused("the model has 0", read, {MODEL: stub}, manifest=lambda m: m)


class Payload:
    """Makes a file where it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return open, (self.mark, "w")


def test_a_folder_that_the_file_names_is_not_read(tmp_path):
    folder, mark = tmp_path / "cache", tmp_path / "mark"
    bayes = FrozenEstimator(GaussianNB().fit(ROWS, LABELS_OF_ROWS))
    saved = MergedClassifier([("a", bayes)], method="logits", memory=str(folder))
    saved.fit(ROWS, LABELS_OF_ROWS)
    expected = saved.predict_proba(ROWS)
    save(
        TemperatureCalibrator(FrozenEstimator(saved), temperature=1.0).fit(ROWS, LABELS_OF_ROWS),
        tmp_path / "model",
    )
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(pickle.dumps(Payload(mark)))
    before = sorted(folder.rglob("*"))
    loaded = load(tmp_path / "model")
    np.testing.assert_allclose(loaded.predict_proba(ROWS), expected, atol=1e-12)
    np.testing.assert_allclose(loaded.estimator_.predict_proba(ROWS), expected, atol=1e-12)
    assert sorted(folder.rglob("*")) == before
    assert not mark.exists()


def test_trusted_types_alone_do_not_let_in_what_skops_refuses(read, parts):
    """Members' types have to be typed out, beside ours."""
    content = skops.dumps(Payload("x").__init__)
    with pytest.raises(ValueError, match="types that are not trusted"):
        read({MODEL: content}, trusted=TRUSTED_TYPES)
