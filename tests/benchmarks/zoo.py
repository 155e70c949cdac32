"""Kinds of small modules that people train on tables, from the formulas of their papers.

Each takes (n_features, n_classes, width). The first `N_CATEGORIES` columns of kinds in `EMBEDS` are
codes from 0 to `N_LEVELS` - 1.
"""

from __future__ import annotations

from math import pi

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

N_CATEGORIES, N_LEVELS = 2, 4


def stack(*parts, n_features, n_classes, width):
    """Two hidden layers with the same parts behind each."""
    layers = [nn.Linear(n_features, width), *(part() for part in parts)]
    layers += [nn.Linear(width, width), *(part() for part in parts), nn.Linear(width, n_classes)]
    return nn.Sequential(*layers)


def mlp(n, k, w):
    return stack(nn.ReLU, n_features=n, n_classes=k, width=w)


def dropout(n, k, w):
    parts = (lambda: nn.ReLU(inplace=True), lambda: nn.Dropout(0.1))
    return stack(*parts, n_features=n, n_classes=k, width=w)


def batch_norm(n, k, w):
    """Ioffe and Szegedy, 2015."""
    return stack(lambda: nn.BatchNorm1d(w), nn.ReLU, n_features=n, n_classes=k, width=w)


def layer_norm(n, k, w):
    """Ba et al., 2016."""
    return stack(lambda: nn.LayerNorm(w), nn.GELU, n_features=n, n_classes=k, width=w)


def rms_norm(n, k, w):
    """Zhang and Sennrich, 2019."""
    return stack(lambda: nn.RMSNorm(w), nn.SiLU, n_features=n, n_classes=k, width=w)


def self_normalising(n, k, w):
    """Klambauer et al., 2017."""
    net = stack(nn.SELU, lambda: nn.AlphaDropout(0.05), n_features=n, n_classes=k, width=w)
    for part in net:
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=part.in_features**-0.5)
    return net


def mish(n, k, w):
    """Misra, 2019."""
    return stack(nn.Mish, n_features=n, n_classes=k, width=w)


def prelu(n, k, w):
    """He et al., 2015."""
    return stack(lambda: nn.PReLU(w), n_features=n, n_classes=k, width=w)


def hardswish(n, k, w):
    """Howard et al., 2019."""
    return nn.Sequential(
        nn.Linear(n, w), nn.Hardswish(), nn.Linear(w, w), nn.ReLU6(), nn.Linear(w, k)
    )


def softplus(n, k, w):
    """Dugas et al., 2000."""
    return stack(nn.Softplus, n_features=n, n_classes=k, width=w)


def weight_norm(n, k, w):
    """Salimans and Kingma, 2016."""
    wrap = parametrizations.weight_norm
    layers = [wrap(nn.Linear(n, w)), nn.ReLU(), wrap(nn.Linear(w, w)), nn.ReLU(), nn.Linear(w, k)]
    return nn.Sequential(*layers)


def spectral_norm(n, k, w):
    """Miyato et al., 2018."""
    wrap = parametrizations.spectral_norm
    return nn.Sequential(
        nn.Linear(n, w), nn.ReLU(), wrap(nn.Linear(w, w)), nn.ReLU(), nn.Linear(w, k)
    )


class ResNet(nn.Module):
    """Gorishniy et al., "Revisiting deep learning models for tabular data", 2021."""

    def __init__(self, n, k, w):
        super().__init__()
        self.first, self.norm, self.out = nn.Linear(n, w), nn.BatchNorm1d(w), nn.Linear(w, k)
        self.norms = nn.ModuleList([nn.BatchNorm1d(w) for _ in range(2)])
        self.up = nn.ModuleList([nn.Linear(w, 2 * w) for _ in range(2)])
        self.down = nn.ModuleList([nn.Linear(2 * w, w) for _ in range(2)])

    def forward(self, x):
        x = self.first(x)
        for norm, up, down in zip(self.norms, self.up, self.down, strict=True):
            x = x + down(functional.dropout(functional.relu(up(norm(x))), 0.1, self.training))
        return self.out(functional.relu(self.norm(x)))


