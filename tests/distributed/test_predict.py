"""Predictions of Dask collections are lazy, and the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator

from skmergecal import MergedClassifier, TemperatureCalibrator
from tests.distributed.test_fit import LABELS, MEMBERS, K, arrays, make_rows

da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")

METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function", "transform"]
X, Y, W = make_rows(1)


@pytest.fixture(scope="module")
def merged():
    return MergedClassifier.from_fitted(MEMBERS, X, Y, method="logits")


@pytest.mark.parametrize("method", METHODS)
def test_predictions_are_lazy_and_the_same(merged, method):
    (unknown,) = arrays([0, 50, 50], X)
    known = da.from_array(X, chunks=(100, 2))
    expected = getattr(merged, method)(X)
    for rows in (unknown, known):
        lazy = getattr(merged, method)(rows)
        assert isinstance(lazy, da.Array)
        assert lazy.dtype == expected.dtype
        assert lazy.shape[1:] == expected.shape[1:]
        np.testing.assert_array_equal(lazy.compute(), expected)
    assert getattr(merged, method)(known).shape == expected.shape


def test_empty_partitions_give_no_rows_and_are_shown_to_no_member(merged):
    (rows,) = arrays([0, 0], X)
    blocks = merged.predict_proba(rows).to_delayed().ravel()
    assert [block.compute().shape for block in blocks] == [(0, K), (0, K), (len(X), K)]


def test_frames_and_two_classes():
    frame = pd.DataFrame(X, columns=["p", "q", "r"])
    two = np.where(Y == "a", "a", "b")
    members = {n: type(m)(**m.get_params()).fit(frame, two) for n, m in MEMBERS.items()}
    merged = MergedClassifier.from_fitted(members, frame, two, method="probabilities")
    calibrated = TemperatureCalibrator(FrozenEstimator(merged)).fit(frame, two)
    rows = dd.from_pandas(frame, npartitions=3)
    for model in (merged, calibrated):
        for method in METHODS:
            lazy = getattr(model, method)(rows)
            np.testing.assert_array_equal(lazy.compute(), getattr(model, method)(frame))


def test_the_score_is_a_sum_over_partitions(merged):
    rows, labels, weight = arrays([3, 80], X, Y, W)
    assert merged.score(rows, labels) == pytest.approx(merged.score(X, Y))
    assert merged.score(rows, labels, weight) == pytest.approx(merged.score(X, Y, W))


def test_frames_out_are_refused_and_the_remedy_works(merged):
    (rows,) = arrays([3], X)
    merged.set_output(transform="pandas")
    try:
        with pytest.raises(ValueError, match=r"call set_output.transform='default'"):
            merged.transform(rows)
    finally:
        merged.set_output(transform="default")
    assert merged.transform(rows).shape[1] == len(LABELS)
