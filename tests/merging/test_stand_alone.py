"""Merged models are used where skmergecal is not installed."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skmergecal import MergedClassifier, TemperatureCalibrator
from tests.parameters.exact.test_merge import FORESTS, LOGITS, positive


def skorch_net(seed):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    return NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, max_epochs=3, lr=0.1, train_split=None, verbose=0
    )


def mlp(seed):
    return MLPClassifier((6,), tol=0.01, random_state=seed)


MEMBERS = {
    "network": mlp,
    "scaled network": lambda seed: make_pipeline(StandardScaler(), mlp(seed)),
    "network after the same steps": lambda seed: make_pipeline(PolynomialFeatures(), mlp(seed)),
    "calibrated network": lambda seed: TemperatureCalibrator(mlp(seed), temperature=2.0),
    "skorch": skorch_net,
    "scaled skorch": lambda seed: make_pipeline(StandardScaler(), skorch_net(seed)),
}


def merged_nets(blobs):
    X, X_held, X_test = (x.astype(np.float32) for x in (blobs.X, blobs.X_held, blobs.X_test))
    found = []
    for make in MEMBERS.values():
        members = [make(seed).fit(X, blobs.y) for seed in range(2)]
        merged = MergedClassifier.from_fitted(
            members,
            X_held,
            blobs.y_held,
            method="parameters",
            calibrate="merged",
            alignment=None,
            repair=None,
            barrier_tolerance=9,
        )
        plain = merged.to_estimator(X_test)
        assert not type(plain).__module__.startswith("skmergecal")
        expected = merged.predict_proba(X_test)
        np.testing.assert_allclose(plain.predict_proba(X_test), expected, atol=1e-5)
        found += [
            (model, X_test, model.predict_proba(X_test))
            for model in (plain, merged.merged_estimator_)
        ]
    return found


def exact_merges(blobs):
    X, _, X_test = positive(blobs)
    for family, make in (LOGITS | FORESTS).items():
        method = "logits" if family in LOGITS else "probabilities"
        members = [make(i).fit(X, blobs.y) for i in range(2)]
        plain = MergedClassifier.from_fitted(members, method=method, weights=None).to_estimator()
        yield plain, X_test, plain.predict_proba(X_test)


ALONE = """
import sys
sys.modules["skmergecal"] = None  # an import of it would fail
import pickle
for model, X, expected in pickle.load(sys.stdin.buffer):
    assert abs(model.predict_proba(X) - expected).max() == 0
    assert list(model.predict(X)) == list(model.classes_[expected.argmax(axis=1)])
"""


@pytest.mark.once  # which modules a pickle names
def test_merged_models_need_no_skmergecal(blobs):
    message = pickle.dumps([*exact_merges(blobs), *merged_nets(blobs)])
    assert b"skmergecal" not in message
    subprocess.run([sys.executable, "-c", ALONE], input=message, check=True)


@pytest.mark.parametrize("name", ["network", "skorch"])
def test_merged_classifiers_are_pickled(blobs, name):
    X = blobs.X.astype(np.float32)
    members = [MEMBERS[name](seed).fit(X, blobs.y) for seed in range(2)]
    merged = MergedClassifier.from_fitted(
        members,
        blobs.X_held.astype(np.float32),
        blobs.y_held,
        method="parameters",
        barrier_tolerance=9,
    )
    again = pickle.loads(pickle.dumps(merged))
    expected = merged.predict_proba(blobs.X_test.astype(np.float32))
    np.testing.assert_array_equal(again.predict_proba(blobs.X_test.astype(np.float32)), expected)
