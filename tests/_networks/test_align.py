"""Aligned networks are the same functions; planted symmetries are found."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from skmergecal._networks._network import as_float64, dense_network
from skmergecal._networks._reparametrise import balance, check_same_function, reparametrise
from skmergecal._networks._spaces import find_spaces
from skmergecal._networks.trace import UntraceableError, trace
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import align_parameters, merge_parameters, read_parameters
from tests.networks import (
    architectures,
    arrays_of,
    as_net,
    output,
    random_mlp,
    randomised,
    rewired,
    rows,
    with_arrays,
)
from tests.strategies import at_most, seeds

HALF = np.array([0.5, 0.5])
FEW = at_most(25)


def logits(parameters, X):
    return parameters.network.logits(as_float64(parameters.arrays), X)


@FEW
@given(
    seed=seeds,
    widths=st.lists(st.integers(1, 7), min_size=1, max_size=3),
    activation=st.sampled_from(["relu", "tanh", "logistic", "identity"]),
    how=st.sampled_from(["weights", "activations", "auto"]),
)
def test_planted_permutation_sign_and_scale_are_recovered(seed, widths, activation, how):
    if how == "activations" and activation == "identity":
        return  # signs and orders of a linear net's units are found by weights
    net = random_mlp(seed, tuple(widths), activation)
    parts = [read_parameters(net), read_parameters(rewired(net, seed + 1))]
    X = rows(200, seed)
    np.testing.assert_allclose(logits(parts[0], X), logits(parts[1], X), atol=1e-8)
    repair = "auto" if how == "auto" else None
    merged = merge_parameters(parts, HALF, alignment=how, repair=repair, X=X)
    assert merged.chosen == "aligned"
    np.testing.assert_allclose(logits(merged.parameters, X), logits(parts[0], X), atol=1e-10)


@FEW
@given(seed=seeds, architecture=architectures())
def test_every_space_of_a_module_is_a_symmetry_of_the_module(seed, architecture):
    make, embeds = architecture
    module, X = make(seed % 1000), rows(30, seed, embeds)
    before = output(module, X)
    arrays = arrays_of(module)
    rng = np.random.default_rng(seed)
    spaces = find_spaces(trace(module), arrays)
    assert spaces
    for space in spaces:
        signs = [
            rng.choice([-1.0, 1.0], space.size) if group.odd else np.ones(space.size)
            for group in space.groups
        ]
        reparametrise(arrays, space, rng.permutation(space.size), signs)
    np.testing.assert_allclose(output(with_arrays(module, arrays), X), before, atol=1e-10)
    balance(arrays, spaces)
    np.testing.assert_allclose(output(with_arrays(module, arrays), X), before, atol=1e-10)


@FEW
@given(seed=seeds, architecture=architectures(), how=st.sampled_from(["weights", "activations"]))
def test_aligned_members_reproduce_their_own_outputs(seed, architecture, how):
    make, embeds = architecture
    X = rows(40, seed, embeds)
    modules = [make(seed % 1000 + i) for i in range(3)]
    parts = [read_parameters(as_net(m)) for m in modules]
    aligned = align_parameters(parts, by=how, X=X)
    for module, part in zip(modules, aligned, strict=True):
        moved = with_arrays(make(0), part.arrays)
        np.testing.assert_allclose(output(moved, X), output(module, X), atol=1e-8)


@FEW
@given(seed=seeds, architecture=architectures())
def test_planted_permutation_of_a_module_is_recovered_without_rows(seed, architecture):
    make, embeds = architecture
    module, X = make(seed % 1000), rows(30, seed, embeds)
    parts = [read_parameters(as_net(module))]
    arrays, rng = as_float64(arrays_of(module)), np.random.default_rng(seed)
    for space in find_spaces(parts[0].network, arrays):
        order = rng.permutation(space.size)
        reparametrise(arrays, space, order, [np.ones(space.size)] * len(space.groups))
    parts.append(read_parameters(as_net(with_arrays(make(0), arrays))))
    merged = merge_parameters(parts, HALF, repair=None)
    np.testing.assert_allclose(logits(merged.parameters, X), output(module, X), atol=1e-10)


@FEW
@given(seed=seeds)
def test_one_layer_is_matched_as_well_as_any_permutation_can(seed):
    a, b = (
        as_float64(read_parameters(random_mlp(seed + i, (5,), "logistic")).arrays) for i in range(2)
    )

    def agreement(order):
        moved = {
            "coefs_[0]": b["coefs_[0]"][:, order],
            "intercepts_[0]": b["intercepts_[0]"][order],
            "coefs_[1]": b["coefs_[1]"][order],
        }
        return sum((a[k] * v).sum() for k, v in moved.items())

    parts = [read_parameters(random_mlp(seed + i, (5,), "logistic")) for i in range(2)]
    found = align_parameters(parts)[1].arrays
    reached = sum((a[k] * found[k]).sum() for k in a if k != "intercepts_[1]")
    best = max(agreement(list(order)) for order in permutations(range(5)))
    assert reached == pytest.approx(best, rel=1e-9)


@FEW
@given(seed=seeds, n_members=st.integers(3, 5))
def test_many_copies_are_one_network(seed, n_members):
    net = random_mlp(seed, (6, 4))
    parts = [read_parameters(rewired(net, seed + i)) for i in range(n_members)]
    weights = np.random.default_rng(seed).dirichlet(np.ones(n_members))
    merged = merge_parameters(parts, weights, alignment="weights", repair=None)
    X = rows(50)
    np.testing.assert_allclose(logits(merged.parameters, X), logits(parts[0], X), atol=1e-10)


def test_balanced_networks_have_incoming_norms_equal_to_outgoing_ones():
    arrays = as_float64(read_parameters(random_mlp(0, (6, 4))).arrays)
    network = read_parameters(random_mlp(0, (6, 4))).network
    balance(arrays, find_spaces(network, arrays))
    for i in range(2):
        inner = (arrays[f"coefs_[{i}]"] ** 2).sum(axis=0) + arrays[f"intercepts_[{i}]"] ** 2
        outer = (arrays[f"coefs_[{i + 1}]"] ** 2).sum(axis=1)
        np.testing.assert_allclose(inner, outer, rtol=1e-10)


def test_a_wrong_description_is_noticed():
    parts = read_parameters(random_mlp(0, (6,), "logistic"))
    arrays = as_float64(parts.arrays)
    wrong = dense_network(
        [("coefs_[0]", "intercepts_[0]"), ("coefs_[1]", "intercepts_[1]")], "tanh", 5
    )
    flipped = {name: array.copy() for name, array in arrays.items()}
    (space,) = find_spaces(wrong, arrays)
    reparametrise(flipped, space, np.arange(6), [np.array([-1.0, 1, 1, 1, 1, 1])])
    X = rows(20)
    check_same_function(wrong, arrays, flipped, X)
    with pytest.raises(RuntimeError, match="changed its logits"):
        check_same_function(parts.network, arrays, flipped, X)


class Cumulative(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.out = nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(torch.cumsum(self.a(x), dim=1))


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(5, 3)

    def forward(self, x):
        return self.out(x) if x.sum() > 0 else self.out(-x)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.pairs = nn.Bilinear(5, 5, 3)

    def forward(self, x):
        return self.pairs(x, x)


class Computed(nn.Module):
    """A tensor that is made of a parameter, which the module does not look up by its name."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(5, 3)

    def forward(self, x):
        return self.out(x * (2 * next(iter(self.parameters()))[0]))


