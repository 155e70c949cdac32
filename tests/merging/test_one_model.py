"""Networks of different seeds become one network, through MergedClassifier."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from skmergecal import MergedClassifier, TemperatureCalibrator, merge_path
from skmergecal._networks import dense_network
from skmergecal.exceptions import IncompatibleEstimatorsError, MergeBarrierError
from skmergecal.merging import MergeReport
from skmergecal.parameters import Parameters, read_parameters, write_parameters
from tests.networks import Embedded, Residual

PARAMETERS = {"method": "parameters"}


def fitted_mlp(data, seed, widths=(24,)):
    how = {"tol": 0.01, "learning_rate_init": 0.02, "n_iter_no_change": 5}
    return MLPClassifier(widths, random_state=seed, **how).fit(data.X, data.y)


@pytest.fixture(scope="module")
def digits(digits):
    """Pictures of 4 times 8, and as many rows as make distillation fast: few take more epochs."""
    small = copy.copy(digits)
    for name in ("X", "X_held", "X_test"):
        pixels = getattr(digits, name)[:400].reshape(-1, 4, 2, 8)
        setattr(small, name, pixels.mean(axis=2).reshape(-1, 32))
    for name in ("y", "y_held", "y_test"):
        setattr(small, name, getattr(digits, name)[:400])
    return small


@pytest.fixture(scope="module")
def nets(digits):
    return {f"seed {s}": fitted_mlp(digits, s, (20, 20)) for s in range(3)}


@pytest.fixture(scope="module")
def merged(digits, nets):
    return MergedClassifier.from_fitted(
        nets, digits.X_held, digits.y_held, X_unlabeled=digits.X, **PARAMETERS
    )


def loss(model, data):
    return log_loss(data.y_test, model.predict_proba(data.X_test))


def test_nets_of_different_seeds_do_not_collapse(digits, nets, merged):
    members = np.mean([loss(net, digits) for net in nets.values()])
    plain = MergedClassifier.from_fitted(
        nets,
        digits.X_held,
        digits.y_held,
        alignment=None,
        on_barrier="warn",
        barrier_tolerance=1e9,
        **PARAMETERS,
    )
    assert loss(plain, digits) > 2 * members
    assert loss(merged, digits) < members
    assert merged.barrier_ < 0
    assert isinstance(merged.merged_estimator_, MLPClassifier)
    assert [c.shape for c in merged.merged_estimator_.coefs_] == [(32, 20), (20, 20), (20, 10)]
    assert merged.merge_report_.stages["plain"] == pytest.approx(
        plain.barrier_ + np.dot(plain.weights_, list(plain.merge_report_.members.values())), 1e-6
    )


def test_the_report_tells_each_step(merged, nets):
    report = merged.merge_report_
    assert isinstance(report, MergeReport)
    assert list(report.members) == list(nets)
    assert report.chosen == "distilled"
    assert list(report.stages) == ["plain", "aligned", "select", "distilled"]
    assert report.stages["aligned"] < report.stages["plain"]
    assert report.stages["distilled"] < report.stages["aligned"]
    assert report.pool < min(report.members.values())
    member_loss = np.dot(merged.weights_, list(report.members.values()))
    assert report.barrier == merged.barrier_
    assert report.merged == report.stages["distilled"]
    assert report.merged == pytest.approx(member_loss + merged.barrier_)
    lines = str(report).splitlines()
    assert len(lines) == 1 + len(nets) + 4 + 3
    assert report.best_member_loss == min(report.members.values())
    assert lines[-1].split("  ")[-1] == f"{report.z:.1f} standard errors"
    assert f"{report.merged:.4f}" in next(s for s in lines if s.startswith("merged (distilled)"))


@pytest.mark.parametrize("alignment", ["weights", "activations", "select"])
@pytest.mark.parametrize("repair", [None, "rescale", "least_squares", "auto"])
def test_every_alignment_and_repair_is_far_better_than_the_plain_average(
    digits, nets, merged, alignment, repair
):
    model = MergedClassifier.from_fitted(
        nets,
        digits.X_held,
        digits.y_held,
        alignment=alignment,
        repair=repair,
        barrier_tolerance=1e9,
        **PARAMETERS,
    )
    report = model.merge_report_
    if repair == "auto":
        assert report.chosen == "distilled"
    else:
        alone = alignment == "select" or repair is None
        by = "select" if alignment == "select" else "aligned"
        assert report.chosen == (by if alone else repair)
    assert report.stages[report.chosen] < 0.5 * report.stages["plain"]


@pytest.mark.parametrize("repair", [None, "auto", "rescale", "least_squares"])
def test_nets_that_are_not_aligned_are_repaired_only_if_that_is_asked_for(digits, nets, repair):
    model = MergedClassifier.from_fitted(
        nets,
        digits.X_held,
        digits.y_held,
        alignment=None,
        repair=repair,
        barrier_tolerance=1e9,
        **PARAMETERS,
    )
    report = model.merge_report_
    if repair in (None, "auto"):
        assert (report.chosen, list(report.stages)) == ("plain", ["plain"])
    else:
        assert (report.chosen, list(report.stages)) == (repair, ["plain", repair])
        assert report.stages[repair] < report.stages["plain"]


def test_the_same_rows_give_the_same_net_and_change_nobody(digits, nets, merged):
    before = pickle.dumps(nets)
    X, y, more = digits.X_held.copy(), digits.y_held.copy(), digits.X.copy()
    for array in (X, y, more):
        array.flags.writeable = False
    again = MergedClassifier.from_fitted(nets, X, y, X_unlabeled=more, **PARAMETERS)
    assert pickle.dumps(nets) == before
    for a, b in zip(again.merged_estimator_.coefs_, merged.merged_estimator_.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


def test_labels_of_other_rows_are_not_needed(digits, nets):
    with pytest.warns(UserWarning, match="pass held-out X and y"):
        model = MergedClassifier.from_fitted(nets, weights=None, X_unlabeled=digits.X, **PARAMETERS)
    assert np.isnan(model.barrier_)
    members = np.mean([loss(net, digits) for net in nets.values()])
    assert loss(model, digits) < 1.1 * members


def test_fit_takes_unlabeled_rows_in_a_pipeline_too(digits, nets, merged):
    frozen = [(name, FrozenEstimator(net)) for name, net in nets.items()]
    model = MergedClassifier(frozen, **PARAMETERS)
    model.fit(digits.X_held, digits.y_held, X_unlabeled=digits.X)
    expected = merged.predict_proba(digits.X_test)
    np.testing.assert_array_equal(model.predict_proba(digits.X_test), expected)
    held = model.fit_held_out(digits.X_held, digits.y_held, X_unlabeled=digits.X)
    assert held.log_proba.shape == (len(digits.y_held), 10)
    np.testing.assert_array_equal(model.predict_proba(digits.X_test), expected)


def test_scaled_and_calibrated_members_are_aligned_with_what_is_folded_in(digits):
    def member(seed):
        net = MLPClassifier((24,), random_state=seed, tol=0.01, learning_rate_init=0.01)
        steps = make_pipeline(StandardScaler(), net).fit(digits.X, digits.y)
        return TemperatureCalibrator(FrozenEstimator(steps), temperature=1.5).fit(
            digits.X_held, digits.y_held
        )

    members = [member(s) for s in range(2)]
    model = MergedClassifier.from_fitted(
        members, digits.X_held, digits.y_held, X_unlabeled=digits.X, **PARAMETERS
    )
    assert model.merge_report_.chosen == "distilled"
    assert loss(model, digits) < 1.05 * np.mean([loss(m, digits) for m in members])


def test_members_fitted_here_are_merged_on_rows_that_their_fold_does_not_hold_out(
    blobs, monkeypatch
):
    from skmergecal.merging import _one_model

    seen = []
    real = _one_model.merge_members

    def spy(members, weights, temperatures, settings=None, X=(), *args, **how):
        seen.append(sum(len(block) for block in X))
        return real(members, weights, temperatures, settings, X, *args, **how)

    monkeypatch.setattr(_one_model, "merge_members", spy)
    how = {"solver": "lbfgs", "alpha": 1.0, "tol": 0.05}
    members = [(f"{s}", MLPClassifier((8,), random_state=s, **how)) for s in range(2)]
    model = MergedClassifier(members, cv=2, barrier_tolerance=1e9, **PARAMETERS)
    model.fit(blobs.X, blobs.y)
    assert [n for n in seen if n] == [100] * 2 + [200]
    assert model.merge_report_.merged < model.merge_report_.stages["plain"]


def test_a_collapsed_merge_still_reports(digits, nets):
    settings = {"alignment": None, "barrier_tolerance": 0.0, **PARAMETERS}
    rows = digits.X_held, digits.y_held
    with pytest.warns(UserWarning, match="logit pool is used instead"):
        model = MergedClassifier.from_fitted(nets, *rows, on_barrier="logits", **settings)
    assert model.merge_report_.chosen == "plain"
    assert not hasattr(model, "merged_estimator_")
    with pytest.raises(MergeBarrierError, match="members have"):
        MergedClassifier.from_fitted(nets, *rows, on_barrier="raise", **settings)


def module(kind, n_features, n_classes):
    if kind == "residual":
        middle = [Residual(16, 16, nn.LayerNorm, nn.ReLU)]
    elif kind == "norm":
        middle = [nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 16), nn.BatchNorm1d(16)]
    else:
        middle = [nn.Tanh(), nn.Linear(16, 16)]
    return nn.Sequential(
        nn.Linear(n_features, 16), *middle, nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, n_classes)
    )


@pytest.mark.parametrize("kind", ["residual", "norm", "tanh"])
def test_skorch_nets_of_different_seeds_do_not_collapse(digits, kind):
    def fit(seed):
        torch.manual_seed(seed)
        net = NeuralNetClassifier(
            module(kind, 32, 10),
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            lr=0.02,
            batch_size=64,
            max_epochs=6,
            train_split=None,
            verbose=0,
        )
        return net.fit(digits.X.astype(np.float32), digits.y)

    nets = [fit(s) for s in range(2)]
    random_state = torch.get_rng_state()
    state = [{k: v.clone() for k, v in n.module_.state_dict().items()} for n in nets]
    model = MergedClassifier.from_fitted(
        nets, digits.X_held, digits.y_held, X_unlabeled=digits.X, **PARAMETERS
    )
    assert torch.equal(torch.get_rng_state(), random_state)
    for before, net in zip(state, nets, strict=True):
        assert all(torch.equal(before[k], v) for k, v in net.module_.state_dict().items())
    members = np.mean([loss_of_net(n, digits) for n in nets])
    assert loss(model, digits) < 1.05 * members
    assert model.merge_report_.stages["plain"] > 1.5 * members
    weight = model.merged_estimator_.module_[0].weight
    assert weight.dtype == torch.float32
    assert weight.requires_grad


def loss_of_net(net, data):
    return log_loss(data.y_test, net.predict_proba(data.X_test.astype(np.float32)))


def test_path_between_two_nets_falls_once_they_are_aligned(digits, nets):
    a, b, _ = nets.values()
    plain, aligned, by_activations = (
        merge_path(a, b, digits.X_test, digits.y_test, alignment=how, n_points=5)
        for how in (None, "weights", "activations")
    )
    for path in (plain, aligned, by_activations):
        np.testing.assert_allclose(path.lambdas, [0, 0.25, 0.5, 0.75, 1])
        assert path.loss[0] == pytest.approx(loss(a, digits), rel=1e-9)
        assert path.loss[-1] == pytest.approx(loss(b, digits), rel=1e-9)
        assert path.accuracy[0] == a.score(digits.X_test, digits.y_test)
    assert aligned.barrier < 0.5 * plain.barrier
    assert by_activations.barrier < 0.5 * plain.barrier
    assert plain.accuracy[2] < aligned.accuracy[2]


def test_path_says_what_it_needs(digits, nets):
    a, b, _ = nets.values()
    rows = digits.X_test, digits.y_test
    with pytest.raises(ValueError, match="'alignment' parameter of merge_path must be"):
        merge_path(a, b, *rows, alignment="select")
    with pytest.raises(ValueError, match="'n_points' parameter of merge_path must be"):
        merge_path(a, b, *rows, n_points=1)
    narrow = fitted_mlp(digits, 0, (16,))
    with pytest.raises(IncompatibleEstimatorsError, match="'a' and 'b'"):
        merge_path(a, narrow, *rows)


class OneLayer(ClassifierMixin, BaseEstimator):
    """A user's own network."""

    def __init__(self, seed=0):
        self.seed = seed

    def fit(self, X, y):
        how = {"tol": 0.01, "learning_rate_init": 0.01}
        net = MLPClassifier((16,), random_state=self.seed, **how).fit(X, y)
        self.classes_, self.arrays_ = net.classes_, [*net.coefs_, *net.intercepts_]
        return self

    def decision_function(self, X):
        W, V, b, c = self.arrays_
        return np.maximum(X @ W + b, 0) @ V + c


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer:UserWarning")
def test_a_users_own_network_is_aligned_once_it_describes_itself(digits):
    describes = False

    @read_parameters.register(OneLayer)
    def _(estimator):
        names = ["W", "V", "b", "c"]
        network = dense_network([("W", "b"), ("V", "c")], "relu", 32) if describes else None
        arrays = dict(zip(names, estimator.arrays_, strict=True))
        return Parameters(arrays, {"type": "OneLayer"}, network=network)

    @write_parameters.register(OneLayer)
    def _(estimator, parameters):
        merged = clone(estimator)
        merged.classes_, merged.arrays_ = estimator.classes_, list(parameters.arrays.values())
        return merged

    members = [OneLayer(s).fit(digits.X, digits.y) for s in range(2)]
    rows = digits.X_held, digits.y_held
    settings = {"weights": None, "barrier_tolerance": 1e9, **PARAMETERS}
    plain = MergedClassifier.from_fitted(members, *rows, **settings)
    assert list(plain.merge_report_.stages) == ["plain"]
    with pytest.raises(IncompatibleEstimatorsError, match="did not register"):
        MergedClassifier.from_fitted(members, *rows, alignment="weights", **settings)
    describes = True
    aligned = MergedClassifier.from_fitted(members, *rows, **settings)
    assert loss(aligned, digits) < 0.5 * loss(plain, digits)


