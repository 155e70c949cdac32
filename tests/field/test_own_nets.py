"""Nets whose module changes when it runs: whatever is done with them, they stay as they are."""

from __future__ import annotations

import pickle
from collections import Counter, deque

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch import NeuralNetClassifier
from torch import nn

from skmergecal import (
    FineTunedClassifier,
    MergedClassifier,
    TemperatureCalibrator,
    compare_fit_orders,
    fit_orders,
    merge_path,
)
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import fisher_average
from skmergecal.report import calibration_report

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 4)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)


class Own(nn.Module):
    """Two layers; classes below do something more."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(self.change(x))))

    def change(self, x):
        return x


class MovingMean(Own):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))

    def change(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return x


class MovingMeanInPlace(MovingMean):
    def change(self, x):
        self.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))
        return x


class Counting(Own):
    def __init__(self):
        super().__init__()
        self.calls, self.widths = 0, Counter()

    def change(self, x):
        self.calls += 1
        self.widths[int(x.shape[1])] += 1
        return x


class Storing(Own):
    """Keeps hidden layers: tensors that copy.deepcopy refuses."""

    def __init__(self):
        super().__init__()
        self.latest, self.all = None, deque(maxlen=3)

    def forward(self, x):
        self.latest = torch.relu(self.hidden(x))
        self.all.append(self.latest)
        return self.out(self.latest)


class NoiseInTraining(Own):
    def change(self, x):
        return x + 0.1 * torch.randn_like(x) if self.training else x


class NoiseAlways(Own):
    def change(self, x):
        return nn.functional.dropout(x, 0.1)


class BoundedWeights(Own):
    """Bounds its weights whenever it runs."""

    def change(self, x):
        self.hidden.weight.data = self.hidden.weight.data.clamp(-0.2, 0.2)
        return x


class Everything(MovingMean, Counting):
    """Most of it at once."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))
        self.calls, self.widths, self.latest = 0, Counter(), None

    def forward(self, x):
        Counting.change(self, x)
        self.latest = torch.relu(
            self.hidden(NoiseInTraining.change(self, MovingMean.change(self, x)))
        )
        return self.out(self.latest)


MODULES = [
    MovingMean,
    MovingMeanInPlace,
    Counting,
    Storing,
    NoiseInTraining,
    NoiseAlways,
    BoundedWeights,
]


def fitted(module, seed=0, **params):
    torch.manual_seed(seed)
    params = {"train_split": None, "verbose": 0, "max_epochs": 1, "lr": 0.1, **params}
    return NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, **params).fit(X, Y)


def plain(value):
    """A value that can be compared: tensors as lists."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, nn.Module):
        return looks_of(value)
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list | tuple | set | deque) else value


def looks_of(module):
    return type(module), {name: plain(value) for name, value in vars(module).items()}


def everything(net):
    state = {name: tensor.tolist() for name, tensor in net.module_.state_dict().items()}
    return state, looks_of(net.module_), looks_of(net.criterion_), torch.get_rng_state().tolist()


class Wrapper(ClassifierMixin, BaseEstimator):
    """Somebody's own class around a net."""

    def __init__(self, net):
        self.net = net

    def fit(self, X, y):
        self.nets_ = {"only": [self.net]}
        self.classes_ = self.net.classes_
        return self

    def predict_proba(self, X):
        return self.nets_["only"][0].predict_proba(np.asarray(X, dtype=np.float32))


def by_parameters(a, b):
    settings = {"method": "parameters", "alignment": None, "barrier_tolerance": 1e9}
    return MergedClassifier.from_fitted([a, b], X, Y, **settings)


def merge(a, b):
    model = MergedClassifier.from_fitted([a, b], X, Y, weights=None)
    model.predict_proba(X)
    model.score(X, Y)


def merge_aligned(a, b):
    MergedClassifier.from_fitted([a, b], X, Y, method="parameters", barrier_tolerance=1e9)


def align(a, b):
    settings = {"method": "parameters", "alignment": "weights", "barrier_tolerance": 1e9}
    MergedClassifier.from_fitted([a, b], X, Y, **settings)


def merge_pipelines(a, b):
    members = [make_pipeline(FunctionTransformer().fit(X), net) for net in (a, b)]
    MergedClassifier.from_fitted(members, X, Y).predict_proba(X)


def calibrate(a, b):
    model = TemperatureCalibrator(FrozenEstimator(a)).fit(X, Y)
    calibration_report(model, X, Y, n_resamples=2)


def tune(a, b):
    FineTunedClassifier(FrozenEstimator(a), epochs=1, early_stopping=True).fit(X, Y).predict(X)
    students = {"estimator": FrozenEstimator(by_parameters(a, b)), "augment": "both"}
    FineTunedClassifier(**students, target="members", epochs=1).fit(X, Y)


def to_one_estimator(a, b):
    merged = by_parameters(a, b)
    merged.to_estimator(X)
    merged.set_params(calibrate="both").fit(X, Y).to_estimator(X)


def measure_the_path(a, b):
    merge_path(a, b, X, Y, n_points=3)
    merge_path(a, b, X, Y, n_points=3, alignment="weights")


def compare_orders(a, b):
    members = [("a", FrozenEstimator(a)), ("b", FrozenEstimator(b))]
    compare_fit_orders(members, X, Y, orders=["merge"], cv=2)
    fit_orders(members, method="logits")["calibrate-then-merge"].fit(X, Y)


def weigh_by_fisher(a, b):
    fisher_average([a, b], X[:5])


def wrap(a, b):
    MergedClassifier.from_fitted([Wrapper(net).fit(X, Y) for net in (a, b)], X, Y).predict_proba(X)


WORK = [
    merge,
    merge_aligned,
    merge_pipelines,
    calibrate,
    tune,
    to_one_estimator,
    measure_the_path,
    compare_orders,
    weigh_by_fisher,
    wrap,
]


def quietly(work, *nets):
    """Do it; what cannot be merged is refused, or warned of, and changes nothing either."""
    try:
        work(*nets)
    except IncompatibleEstimatorsError:
        assert work in (align, measure_the_path, weigh_by_fisher)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("module", "work"),
    [(Everything, work) for work in WORK]
    + [(module, work) for module in MODULES for work in (merge, align, tune)],
)
def test_nets_stay_as_they_are(module, work):
    nets = [fitted(module, seed) for seed in range(2)]
    before = [everything(net) for net in nets]
    quietly(work, *nets)
    assert [everything(net) for net in nets] == before
    for net in nets:
        pickle.loads(pickle.dumps(net)).predict_proba(X)
