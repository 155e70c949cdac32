"""Which stages a merge of networks goes through."""

from __future__ import annotations

import numpy as np
import pytest

from skmergecal import MergedClassifier
from tests.networks import random_mlp


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
