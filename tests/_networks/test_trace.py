"""Modules as people write them: tied layers, named arguments, columns of columns, nesting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from skmergecal import MergedClassifier
from skmergecal._networks._network import as_float64
from skmergecal._networks._reparametrise import reparametrise
from skmergecal._networks._spaces import find_spaces
from skmergecal._networks.trace import trace
from skmergecal.parameters import align_parameters, merge_parameters, read_parameters
from skmergecal.parameters import write_parameters as write
from tests.networks import as_net, output, rows


class TiedLayers(nn.Module):
    """One layer, used twice, under two names."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 4)
        self.inner = nn.Linear(4, 4)
        self.again = self.inner
        self.norm = nn.LayerNorm(4)
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        x = functional.relu(self.first(x))
        x = functional.relu(self.norm(self.inner(x)))
        return self.out(functional.relu(self.norm(self.again(x))))


class TiedAtTheInput(nn.Module):
    """Hidden units that are the columns of the input: they cannot be permuted."""

    def __init__(self):
        super().__init__()
        self.layer, self.inner, self.out = nn.Linear(5, 5), nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, x):
        x = torch.tanh(self.layer(torch.tanh(self.layer(x))))
        return self.out(torch.tanh(self.inner(x)))


class TiedWeights(nn.Module):
    """Two layers with one weight, and biases of their own."""

    def __init__(self):
        super().__init__()
        self.first, self.a, self.b = nn.Linear(5, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.b.weight = self.a.weight
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        for layer in (self.first, self.a, self.b):
            x = torch.relu(layer(x))
        return self.out(x)


class NamedArguments(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.out = nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, x):
        x = functional.leaky_relu(input=self.first(input=x), negative_slope=0.2, inplace=False)
        x = torch.add(input=functional.dropout(input=x, training=self.training), other=x)
        return self.out(functional.elu(x, inplace=False, alpha=0.5))


class ColumnsOfColumns(nn.Module):
    """Categories and numbers are parted first, then taken column by column."""

    def __init__(self):
        super().__init__()
        self.tables = nn.ModuleList([nn.Embedding(4, 2) for _ in range(3)])
        self.body = nn.ModuleDict({"in": nn.Linear(8, 6), "out": nn.Linear(6, 3)})

    def forward(self, x):
        categories, numbers = x[:, :3].long(), x[:, 3:]
        parts = [table(categories[:, i]) for i, table in enumerate(self.tables)]
        hidden = self.body["in"](torch.cat([*parts, numbers], dim=1))
        return self.body["out"](functional.gelu(hidden))


class OneLayerBlocks(nn.Module):
    """Layers whose inputs and outputs are the same units, by the sum."""

    def __init__(self):
        super().__init__()
        self.first, self.out = nn.Linear(5, 6), nn.Linear(6, 3)
        self.blocks = nn.ModuleList([nn.Linear(6, 6) for _ in range(2)])

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = x + functional.silu(block(x))
        return self.out(x)


class Heads(nn.Module):
    """Attention of two heads over the columns; a head's units stay together."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(5, 4))
        self.qkv, self.join, self.out = nn.Linear(4, 12), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        x = x.unsqueeze(-1) * self.tokens
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k, v = self.parted(q), self.parted(k), self.parted(v)
        z = torch.softmax(q @ k.transpose(-1, -2), dim=-1) @ v
        return self.out((x + self.join(z.transpose(1, 2).flatten(2))).mean(dim=1))

    @staticmethod
    def parted(x):
        return x.reshape(x.shape[0], x.shape[1], 2, 2).transpose(1, 2)


#: The sizes of the spaces whose units can be permuted.
SIZES = {
    TiedLayers: [4],
    TiedAtTheInput: [4],
    TiedWeights: [4],
    NamedArguments: [4],
    ColumnsOfColumns: [2, 2, 2, 6],
    OneLayerBlocks: [6],
    Heads: [4, 2],
}
MODULES = list(SIZES)


def made(cls, seed):
    torch.manual_seed(seed)
    return cls().double().eval()


@pytest.mark.parametrize("how", ["weights", "activations"])
@pytest.mark.parametrize("cls", MODULES)
def test_aligned_members_say_what_they_said(cls, how):
    X = rows(40, embeds=cls is ColumnsOfColumns)
    modules = [made(cls, seed) for seed in range(3)]
    parts = [read_parameters(as_net(module)) for module in modules]
    moved = align_parameters(parts, by=how, X=X)
    for module, part in zip(modules, moved, strict=True):
        written = write(as_net(module), part).module_.eval()
        np.testing.assert_allclose(output(written, X), output(module, X), atol=1e-8)


@pytest.mark.parametrize("cls", MODULES)
def test_planted_permutations_are_recovered(cls):
    module, X = made(cls, 0), rows(40, embeds=cls is ColumnsOfColumns)
    part = read_parameters(as_net(module))
    arrays, rng = as_float64(part.arrays), np.random.default_rng(0)
    arrays = {name: array.copy() for name, array in arrays.items()}
    spaces = find_spaces(part.network, arrays)
    for space in spaces:
        order = rng.permutation(space.size)
        reparametrise(arrays, space, order, [np.ones(space.size)] * len(space.groups))
    assert [space.size for space in spaces] == SIZES[cls]
    other = made(cls, 1)
    other = write(as_net(other), type(part)(arrays, part.architecture)).module_.eval()
    np.testing.assert_allclose(output(other, X), output(module, X), atol=1e-10)
    half = np.array([0.5, 0.5])
    merged = merge_parameters([part, read_parameters(as_net(other))], half, repair=None)
    written = write(as_net(other), merged.parameters).module_.eval()
    np.testing.assert_allclose(output(written, X), output(module, X), atol=1e-8)


def test_the_width_of_the_input_is_found_up_to_2048():
    """The first layer does not name it."""
    module = nn.Sequential(nn.ReLU(), nn.Linear(2048, 2))
    assert trace(module).n_features == 2048


class Columns(nn.Module):
    """It picks columns, by number or by a slice, and so takes rows of many widths."""

    def __init__(self, numbers):
        super().__init__()
        self.numbers, self.hidden, self.out = numbers, nn.Linear(3, 7), nn.Linear(7, 3)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x[:, self.numbers])))


@pytest.mark.parametrize("numbers", [[0, 4, 2], slice(1, 4)], ids=["numbers", "slice"])
def test_a_net_that_picks_columns_takes_the_width_of_the_rows(numbers):
    nets = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        nets.append(as_net(Columns(numbers)))
    read = [read_parameters(net) for net in nets]
    wide = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    aligned = align_parameters(read, X=wide)[1]
    found = output(write(nets[1], aligned).module_.eval(), wide)
    np.testing.assert_allclose(found, output(nets[1].module_.eval(), wide), atol=1e-5)
    merged = MergedClassifier.from_fitted(
        nets,
        wide,
        np.arange(40) % 3,
        method="parameters",
        weights=None,
        alignment="weights",
        repair=None,
        barrier_tolerance=9.0,
    )
    assert merged.merge_report_.chosen == "aligned"
