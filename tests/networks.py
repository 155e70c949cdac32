"""Networks of many architectures, with random weights, for tests of alignment."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from hypothesis import strategies as st
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier
from torch import nn

N_FEATURES, N_CLASSES = 5, 3


def random_mlp(seed, widths=(6,), activation="relu", n_features=N_FEATURES, n_classes=N_CLASSES):
    """A scikit-learn network that was fitted for one step, with random weights."""
    rng = np.random.default_rng(seed)
    net = MLPClassifier(widths, activation=activation, random_state=0)
    X, y = rng.normal(size=(4 * n_classes, n_features)), np.arange(4 * n_classes) % n_classes
    net.partial_fit(X, y, classes=np.arange(n_classes))
    sizes = [n_features, *widths, net.n_outputs_]
    net.coefs_ = [rng.normal(size=s) / np.sqrt(s[0]) for s in pairwise(sizes)]
    net.intercepts_ = [rng.normal(size=n) for n in sizes[1:]]
    return net


def rewired(net, seed):
    """The same function: hidden units permuted, flipped (tanh) or scaled (ReLU), by plain NumPy."""
    rng = np.random.default_rng(seed)
    coefs, intercepts = list(net.coefs_), list(net.intercepts_)
    for i in range(len(coefs) - 1):
        width = coefs[i].shape[1]
        order = rng.permutation(width)
        scale = np.ones(width)
        if net.activation in ("tanh", "identity"):
            scale = rng.choice([-1.0, 1.0], size=width)
        if net.activation in ("relu", "identity"):
            scale = scale * np.exp(rng.normal(size=width))
        coefs[i] = coefs[i][:, order] * scale
        intercepts[i] = intercepts[i][order] * scale
        coefs[i + 1] = coefs[i + 1][order] / scale[:, None]
    twin = MLPClassifier(**net.get_params())
    twin.__dict__.update(vars(net), coefs_=coefs, intercepts_=intercepts)
    return twin


class Residual(nn.Module):
    """x + f(norm(x))."""

    def __init__(self, width, inner, norm, activation):
        super().__init__()
        self.norm = norm(width)
        self.inner = nn.Sequential(
            nn.Linear(width, inner), activation(), nn.Dropout(0.1), nn.Linear(inner, width)
        )

    def forward(self, x):
        return x + self.inner(self.norm(x))


class Embedded(nn.Module):
    """Two embedded columns beside the others."""

    def __init__(self, body, n_levels=4):
        super().__init__()
        self.one = nn.Embedding(n_levels, 3)
        self.two = nn.Embedding(n_levels, 2)
        self.body = body

    def forward(self, x):
        parts = [self.one(x[:, 0].long()), self.two(x[:, 1:3].long()).flatten(1), x[:, 3:]]
        return self.body(torch.cat(parts, dim=1))


ACTIVATIONS = [nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.ELU, nn.LeakyReLU]
NORMS = [nn.Identity, nn.BatchNorm1d, nn.LayerNorm]


@st.composite
def architectures(draw):
    """Functions that make a module of a random architecture, and whether it embeds columns."""
    activation = draw(st.sampled_from(ACTIVATIONS))
    norm = draw(st.sampled_from(NORMS))
    widths = draw(st.lists(st.integers(2, 5), min_size=1, max_size=3))
    n_blocks = draw(st.integers(0, 2))
    embeds = draw(st.booleans())

    def make(seed):
        torch.manual_seed(seed)
        layers, last = [], 3 + 4 + (N_FEATURES - 3) if embeds else N_FEATURES
        for width in widths:
            layers += [nn.Linear(last, width), norm_of(norm, width), activation()]
            last = width
        layers += [Residual(last, 4, lambda w: norm_of(norm, w), activation)] * bool(n_blocks)
        layers += [Residual(last, 3, lambda w: norm_of(norm, w), activation)] * (n_blocks > 1)
        body = nn.Sequential(*layers, nn.Linear(last, N_CLASSES))
        module = (Embedded(body) if embeds else body).double()
        return randomised(module, seed).eval()

    return make, embeds


def norm_of(norm, width):
    return norm() if norm is nn.Identity else norm(width)


def randomised(module, seed):
    """Norms with parameters and statistics that are not those of a new module."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.LayerNorm):
            for tensor in part.state_dict().values():
                if tensor.is_floating_point():
                    tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return module


def rows(n_rows, seed=0, embeds=False):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, N_FEATURES))
    if embeds:
        X[:, :3] = rng.integers(0, 4, size=(n_rows, 3))
    return X


def output(module, X):
    with torch.no_grad():
        return module(torch.as_tensor(X)).numpy()


def arrays_of(module):
    return {name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}


def with_arrays(module, arrays):
    module.load_state_dict({name: torch.as_tensor(array) for name, array in arrays.items()})
    return module


def as_net(module):
    """A skorch net around a module, as if it were fitted."""
    net = NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, classes=list(range(N_CLASSES)), verbose=0
    )
    return net.initialize()
