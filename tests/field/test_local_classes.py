"""Modules of classes that are defined inside a function, and pools of unlike members."""

from __future__ import annotations

import copy
import pickle
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skmergecal import FineTunedClassifier, MergedClassifier, TemperatureCalibrator
from skmergecal.exceptions import IncompatibleEstimatorsError
from tests.nets import layers, net

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 8)).astype(np.float32)
Y = (X[:, 0] + RNG.normal(size=80) > 0).astype(int)


def local_class():
    class Local(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = layers(n_out=2)

        def forward(self, x):
            return self.layers(x)

    return Local


class TopLevel(local_class()):
    """The same, where pickle finds it."""


@cache
def fitted(module):
    torch.manual_seed(0)
    return net(module, max_epochs=10, lr=0.5).fit(X, Y)


def merged(member):
    return MergedClassifier.from_fitted(
        {"mine": member, "log": LogisticRegression().fit(X, Y)}, X, Y
    )


def frozen(member):
    return MergedClassifier([("mine", FrozenEstimator(member)), ("log", LogisticRegression())])


def in_pipelines(member):
    return merged(make_pipeline(StandardScaler().fit(X), member))


def tuned(member):
    return FineTunedClassifier(FrozenEstimator(member), epochs=1, random_state=0).fit(X, Y)


def calibrated(member):
    return TemperatureCalibrator(FrozenEstimator(member)).fit(X, Y)


@pytest.mark.parametrize("made", [merged, frozen, in_pipelines, tuned, calibrated])
def test_pickling_a_local_class_names_the_member_and_the_class(made):
    model = made(fitted(local_class()))
    name = "estimator" if made in (tuned, calibrated) else "mine"
    for write in (pickle.dumps, copy.deepcopy):
        with pytest.raises(pickle.PicklingError, match="top level of a file") as error:
            write(model)
        assert f"'{name}' cannot be pickled" in str(error.value)
        assert "local_class.<locals>.Local" in str(error.value)
    pickle.loads(pickle.dumps(made(fitted(TopLevel))))


def test_local_classes_are_merged_and_tuned():
    nets = [fitted(local_class())] * 2
    settings = {"method": "parameters", "calibrate": "both", "barrier_tolerance": 1e9}
    model = MergedClassifier.from_fitted(nets, X, Y, **settings)
    plain = model.to_estimator(X)
    np.testing.assert_allclose(plain.predict_proba(X), model.predict_proba(X), atol=1e-5)
    assert tuned(nets[0]).score(X, Y) == tuned(fitted(TopLevel)).score(X, Y)
    assert FineTunedClassifier(FrozenEstimator(nets[0]), epochs=0).fit(X, Y).score(X, Y) > 0


def test_a_pool_of_unlike_members_is_for_the_teacher():
    student, pool = fitted(TopLevel), merged(fitted(TopLevel))
    settings = {"target": "members", "epochs": 1, "random_state": 0}
    for inside in (pool, TemperatureCalibrator(FrozenEstimator(pool)).fit(X, Y)):
        with pytest.raises(ValueError, match="Pass a net as the estimator and this as teacher="):
            FineTunedClassifier(FrozenEstimator(inside), **settings).fit(X, Y)
    members = [("mine", net(layers(n_out=2))), ("log", LogisticRegression())]
    unlike = MergedClassifier(members, method="parameters", cv=2)
    with pytest.raises(IncompatibleEstimatorsError, match="cannot be averaged") as error:
        FineTunedClassifier(unlike, **settings).fit(X, Y)
    assert "their pool as teacher=" in " ".join(error.value.__notes__)
    learned = FineTunedClassifier(
        FrozenEstimator(student), teacher=FrozenEstimator(pool), **settings
    )
    assert learned.fit(X, Y).score(X, Y) > 0.5
