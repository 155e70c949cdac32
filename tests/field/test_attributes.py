"""Attributes of modules that are no architecture, and those that are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from skmergecal import MergedClassifier
from skmergecal.exceptions import IncompatibleEstimatorsError
from tests.nets import net

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = (X[:, 0] + RNG.normal(size=60) > 0).astype(int)


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.seen, self.batches, self.width = 0, 0, 4.0

    def forward(self, x):
        self.seen += len(x)
        if self.training:
            self.batches += 1
        return self.linear(x)


class Outer(nn.Module):
    """With everything that people keep in attributes."""

    def __init__(self, seed=0, name="", clip=3.0, tau=1.0, shift=0.0, act="tanh"):
        super().__init__()
        self.inner = Inner()
        self.seed, self.name, self.best_loss = seed, name, np.inf
        self.clip, self.tau, self.shift, self.act = clip, tau, shift, act
        self.scale = 1.0

    def forward(self, x):
        self.tau = self.tau * 0.5  # read, set, and used
        x = self.inner(x.clamp(-self.clip, self.clip)) * (1 + self.tau)
        return getattr(torch, self.act)(x * self.inner.width / 4 * self.scale + self.shift)


class Columns(nn.Module):
    """Cannot be run on random numbers: it takes two inputs."""

    def __init__(self, name=""):
        super().__init__()
        self.linear, self.name = nn.Linear(2, 2), name

    def forward(self, a, b):
        return self.linear(torch.cat([a, b], dim=1).float())


def fitted(module=Outer, rows=X, epochs=1, **settings):
    torch.manual_seed(0)
    settings = {f"module__{name}": value for name, value in settings.items()}
    return net(module, max_epochs=epochs, lr=0.01, **settings).fit(rows, Y)


def merged(a, b, rows=X):
    settings = {"alignment": None, "barrier_tolerance": 1e9, "weights": None}
    return MergedClassifier.from_fitted([a, b], rows, Y, method="parameters", **settings)


def test_counters_names_and_seeds_are_no_architecture():
    a, b = fitted(seed=1, name="a", tau=1.0), fitted(seed=2, name="b", epochs=3)
    b.module_.tau = a.module_.tau
    a.module_.best_loss = 0.3
    assert a.module_.inner.seen != b.module_.inner.seen
    assert merged(a, b).score(X, Y) > 0.4


CHANGES = {
    "clip": lambda module: setattr(module, "clip", 2.0),
    "shift": lambda module: setattr(module, "shift", 0.5),
    "act": lambda module: setattr(module, "act", "sigmoid"),
    "tau": lambda module: setattr(module, "tau", module.tau / 2 + 1),
    "scale": lambda module: delattr(module, "scale") or setattr(module, "scale", 2.0),
    "width": lambda module: setattr(module.inner, "width", 5.0),
}


@pytest.mark.parametrize("attribute", CHANGES)
def test_the_attribute_that_differs_is_named(attribute):
    a, b = fitted(), fitted()
    CHANGES[attribute](b.module_)
    with pytest.raises(IncompatibleEstimatorsError, match=f"differ in the attribute '{attribute}'"):
        merged(a, b)
    for key in ("clip", "shift", "act", "tau", "scale"):
        setattr(b.module_, key, getattr(a.module_, key))
    b.module_.inner.width = a.module_.inner.width
    merged(a, b)


def test_settings_of_layers_are_compared():
    def stack(slope):
        return nn.Sequential(nn.Linear(4, 2), nn.LeakyReLU(slope), nn.Linear(2, 2))

    with pytest.raises(IncompatibleEstimatorsError, match="attribute 'negative_slope'"):
        merged(fitted(stack(0.1)), fitted(stack(0.2)))


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable:UserWarning")
def test_where_a_module_cannot_be_tried_equal_values_help():
    import pandas

    frame = pandas.DataFrame({"a": X[:, 0], "b": X[:, 1]})
    a, b = (fitted(Columns, frame, name=name) for name in "ab")
    with pytest.raises(IncompatibleEstimatorsError, match=r"'name', 'a' and 'b' \(set it to one"):
        merged(a, b, frame)
    b.module_.name = "a"
    merged(a, b, frame)
