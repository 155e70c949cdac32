"""A folder for memory= that is full, broken or no folder: a warning, the same model, no prints."""

from __future__ import annotations

import errno
import pickle
import warnings

import joblib
import numpy as np
import pytest
from joblib import Memory, parallel_config
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from skmergecal import MergedClassifier
from skmergecal._memory import _recent


@pytest.fixture(scope="module")
def members(blobs):
    return [
        ("frozen", FrozenEstimator(GaussianNB().fit(blobs.X, blobs.y))),
        ("b", LogisticRegression()),
    ]


@pytest.fixture
def another_process(monkeypatch):
    """Forget what this process remembers: what is known then comes from the folder."""
    return lambda: monkeypatch.setattr(_recent, "RECENT", _recent.RecentArrays(1 << 20))


def fitted(members, blobs, memory):
    model = MergedClassifier(members, method="logits", cv=2, memory=memory)
    return model.fit(blobs.X_held, blobs.y_held)


@pytest.fixture(scope="module")
def without_folder(members, blobs):
    return fitted(members, blobs, None).predict_proba(blobs.X_test)


def files(folder):
    return [file for file in folder.rglob("*") if file.is_file() and file.name != ".gitignore"]


def no_folder(folder, monkeypatch):
    folder.write_text("a file")


def full_disk(folder, monkeypatch):
    """The first file fits, the others do not."""
    original = joblib.dump

    def dump(value, filename, **options):
        if files(folder):
            with open(filename, "wb") as file:
                file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        original(value, filename, **options)

    monkeypatch.setattr(joblib, "dump", dump)


@pytest.mark.parametrize("kind", [str, lambda folder: folder, lambda f: Memory(f, verbose=0)])
@pytest.mark.parametrize("break_it", [no_folder, full_disk])
def test_a_folder_that_cannot_be_used_is_a_warning(
    members, blobs, without_folder, tmp_path, monkeypatch, capfd, break_it, kind
):
    expected = without_folder
    folder = tmp_path / "cache"
    memory = kind(tmp_path / "made before") if break_it is no_folder else kind(folder)
    if break_it is no_folder and isinstance(memory, Memory):
        memory.store_backend.location = str(folder)
    elif break_it is no_folder:
        memory = kind(folder)
    with monkeypatch.context() as patch:
        break_it(folder, patch)
        with pytest.warns(
            UserWarning, match=r"memory=.* cannot be used .*: fitting without"
        ) as told:
            model = fitted(members, blobs, memory)
        assert len(told) == 1
        assert "array(" not in str(told[0].message)
        np.testing.assert_array_equal(model.predict_proba(blobs.X_test), expected)
    assert all(file.name == "output.pkl" for file in files(folder))
    other = tmp_path / "another folder"  # what the warning says
    model = fitted(members, blobs, other)
    np.testing.assert_array_equal(model.predict_proba(blobs.X_test), expected)
    assert files(other)
    assert capfd.readouterr() == ("", "")


def test_threads_give_up_a_folder_that_cannot_be_used(members, blobs, tmp_path):
    """The others have keys for it already."""
    folder = tmp_path / "cache"
    folder.write_text("a file")
    model = MergedClassifier(members, cv=5, memory=folder, n_jobs=2)
    with parallel_config("threading"), pytest.warns(UserWarning, match="cannot be used"):
        model.fit(blobs.X_held, blobs.y_held)
    expected = clone(model).set_params(memory=None, n_jobs=None).fit(blobs.X_held, blobs.y_held)
    np.testing.assert_array_equal(
        model.predict_proba(blobs.X_test), expected.predict_proba(blobs.X_test)
    )


GARBAGE = {
    "nothing": lambda raw: b"",
    "text": lambda raw: b"garbage",
    "half": lambda raw: raw[: len(raw) // 2],
    "another thing": lambda raw: pickle.dumps({"a": 1}),
    "another shape": lambda raw: pickle.dumps(np.zeros((3, 3))),
    "a missing class": lambda raw: b"cmodule_of_nobody\nC\n.",
    "compressed": lambda raw: b"ZF" + raw,
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_in_the_folder_is_computed_again(
    members, blobs, tmp_path, another_process, capfd, kind
):
    expected = fitted(members, blobs, tmp_path).predict_proba(blobs.X_test)
    whole = {file: file.read_bytes() for file in files(tmp_path)}
    assert len(whole) >= 6
    for file, raw in whole.items():
        file.write_bytes(GARBAGE[kind](raw))
    another_process()
    model = fitted(members, blobs, tmp_path)
    np.testing.assert_array_equal(model.predict_proba(blobs.X_test), expected)
    assert {file.stat().st_size for file in files(tmp_path)} == {len(raw) for raw in whole.values()}
    assert capfd.readouterr() == ("", "")


def test_a_member_that_cannot_be_stored_once_it_is_fitted_is_fitted_again(blobs, tmp_path):
    class Local(GaussianNB):
        """Cannot be pickled, not even before it is fitted."""

    members = [("local", Local()), ("frozen", FrozenEstimator(Local().fit(blobs.X, blobs.y)))]
    a, b = (fitted(members, blobs, memory) for memory in (tmp_path, None))
    np.testing.assert_array_equal(a.predict_proba(blobs.X_test), b.predict_proba(blobs.X_test))


def test_the_options_of_joblibs_memory_are_kept(
    members, blobs, without_folder, tmp_path, another_process
):
    sizes = []
    for name, options in {
        "plain": {},
        "small": {"compress": 9},
        "mapped": {"mmap_mode": "r"},
    }.items():
        memory = Memory(tmp_path / name, verbose=0, **options)
        for _ in range(2):
            another_process()
            model = fitted(members, blobs, memory)
            np.testing.assert_array_equal(model.predict_proba(blobs.X_test), without_folder)
        sizes.append(sum(file.stat().st_size for file in files(tmp_path / name)))
    assert sizes[1] < sizes[0]
    memory.reduce_size(items_limit=0)
    assert not files(tmp_path / "mapped")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(members, blobs, memory)
