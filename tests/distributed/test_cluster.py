"""Fits on worker processes: one that is killed, what is left there, what cannot be sent."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time

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


@pytest.fixture(scope="module")
def client():
    how = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(processes=True, **how) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def _on_the_cluster(client, _in_this_thread):
    with dask.config.set(scheduler=client):
        yield


def slow_rows(X, y, n_parts, seconds):
    """Dask arrays of these rows, each part of which takes some time to load."""

    def load(values):
        time.sleep(seconds)
        return values

    made = []
    for own in (X, y):
        parts = [
            da.from_delayed(dask.delayed(load)(part), (np.nan, *own.shape[1:]), dtype=own.dtype)
            for part in np.array_split(own, n_parts)
        ]
        made.append(da.concatenate(parts, allow_unknown_chunksizes=True))
    return made


def kill_a_worker(client, seconds):
    """A timer that kills one of the processes after so many seconds."""
    client.wait_for_workers(2, timeout=60)
    pid = next(iter(client.run(os.getpid).values()))
    killer = threading.Timer(seconds, os.kill, (pid, signal.SIGKILL))
    killer.start()
    return killer


def tasks_left(client):
    """Tasks that the scheduler knows, after some time to forget them."""
    left = 1
    for _ in range(50):
        left = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
        if not left:
            break
        time.sleep(0.1)
    return left


def test_a_worker_that_is_killed_changes_nothing_and_nothing_stays_on_the_workers(client):
    X, y, _ = make_rows(1)
    whole = MergedClassifier.from_fitted(MEMBERS, X, y, method="logits")
    rows = slow_rows(X, y, 4, 0.3)
    killer = kill_a_worker(client, 2.0)
    parts = MergedClassifier.from_fitted(MEMBERS, *rows, method="logits")
    killer.join()
    np.testing.assert_allclose(parts.predict_proba(X), whole.predict_proba(X), atol=1e-9)
    del rows
    assert tasks_left(client) == 0


def test_what_raises_on_a_worker_names_the_member_and_the_partition():
    check_notes_of_what_raises()


def test_members_that_workers_train_are_those_of_this_process():
    X, y, _ = make_rows(1)
    rows = da.from_array(X, (100, 3)), da.from_array(y, 100)
    how = {"random_state": 0, "method": "logits", "weights": None}
    found = MergedClassifier.from_partitions(DecisionTreeClassifier(), *rows, **how)
    with dask.config.set(scheduler="synchronous"):
        expected = MergedClassifier.from_partitions(DecisionTreeClassifier(), *rows, **how)
    np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X))


def test_a_member_that_cannot_be_pickled_is_an_error_before_any_work():
    X, y, _ = make_rows(1)
    model = LogisticRegression().fit(X, y)
    model.lock = threading.Lock()
    rows = slow_rows(X, y, 2, 60.0)  # nothing of it is loaded
    with pytest.raises(pickle.PicklingError, match="'locked' cannot be pickled"):
        MergedClassifier.from_fitted({"locked": model}, *rows, method="logits")
