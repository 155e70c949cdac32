"""A folder named by a file: what was loaded reads no pickle there, and writes nobody's rows."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from joblib import Memory
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB

from skmergecal import MergedClassifier, TemperatureCalibrator


class Payload:
    """What an attacker puts in the place of an answer: it makes a file where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def poison(folder, mark):
    answers = list(folder.rglob("output.pkl"))
    for file in answers:
        file.write_bytes(pickle.dumps(Payload(mark)))
    return len(answers)


def listing(folder):
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*")}


@pytest.fixture
def fitted(blobs):
    models = {"bayes": GaussianNB(), "logistic": LogisticRegression()}
    return {name: model.fit(blobs.X, blobs.y) for name, model in models.items()}


LOADED = """
import pickle, sys
*files, rows = sys.argv[1:]
X = pickle.load(open(rows, "rb"))
for file in files:
    model = pickle.load(open(file, "rb"))
    model.predict(X), model.predict_proba(X), model.predict_log_proba(X), model.transform(X)
    if hasattr(model, "members_log_proba"):
        model.members_log_proba(X)
"""


def test_models_from_files_run_and_write_nothing_of_their_folders(fitted, blobs, tmp_path):
    held_out, mark = (blobs.X_held, blobs.y_held), tmp_path / "the payload ran"
    folders = {kind: tmp_path / f"folder {kind}" for kind in ("path", "joblib", "parameters")}
    twice = [fitted["logistic"]] * 2
    models = {
        "path": MergedClassifier.from_fitted(fitted, *held_out, memory=str(folders["path"])),
        "joblib": MergedClassifier.from_fitted(
            fitted, *held_out, method="logits", memory=Memory(folders["joblib"], verbose=0)
        ),
        "parameters": MergedClassifier.from_fitted(
            twice, *held_out, method="parameters", memory=folders["parameters"]
        ),
    }
    models["inside"] = TemperatureCalibrator(FrozenEstimator(models["path"])).fit(*held_out)
    for name, what in (*models.items(), ("rows", blobs.X_test)):
        if name != "rows":
            what.predict_proba(blobs.X_test)
        (tmp_path / name).write_bytes(pickle.dumps(what))
    assert all(poison(folder, mark) for folder in folders.values())
    before = [listing(folder) for folder in folders.values()]
    command = [sys.executable, "-c", LOADED, *(str(tmp_path / name) for name in (*models, "rows"))]
    subprocess.run(command, check=True, capture_output=True)
    assert not mark.exists()
    assert [listing(folder) for folder in folders.values()] == before


def test_a_loaded_model_does_not_make_its_folder_again(fitted, blobs, tmp_path):
    folder = tmp_path / "cache"
    model = MergedClassifier.from_fitted(fitted, blobs.X_held, blobs.y_held, memory=folder)
    expected = model.predict_proba(blobs.X_test)
    content = pickle.dumps(model)
    folder.rename(tmp_path / "elsewhere")
    loaded = pickle.loads(content)
    np.testing.assert_array_equal(loaded.predict_proba(blobs.X_test), expected)
    assert loaded.memory == folder
    assert repr(loaded)
    assert loaded.get_params(deep=True)
    assert not folder.exists()
    again = clone(loaded).set_params(memory=tmp_path / "own").fit(blobs.X_held, blobs.y_held)
    again.predict_proba(blobs.X_test)
    assert len(listing(tmp_path / "own")) > 2


def test_what_workers_send_back_and_copies_leave_the_folder_alone(fitted, blobs, tmp_path):
    model = MergedClassifier.from_fitted(fitted, blobs.X_held, blobs.y_held, memory=tmp_path)
    expected, before = model.predict_proba(blobs.X_test[:50]), listing(tmp_path)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_allclose(other.predict_proba(blobs.X_test)[:50], expected, atol=1e-14)
    assert listing(tmp_path) == before


def test_threads_of_the_process_that_fitted_share_its_cache(fitted, blobs, tmp_path, monkeypatch):
    calls = []
    original = GaussianNB.predict_joint_log_proba
    monkeypatch.setattr(
        GaussianNB, "predict_joint_log_proba", lambda m, X: calls.append(1) or original(m, X)
    )
    model = MergedClassifier.from_fitted(fitted, blobs.X_held, blobs.y_held, memory=tmp_path)
    model.predict_proba(blobs.X_test)
    calls.clear()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(model.predict_proba, [blobs.X_test] * 8))
    assert calls == []
    assert all(np.array_equal(answer, answers[0]) for answer in answers)


def test_a_grid_search_still_asks_a_member_once_for_a_fold(blobs, tmp_path, monkeypatch):
    rows = []
    original = RandomForestClassifier.predict_proba
    monkeypatch.setattr(
        RandomForestClassifier,
        "predict_proba",
        lambda self, X: rows.append(len(X)) or original(self, X),
    )
    forest = FrozenEstimator(RandomForestClassifier(3, random_state=0).fit(blobs.X, blobs.y))
    grid = {"weights": ["log_loss", None], "calibrate": [None, "merged"]}
    model = MergedClassifier([("forest", forest)], method="logits", memory=tmp_path)
    search = GridSearchCV(model, grid, cv=2, scoring="neg_log_loss")
    search.fit(blobs.X_held, blobs.y_held).predict_proba(blobs.X_held)
    assert sum(rows) <= 3 * len(blobs.y_held)
