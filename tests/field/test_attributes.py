"""Attributes of modules that are no architecture, and those that are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from skmergecal import MergedClassifier
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import (
    average_parameters,
    fisher_average,
    merge_task_vectors,
    read_parameters,
)
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


class Masked(nn.Module):
    """Of each kind of tensor that has no average, one; and what is kept without being used."""

    def __init__(self, kind="", seed=0):
        super().__init__()
        mask = torch.tensor([1, 0, 1, 1]) if seed == 0 else torch.tensor([1, 1, 0, 1])
        self.linear = nn.Linear(4, 2)
        self.parts = [self.linear, self.linear.weight]
        self.register_buffer("calls", torch.tensor(seed))
        self.register_buffer("never_read", torch.arange(3) + seed, persistent=False)
        if kind == "whole numbers":
            self.register_buffer("mask", mask)
        elif kind == "not persistent":
            self.register_buffer("mask", mask.float(), persistent=False)
        elif kind == "private":
            self._mask = mask.float()
        else:
            self.mask = {"list": [mask], "numpy": mask.numpy(), "numbers": mask.tolist()}.get(
                kind, torch.ones(4)
            )

    def forward(self, x):
        self.calls.add_(1)
        mask = self._mask if hasattr(self, "_mask") else self.mask
        mask = mask[0] if isinstance(mask, list) and len(mask) == 1 else mask
        self.last = self.parts[0](x * torch.as_tensor(mask))
        return self.last


KINDS = ("whole numbers", "not persistent", "private", "list", "numpy", "numbers")


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_that_have_no_average_are_compared(kind):
    a, b = (fitted(Masked, kind=kind, seed=seed) for seed in (0, 1))
    read = [read_parameters(member) for member in (a, b)]
    with pytest.raises(IncompatibleEstimatorsError, match=r"differ in the attribute '_?mask', "):
        average_parameters(read, [0, 1])
    one_model = MergedClassifier.from_fitted([a, b], X, Y, method="parameters", weights=[0, 1])
    np.testing.assert_allclose(one_model.predict_proba(X), b.predict_proba(X), atol=1e-6)


def test_tensors_without_influence_are_not_compared():
    a, b = (fitted(Masked, seed=seed) for seed in (0, 1))
    read = [read_parameters(member) for member in (a, b)]
    calls = [int(average_parameters(read, shares).arrays["calls"]) for shares in ([0, 1], [1, 0])]
    assert calls == [int(b.module_.calls), int(a.module_.calls)]


def test_complex_parameters_are_averaged():
    class Complex(nn.Module):
        def __init__(self):
            super().__init__()
            self.c = nn.Parameter(torch.randn(4, 2, dtype=torch.complex64))

        def forward(self, x):
            return (x.to(torch.complex64) @ self.c).abs()

    start, a, b = (fitted(Complex, epochs=n) for n in (1, 2, 3))
    first, second = (read_parameters(member).arrays["c"] for member in (a, b))
    mean = average_parameters([read_parameters(a), read_parameters(b)], [0.25, 0.75]).arrays["c"]
    np.testing.assert_allclose(mean, 0.25 * first + 0.75 * second, rtol=1e-6)
    for method in ("arithmetic", "ties"):
        tuned = merge_task_vectors([a, b], start, weights=[0, 1], method=method)
        np.testing.assert_allclose(read_parameters(tuned).arrays["c"], second, rtol=1e-5)
    with pytest.raises(IncompatibleEstimatorsError, match="complex parameters is not known"):
        fisher_average([a, b], X)
