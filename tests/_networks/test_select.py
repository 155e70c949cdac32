"""Selection of hidden units: what it starts from, and what the units have to explain."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from skmergecal._networks._network import as_float64
from skmergecal._networks._select import _gather, _Selection
from skmergecal._networks.trace import trace
from tests.networks import arrays_of, rows


class Beside(nn.Module):
    """The logits take the raw features beside the hidden units."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(5, 4), nn.Linear(9, 3)

    def forward(self, x):
        return self.out(torch.cat([torch.relu(self.hidden(x)), x], dim=1))


class OntoFeatures(nn.Module):
    """A hidden layer is added to the features, so that its units keep their order."""

    def __init__(self):
        super().__init__()
        self.inner, self.onto, self.out = nn.Linear(5, 4), nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.out(torch.relu(x + self.onto(torch.relu(self.inner(x)))))


def selected(cls):
    torch.manual_seed(0)
    modules = [cls().double().eval() for _ in range(3)]
    arrays = [as_float64(arrays_of(module)) for module in modules]
    selection = _Selection(trace(modules[0]), arrays, [0.5, 0.3, 0.2], rows(50))
    selection.choose_all()
    return selection, arrays


def test_weights_without_hidden_units_start_from_the_mean_of_all_members():
    selection, arrays = selected(Beside)
    mean = sum(w * a["out.weight"] for w, a in zip([0.5, 0.3, 0.2], arrays, strict=True))
    np.testing.assert_allclose(_gather(selection)["out.weight"][:, 4:], mean[:, 4:], rtol=1e-12)


def test_only_logits_are_explained_up_to_a_constant_per_row():
    selection, _ = selected(OntoFeatures)
    nodes = selection.network.nodes
    place = {getattr(node, "weight", None): number for number, node in enumerate(nodes)}
    hidden, logits = place["onto.weight"], place["out.weight"]
    found, means = selection.targets([hidden, logits]), selection.gathered([hidden])
    np.testing.assert_array_equal(found[hidden], means[hidden])
    np.testing.assert_allclose(found[logits].sum(axis=1), 0, atol=1e-12)
    assert np.abs(selection.gathered([logits])[logits].sum(axis=1)).max() > 1e-3
