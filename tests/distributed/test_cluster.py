"""Fits on worker processes: those that are killed, what is left there, what cannot be sent."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import threading

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from skmergecal import MergedClassifier
from tests.distributed.test_errors import check_notes_of_what_raises
from tests.distributed.test_fit import MEMBERS, make_rows

distributed = pytest.importorskip("distributed")
dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.filterwarnings("ignore"),  # those of Dask, when its processes end
]

X, Y, _ = make_rows(1)


@pytest.fixture(scope="module")
def cluster():
    how = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(processes=True, memory_limit="400 MB", **how) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    with distributed.Client(cluster) as client:
        yield client


@pytest.fixture(autouse=True)
def _on_the_cluster(client, _in_this_thread):
    # By name: workers that start again get the configuration, and a client cannot be pickled.
    with dask.config.set(scheduler="distributed"):
        yield


def in_parts(load, n_parts):
    """Dask arrays of the rows, each part of which a function loads."""
    made = []
    for own in (X, Y):
        parts = [
            da.from_delayed(dask.delayed(load)(part), (np.nan, *own.shape[1:]), dtype=own.dtype)
            for part in np.array_split(own, n_parts)
        ]
        made.append(da.concatenate(parts, allow_unknown_chunksizes=True))
    return made


class AtRound:
    """A stream that calls a function when the end of a round is printed."""

    def __init__(self, text, function):
        self.text, self.function = text, function

    def write(self, line):
        if self.text in line:
            self.function()

    def flush(self):
        pass


def tasks_left(cluster):
    """Tasks that the scheduler knows, after some time to forget them."""
    for _ in range(600):  # a busy machine takes its time
        if not cluster.scheduler.tasks:
            break
        threading.Event().wait(0.05)
    return [*cluster.scheduler.tasks]


@pytest.mark.once
@pytest.mark.skipif(sys.platform != "linux", reason="reads peaks of memory from /proc")
def test_two_million_rows_on_two_workers_of_400_mb(client):
    """A worker has some 240 MB before any rows, and pauses above 320 MB.

    Functions for workers are in here: for others they would import this file, and all it imports.
    """
    n, size = 2_000_000, 62_500

    def part(block_info):
        rng = np.random.default_rng(block_info[None]["chunk-location"][0])
        y = rng.integers(2, size=size)
        p = 0.5 + (y - 0.5) * 0.2 + rng.uniform(-0.35, 0.35, size=(2, size))
        return np.column_stack([*p, y]).astype(np.float32)

    def peak():
        """What the module resource says can be that of the parent of a process."""
        with open("/proc/self/status") as status:
            return next(1024 * int(line.split()[1]) for line in status if "VmHWM" in line)

    def fit(rows):
        stored = {"u": rows[:, 0], "v": rows[:, 1]}
        params = {"method": "logits", "alpha": 1.0, "classes": [False, True]}
        return MergedClassifier.from_predictions(stored, rows[:, 2] > 0.5, **params)

    how = {"dtype": np.float32, "meta": np.empty((0, 3), np.float32)}
    rows = da.map_blocks(part, chunks=((size,) * (n // size), (3,)), **how)
    before = client.run(os.getpid)
    parts = fit(rows)
    assert client.run(os.getpid) == before  # none was killed
    assert max(client.run(peak).values()) < 400e6
    whole = fit(rows.compute(scheduler="synchronous"))
    np.testing.assert_allclose(parts.weights_, whole.weights_, atol=1e-9)
    np.testing.assert_array_equal(parts.class_counts_, whole.class_counts_)


def test_workers_killed_in_a_fit_and_in_a_prediction_of_the_same_rows_change_nothing(
    cluster, client, tmp_path, monkeypatch
):
    def load(values, flag=tmp_path / "kill"):
        if flag.exists():
            flag.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return values

    def kill_one():
        os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

    whole = MergedClassifier.from_fitted(MEMBERS, X, Y, method="logits")
    rows = in_parts(load, 4)
    monkeypatch.setattr(sys, "stdout", AtRound("round 2 of the log", kill_one))
    parts = MergedClassifier.from_fitted(MEMBERS, *rows, method="logits", verbose=1)
    monkeypatch.undo()
    np.testing.assert_allclose(parts.weights_, whole.weights_, atol=1e-9)
    (tmp_path / "kill").touch()
    found = client.compute(parts.predict_proba(rows[0])).result(timeout=120)
    assert not (tmp_path / "kill").exists()
    np.testing.assert_allclose(found, whole.predict_proba(X), atol=1e-9)
    assert tasks_left(cluster) == []


def test_an_interrupt_releases_what_was_kept_also_where_the_traceback_is_held(cluster, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    rows = da.from_array(X, (60, 3)), da.from_array(Y, 60)
    monkeypatch.setattr(sys, "stdout", AtRound("round 2 of the log", interrupt))
    with pytest.raises(KeyboardInterrupt) as caught:
        MergedClassifier.from_fitted(MEMBERS, *rows, method="logits", verbose=1)
    monkeypatch.undo()
    assert tasks_left(cluster) == []
    assert caught.tb is not None


def test_a_fit_shares_no_task_with_what_else_is_computed_of_the_same_rows(
    cluster, client, caplog, monkeypatch
):
    """Dask fuses tasks of a collection in one computation and not in another."""
    merged = MergedClassifier.from_fitted(MEMBERS, X, Y, method="logits")
    rows = in_parts(lambda values: values, 2)
    kept = client.persist([merged.predict_proba(rows[0]), rows[0] + 1, rows[1] == "a"])
    distributed.wait(kept)
    before = set(cluster.scheduler.tasks)
    seen = set()

    def look():
        seen.update(cluster.scheduler.tasks)

    monkeypatch.setattr(sys, "stdout", AtRound("round 1", look))
    MergedClassifier.from_fitted(MEMBERS, *rows, method="logits", verbose=1)
    monkeypatch.undo()
    assert seen > before
    assert merged.score(*rows) == pytest.approx(merged.score(X, Y))
    assert "Detected different `run_spec`" not in caplog.text
    del kept, rows
    gc.collect()
    assert tasks_left(cluster) == []


def test_what_raises_on_a_worker_names_the_member_and_the_partition():
    check_notes_of_what_raises()


def test_members_that_workers_train_are_those_of_this_process():
    rows = da.from_array(X, (100, 3)), da.from_array(Y, 100)
    how = {"random_state": 0, "method": "logits", "weights": None}
    found = MergedClassifier.from_partitions(DecisionTreeClassifier(), *rows, **how)
    with dask.config.set(scheduler="synchronous"):
        expected = MergedClassifier.from_partitions(DecisionTreeClassifier(), *rows, **how)
    np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X))


def test_a_member_that_cannot_be_pickled_is_an_error_before_any_work(tmp_path):
    model = LogisticRegression().fit(X, Y)
    model.lock = threading.Lock()
    rows = in_parts(lambda values, flag=tmp_path / "loaded": flag.touch(), 2)
    with pytest.raises(pickle.PicklingError, match="'locked' cannot be pickled"):
        MergedClassifier.from_fitted({"locked": model}, *rows, method="logits")
    assert not (tmp_path / "loaded").exists()
