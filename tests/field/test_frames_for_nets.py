"""Frames of unlike columns as the input of nets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from skorch.helper import SliceDict
from torch import nn

from skmergecal import MergedClassifier, TemperatureCalibrator
from tests.nets import layers, net

N_ROWS = 60
Y = np.random.default_rng(0).integers(2, size=N_ROWS)


def frame():
    """Numbers of every type that pandas has."""
    rng = np.random.default_rng(1)
    codes = rng.integers(3, size=N_ROWS)
    return pd.DataFrame(
        {
            "float": rng.normal(size=N_ROWS),
            "single": rng.normal(size=N_ROWS).astype(np.float32),
            "whole": codes,
            "small": codes.astype(np.uint8),
            "yes": codes > 1,
            "nullable": pd.array(codes, dtype="Int64"),
            "maybe": pd.array(codes > 0, dtype="boolean"),
            "category": pd.Categorical(codes),
        }
    )


def fitted():
    torch.manual_seed(0)
    return net(layers(n_out=2)).fit(frame().to_numpy(dtype=np.float32), Y)


@pytest.mark.parametrize("rows", [slice(0, 1), slice(None)])
def test_columns_of_unlike_types_are_the_numbers_that_they_hold(rows):
    X = frame()
    merged = MergedClassifier.from_fitted([fitted()], X, Y, weights=None)
    expected = merged.predict_proba(X.astype(np.float32).iloc[rows])
    np.testing.assert_array_equal(merged.predict_proba(X.iloc[rows]), expected)
    repeated = X.set_axis(["same"] * 8, axis=1)
    again = MergedClassifier.from_fitted([fitted()], weights=None)
    np.testing.assert_array_equal(again.predict_proba(repeated.iloc[rows]), expected)


def test_missing_values_are_nan_for_a_net_that_takes_them():
    X = frame().assign(nullable=pd.array([None, 1] * (N_ROWS // 2), dtype="Int64"))

    class Filling(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = layers(n_out=2)

        def forward(self, x):
            return self.layers(torch.nan_to_num(x))

    model = TemperatureCalibrator(net(Filling), cv=2, temperature=1.0).fit(X, Y)
    filled = X.assign(nullable=X["nullable"].fillna(0))
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(filled))
    with pytest.raises(ValueError, match="gives NaN"):
        TemperatureCalibrator(net(layers(n_out=2)), cv=2).fit(X, Y)


def test_whole_numbers_and_truth_values_reach_embeddings():
    class Embedding(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.out = nn.Embedding(3, 4), nn.Linear(12, 2)

        def forward(self, x):
            return self.out(self.table(x).flatten(1))

    X = frame()[["whole", "yes", "nullable"]]
    model = TemperatureCalibrator(net(Embedding), cv=2, temperature=1.0).fit(X, Y)
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X.astype(int)))


@pytest.mark.parametrize("column", ["city", "when"])
def test_a_column_that_is_no_number_is_named(column):
    X = frame().assign(city="Paris", when=pd.Timestamp("2020-01-01"))
    X = X.drop(columns={"city", "when"} - {column})
    with pytest.raises(ValueError, match=f"column '{column}' cannot be given to a net") as error:
        MergedClassifier.from_fitted([fitted()], X, Y)
    assert "encode it in a Pipeline before the net, or drop it" in str(error.value)
    MergedClassifier.from_fitted([fitted()], X.drop(columns=column), Y, weights=None)
    encode = make_column_transformer((OrdinalEncoder(), [column]), remainder="passthrough")
    wide = make_pipeline(encode, net(layers(9, 2)))
    TemperatureCalibrator(wide, cv=2, temperature=1.0).fit(X, Y)


class Named(nn.Module):
    """Arguments of forward by name: columns of a frame, or arrays of a SliceDict."""

    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(3, 4), nn.Linear(5, 2)

    def forward(self, single, whole):
        codes = self.table(whole.reshape(-1).long())
        return self.out(torch.cat([codes, single.reshape(-1, 1)], 1))


@pytest.mark.parametrize(
    "fit",
    [
        lambda nets, X: MergedClassifier.from_fitted(nets, X, Y),
        lambda nets, X: MergedClassifier.from_fitted(
            nets, X, Y, method="parameters", barrier_tolerance=100.0
        ),
        lambda nets, X: TemperatureCalibrator(FrozenEstimator(nets[0])).fit(X, Y),
    ],
)
def test_a_model_of_a_frame_takes_the_same_inputs_by_name(fit):
    X = frame()[["single", "whole"]]
    rows = SliceDict(**{name: np.array(X[name]) for name in X})
    nets = [net(Named, max_epochs=1).fit(rows, Y) for _ in range(2)]
    model = fit(nets, X)
    np.testing.assert_array_equal(model.predict_proba(rows), model.predict_proba(X))
    with pytest.raises(TypeError, match="X is a dict"):
        model.predict_proba(dict(rows))