class GLU(nn.Module):
    """Dauphin et al., 2017."""

    def __init__(self, n, k, w):
        super().__init__()
        self.one, self.two, self.out = nn.Linear(n, 2 * w), nn.Linear(w, 2 * w), nn.Linear(w, k)

    def forward(self, x):
        h = functional.glu(self.one(x), dim=-1)
        a, b = self.two(h).chunk(2, dim=1)
        return self.out(h + a * torch.sigmoid(b))


class SwiGLU(nn.Module):
    """Shazeer, "GLU variants improve transformer", 2020."""

    def __init__(self, n, k, w):
        super().__init__()
        self.first, self.out = nn.Linear(n, w), nn.Linear(w, k)
        self.gate, self.up = nn.Linear(w, 2 * w, bias=False), nn.Linear(w, 2 * w, bias=False)
        self.down, self.norm = nn.Linear(2 * w, w, bias=False), nn.RMSNorm(w)

    def forward(self, x):
        h = self.first(x)
        z = self.norm(h)
        return self.out(h + self.down(functional.silu(self.gate(z)) * self.up(z)))


class Cross(nn.Module):
    """DCN: Wang et al., "Deep & cross network for ad click predictions", 2017."""

    def __init__(self, n, k, w):
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(n) / n) for _ in range(2)])
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(n)) for _ in range(2)])
        self.deep = nn.Sequential(nn.Linear(n, w), nn.ReLU(), nn.Linear(w, w), nn.ReLU())
        self.out = nn.Linear(n + w, k)

    def forward(self, x):
        crossed = x
        for weight, bias in zip(self.weights, self.biases, strict=True):
            crossed = x * (crossed @ weight).unsqueeze(1) + bias + crossed
        return self.out(torch.cat([crossed, self.deep(x)], dim=1))


class CrossV2(nn.Module):
    """DCN V2: Wang et al., 2021."""

    def __init__(self, n, k, w):
        super().__init__()
        self.cross = nn.ModuleList([nn.Linear(n, n) for _ in range(2)])
        self.deep = nn.Sequential(nn.Linear(n, w), nn.ReLU(), nn.Linear(w, w), nn.ReLU())
        self.out = nn.Linear(n + w, k)

    def forward(self, x):
        crossed = x
        for layer in self.cross:
            crossed = x * layer(crossed) + crossed
        return self.out(torch.cat([crossed, self.deep(x)], dim=1))


class LayerScale(nn.Module):
    """Touvron et al., "Going deeper with image transformers", 2021."""

    def __init__(self, n, k, w):
        super().__init__()
        self.first, self.out = nn.Linear(n, w), nn.Linear(w, k)
        self.blocks = nn.ModuleList(
            [
                nn.Sequential(nn.LayerNorm(w), nn.Linear(w, w), nn.GELU(), nn.Linear(w, w))
                for _ in "ab"
            ]
        )
        self.scales = nn.ParameterList([nn.Parameter(torch.full((w,), 0.3)) for _ in "ab"])

    def forward(self, x):
        x = self.first(x)
        for scale, block in zip(self.scales, self.blocks, strict=True):
            x = x + scale * block(x)
        return self.out(x)


class Highway(nn.Module):
    """Srivastava et al., 2015."""

    def __init__(self, n, k, w):
        super().__init__()
        self.first, self.out = nn.Linear(n, w), nn.Linear(w, k)
        self.inner, self.gate = nn.Linear(w, w), nn.Linear(w, w)

    def forward(self, x):
        x = torch.tanh(self.first(x))
        t = torch.sigmoid(self.gate(x))
        return self.out(t * torch.relu(self.inner(x)) + (1 - t) * x)


