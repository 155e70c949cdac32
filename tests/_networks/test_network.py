"""Descriptions of networks: values, gradients, repair, selection and distillation of arrays."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from skmergecal._networks._distil import TEMPERATURE, distil, fit_head, mixed_rows
from skmergecal._networks._network import as_float64
from skmergecal._networks._nodes import LayerNorm
from skmergecal._networks._repair import (
    least_squares,
    mean_values,
    member_moments,
    refit_layers,
    rescale,
    ridge,
)
from skmergecal._networks._select import select_and_merge, select_units
from skmergecal._networks.trace import trace
from skmergecal._numerics import log_softmax, softmax
from skmergecal.parameters import merge_parameters, read_parameters
from tests.networks import Embedded, architectures, arrays_of, as_net, output, random_mlp, rows
from tests.strategies import at_most, seeds

FEW = at_most(25)


@FEW
@given(
    seed=seeds,
    widths=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    activation=st.sampled_from(["relu", "tanh", "logistic", "identity"]),
    n_classes=st.integers(2, 4),
)
def test_description_of_an_mlp_says_what_it_says(seed, widths, activation, n_classes):
    net = random_mlp(seed, tuple(widths), activation, n_classes=n_classes)
    parameters, X = read_parameters(net), rows(20, seed)
    z = parameters.network.logits(parameters.arrays, X)
    z = np.hstack([np.zeros_like(z), z]) if n_classes == 2 else z
    np.testing.assert_allclose(softmax(z), net.predict_proba(X), atol=1e-10)


@FEW
@given(seed=seeds, architecture=architectures())
def test_values_and_gradients_of_a_module_are_those_of_torch(seed, architecture):
    make, embeds = architecture
    module, X = make(seed % 1000), rows(12, seed, embeds)
    network, arrays = trace(module), arrays_of(module)
    direction = np.random.default_rng(seed).normal(size=(12, 3))
    values = network.values(arrays, X)
    np.testing.assert_allclose(values[-1], output(module, X), atol=1e-10)
    np.testing.assert_array_equal(network.logits(arrays, X), values[-1])
    gradients = network.gradients(arrays, values, direction)
    (module(torch.as_tensor(X)) * torch.as_tensor(direction)).sum().backward()
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(gradients[name], parameter.grad.numpy(), atol=1e-8)


@FEW
@given(seed=seeds, n_targets=st.integers(1, 4))
def test_units_are_selected_as_least_squares_on_every_candidate_would(seed, n_targets):
    rng = np.random.default_rng(seed)
    X, T, w = rng.normal(size=(40, 9)), rng.normal(size=(40, n_targets)), rng.uniform(0.1, 1, 40)
    root = np.sqrt(w)[:, None]

    def error(columns):
        design = np.hstack([X[:, columns], np.ones((40, 1))]) * root
        fit = np.linalg.lstsq(design, T * root, rcond=None)[0]
        return ((T * root - design @ fit) ** 2).sum()

    taken = []
    for _ in range(4):
        rest = [j for j in range(9) if j not in taken]
        taken.append(min(rest, key=lambda j: error([*taken, j])))
    assert select_units(X, T, 4, w).tolist() == taken


def test_units_that_add_nothing_come_last():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3))
    X = np.column_stack([X, X, np.zeros(30)])  # copies, and a dead unit
    taken = select_units(X, X[:, :3] @ rng.normal(size=(3, 2)), 5)
    assert sorted(taken[:3] % 3) == [0, 1, 2]
    assert 6 not in taken
    assert len(set(taken)) == 5


@FEW
@given(seed=seeds)
def test_ridge_is_least_squares_with_rows_for_the_prior(seed):
    rng = np.random.default_rng(seed)
    H, Z, prior = rng.normal(size=(30, 4)), rng.normal(size=(30, 2)), rng.normal(size=(5, 2))
    weight, bias = ridge(H, Z, prior)
    D = np.hstack([H, np.ones((30, 1))])
    pull = 1e-2 * np.trace(D.T @ D / 30) / 5
    rows_ = np.vstack([D / np.sqrt(30), np.sqrt(pull) * np.eye(5)])
    theta = np.linalg.lstsq(rows_, np.vstack([Z / np.sqrt(30), np.sqrt(pull) * prior]), rcond=None)[
        0
    ]
    np.testing.assert_allclose(np.vstack([weight, bias]), theta, atol=1e-10)
    weight, bias = ridge(H, Z, prior, free_bias=True)
    moved, shifted = ridge(H + 100, Z, prior, free_bias=True)
    np.testing.assert_allclose(moved, weight, atol=1e-9)
    np.testing.assert_allclose(H @ weight + bias, (H + 100) @ moved + shifted, atol=1e-7)


def two_members(seed=0, widths=(6, 4)):
    parts = [read_parameters(random_mlp(seed + i, widths)) for i in range(2)]
    return parts[0].network, [as_float64(p.arrays) for p in parts]


def mean_of(members):
    return {name: (members[0][name] + members[1][name]) / 2 for name in members[0]}


def test_rescaled_units_have_the_mean_and_the_deviation_of_the_members():
    network, members = two_members()
    X, weights = rows(300), np.array([0.25, 0.75])
    moments = member_moments(network, members, weights, X)
    repaired = refit_layers(network, mean_of(members), X, rescale(moments))
    own = [network.values(m, X) for m in members]
    for place in (1, 3, 5):  # the affine layers
        value = network.values(repaired, X)[place]
        means, deviations = ([f(v[place]) for v in own] for f in (mean_rows, std_rows))
        np.testing.assert_allclose(mean_rows(value), weights @ means, atol=1e-10)
        np.testing.assert_allclose(std_rows(value), weights @ deviations, atol=1e-10)


def mean_rows(value):
    return value.mean(axis=0)


def std_rows(value):
    return value.std(axis=0)


def test_least_squares_brings_every_layer_nearer_to_its_members():
    network, members = two_members()
    X, weights = rows(300), np.array([0.5, 0.5])
    start = mean_of(members)
    targets = mean_values(network, members, weights, X)
    repaired = refit_layers(network, start, X, least_squares(network, targets))
    before, after = (network.logits(arrays, X) for arrays in (start, repaired))
    assert ((after - targets[5]) ** 2).mean() < 0.9 * ((before - targets[5]) ** 2).mean()
    same = dict(enumerate(network.values(members[0], X)))
    kept = refit_layers(network, members[0], X, least_squares(network, same))
    for name, array in members[0].items():
        np.testing.assert_allclose(kept[name], array, atol=1e-9)


@FEW
@given(seed=seeds)
def test_statistics_of_batch_norm_are_those_of_a_pass_of_torch_for_each_layer(seed):
    torch.manual_seed(seed % 1000)
    norms = [nn.BatchNorm1d(n, momentum=None).double() for n in (6, 4)]
    module = nn.Sequential(
        nn.Linear(5, 6),
        norms[0],
        nn.ReLU(),
        nn.Dropout(0.0),
        nn.Linear(6, 4),
        norms[1],
        nn.Tanh(),
        nn.Linear(4, 3),
    ).double()
    X, arrays = rows(50, seed), arrays_of(module)
    network = trace(module)
    measured = refit_layers(network, arrays, X, None, statistics=True)
    for norm in norms:  # in evaluation mode below the layer that is measured, as it will be used
        module.eval()
        norm.train().reset_running_stats()
        output(module, X)  # momentum None: the plain mean over batches, of which there is one
    for name, array in arrays_of(module).items():
        if "running" in name:
            np.testing.assert_allclose(measured[name], array, rtol=1e-10, atol=1e-12)


def test_plain_average_measures_the_statistics_of_batch_norm_but_not_of_one_net():
    def make(seed):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))

    parts = [read_parameters(as_net(make(i))) for i in range(2)]
    X, half = rows(50), np.array([0.5, 0.5])
    merged = merge_parameters(parts, half, alignment=None, X=X).parameters
    inputs = merged.network.values(as_float64(merged.arrays), X)[1]
    np.testing.assert_allclose(merged.arrays["1.running_mean"], inputs.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(merged.arrays["1.running_var"], inputs.var(axis=0, ddof=1), 1e-5)
    for same in ([parts[0]] * 2, parts):
        weights = half if same[0] is same[1] else np.array([1.0, 0.0])
        kept = merge_parameters(same, weights, alignment=None, X=X).parameters
        np.testing.assert_array_equal(kept.arrays["1.running_mean"], np.zeros(6))


@pytest.mark.parametrize("widths", [(6,), (6, 4)])
def test_distilled_net_is_nearer_to_the_pool_and_the_same_each_time(widths):
    network, members = two_members(3, widths)
    X = rows(400)

    def pool(Z):
        return sum(network.logits(m, Z) for m in members) / 2

    def distance(arrays):
        goal = softmax(pool(X) / TEMPERATURE)
        said = log_softmax(network.logits(arrays, X) / TEMPERATURE)
        return -(goal * said).sum(axis=1).mean() + (goal * np.log(goal)).sum(axis=1).mean()

    start = select_and_merge(network, members, [0.5, 0.5], X)
    kept = copy.deepcopy(start)
    found, again = (distil(network, start, pool, X) for _ in range(2))
    assert distance(found) < 0.7 * distance(start)
    for name, array in start.items():
        np.testing.assert_array_equal(found[name], again[name])
        np.testing.assert_array_equal(kept[name], array)
    head = fit_head(network, mean_of(members), pool(X), X)
    assert distance(head) < distance(mean_of(members))
    assert [k for k in head if not np.array_equal(head[k], mean_of(members)[k])] == [
        f"coefs_[{len(widths)}]",
        f"intercepts_[{len(widths)}]",
    ]


def test_rows_between_rows_take_embedded_columns_from_one_of_the_two():
    network = trace(Embedded(nn.Linear(3 + 4 + 2, 3)))
    assert network.whole_columns().tolist() == [0, 1, 2]
    X = rows(200, embeds=True)
    mixed = mixed_rows(network, X, np.random.default_rng(0))
    levels = {tuple(row) for row in X[:, :3]}
    assert {tuple(row) for row in mixed[:, :3]} <= levels
    assert (mixed[:, 3:] != X[:, 3:]).any(axis=1).mean() > 0.9
    assert np.abs(mixed[:, 3:]).max() <= np.abs(X[:, 3:]).max()


def test_rows_between_rows_take_a_fifth_of_their_numbers_from_other_rows():
    network = read_parameters(random_mlp(0)).network
    X = np.arange(2000.0).reshape(400, 5)  # no number twice: whose it is can be seen
    X[:, 1] = 0.0
    mixed = mixed_rows(network, X, np.random.default_rng(0))
    assert (mixed[:, 1] == 0).all()
    for j in (0, 2, 3, 4):
        assert ((mixed[:, j] >= X[:, j].min()) & (mixed[:, j] <= X[:, j].max())).all()
    moved = mixed - X  # alike in all columns, but where one of them is of a further row
    apart = ~np.isclose(moved[:, 2], moved[:, 0])
    assert abs(apart.mean() - (1 - 0.8**2)) < 4 * np.sqrt(0.36 * 0.64 / 400)


@FEW
@given(seed=seeds, architecture=architectures())
def test_selection_from_copies_of_a_net_is_the_net(seed, architecture):
    make, embeds = architecture
    module, X = make(seed % 1000), rows(300, seed, embeds)
    network, arrays = trace(module), arrays_of(module)
    # LayerNorm of few units looks at the ones that explain nothing by themselves, too.
    assume(not any(isinstance(node, LayerNorm) for node in network.nodes))
    merged = select_and_merge(network, [arrays] * 2, [0.5, 0.5], X)
    z, expected = network.logits(merged, X), output(module, X)
    spread = np.abs(expected - expected.mean(axis=0)).mean()
    assume(spread > 0.05)  # a net that says something
    assert np.abs(z - expected).mean() < 0.2 * spread
