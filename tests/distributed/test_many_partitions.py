"""201 partitions of few rows give the merge that is learned in memory."""

from __future__ import annotations

import numpy as np
import pytest

from skmergecal import MergedClassifier

da = pytest.importorskip("dask.array")
dask = pytest.importorskip("dask")


#: It takes seconds.
pytestmark = [pytest.mark.thorough, pytest.mark.once]


def test_201_partitions():
    """Of the default, which learns every kind of pool; a round of so many tasks takes .2 s."""
    random = np.random.default_rng(0)
    y = random.integers(3, size=402)
    stored = {
        name: random.dirichlet(np.ones(3), 402) * 0.5 + 0.5 * noise * np.eye(3)[y] + (1 - noise) / 6
        for name, noise in [("a", 0.6), ("b", 0.5)]
    }
    whole = MergedClassifier.from_predictions(stored, y)
    with dask.config.set(scheduler="synchronous"):
        parts = {name: da.from_array(p, chunks=(2, 3)) for name, p in stored.items()}
        merged = MergedClassifier.from_predictions(
            parts, da.from_array(y, chunks=2), classes=[0, 1, 2]
        )
    p, q = merged.predict_proba(stored), whole.predict_proba(stored)
    np.testing.assert_allclose(p, q, rtol=0, atol=1e-9)