class Experts(nn.Module):
    """Jacobs et al., "Adaptive mixtures of local experts", 1991."""

    def __init__(self, n, k, w):
        super().__init__()
        self.gate, self.out = nn.Linear(n, 3), nn.Linear(w, k)
        self.experts = nn.ModuleList([nn.Sequential(nn.Linear(n, w), nn.ReLU()) for _ in range(3)])

    def forward(self, x):
        share = functional.softmax(self.gate(x), dim=-1)
        found = torch.stack([expert(x) for expert in self.experts], dim=1)
        return self.out((share.unsqueeze(-1) * found).sum(dim=1))


class Periodic(nn.Module):
    """Gorishniy et al., "On embeddings for numerical features", 2022."""

    def __init__(self, n, k, w, n_waves=4):
        super().__init__()
        self.waves = nn.Parameter(0.3 * torch.randn(n, n_waves))
        self.embed = nn.Linear(2 * n_waves, 4)
        self.net = mlp(4 * n, k, w)

    def forward(self, x):
        angle = 2 * pi * self.waves * x[..., None]
        z = functional.relu(self.embed(torch.cat([torch.cos(angle), torch.sin(angle)], -1)))
        return self.net(z.flatten(1))


class PiecewiseLinear(nn.Module):
    """The same paper: the share of each bin that lies below a number."""

    def __init__(self, n, k, w, n_bins=4):
        super().__init__()
        self.register_buffer("edges", torch.linspace(-1.5, 1.0, n_bins).repeat(n, 1))
        self.weight = nn.Parameter(torch.randn(n, n_bins, 4) / n_bins)
        self.bias = nn.Parameter(torch.zeros(n, 4))
        self.net = mlp(4 * n, k, w)

    def forward(self, x):
        share = torch.clamp((x[..., None] - self.edges) / 0.8, -1, 1)
        z = torch.einsum("bfi,fid->bfd", share, self.weight) + self.bias
        return self.net(functional.relu(z).flatten(1))


class Categories(nn.Module):
    """Guo and Berkhahn, "Entity embeddings of categorical variables", 2016."""

    def __init__(self, n, k, w):
        super().__init__()
        self.tables = nn.ModuleList([nn.Embedding(N_LEVELS, 3) for _ in range(N_CATEGORIES)])
        self.net = mlp(3 * N_CATEGORIES + n - N_CATEGORIES, k, w)

    def forward(self, x):
        codes, numbers = x[:, :N_CATEGORIES].long(), x[:, N_CATEGORIES:]
        parts = [table(codes[:, i]) for i, table in enumerate(self.tables)]
        return self.net(torch.cat([*parts, numbers], dim=1))


class SharedTable(nn.Module):
    """One table with an offset for each column, as in factorisation machines (Rendle, 2010)."""

    def __init__(self, n, k, w):
        super().__init__()
        self.register_buffer("offsets", torch.arange(N_CATEGORIES) * N_LEVELS)
        self.table = nn.Embedding(N_CATEGORIES * N_LEVELS, 3)
        self.net = mlp(3 * N_CATEGORIES + n - N_CATEGORIES, k, w)

    def forward(self, x):
        z = self.table(x[:, :N_CATEGORIES].long() + self.offsets)
        return self.net(torch.cat([z.view(z.size(0), -1), x[:, N_CATEGORIES:]], dim=1))


class FactorisationMachine(nn.Module):
    """DeepFM: Guo et al., 2017, on numbers: products of pairs beside a deep net."""

    def __init__(self, n, k, w):
        super().__init__()
        self.factors = nn.Parameter(torch.randn(n, 6) / n)
        self.linear, self.pairs, self.net = nn.Linear(n, k), nn.Linear(6, k), mlp(n, k, w)

    def forward(self, x):
        pairs = ((x @ self.factors) ** 2 - x**2 @ self.factors**2) / 2
        return self.linear(x) + self.pairs(pairs) + self.net(x)


