"""Two million rows on workers with little memory."""

from __future__ import annotations

import os

import numpy as np
import pytest

from skmergecal import MergedClassifier

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore"),  # those of Dask, when its processes end
]

N, N_PARTS = 2_000_000, 16


def make_part(number):
    """Labels, and what two members say: three columns."""
    rng = np.random.default_rng(number)
    t = rng.standard_normal(N // N_PARTS, dtype=np.float32)
    y = t + rng.standard_normal(len(t), dtype=np.float32) > 0
    noise = rng.standard_normal((2, len(t)), dtype=np.float32)
    return np.column_stack([y, *(1 / (1 + np.exp(-2 * t - own)) for own in noise)])


def test_a_fit_of_two_million_rows_on_two_workers_of_400_megabytes():
    how = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(processes=True, memory_limit="400MB", **how) as cluster,
        distributed.Client(cluster) as client,
        dask.config.set(scheduler=client),
    ):
        pids = set(client.run(os.getpid).values())
        shape = (N // N_PARTS, 3)
        rows = da.concatenate(
            [
                da.from_delayed(dask.delayed(make_part)(number), shape, dtype=np.float32)
                for number in range(N_PARTS)
            ]
        )
        stored = {"a": rows[:, 1], "b": rows[:, 2]}
        y = rows[:, 0].astype(int)
        parts = MergedClassifier.from_predictions(stored, y, method="logits", classes=[0, 1])
        assert set(client.run(os.getpid).values()) == pids  # none was killed
    y, a, b = np.concatenate([make_part(number) for number in range(N_PARTS)]).T
    whole = MergedClassifier.from_predictions(
        {"a": a, "b": b}, y.astype(int), method="logits", classes=[0, 1]
    )
    np.testing.assert_allclose(parts.weights_, whole.weights_, atol=1e-6)
    assert parts.temperature_ == pytest.approx(whole.temperature_, rel=1e-6)