@pytest.mark.parametrize("kind", ["mlp", "skorch"])
def test_binary_nets_with_one_logit(binary, kind):
    def fit(seed):
        if kind == "mlp":
            how = {"tol": 1e-3, "learning_rate_init": 0.01, "alpha": 0.1}
            return MLPClassifier((16,), random_state=seed, **how).fit(binary.X, binary.y)
        torch.manual_seed(seed)
        layers = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))
        how = {"optimizer": torch.optim.Adam, "lr": 0.05, "max_epochs": 10, "batch_size": 50}
        net = NeuralNetBinaryClassifier(layers, **how, train_split=None, verbose=0)
        return net.fit(binary.X.astype(np.float32), binary.y.astype(np.float32))

    members = [fit(s) for s in range(2)]
    model = MergedClassifier.from_fitted(
        members, binary.X_held, binary.y_held, X_unlabeled=binary.X, **PARAMETERS
    )
    alone = [MergedClassifier.from_fitted([m], weights=None) for m in members]
    assert model.merge_report_.stages["aligned"] < model.merge_report_.stages["plain"]
    assert loss(model, binary) < 1.05 * np.mean([loss(m, binary) for m in alone])


def test_nets_that_embed_columns(digits):
    X, X_held, X_test = (
        np.hstack([np.minimum(x[:, 9:12] * 4, 3).astype(int), x]).astype(np.float32)
        for x in (digits.X, digits.X_held, digits.X_test)
    )

    def fit(seed):
        torch.manual_seed(seed)
        body = nn.Sequential(nn.Linear(3 + 4 + 32, 24), nn.GELU(), nn.Linear(24, 10))
        net = NeuralNetClassifier(
            Embedded(body),
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            lr=0.03,
            max_epochs=6,
            train_split=None,
            verbose=0,
        )
        return net.fit(X, digits.y)

    nets = [fit(s) for s in range(2)]
    model = MergedClassifier.from_fitted(nets, X_held, digits.y_held, X_unlabeled=X, **PARAMETERS)
    members = np.mean([log_loss(digits.y_test, n.predict_proba(X_test)) for n in nets])
    assert log_loss(digits.y_test, model.predict_proba(X_test)) < 1.05 * members
    with pytest.raises(ValueError, match=r"35 columns.* has 34"):
        MergedClassifier.from_fitted(
            nets, X_held, digits.y_held, X_unlabeled=X[:, 1:], **PARAMETERS
        )
