"""Nets of other architectures than stacks of layers: merged, tuned, or refused with the reason."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn.utils import parametrizations, prune

from skmergecal import FineTunedClassifier, MergedClassifier, TemperatureCalibrator, merge_path
from skmergecal.exceptions import IncompatibleEstimatorsError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(int)


def stack(wrap=lambda layer: layer):
    return nn.Sequential(wrap(nn.Linear(4, 6)), nn.ReLU(), nn.Linear(6, 2))


class SeveralInOne(nn.Module):
    """Members of an ensemble along an axis of their own, as in TabM."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3, 4))
        self.hidden, self.out = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x):
        x = x[:, None] * self.scale
        return self.out(torch.relu(self.hidden(x))).mean(1)


class Sorted(nn.Module):
    """Its hidden units are summed up in their order."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.out(torch.cumsum(torch.relu(self.hidden(x)), dim=1))


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = stack()

    def forward(self, x):
        return self.layers(x) if x.sum() > 0 else self.layers(x) + 0.0


class Unhelpful(nn.Module):
    """Raises what nobody expects where x is no tensor."""

    def __init__(self):
        super().__init__()
        self.layers = stack()

    def forward(self, x):
        if type(x) is not torch.Tensor:
            raise KeyError(type(x))
        return self.layers(x)


class InHalfPrecision(nn.Module):
    """Computes in bfloat16, and casts what comes in and what goes out."""

    def __init__(self, dtype=torch.bfloat16):
        super().__init__()
        self.layers = stack().to(dtype)

    def forward(self, x):
        return self.layers(x.to(self.layers[0].weight.dtype)).float()


class WithSomethingElse(nn.Module):
    """Keeps more than tensors in its state."""

    def __init__(self):
        super().__init__()
        self.layers = stack()

    def forward(self, x):
        return self.layers(x)

    def get_extra_state(self):
        return {"made": "today"}

    def set_extra_state(self, state):
        assert state == {"made": "today"}


def without_statistics():
    return nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6, track_running_stats=False), nn.ReLU(), nn.Linear(6, 2)
    )


def half():
    return InHalfPrecision(torch.float16)


#: Those without a description, and what the error says of them.
UNTRACEABLE = {
    Sorted: "the operation 'cumsum'",
    Branching: "cannot trace Branching",
    Unhelpful: "cannot trace Unhelpful",
    InHalfPrecision: "is torch.bfloat16, too coarse",
    half: "is torch.float16, too coarse",
    without_statistics: "without running statistics, whose output for a row depends on other rows",
}


def fitted(module, seed=0, **params):
    torch.manual_seed(seed)
    module = module() if not isinstance(module, type) else module
    params = {"train_split": None, "verbose": 0, "max_epochs": 30, "lr": 0.3, **params}
    return NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, **params).fit(X, Y)


def from_one_start(module):
    """Two nets that may be averaged as they are: the second went on from the first."""
    first, second = fitted(module), fitted(module)
    second.set_params(max_epochs=1)
    return [first, second.partial_fit(X[:60], Y[:60])]


@pytest.fixture(autouse=True)
def rows_of_training():
    """The nets are merged on the rows that they were trained on, which some nets show."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*were these rows used to train them")
        yield


def merged(nets, **settings):
    settings = {"method": "parameters", "barrier_tolerance": 1e9, **settings}
    return MergedClassifier.from_fitted(nets, X, Y, **settings)


@pytest.mark.parametrize("module", UNTRACEABLE)
def test_nets_that_cannot_be_described_are_averaged_as_they_are(module):
    nets = from_one_start(module)
    with pytest.raises(IncompatibleEstimatorsError, match=UNTRACEABLE[module]) as error:
        merged(nets, alignment="weights")
    assert "Pass alignment=None" in str(error.value)
    one_start = merged(nets)
    assert one_start.merge_report_.chosen in ("plain", "distilled from the average")
    assert one_start.score(X, Y) > 0.6
    model = merged(nets, alignment=None)
    mean = {
        name: (a.double() + b.double()) / 2
        for (name, a), b in zip(
            nets[0].module_.state_dict().items(), nets[1].module_.state_dict().values(), strict=True
        )
    }
    even = merged(nets, alignment=None, weights=None)
    for name, tensor in even.merged_estimator_.module_.state_dict().items():
        torch.testing.assert_close(tensor.double(), mean[name], rtol=1e-2, atol=1e-2)
    assert model.score(X, Y) > 0.6
    plain = model.to_estimator(X)
    np.testing.assert_allclose(plain.predict_proba(X), model.predict_proba(X), atol=1e-4)
    assert merge_path(*nets, X, Y, n_points=3).loss.shape == (3,)


@pytest.mark.parametrize(
    "module", [SeveralInOne, InHalfPrecision, without_statistics, WithSomethingElse]
)
def test_nets_of_any_architecture_are_tuned_and_distilled(module):
    nets = from_one_start(module)
    tuned = FineTunedClassifier(FrozenEstimator(nets[0]), epochs=1, random_state=0).fit(X, Y)
    assert tuned.score(X, Y) > 0.6
    one = merged(nets, alignment=None, on_barrier="logits")
    student = FineTunedClassifier(
        FrozenEstimator(one), target="members", augment="jitter", epochs=1, random_state=0
    )
    assert student.fit(X, Y).score(X, Y) > 0.6


REPARAMETRISED = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "weight norm by a hook": nn.utils.weight_norm,
    "spectral norm by a hook": nn.utils.spectral_norm,
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", amount=0.3),
}


def effective(net):
    """The weight that the first layer computes with."""
    net.module_.eval()
    with torch.no_grad():
        net.module_(torch.zeros(2, 4))
        return net.module_[0].weight.clone()


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("how", REPARAMETRISED)
def test_weights_are_averaged_not_what_they_are_made_from(how):
    nets = from_one_start(lambda: stack(REPARAMETRISED[how]))
    before = [list(net.module_.state_dict()) for net in nets]
    even = merged(nets, alignment=None, weights=None)
    expected = (effective(nets[0]) + effective(nets[1])) / 2
    weight = even.merged_estimator_.module_[0].weight
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-5, atol=1e-6)
    assert [list(net.module_.state_dict()) for net in nets] == before
    effective(nets[0])  # still computed


@pytest.mark.parametrize("how", ["orthogonal", "spectral norm by a hook", "pruned"])
def test_reparametrised_nets_are_aligned_scaled_calibrated_and_tuned(how):
    aligned = merged([fitted(lambda: stack(REPARAMETRISED[how]), seed) for seed in range(2)])
    assert aligned.score(X, Y) > 0.6
    assert FineTunedClassifier(FrozenEstimator(aligned), epochs=1).fit(X, Y).score(X, Y) > 0.6
    nets = from_one_start(lambda: stack(REPARAMETRISED[how]))
    scaled = [make_pipeline(StandardScaler().fit(X), net) for net in nets]
    both = merged(scaled, alignment=None, calibrate="members")
    assert both.to_estimator(X).module_[0].weight.shape == (6, 4)
    calibrated = TemperatureCalibrator(FrozenEstimator(nets[0])).fit(X, Y)
    settings = {"epochs": 2, "average": True, "early_stopping": True, "random_state": 0}
    tuned = FineTunedClassifier(FrozenEstimator(calibrated), **settings).fit(X, Y)
    assert tuned.score(X, Y) > 0.6
