"""Memory of a merge: rows go through networks in blocks, with the numbers of all at once."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from skmergecal._networks import _align, _network, _select
from skmergecal._networks._align import align_networks
from skmergecal._networks._network import dense_network
from skmergecal._networks._repair import mean_values, member_moments
from skmergecal._networks._select import best_columns
from skmergecal._networks.trace import trace
from tests.networks import N_FEATURES, Embedded, arrays_of, rows

WIDTH, N_ROWS = 40, 20_000
NETWORK = dense_network([("a", "b"), ("c", "d"), ("e", "f")], "tanh", 4)


def member(seed):
    rng = np.random.default_rng(seed)
    shapes = {"a": (4, WIDTH), "c": (WIDTH, WIDTH), "e": (WIDTH, 2), "b": WIDTH, "d": WIDTH, "f": 2}
    return {name: rng.normal(size=shape) / 2 for name, shape in shapes.items()}


def align(X):
    return align_networks(NETWORK, [member(0), member(1)], [0.5, 0.5], X, by="activations")


@pytest.mark.parametrize(
    "work",
    [
        lambda X: NETWORK.logits(member(0), X),
        align,
        lambda X: best_columns(np.broadcast_to(X[:, :1], (N_ROWS, WIDTH)), X, 2, None),
    ],
    ids=["logits", "align", "select"],
)
def test_room_for_less_than_one_layer_is_needed(work):
    X = np.random.default_rng(0).normal(size=(N_ROWS, 4))
    tracemalloc.start()
    work(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # One layer of one net has as many numbers; a block of 1,000 rows of both nets has a sixth.
    assert peak < 8 * N_ROWS * WIDTH


@pytest.mark.parametrize("embeds", [False, True])
def test_blocks_give_the_numbers_of_all_rows_at_once(embeds, monkeypatch):
    network, members, X = NETWORK, [member(0), member(1)], rows(50, 0)[:, :4]
    if embeds:
        modules = []
        for seed in range(2):
            torch.manual_seed(seed)
            body = nn.Sequential(nn.Linear(N_FEATURES + 4, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 3))
            modules.append(Embedded(body).double())
        network, members = trace(modules[0]), [arrays_of(module) for module in modules]
        X = rows(50, 0, embeds=True)
    shares = np.array([0.3, 0.7])

    def found():
        aligned = align_networks(network, members, shares, X, by="activations")
        places = range(len(network.nodes))
        return [
            *(a for arrays in aligned for a in arrays.values()),
            *network.values_at(places, aligned[0], X).values(),
            *mean_values(network, aligned, shares, X).values(),
            *(m for both in member_moments(network, aligned, shares, X).values() for m in both),
            best_columns(X, X[:, :2], 2, shares[np.arange(50) % 2]),
        ]

    whole = found()
    for module in (_network, _align, _select):
        monkeypatch.setattr(module, "BLOCK", 7)  # the last block is a single row
    for a, b in zip(whole, found(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
