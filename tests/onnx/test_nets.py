"""skorch nets in ONNX, through torch's exporter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from skmergecal import FineTunedClassifier, MergedClassifier, TemperatureCalibrator
from skmergecal.exceptions import ConversionError
from skmergecal.onnx import to_onnx
from tests.onnx.sessions import same

# The exporter that is ten times as fast as its successor says that it will go.
pytestmark = [
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript-based"),
    pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning"),
]


class Squeezed(nn.Sequential):
    def forward(self, x):
        z = super().forward(x).squeeze(-1)
        return z if self.training else (z, x)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.EmbeddingBag(8, 5)
        self.last = nn.Linear(5, 2)

    def forward(self, x):
        return self.last(self.embedding(x))


class ByName(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(2, 2)

    def forward(self, a, b):
        return self.last(torch.cat([a.float(), b.float()], dim=1))


def fitted(module, X, y, kind=NeuralNetClassifier, criterion=nn.CrossEntropyLoss, **settings):
    torch.manual_seed(0)
    settings = {"max_epochs": 2, "lr": 0.2, "verbose": 0, "train_split": None, **settings}
    return kind(module, criterion=criterion, **settings).fit(X, y)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=120)
    return (y[:, None] + rng.normal(size=(120, 3))).astype("float32"), y


def test_nets_merged_calibrated_and_tuned(rows):
    X, y = rows
    hidden = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout()
    dropping = nn.Sequential(*hidden, nn.Linear(4, 2))
    net = fitted(dropping, X, y)
    before = {k: v.clone() for k, v in net.module_.state_dict().items()}
    one = {"kind": NeuralNetBinaryClassifier, "criterion": nn.BCEWithLogitsLoss}
    binary = fitted(Squeezed(nn.Linear(3, 1)), X, y.astype("float32"), **one)
    double = fitted(nn.Sequential(nn.Linear(3, 2)).double(), X.astype(float), y)
    tuned = FineTunedClassifier(FrozenEstimator(net), epochs=1).fit(X, y)
    nets = [("net", net), ("binary", binary), ("double", double), ("tuned", tuned)]
    merged = MergedClassifier.from_fitted([*nets, ("linear", LogisticRegression().fit(X, y))], X, y)
    same(merged, X, 1e-5)
    same(merged, X.astype(float), 1e-5)
    for name, value in net.module_.state_dict().items():
        assert torch.equal(value, before[name])


def test_nets_read_as_probabilities(rows):
    X, y = rows
    ending = nn.Sequential(nn.Linear(3, 2), nn.Softmax(dim=-1))
    likelihood = fitted(ending, X, y, criterion=nn.NLLLoss)
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted(nn.Linear(3, 2), X, y))).fit(X, y)
    same(MergedClassifier.from_fitted([("a", likelihood), ("b", calibrated)], X, y), X, 1e-5)


def test_images(rows):
    X, y = rows
    images = X.reshape(-1, 1, 3, 1)
    convolution = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(6, 2))
    net = fitted(convolution, images, y)
    same(TemperatureCalibrator(FrozenEstimator(net)).fit(images, y), images, 1e-5)


def test_a_net_at_the_end_of_a_pipeline(rows):
    X, y = rows
    net = fitted(nn.Linear(3, 2), X, y)
    front = StandardScaler().fit(X.astype(float))
    model = TemperatureCalibrator(FrozenEstimator(make_pipeline(front, net)))
    same(model.fit(X.astype(float), y), X.astype(float), 1e-5)


def test_words(rows):
    _, y = rows
    X = np.random.default_rng(0).integers(8, size=(120, 4)) // (1 + y[:, None])
    same(TemperatureCalibrator(FrozenEstimator(fitted(Words(), X, y))).fit(X, y), X, 1e-5)


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_a_module_that_takes_columns_by_name_is_refused(rows):
    import pandas

    X, y = rows
    frame = pandas.DataFrame(X[:, :2], columns=["a", "b"])
    net = fitted(ByName(), {"a": X[:, :1], "b": X[:, 1:2]}, y)
    pair = [("named", net), ("linear", LogisticRegression().fit(frame, y))]
    model = MergedClassifier.from_fitted(pair, frame, y, method="logits")
    with pytest.raises(ConversionError, match=r"estimator 'named'.*takes columns by name"):
        to_onnx(model, frame)
