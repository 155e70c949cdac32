"""Float32 probabilities of two classes, which logits learn from as one gap per row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from skmergecal import MergedClassifier

dd = pytest.importorskip("dask.dataframe")
dask = pytest.importorskip("dask")


def rows(n: int, n_zeros: int) -> pd.DataFrame:
    random = np.random.default_rng(0)
    t = random.normal(size=n)
    frame = pd.DataFrame(
        {f"m{k}": 1 / (1 + np.exp(-(1 + k) * (t + random.normal(size=n)))) for k in range(3)},
        dtype=np.float32,
    )
    frame.iloc[:n_zeros, 0] = 0.0
    frame["w"] = random.integers(0, 3, n).astype(float)
    return frame.assign(y=(t + random.logistic(size=n) > 0).astype(int))


def both_columns(frame, name):
    """Probabilities of both classes in a frame of their own, which add up to 1 or do not."""
    other = 1 - frame[name] if name == "m0" else (1 - frame[name]) * np.float32(1.0000002)
    return pd.DataFrame({0: other, 1: frame[name]})


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize(("n_zeros", "alpha"), [(0, "auto"), (5, "auto"), (5, 1.0), (5, 0.0)])
def test_float32_gaps_give_the_fit_in_memory(n_zeros, alpha, columns):
    frame = rows(601, n_zeros)
    frame.loc[600:, "m1"] = 0.0
    frame.loc[600:, "w"] = 0.0  # a row that does not count, with a zero that nothing softens
    names = ["m0", "m1", "m2"]
    how = {"method": "logits", "alpha": alpha}
    take = (lambda table, name: table[name]) if columns == 1 else both_columns
    new = {name: take(frame, name).to_numpy() for name in names}
    whole = MergedClassifier.from_predictions(new, frame["y"], frame["w"], **how)
    parts = dd.from_pandas(frame, npartitions=5)
    stored = {
        name: parts.map_partitions(take, name, meta=take(frame.iloc[:0], name)) for name in names
    }
    with dask.config.set(scheduler="synchronous"):
        merged = MergedClassifier.from_predictions(
            stored, parts["y"], parts["w"], classes=[0, 1], **how
        )
    p, q = merged.predict_proba(new), whole.predict_proba(new)
    np.testing.assert_allclose(p, q, rtol=0, atol=1e-6)
    got, expected = merged.loss_estimate_.as_dict(), whole.loss_estimate_.as_dict()
    assert got["by_member"] == pytest.approx(expected["by_member"], abs=1e-6)
    assert got["loss"] == pytest.approx(expected["loss"], abs=1e-6)
    assert got["gain_standard_error"] == pytest.approx(expected["gain_standard_error"], abs=1e-6)
