"""Ways in which people write one operation: each is described, or named in the error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special
from torch import nn
from torch.nn import functional

from skmergecal._networks._activations import normal_cdf
from skmergecal._networks._network import as_float64
from skmergecal._networks._reparametrise import balance, reparametrise
from skmergecal._networks._spaces import find_spaces
from skmergecal._networks.trace import UntraceableError, trace
from tests.networks import arrays_of, output, with_arrays


class Net(nn.Module):
    """Layers and arrays that a function combines."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.first, self.wide, self.inner = nn.Linear(5, 4), nn.Linear(5, 8), nn.Linear(4, 4)
        self.out, self.norm = nn.Linear(4, 3), nn.LayerNorm(4)
        self.scale, self.shift = (nn.Parameter(torch.rand(4) + 0.5) for _ in range(2))
        self.one = nn.Parameter(torch.rand(()) + 0.5)
        self.square, self.table = (nn.Parameter(torch.randn(4, 4)) for _ in range(2))
        self.slopes = nn.Parameter(torch.rand(4))
        self.register_buffer("mask", torch.rand(4))
        self.fixed = torch.rand(4, dtype=torch.float64)

    def forward(self, x):
        return self.how(self, x)


def in_place(net, x):
    h = net.first(x)
    h += net.scale
    h.mul_(2)
    h.relu_()
    return net.out(h)


def in_place_under_two_names(net, x):
    h = net.first(x)
    same = h
    functional.relu(h, inplace=True)
    return net.out(same + h.clone().tanh_())


def centred(net, x):
    """RMSNorm and LayerNorm, written out."""
    h = net.first(x)
    h = (h - h.mean(-1, keepdim=True)) / 2
    return net.out(h * torch.rsqrt(h.pow(2).mean(dim=-1, keepdim=True) + 1e-6) * net.scale)


def heads(net, x):
    """Attention of two heads over two halves of a layer."""
    z = net.wide(x).view(x.size(0), 2, 4)
    q = net.inner(z).reshape(x.shape[0], 2, 2, 2).transpose(1, 2)
    z = functional.scaled_dot_product_attention(q, q, q).transpose(1, 2).flatten(2)
    return net.out(z).mean(1)


def slices(net, x):
    h = net.wide(x)
    return net.out(h[:, :4] * torch.sigmoid(h[:, 4:]) + h[:, 2:6])


FORMS = {
    "in place": in_place,
    "in place, two names": in_place_under_two_names,
    "norm by hand": centred,
    "heads": heads,
    "slices": slices,
    "three parts": lambda n, x: n.out(torch.cat(n.wide(x).split([3, 2, 3], 1)[::2], 1)[:, :4]),
    "constants": lambda n, x: n.out(2 * torch.relu(n.first(x) / 3) - (1 - n.first(x)) * 0.5),
    "differences": lambda n, x: n.out(n.first(x) - torch.relu(n.inner(n.first(x)))),
    "quotient": lambda n, x: n.out(n.first(x) / (1 + n.first(x).abs())),
    "bias outside": lambda n, x: n.out(torch.relu(x[:, :4] @ n.square + n.shift)),
    "functional": lambda n, x: n.out(torch.tanh(functional.linear(n.first(x), n.square, n.shift))),
    "masked": lambda n, x: n.out(functional.linear(n.first(x), n.square * n.mask) * n.fixed),
    "scaled": lambda n, x: n.out(n.first(x) * n.scale.exp() * n.one + n.shift[None]),
    "shared matrix": lambda n, x: n.out(torch.relu(n.first(x) @ n.square) @ n.square.t()),
    "slopes": lambda n, x: n.out(functional.prelu(n.first(x), n.slopes)),
    "tokens": lambda n, x: n.out(torch.relu(x[:, :4, None] * n.table + n.square).mean(dim=1)),
    "largest": lambda n, x: n.out(torch.relu(x[:, :4, None] * n.table).amax(1)),
    "outer": lambda n, x: n.out(
        torch.einsum("bi,bj->bij", n.first(x), n.inner(n.first(x))).sum(-1)
    ),
    "inner product": lambda n, x: n.out(n.first(x) * (n.first(x) @ n.slopes).unsqueeze(-1)),
    "gate for all": lambda n, x: n.out(n.first(x) * torch.sigmoid(n.out(n.first(x))[:, :1])),
    "square": lambda n, x: n.out(n.first(x) * n.first(x) + n.first(x) ** 2 + n.first(x).square()),
    "stacked": lambda n, x: n.out(torch.stack([n.first(x), n.first(x) + 1], 1).mean(1)),
    "mixture": lambda n, x: torch.log(
        torch.stack([n.out(n.first(x)), n.out(n.wide(x)[:, 4:])], 1).softmax(-1).mean(1)
    ),
    "softmax": lambda n, x: torch.softmax(n.out(torch.relu(n.norm(n.first(x)))), dim=-1),
    "permuted": lambda n, x: n.out(n.wide(x).unflatten(1, (2, 4)).permute(0, 2, 1).mean(2)),
    "softplus": lambda n, x: n.out(functional.softplus(n.first(x), beta=2) + torch.sin(n.first(x))),
    "clipped": lambda n, x: n.out(n.first(x).clamp(min=0) + torch.clamp(n.first(x), -1, 1)),
}


