"""Modules of the kinds that people train on tables: described, and aligned."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.datasets import load_wine
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier

from skmergecal import FineTunedClassifier, MergedClassifier
from skmergecal._networks._network import as_float64
from skmergecal._networks._reparametrise import balance, reparametrise
from skmergecal._networks._spaces import find_spaces
from skmergecal._networks.trace import UntraceableError, trace
from skmergecal._torch import with_plain_weights
from skmergecal.parameters import merge_parameters, read_parameters
from tests.benchmarks.zoo import EMBEDS, KINDS, N_CATEGORIES, N_LEVELS, UNTRACEABLE
from tests.networks import arrays_of, as_net, output, randomised, with_arrays

#: The sizes of the spaces whose units can be permuted: 6 columns, 3 classes, 8 units.
SIZES = {
    "ResNet": [8, 16, 16],
    "GLU": [8],
    "SwiGLU": [8, 16],
    "highway": [8],
    "experts": [8],
    "periodic": [4, 8, 8],  # the outputs of the embedding are flattened
    "piecewise linear": [4, 8, 8],
    "categories": [3, 3, 8, 8],
    "shared table": [3, 8, 8],
    "DeepFM": [6, 8, 8],
    "TabM": [4, 8, 8],
    "conv1d": [4, 8],
    "LeNet": [6, 12, 8],
    "attention": [8, 8, 8, 16],
    "wide & deep": [8, 8, 8],
    "LayerScale": [8, 8, 8],
    "tied": [8],
    "excitation": [8, 4],
}
TRACEABLE = [kind for kind in KINDS if kind not in UNTRACEABLE]


def made(kind, seed=0):
    torch.manual_seed(seed)
    module = with_plain_weights(KINDS[kind](6, 3, 8)).double()
    return randomised(module, seed).eval()


def rows(kind, n_rows=12):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 6))
    if kind in EMBEDS:
        X[:, :N_CATEGORIES] = rng.integers(0, N_LEVELS, size=(n_rows, N_CATEGORIES))
    return X


@pytest.mark.parametrize("kind", TRACEABLE)
def test_a_description_has_the_logits_and_gradients_of_the_module(kind):
    module, X = made(kind), rows(kind)
    network, arrays = trace(module), as_float64(arrays_of(module))
    values = network.values(arrays, X)
    np.testing.assert_allclose(values[-1], output(module, X), atol=1e-12)
    goal = np.random.default_rng(1).normal(size=values[-1].shape)
    module(torch.as_tensor(X)).backward(torch.as_tensor(goal))
    found = network.gradients(arrays, values, goal)
    expected = {name: p.grad.numpy() for name, p in module.named_parameters() if p.grad is not None}
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[name], gradient, atol=1e-11, err_msg=name)
    single = {k: a.astype(np.float32) for k, a in arrays.items() if a.dtype == np.float64}
    logits = network.logits({**arrays, **single}, X.astype(np.float32))
    assert logits.dtype == np.float32


@pytest.mark.parametrize("kind", TRACEABLE)
def test_copies_with_units_in_another_order_become_one_again(kind):
    module, X = made(kind), rows(kind)
    parts, rng = [read_parameters(as_net(module))], np.random.default_rng(0)
    spaces = find_spaces(parts[0].network, as_float64(parts[0].arrays))
    assert [space.size for space in spaces] == SIZES.get(kind, [8, 8])
    for seed in range(2):
        arrays = as_float64(parts[0].arrays)
        arrays = {name: array.copy() for name, array in arrays.items()}
        for space in spaces:
            signs = [
                rng.choice([-1.0, 1.0], space.size) if group.odd else np.ones(space.size)
                for group in space.groups
            ]
            reparametrise(arrays, space, rng.permutation(space.size), signs)
        balance(arrays, spaces)
        other = with_arrays(made(kind, seed), arrays)
        np.testing.assert_allclose(output(other, X), output(module, X), atol=1e-10)
        parts.append(read_parameters(as_net(other)))
    plain = merge_parameters(parts, np.ones(3) / 3, alignment=None)
    assert any(
        np.abs(plain.parameters.arrays[name] - array).max() > 0.01
        for name, array in parts[0].arrays.items()
    )
    merged = merge_parameters(parts, np.ones(3) / 3, repair=None)
    assert merged.chosen == "aligned"
    written = with_arrays(made(kind, 1), merged.parameters.arrays)
    np.testing.assert_allclose(output(written, X), output(module, X), atol=1e-8)


@pytest.mark.parametrize("kind", sorted(UNTRACEABLE))
def test_the_layer_that_is_in_the_way_is_named(kind):
    with pytest.raises(UntraceableError, match=r"layer '.*' of type (GRU|TransformerEncoder)"):
        trace(made(kind))


def trained(kind, X, y, seed):
    torch.manual_seed(seed)
    net = NeuralNetClassifier(
        KINDS[kind](X.shape[1], 3, 12),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=0.01,
        max_epochs=12,
        batch_size=50,
        train_split=None,
        verbose=0,
    )
    return net.fit(X, y)


@pytest.mark.parametrize(
    "kind", ["SELU", "SwiGLU", "DCN", "shared table", "TabM", "FT-Transformer"]
)
def test_nets_become_one_as_good_as_they_are(kind):
    """From two seeds and from one start, pooled, merged and tuned: what users hold stays the same.

    The average of nets from one start is near their pool, and what is nearest of all is trained.
    """
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X).astype(np.float32)
    if kind in EMBEDS:
        X[:, :N_CATEGORIES] = np.digitize(X[:, :N_CATEGORIES], [-0.7, 0.0, 0.7])
    rows, labels, held, held_labels = X[::2], y[::2], X[1::2], y[1::2]
    nets = [trained(kind, rows, labels, seed) for seed in range(2)]
    tuned = [copy.deepcopy(nets[0]).partial_fit(rows[k:], labels[k:], epochs=3) for k in range(2)]

    def contents():
        states = [
            (net.module_.training, net.module_.state_dict(), net.optimizer_.state_dict())
            for net in (*nets, *tuned)
        ]
        return pickle.dumps((X, y, torch.get_rng_state().numpy())), [*map(pickle.dumps, states)]

    def merge(pair, **settings):
        settings = {"weights": None, "X_unlabeled": rows, **settings}
        one = MergedClassifier.from_fitted(pair, held, held_labels, **settings)
        return one, log_loss(held_labels, one.predict_proba(held))

    before = contents()
    for pair in (nets, tuned):
        one, loss = merge(pair, method="parameters", on_barrier="raise")
        stages = one.merge_report_.stages
        assert next(iter(stages)) == "plain"
        assert ("aligned" in stages) == (kind not in UNTRACEABLE)
        mean = np.mean(list(one.merge_report_.members.values()))
        assert loss < 1.02 * mean
        assert (stages["plain"] < 1.02 * mean) == (pair is tuned)
    settings = {"epochs": 1, "teacher": FrozenEstimator(merge(nets, method="logits")[0])}
    further = FineTunedClassifier(
        FrozenEstimator(one), target="members", random_state=0, **settings
    )
    assert further.fit(held, held_labels).score(held, held_labels) > 0.8
    assert contents() == before


@pytest.mark.once
def test_a_member_much_nearer_to_the_pool_than_the_merged_net_is_trained_instead():
    """The units of parts that share their weights cannot be chosen one by one."""
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X).astype(np.float32)
    parts = [read_parameters(trained("TabM", X[::2], y[::2], seed)) for seed in (2, 3)]
    merged = merge_parameters(parts, np.ones(2) / 2, X=X[::2])
    one, *own = (
        parts[0].network.logits(as_float64(p.arrays), X[1::2]) for p in (merged.parameters, *parts)
    )
    pool = log_softmax(np.mean(own, axis=0), axis=1)
    left, *before = (
        (np.exp(pool) * (pool - log_softmax(z, axis=1))).sum(axis=1).mean() for z in (one, *own)
    )
    assert left < 0.07 * np.mean(before)