class Several(nn.Module):
    """TabM: Gorishniy et al., 2024, with BatchEnsemble (Wen et al., 2020)."""

    def __init__(self, n, k, w, n_parts=4):
        super().__init__()
        sign = torch.randint(0, 2, (n_parts, n)).float() * 2 - 1
        self.r1, self.s1 = nn.Parameter(sign), nn.Parameter(torch.ones(n_parts, w))
        self.r2, self.s2 = (
            nn.Parameter(torch.ones(n_parts, w)),
            nn.Parameter(torch.ones(n_parts, w)),
        )
        self.b1, self.b2 = (
            nn.Parameter(torch.zeros(n_parts, w)),
            nn.Parameter(torch.zeros(n_parts, w)),
        )
        self.one, self.two = nn.Linear(n, w, bias=False), nn.Linear(w, w, bias=False)
        self.heads = nn.Parameter(torch.randn(n_parts, w, k) / w**0.5)
        self.bias = nn.Parameter(torch.zeros(n_parts, k))

    def forward(self, x):
        h = functional.relu(self.one(x[:, None] * self.r1) * self.s1 + self.b1)
        h = functional.relu(self.two(h * self.r2) * self.s2 + self.b2)
        return (torch.einsum("bki,kio->bko", h, self.heads) + self.bias).mean(dim=1)


class ConvOneD(nn.Module):
    """A convolution over the columns in an order that a layer learns (Baosenguo, 2020)."""

    def __init__(self, n, k, w):
        super().__init__()
        self.first, self.w = nn.Linear(n, 4 * w), w
        self.net = nn.Sequential(
            nn.BatchNorm1d(4),
            nn.Conv1d(4, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(8, 8, 3, padding=1, groups=8),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(2),
            nn.Flatten(),
            nn.Linear(16, k),
        )

    def forward(self, x):
        return self.net(functional.relu(self.first(x)).reshape(x.shape[0], 4, self.w))


class LeNet(nn.Module):
    """LeCun et al., 1998, on tables of 8 x 8 numbers, or padded to it."""

    def __init__(self, n, k, w):
        super().__init__()
        self.pad = nn.Linear(n, 64) if n != 64 else nn.Identity()
        self.one, self.two = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 12, 3)
        self.inner, self.out = nn.Linear(12, w), nn.Linear(w, k)

    def forward(self, x):
        x = self.pad(x).view(-1, 1, 8, 8)
        x = functional.max_pool2d(torch.relu(self.one(x)), 2)
        x = functional.avg_pool2d(torch.relu(self.two(x)), 2)
        return self.out(torch.relu(self.inner(x.flatten(1))))


class Tokens(nn.Module):
    """FT-Transformer: Gorishniy et al., 2021, with attention of one head written out."""

    def __init__(self, n, k, w, d=8):
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.randn(n, d) / 2),
            nn.Parameter(torch.randn(n, d) / 2),
        )
        self.start = nn.Parameter(torch.randn(1, 1, d) / 2)
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))
        self.norms = nn.ModuleList([nn.LayerNorm(d) for _ in range(3)])
        self.up, self.down, self.out = nn.Linear(d, 2 * d), nn.Linear(2 * d, d), nn.Linear(d, k)

    def forward(self, x):
        tokens = x.unsqueeze(-1) * self.weight + self.bias
        tokens = torch.cat([self.start.expand(x.shape[0], -1, -1), tokens], dim=1)
        z = self.norms[0](tokens)
        score = self.q(z) @ self.k(z).transpose(1, 2) / z.shape[-1] ** 0.5
        tokens = tokens + self.o(torch.softmax(score, dim=-1) @ self.v(z))
        tokens = tokens + self.down(functional.gelu(self.up(self.norms[1](tokens))))
        return self.out(torch.relu(self.norms[2](tokens[:, 0])))


class Transformer(nn.Module):
    """The same with torch's own layer and several heads."""

    def __init__(self, n, k, w, d=8):
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.randn(n, d) / 2),
            nn.Parameter(torch.randn(n, d) / 2),
        )
        self.layer = nn.TransformerEncoderLayer(d, 2, 2 * d, 0.0, batch_first=True)
        self.out = nn.Linear(d, k)

    def forward(self, x):
        return self.out(self.layer(x.unsqueeze(-1) * self.weight + self.bias).mean(dim=1))