class Layers(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 16), *layers)
        n = self.layers(torch.zeros(2, 5)).flatten(1).shape[1]
        self.out = nn.Linear(n, 3)

    def forward(self, x):
        return self.out(self.layers(x).flatten(1))


def channels(*layers):
    return [nn.Unflatten(1, (2, 8)), nn.Conv1d(2, 4, 3, padding=1), *layers]


LAYERS = {
    "activations": lambda: [nn.CELU(0.5), nn.Linear(16, 6), nn.Softsign(), nn.LogSigmoid()],
    "limits": lambda: [nn.Hardsigmoid(), nn.Hardtanh(), nn.Hardtanh(0, 6), nn.Softplus(2.0)],
    "slopes": lambda: [nn.PReLU(), nn.GLU(), nn.PReLU(8), nn.BatchNorm1d(8)],
    "strides": lambda: channels(
        nn.PReLU(4), nn.Conv1d(4, 6, 3, stride=2, dilation=2), nn.BatchNorm1d(6)
    ),
    "pools": lambda: channels(nn.ReLU(), nn.MaxPool1d(3, 2, 1), nn.AvgPool1d(2, padding=1)),
    "same": lambda: channels(nn.Conv1d(4, 4, 5, padding="same", groups=4), nn.AdaptiveMaxPool1d(1)),
    "images": lambda: [
        nn.Unflatten(1, (1, 4, 4)),
        nn.Conv2d(1, 3, 3, padding=1, bias=False),
        nn.BatchNorm2d(3),
        nn.Hardswish(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(2),
        nn.Softmax(dim=-1),
    ],
}


@pytest.mark.parametrize("name", [*FORMS, *LAYERS])
def test_operations_are_described_and_their_units_permuted(name):
    torch.manual_seed(0)
    module = Net(FORMS[name]) if name in FORMS else Layers(*LAYERS[name]())
    module, rng = module.double().eval(), np.random.default_rng(0)
    X, softmax = rng.normal(size=(10, 5)), name == "softmax"
    network, arrays = trace(module), as_float64(arrays_of(module))
    values, out = network.values(arrays, X), module(torch.as_tensor(X))
    expected = out.detach().numpy()
    found = special.softmax(values[-1], axis=1) if softmax else values[-1]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    goal = rng.normal(size=out.shape)
    out.backward(torch.as_tensor(goal))
    gradients = {} if softmax else network.gradients(arrays, values, goal)
    for key, p in module.named_parameters() if gradients else ():
        grad = 0.0 if p.grad is None else p.grad.numpy()
        np.testing.assert_allclose(gradients.get(key, 0.0), grad, atol=1e-11, err_msg=key)
    for space in (spaces := find_spaces(network, arrays)):
        signs = [
            rng.choice([-1.0, 1.0], space.size) if group.odd else np.ones(space.size)
            for group in space.groups
        ]
        reparametrise(arrays, space, rng.permutation(space.size), signs)
    balance(arrays, spaces)
    np.testing.assert_allclose(output(with_arrays(module, arrays), X), expected, atol=1e-10)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(5, 3)

    def forward(self, numbers, codes):
        return self.out(torch.cat([numbers, codes], dim=1))


def test_several_inputs_are_named():
    with pytest.raises(UntraceableError, match=r"2 inputs \(numbers, codes\), whose shapes"):
        trace(TwoInputs())


@pytest.mark.parametrize(
    ("how", "what"),
    [
        (lambda n, x: n.out(n.first(x).cumsum(1)), "operation 'cumsum'"),
        (lambda n, x: n.out(n.first(x) - n.first(x).mean(0)), "operation 'mean' across rows"),
        (lambda n, x: n.out(n.first(x).view(-1, 2, 2).view(-1, 2)), "shape 'view' across rows"),
        (lambda n, x: n.out(n.first(x).clamp(0.1, 0.4)), "'clamp' between 0.1 and 0.4"),
        (lambda n, x: n.out(n.first(x))[:, 0] + n.out(n.first(x)), "with 2 and fewer axes"),
        (lambda n, x: n.out(n.first(x) ** n.scale), "exponent that is computed"),
        (lambda n, x: (n.out(n.first(x)), n.first(x)), "several outputs"),
        (lambda n, x: n.out(functional.dropout(n.first(x))), "training=True, which draws"),
        (lambda n, x: n.out(n.first(x).to(torch.float32).double().sort()[0]), "operation 'sort'"),
    ],
)
def test_the_operation_that_is_in_the_way_is_named(how, what):
    with pytest.raises(UntraceableError, match=what):
        trace(Net(how).double(), 5)


def test_the_normal_distribution_function_in_both_precisions():
    x = np.concatenate([np.linspace(-40, 40, 200_001), [np.inf, -np.inf]])
    np.testing.assert_array_equal(normal_cdf(x), special.ndtr(x))
    found = normal_cdf(x.astype(np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, special.ndtr(x.astype(np.float32).astype(float)), atol=4e-7)
    assert np.isnan(normal_cdf(np.float32([np.nan]))).all()
