"""Which stages a merge of networks goes through."""

from __future__ import annotations

import numpy as np
import pytest

from skmergecal import MergedClassifier
from skmergecal._networks._merge import merge_networks
from skmergecal._networks._network import Network
from skmergecal.parameters import read_parameters
from tests.networks import random_mlp, rows


def near(seed, shift):
    """A network, moved by a little noise."""
    net, rng = random_mlp(0, (8,), n_features=8), np.random.default_rng(seed)
    net.coefs_ = [coef + shift * rng.normal(size=coef.shape) for coef in net.coefs_]
    return net


@pytest.mark.parametrize(
    ("alignment", "tried"),
    [
        ("auto", ["plain", "aligned"]),
        ("weights", ["plain", "aligned", "rescale", "least_squares"]),
        ("select", ["plain", "select"]),
    ],
)
def test_merge_ends_at_a_stage_that_is_as_good_as_the_pool(blobs, alignment, tried):
    shift = 0.0 if alignment == "select" else 0.01
    members = [near(seed, shift) for seed in range(3)]
    settings = {"alignment": alignment, "weights": None, "repair": "auto"}
    merged = MergedClassifier.from_fitted(
        members,
        blobs.X_held,
        blobs.y_held,
        method="parameters",
        barrier_tolerance=1e9,
        **settings,
    )
    assert list(merged.merge_report_.stages) == tried


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_values_are_computed_in_the_precision_of_the_members(precision, monkeypatch):
    """Averages are taken in double precision, of members of single precision, too."""
    parts = [read_parameters(random_mlp(seed, (6, 4))) for seed in range(2)]
    network, X, weights = parts[0].network, rows(60), np.array([0.6, 0.4])
    members = [{n: a.astype(np.float32) for n, a in part.arrays.items()} for part in parts]
    exact = [{name: a.astype(np.float64) for name, a in member.items()} for member in members]
    how = {"alignment": "select", "repair": None}
    expected, _ = merge_networks(network, exact, weights, X, **how)
    used, values_at = [], Network.values_at

    def spy(self, places, arrays, X):
        used.extend(array.dtype for array in (*arrays.values(), X))
        return values_at(self, places, arrays, X)

    monkeypatch.setattr(Network, "values_at", spy)
    given = members if precision is np.float32 else exact
    stages, chosen = merge_networks(network, given, weights, X, **how)
    assert chosen == "select"
    assert used.count(precision) > 0.6 * len(used)  # refits are in double precision
    for name, array in stages[chosen].items():
        assert array.dtype == np.float64
        np.testing.assert_allclose(array, expected[chosen][name], rtol=1e-3, atol=1e-4)
