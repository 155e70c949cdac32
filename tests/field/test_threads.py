"""One fitted object, many threads: what they get is what one thread gets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from skmergecal import FineTunedClassifier, MergedClassifier, TemperatureCalibrator

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
N_THREADS = 16


class Remembering(nn.Module):
    """Hands its hidden layer on by way of an attribute."""

    def __init__(self):
        super().__init__()
        self.inner, self.out = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x):
        self.hidden = torch.relu(self.inner(x))
        self.hidden = nn.functional.dropout(self.hidden, 0.5, self.training)
        return self.out(self.hidden)


def with_norm(n_out=2):
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, n_out)
    )


def fitted(module, seed=0):
    torch.manual_seed(seed)
    settings = {"train_split": None, "verbose": 0, "max_epochs": 3, "lr": 0.1, "batch_size": 20}
    if module == "binary":
        return NeuralNetBinaryClassifier(with_norm(1), **settings).fit(X, Y.astype(np.float32))
    criterion = nn.CrossEntropyLoss
    return NeuralNetClassifier(module, criterion=criterion, **settings).fit(X, Y)


def state(net):
    tensors = {name: tensor.tolist() for name, tensor in net.module_.state_dict().items()}
    return tensors, [part.training for part in net.module_.modules()]


def in_threads(*works):
    """What the functions give, all called at once and again and again."""
    start = Barrier(N_THREADS)

    def run(place):
        start.wait()
        return [works[place % len(works)]() for _ in range(2)]

    with ThreadPoolExecutor(N_THREADS) as pool:
        return [out for outs in pool.map(run, range(N_THREADS)) for out in outs]


def pooled(nets):
    return MergedClassifier.from_fitted(nets, X, Y, method="logits")


def one_model(nets):
    settings = {"method": "parameters", "barrier_tolerance": 1e9, "alignment": None}
    return MergedClassifier.from_fitted(nets, X, Y, **settings)


def calibrated(nets):
    return TemperatureCalibrator(FrozenEstimator(make_pipeline(nets[0]))).fit(X, Y)


def tuned(nets):
    return FineTunedClassifier(FrozenEstimator(nets[0]), epochs=1, random_state=0).fit(X, Y)


@pytest.mark.parametrize(
    ("module", "made"),
    [
        (with_norm(), pooled),
        (with_norm(), one_model),
        (with_norm(), tuned),
        (Remembering, pooled),
        (Remembering, one_model),
        (Remembering, calibrated),
        ("binary", calibrated),
        ("binary", tuned),
    ],
)
def test_a_fitted_object_predicts_the_same_in_many_threads(module, made):
    nets = [fitted(module, seed) for seed in range(2)]
    model = made(nets)
    for net in nets:
        net.module_.train()  # as skorch leaves it after a fit
    before = [state(net) for net in nets]
    expected, random_state = model.predict_proba(X), torch.get_rng_state()
    for proba in in_threads(partial(model.predict_proba, X)):
        np.testing.assert_array_equal(proba, expected)
    assert [state(net) for net in nets] == before
    assert torch.equal(torch.get_rng_state(), random_state)


def test_fits_in_threads_are_those_of_one_thread():
    net = FrozenEstimator(fitted(with_norm()))
    model = FineTunedClassifier(net, epochs=1, early_stopping=True, average=True, random_state=0)
    expected = model.fit(X, Y).predict_proba(X)
    random_state = torch.get_rng_state()
    merged = pooled([fitted(Remembering)])
    torch.set_rng_state(random_state)
    works = [lambda: clone(model).fit(X, Y).predict_proba(X), partial(merged.predict_proba, X)]
    for proba in in_threads(*works):
        ours = proba[0, 0] == expected[0, 0]
        np.testing.assert_array_equal(proba, expected if ours else merged.predict_proba(X))
    assert torch.equal(torch.get_rng_state(), random_state)


def test_modules_run_while_another_thread_merges_parameters():
    nets = [make_pipeline(StandardScaler().fit(X), fitted(with_norm(), seed)) for seed in range(2)]
    own = with_norm().eval()
    rows = torch.as_tensor(X)
    with torch.no_grad():
        expected = own(rows)
    settings = {"method": "parameters", "barrier_tolerance": 1e9, "repair": None}
    first = MergedClassifier.from_fitted(nets, X, Y, **settings).predict_proba(X)

    def merge():
        return MergedClassifier.from_fitted(nets, X, Y, **settings).predict_proba(X)

    def run():
        with torch.no_grad():
            return own(rows)

    for found in in_threads(merge, run, run, run):
        if isinstance(found, torch.Tensor):
            assert torch.equal(found, expected)
        else:
            np.testing.assert_array_equal(found, first)
    assert torch.nn.Module.__call__.__name__ == "_wrapped_call_impl"