UNTRACEABLE = {
    "the operation 'cumsum'": Cumulative,
    "cannot trace Branching": Branching,
    "made of parameters before it is used": Computed,
    "'0' of type GRU": lambda: nn.Sequential(nn.GRU(5, 3)),
    "'pairs' of type Bilinear": Twice,
}


@pytest.mark.parametrize("what", UNTRACEABLE)
def test_what_cannot_be_traced_is_named(what):
    with pytest.raises(UntraceableError, match=what):
        trace(UNTRACEABLE[what]())


def test_a_module_that_cannot_be_traced_is_averaged_only_as_it_is():
    parts = [read_parameters(as_net(Cumulative())) for _ in range(2)]
    with pytest.raises(IncompatibleEstimatorsError, match=r"'cumsum'.* Pass alignment=None"):
        merge_parameters(parts, HALF)
    merged = merge_parameters(parts, HALF, alignment=None)
    mean = (parts[0].arrays["a.weight"] + parts[1].arrays["a.weight"]) / 2
    np.testing.assert_allclose(merged.parameters.arrays["a.weight"], mean, rtol=1e-6)


class Parallel(nn.Module):
    """One layer is read by two branches, which flip its units independently of each other."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 6)
        self.one, self.two = nn.BatchNorm1d(6), nn.BatchNorm1d(6)
        self.left, self.right = nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x):
        h = self.first(x)
        return self.left(self.one(h)) + self.right(torch.tanh(self.two(h)))


def test_units_of_two_odd_groups_are_matched_by_their_activations():
    """Copies, permuted and flipped in each group: all members become one again."""

    def make():
        return randomised(Parallel().double(), 0).eval()

    torch.manual_seed(0)
    module, X, rng = make(), rows(60), np.random.default_rng(0)
    parts = [read_parameters(as_net(module))]
    (space,) = find_spaces(parts[0].network, as_float64(arrays_of(module)))
    assert sum(group.odd for group in space.groups) == 2
    for _ in range(3):
        arrays = as_float64(arrays_of(module))
        signs = [rng.choice([-1.0, 1.0], 6) for _ in space.groups]
        reparametrise(arrays, space, rng.permutation(6), signs)
        parts.append(read_parameters(as_net(with_arrays(make(), arrays))))
    first, *others = align_parameters(parts, by="activations", X=X)
    for part in others:
        for name, array in part.arrays.items():
            np.testing.assert_allclose(array, first.arrays[name], atol=1e-6)


def test_unequal_hidden_widths_are_named():
    parts = [read_parameters(random_mlp(0, w)) for w in ((6, 4), (6, 3))]
    with pytest.raises(IncompatibleEstimatorsError, match=r"\(6, 4\) and \(6, 3\)"):
        align_parameters(parts)
    parts = [
        read_parameters(as_net(nn.Sequential(nn.Linear(5, n), nn.Linear(n, 3)))) for n in (4, 6)
    ]
    with pytest.raises(IncompatibleEstimatorsError, match=r"\(4, 5\) and \(6, 5\)"):
        merge_parameters(parts, HALF)


def test_rows_are_asked_for_where_they_are_needed():
    parts = [read_parameters(random_mlp(i, (6,))) for i in range(2)]
    for settings_ in ({"alignment": "select"}, {"repair": "least_squares"}):
        with pytest.raises(ValueError, match="needs rows, labelled or not"):
            merge_parameters(parts, HALF, **settings_)
    with pytest.raises(ValueError, match="by='activations' needs rows"):
        align_parameters(parts, by="activations")


@pytest.mark.parametrize("make", [lambda: nn.Linear(5, 3), lambda: nn.Sequential(nn.Linear(5, 3))])
def test_linear_modules_average_exactly(make):
    modules = [make().double() for _ in range(2)]
    merged = merge_parameters([read_parameters(as_net(m)) for m in modules], HALF, X=rows(20))
    X = rows(20)
    expected = sum(output(m, X) for m in modules) / 2
    assert merged.chosen == "plain"
    np.testing.assert_allclose(logits(merged.parameters, X), expected, atol=1e-10)
