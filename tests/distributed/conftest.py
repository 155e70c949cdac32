"""Dask computes in this thread: quick, and nothing is in another process."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _in_this_thread():
    import dask  # each file is skipped where it is missing

    with dask.config.set(scheduler="synchronous"):
        yield
