"""skorch nets whose parameters are averaged."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from skmergecal import MergedClassifier
from skmergecal.exceptions import IncompatibleEstimatorsError, MergeBarrierWarning
from tests.nets import fitted, layers, net


@pytest.fixture
def nets(blobs):
    return {str(seed): fitted(blobs, seed) for seed in range(2)}


@pytest.mark.parametrize("weights", [[1, 0], [0, 1]])
def test_one_hot_parameters_are_that_net(blobs, nets, weights):
    merged = MergedClassifier.from_fitted(
        nets,
        blobs.X_held,
        blobs.y_held,
        method="parameters",
        weights=weights,
        barrier_tolerance=1e9,
    )
    expected = nets[str(weights.index(1))].predict_proba(blobs.X_test.astype(np.float32))
    np.testing.assert_allclose(merged.predict_proba(blobs.X_test), expected, atol=1e-6)
    assert isinstance(merged.merged_estimator_, NeuralNetClassifier)


def linear_nets(blobs):
    torch.manual_seed(0)
    return [
        net(nn.Linear(8, 3), max_epochs=e).fit(blobs.X.astype(np.float32), blobs.y) for e in (1, 5)
    ]


@pytest.mark.parametrize("calibrate", [None, "members", "both"])
def test_linear_nets_average_exactly(blobs, calibrate):
    members = linear_nets(blobs)
    for model in members:
        model.module_.double()
    merged = MergedClassifier.from_fitted(
        members, blobs.X_held, blobs.y_held, method="parameters", calibrate=calibrate
    )
    pooled = MergedClassifier.from_fitted(
        members, blobs.X_held, blobs.y_held, weights=merged.weights_, calibrate=calibrate
    )
    np.testing.assert_allclose(
        merged.predict_proba(blobs.X_test), pooled.predict_proba(blobs.X_test), atol=1e-10
    )


def test_scaling_before_a_net_is_folded_into_its_first_layer(blobs):
    X = 5 + 3 * blobs.X
    members = []
    for seed in range(2):
        torch.manual_seed(seed)
        scaler = StandardScaler().fit(X[seed * 50 :])
        model = net(nn.Linear(8, 3)).fit(scaler.transform(X).astype(np.float32), blobs.y)
        model.module_.double()
        members.append(make_pipeline(scaler, model))
    settings = {"weights": None, "calibrate": None}
    X_held, X_test = 5 + 3 * blobs.X_held, 5 + 3 * blobs.X_test
    merged = MergedClassifier.from_fitted(
        members, X_held, blobs.y_held, method="parameters", **settings
    )
    pooled = MergedClassifier.from_fitted(members, X_held, blobs.y_held, **settings)
    np.testing.assert_allclose(
        merged.predict_proba(X_test), pooled.predict_proba(X_test), atol=1e-10
    )
    np.testing.assert_allclose(
        merged.merged_estimator_.predict_proba(X_test), merged.predict_proba(X_test), atol=1e-10
    )


class LastDefinedFirst(nn.Module):
    """The order of definition is not the order of the calls: folding must be refused."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 3)
        self.body = nn.Linear(8, 6)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


def test_folding_into_the_wrong_layer_is_noticed(blobs):
    model = fitted(blobs, module=LastDefinedFirst())
    with pytest.raises(IncompatibleEstimatorsError, match="'odd' changes its probabilities"):
        MergedClassifier.from_fitted(
            {"odd": model},
            blobs.X_held,
            blobs.y_held,
            method="parameters",
            calibrate="members",
            alignment=None,
        )
    plain = MergedClassifier.from_fitted(
        {"odd": model}, blobs.X_held, blobs.y_held, method="parameters"
    )
    assert plain.barrier_ == pytest.approx(0, abs=1e-6)


class Stringly(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.act = act
        self.linear = nn.Linear(8, 3)

    def forward(self, x):
        return getattr(torch, self.act)(self.linear(x))


@pytest.mark.parametrize(
    ("a", "b", "match"),
    [
        (layers(), layers(act=nn.Tanh), "module '1' differ in their type, ReLU and Tanh"),
        (layers(), nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3)), r"\(6, 8\) and \(5"),
        (Stringly("relu"), Stringly("tanh"), "attribute 'act', 'relu' and 'tanh'"),
        (
            layers(act=nn.LeakyReLU),
            layers(act=lambda: nn.LeakyReLU(0.3)),
            "'negative_slope', 0.01 and 0.3",
        ),
    ],
)
def test_different_modules_are_named(blobs, a, b, match):
    members = [fitted(blobs, module=m, max_epochs=1) for m in (a, b)]
    with pytest.raises(IncompatibleEstimatorsError, match=match):
        MergedClassifier.from_fitted(
            members, blobs.X_held, blobs.y_held, method="parameters", alignment=None
        )


def test_integer_buffers_are_copied(blobs):
    with_norm = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    start = fitted(blobs, module=with_norm)
    tuned = copy.deepcopy(start).partial_fit(blobs.X.astype(np.float32), blobs.y)
    merged = MergedClassifier.from_fitted(
        [start, tuned],
        blobs.X_held,
        blobs.y_held,
        method="parameters",
        weights=None,
        barrier_tolerance=9,
    )
    count = merged.merged_estimator_.module_[1].num_batches_tracked
    assert count == start.module_[1].num_batches_tracked
    assert count.dtype == torch.int64


OWN_ORDER = np.array(["low", "medium", "high"])


def test_nets_whose_classes_are_in_an_order_of_their_own(blobs):
    """Their outputs are averaged as they are, and their columns aligned by label afterwards."""
    nets = {
        str(seed): fitted(blobs, seed, module=nn.Linear(8, 3), classes=OWN_ORDER.tolist())
        for seed in range(2)
    }
    rows = blobs.X_held, OWN_ORDER[blobs.y_held]
    given = {"weights": [0.3, 0.7]}
    pooled = MergedClassifier.from_fitted(nets, *rows, method="logits", **given)
    merged = MergedClassifier.from_fitted(nets, *rows, method="parameters", **given)
    assert merged.classes_.tolist() == ["high", "low", "medium"]
    expected = pooled.predict_proba(blobs.X_test)
    np.testing.assert_allclose(merged.predict_proba(blobs.X_test), expected, atol=1e-6)
    with pytest.warns(MergeBarrierWarning, match="without rows"):
        alone = MergedClassifier.from_fitted(nets, method="parameters", **given)
    np.testing.assert_allclose(alone.predict_proba(blobs.X_test), expected, atol=1e-6)
    other = fitted(blobs, module=nn.Linear(8, 3), classes=["high", "medium", "low"])
    with pytest.raises(IncompatibleEstimatorsError, match=r"'x' has them in another order"):
        MergedClassifier.from_fitted({**nets, "x": other}, *rows, method="parameters")


def test_the_order_of_classes_changes_no_merged_net(blobs):
    def merge(classes):
        torch.manual_seed(0)
        members = [(str(i), net(classes=classes.tolist())) for i in range(2)]
        merged = MergedClassifier(members, method="parameters", cv=2, barrier_tolerance=9.0)
        return merged.fit(blobs.X, classes[blobs.y]).predict_proba(blobs.X_test)

    own, alphabetical = merge(OWN_ORDER), merge(np.array(["a", "b", "c"]))
    np.testing.assert_allclose(own[:, [1, 2, 0]], alphabetical, atol=1e-6)