class Recurrent(nn.Module):
    """The columns one after the other (Cho et al., 2014)."""

    def __init__(self, n, k, w):
        super().__init__()
        self.gru, self.out = nn.GRU(1, w, batch_first=True), nn.Linear(w, k)

    def forward(self, x):
        return self.out(self.gru(x.unsqueeze(-1))[0][:, -1])


class TwoParts(nn.Module):
    """Wide & deep: Cheng et al., 2016: two groups of columns, each with layers of its own."""

    def __init__(self, n, k, w):
        super().__init__()
        self.at = n // 2
        self.left, self.right = nn.Linear(self.at, w), nn.Linear(n - self.at, w)
        self.join, self.out, self.wide = nn.Linear(2 * w, w), nn.Linear(w, k), nn.Linear(n, k)

    def forward(self, x):
        a, b = torch.split(x, [self.at, x.shape[1] - self.at], dim=1)
        h = torch.cat((torch.relu(self.left(a)), torch.tanh(self.right(b))), 1)
        return self.out(torch.relu(self.join(h))) + self.wide(x)


class Dense(nn.Module):
    """Huang et al., "Densely connected convolutional networks", 2017, without convolutions."""

    def __init__(self, n, k, w):
        super().__init__()
        self.one, self.two = nn.Linear(n, w), nn.Linear(n + w, w)
        self.out = nn.Linear(n + 2 * w, k)

    def forward(self, x):
        h = torch.cat([x, torch.relu(self.one(x))], dim=-1)
        return self.out(torch.cat([h, torch.relu(self.two(h))], dim=-1))


class Tied(nn.Module):
    """One block, used three times (Dehghani et al., 2019)."""

    def __init__(self, n, k, w):
        super().__init__()
        self.first, self.block, self.out = nn.Linear(n, w), nn.Linear(w, w), nn.Linear(w, k)

    def forward(self, x):
        x = self.first(x)
        for _ in range(3):
            x = x + torch.tanh(self.block(x))
        return self.out(x)


class Excitation(nn.Module):
    """Hu et al., "Squeeze-and-excitation networks", 2018: gates for all units, and in place."""

    def __init__(self, n, k, w):
        super().__init__()
        self.first, self.out = nn.Linear(n, w), nn.Linear(w, k)
        self.squeeze, self.gain = nn.Linear(w, w // 2), nn.Parameter(torch.ones(1))
        self.excite = nn.Linear(w // 2, w)

    def forward(self, x):
        h = self.first(x)
        h.relu_()
        gate = torch.sigmoid(self.excite(functional.relu(self.squeeze(h), inplace=True)))
        h = h * gate
        h *= self.gain
        return self.out(h)


#: By name: a function of (n_features, n_classes, width).
KINDS = {
    "MLP": mlp,
    "dropout": dropout,
    "BatchNorm": batch_norm,
    "LayerNorm": layer_norm,
    "RMSNorm": rms_norm,
    "SELU": self_normalising,
    "Mish": mish,
    "PReLU": prelu,
    "Hardswish": hardswish,
    "Softplus": softplus,
    "weight norm": weight_norm,
    "spectral norm": spectral_norm,
    "ResNet": ResNet,
    "GLU": GLU,
    "SwiGLU": SwiGLU,
    "DCN": Cross,
    "DCN V2": CrossV2,
    "LayerScale": LayerScale,
    "highway": Highway,
    "experts": Experts,
    "periodic": Periodic,
    "piecewise linear": PiecewiseLinear,
    "categories": Categories,
    "shared table": SharedTable,
    "DeepFM": FactorisationMachine,
    "TabM": Several,
    "conv1d": ConvOneD,
    "LeNet": LeNet,
    "attention": Tokens,
    "FT-Transformer": Transformer,
    "GRU": Recurrent,
    "wide & deep": TwoParts,
    "dense": Dense,
    "tied": Tied,
    "excitation": Excitation,
}
#: Kinds whose first columns are codes.
EMBEDS = {"categories", "shared table"}
#: Kinds with layers that alignment does not know.
UNTRACEABLE = {"FT-Transformer", "GRU"}
