"""Modules of several inputs: a network takes these side by side."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from skmergecal._networks import side_by_side
from skmergecal._networks._network import as_float64
from skmergecal._networks._reparametrise import reparametrise
from skmergecal._networks._spaces import find_spaces
from skmergecal._networks.trace import UntraceableError, trace
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import (
    align_parameters,
    average_parameters,
    merge_parameters,
    read_parameters,
    write_parameters,
)
from tests.networks import arrays_of, as_net


class Several(nn.Module):
    """Numbers, codes of one and of two columns, a sequence, and a mask that may be left out."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Embedding(4, 3), nn.Embedding(5, 2)
        self.sequence = nn.Linear(3, 4)
        self.hidden, self.out = nn.Linear(3 + 3 + 4 + 4, 7), nn.Linear(7, 3)

    def forward(self, numbers, code, pair, steps, mask=None):
        steps = torch.tanh(self.sequence(steps)).mean(dim=1)
        parts = [numbers, self.one(code), self.two(pair).flatten(1), steps]
        hidden = torch.tanh(self.hidden(torch.cat(parts, dim=1)))
        return self.out(hidden if mask is None else hidden * mask)


def inputs(n_rows=12, *, mask=False):
    rng = np.random.default_rng(0)
    found = {
        "steps": rng.normal(size=(n_rows, 2, 3)),
        "numbers": rng.normal(size=(n_rows, 3)),
        "code": rng.integers(4, size=n_rows),
        "pair": rng.integers(5, size=(n_rows, 2)),
    }
    return {**found, "mask": rng.random((n_rows, 7)) > 0.3} if mask else found


def made(seed):
    torch.manual_seed(seed)
    return Several().double().eval()


def output(module, X):
    with torch.no_grad():
        return module(**{name: torch.as_tensor(value) for name, value in X.items()}).numpy()


@pytest.mark.parametrize("mask", [False, True])
def test_a_description_has_the_logits_and_gradients_of_the_module(mask):
    module, X = made(0), inputs(mask=mask)
    network, arrays = trace(module, inputs=X), as_float64(arrays_of(module))
    rows = side_by_side(X)
    assert network.n_features == rows.shape[1] == 12 + 7 * mask
    values = network.values(arrays, rows)
    np.testing.assert_allclose(values[-1], output(module, X), atol=1e-12)
    goal = np.random.default_rng(1).normal(size=values[-1].shape)
    module(**{name: torch.as_tensor(value) for name, value in X.items()}).backward(
        torch.as_tensor(goal)
    )
    found = network.gradients(arrays, values, goal)
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(found[name], parameter.grad.numpy(), atol=1e-11, err_msg=name)


def test_only_embedded_inputs_hold_whole_numbers():
    network, X = trace(made(0), inputs=inputs()), inputs()
    numbers = [np.full(value.shape, name in ("code", "pair")) for name, value in X.items()]
    expected = side_by_side(dict(zip(X, numbers, strict=True)))[0]
    assert network.whole_columns().tolist() == np.flatnonzero(expected).tolist()


def test_planted_permutations_are_recovered():
    part, X = read_parameters(as_net(made(0))), inputs(40)
    network = part.for_rows(X).network
    arrays = {name: array.copy() for name, array in as_float64(part.arrays).items()}
    rng, spaces = np.random.default_rng(0), find_spaces(network, arrays)
    assert sorted(space.size for space in spaces) == [2, 3, 4, 7]
    for space in spaces:
        order = rng.permutation(space.size)
        reparametrise(arrays, space, order, [np.ones(space.size)] * len(space.groups))
    other = write_parameters(as_net(made(1)), type(part)(arrays, part.architecture))
    parts, half = [part, read_parameters(other)], [0.5, 0.5]
    expected = output(made(0), X)
    merged = merge_parameters(parts, half, repair=None, X=X).parameters
    written = write_parameters(other, merged).module_.eval()
    np.testing.assert_allclose(output(written, X), expected, atol=1e-8)
    by_average = write_parameters(other, average_parameters(parts, half)).module_.eval()
    assert np.abs(output(by_average, X) - expected).max() > 0.1
    for how in ("weights", "activations"):
        moved = align_parameters(parts, by=how, X=X)[1]
        again = write_parameters(other, moved).module_.eval()
        np.testing.assert_allclose(output(again, X), expected, atol=1e-8)


def test_the_order_of_the_inputs_does_not_matter():
    X, parts = inputs(40), [read_parameters(as_net(made(seed))) for seed in (0, 1)]
    first = merge_parameters(parts, [0.5, 0.5], X=X).parameters.arrays
    again = merge_parameters(parts, [0.5, 0.5], X=dict(reversed(X.items()))).parameters.arrays
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])


def test_without_rows_the_error_asks_for_them():
    with pytest.raises(
        UntraceableError, match=r"4 inputs \(numbers, code, pair, steps\), .*pass X"
    ):
        trace(made(0))
    parts = [read_parameters(as_net(made(seed))) for seed in (0, 1)]
    with pytest.raises(IncompatibleEstimatorsError, match=r"pass X, as a skorch.helper.SliceDict"):
        merge_parameters(parts, [0.5, 0.5], alignment="weights", repair=None)
    merge_parameters(parts, [0.5, 0.5], alignment="weights", repair=None, X=inputs())  # the remedy


def test_inputs_of_unequal_lengths_are_refused():
    parts = [read_parameters(as_net(made(seed))) for seed in (0, 1)]
    X = inputs()
    with pytest.raises(ValueError, match=r"same number of rows; got {.*'code': 11"):
        merge_parameters(parts, [0.5, 0.5], X={**X, "code": X["code"][:11]})


def test_one_input_by_its_name_is_that_input():
    torch.manual_seed(0)
    modules = [nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)) for _ in range(2)]
    parts = [read_parameters(as_net(module.double())) for module in modules]
    X = np.random.default_rng(0).normal(size=(30, 3))
    found = [merge_parameters(parts, [0.5, 0.5], X=rows).parameters for rows in (X, {"input": X})]
    for name, array in found[0].arrays.items():
        np.testing.assert_array_equal(found[1].arrays[name], array)


def test_rows_with_text_are_refused_by_the_name_of_the_input():
    parts = [read_parameters(as_net(made(seed))) for seed in (0, 1)]
    with pytest.raises(ValueError, match=r"X\['numbers'\]"):
        merge_parameters(parts, [0.5, 0.5], X={**inputs(), "numbers": [["a"] * 3] * 12})
