"""FineTunedClassifier: what it trains, what it leaves alone, and what it can be nested in."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from skmergecal import FineTunedClassifier, MergedClassifier, TemperatureCalibrator
from skmergecal.exceptions import RefitWarning

NAMES = np.array(["ape", "bee", "cat"])
#: Networks that stop early on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


class Embedded(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(4, 3)
        self.head = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x):
        return self.head(torch.cat([self.table(x[:, 0].long()), x[:, 1:]], dim=1))


def mlp(X, y, seed=0, **params):
    return MLPClassifier((12,), max_iter=40, random_state=seed, **params).fit(X, y)


def module(n_out=3, norm=nn.BatchNorm1d, dropout=0.2):
    return nn.Sequential(
        nn.Linear(8, 10), norm(10), nn.ReLU(), nn.Dropout(dropout), nn.Linear(10, n_out)
    )


def net(data, seed=0, labels=None, n_epochs=4, **params):
    torch.manual_seed(seed)
    made = NeuralNetClassifier(
        params.pop("module", module()),
        criterion=nn.CrossEntropyLoss,
        optimizer=params.pop("optimizer", torch.optim.Adam),
        lr=0.01,
        max_epochs=n_epochs,
        verbose=0,
        train_split=None,
        **params,
    )
    y = data.y.astype(np.int64) if labels is None else labels
    return made.fit(data.X.astype(np.float32), y)


def tuned(estimator, data, **params):
    params = {"random_state": 0, **params}
    y = params.pop("y", data.y_held)
    return FineTunedClassifier(FrozenEstimator(estimator), **params).fit(data.X_held, y)


def snapshot(estimator):
    return pickle.dumps(estimator)


@pytest.fixture(scope="module")
def starts(blobs):
    """One fitted classifier of every kind that can be trained further."""
    X, y = blobs.X, blobs.y
    return {
        "mlp": mlp(X, y),
        "mlp sgd": mlp(X, y, solver="sgd", learning_rate_init=0.1),
        "mlp lbfgs": MLPClassifier((5,), solver="lbfgs", alpha=1, max_iter=2000).fit(X, y),
        "pipeline": make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=30)).fit(X, y),
        "skorch": net(blobs),
        "sgd": SGDClassifier(loss="log_loss", random_state=0).fit(X, y),
        "naive bayes": GaussianNB().fit(X, y),
    }


KINDS = ["mlp", "mlp sgd", "mlp lbfgs", "pipeline", "skorch", "sgd", "naive bayes"]


@pytest.mark.parametrize("kind", KINDS)
def test_tuning_learns_leaves_the_start_alone_and_repeats_itself(kind, starts, blobs):
    start = starts[kind]
    said = start.predict_proba(blobs.X_held.astype(np.float32))
    before = snapshot(start)
    one, two = (tuned(start, blobs, epochs=3) for _ in range(2))
    assert snapshot(start) == before
    assert type(one.estimator_) is type(start)
    assert one.estimator_ is not start
    p = one.predict_proba(blobs.X_held)
    np.testing.assert_array_equal(p, two.predict_proba(blobs.X_held))
    assert log_loss(blobs.y_held, p) < log_loss(blobs.y_held, said)
    assert len(one.loss_curve_) == one.n_epochs_ == 3
    again = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(again.predict_proba(blobs.X_held), p)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nothing", ["rows", "epochs"])
def test_no_rows_and_no_epochs_leave_the_estimator(kind, nothing, starts, blobs):
    start = FrozenEstimator(starts[kind])
    reference = TemperatureCalibrator(start, temperature=1.0).fit(blobs.X_held, blobs.y_held)
    if nothing == "rows":
        same = FineTunedClassifier(start).fit(blobs.X_held[:0], blobs.y_held[:0])
    else:
        same = FineTunedClassifier(start, epochs=0).fit(blobs.X_held, blobs.y_held)
    np.testing.assert_array_equal(
        same.predict_proba(blobs.X_test), reference.predict_proba(blobs.X_test)
    )
    assert same.n_epochs_ == 0
    assert same.loss_curve_ == []


@pytest.mark.parametrize("kind", ["mlp", "skorch", "sgd"])
def test_classes_stay_where_the_new_rows_miss_one(kind, starts, blobs):
    rows = blobs.y_held != 1
    model = FineTunedClassifier(FrozenEstimator(starts[kind]), random_state=0)
    model.fit(blobs.X_held[rows], blobs.y_held[rows])
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.estimator_.classes_.tolist() == [0, 1, 2]
    assert model.predict_proba(blobs.X_test).shape == (len(blobs.X_test), 3)


@pytest.mark.parametrize("kind", ["mlp", "skorch", "sgd"])
def test_labels_of_any_kind_give_the_same_probabilities(kind, blobs):
    def probabilities(names):
        y, y_held = names[blobs.y], names[blobs.y_held]
        start = {
            "mlp": lambda: mlp(blobs.X, y),
            "skorch": lambda: net(blobs, classes=names.tolist()),
            "sgd": lambda: SGDClassifier(loss="log_loss", random_state=0).fit(blobs.X, y),
        }[kind]()
        return tuned(start, blobs, y=y_held).predict_proba(blobs.X_test)

    expected = probabilities(np.arange(3))
    for names in (NAMES, np.array([-7, 3, 2**40])):
        np.testing.assert_allclose(probabilities(names), expected, atol=1e-12)


def test_a_net_whose_classes_are_in_an_order_of_their_own(blobs):
    order = np.array(["cat", "ape", "bee"])
    start = net(blobs, classes=order.tolist())
    model = tuned(start, blobs, y=order[blobs.y_held], epochs=8)
    assert model.classes_.tolist() == NAMES.tolist()
    assert model.score(blobs.X_test, order[blobs.y_test]) > 0.5


def test_a_binary_net_fitted_here_knows_the_labels(binary):
    torch.manual_seed(0)
    start = NeuralNetBinaryClassifier(
        nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0)),
        lr=0.1,
        max_epochs=5,
        train_split=None,
        verbose=0,
    )
    y = np.array(["no", "yes"])[binary.y]
    model = FineTunedClassifier(start, epochs=10, random_state=0).fit(binary.X, y)
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.score(binary.X, y) > 0.7
    with pytest.warns(UserWarning, match="does not take sample_weight"):
        model.fit(binary.X, y, sample_weight=1.0 + (binary.y == 1))
    assert model.predict_proba(binary.X)[:, 1].mean() > 0.5
    taught = FineTunedClassifier(
        start, target="members", teacher=FrozenEstimator(mlp(binary.X, y)), random_state=0
    ).fit(binary.X, y)
    assert taught.score(binary.X, y) > 0.7


def test_the_optimiser_is_the_nets_own_begun_anew(blobs):
    start = net(blobs, optimizer=torch.optim.Adam, optimizer__betas=(0.5, 0.9))
    model = tuned(start, blobs, learning_rate=0.003).estimator_
    assert type(model.optimizer_) is torch.optim.Adam
    assert model.optimizer_.param_groups[0]["betas"] == (0.5, 0.9)
    assert not model.optimizer_.state  # of other weights; further partial_fit begins anew, too
    assert model.partial_fit(blobs.X_held.astype(np.float32), blobs.y_held) is model


def test_every_row_trains_a_net_with_a_hidden_hold_out(blobs):
    """skorch keeps a fifth of the rows for validation by default; tuning does not."""
    seen = []

    class Spy(NeuralNetClassifier):
        def get_loss(self, y_pred, y_true, *args, **kwargs):
            seen.append(len(y_true))
            return super().get_loss(y_pred, y_true, *args, **kwargs)

    spy = Spy(module(), criterion=nn.CrossEntropyLoss, max_epochs=1, verbose=0)
    spy.fit(blobs.X.astype(np.float32), blobs.y)
    seen.clear()
    tuned(spy, blobs, epochs=1, batch_size=50)
    assert sum(seen) == len(blobs.y_held)


def test_weights_reach_the_loss_and_zero_is_removal(starts, blobs):
    rows = np.arange(len(blobs.y_held)) % 3 > 0
    for kind in KINDS:
        a, b = (
            FineTunedClassifier(FrozenEstimator(starts[kind]), epochs=2, random_state=0)
            for _ in range(2)
        )
        a.fit(blobs.X_held, blobs.y_held, sample_weight=rows.astype(float))
        b.fit(blobs.X_held[rows], blobs.y_held[rows], sample_weight=np.ones(rows.sum()))
        np.testing.assert_array_equal(
            a.predict_proba(blobs.X_test), b.predict_proba(blobs.X_test), err_msg=kind
        )
    heavy = FineTunedClassifier(FrozenEstimator(starts["skorch"]), epochs=20, random_state=0)
    heavy.fit(blobs.X_held, blobs.y_held, sample_weight=np.where(blobs.y_held == 2, 50.0, 1.0))
    light = tuned(starts["skorch"], blobs, epochs=20)
    share = [m.predict_proba(blobs.X_test)[:, 2].mean() for m in (heavy, light)]
    assert share[0] > share[1] + 0.2


def test_whole_batch_sgd_step_is_the_closed_form(blobs):
    """One step over all rows with plain gradient descent moves by the gradient of the mean loss."""
    start = net(blobs, module=nn.Sequential(nn.Linear(8, 3)), optimizer=torch.optim.SGD)
    model = tuned(start, blobs, epochs=1, batch_size=10**6, learning_rate=0.5)
    W, b = (p.detach().double().numpy() for p in start.module_.parameters())
    X, y = blobs.X_held.astype(np.float32).astype(float), np.eye(3)[blobs.y_held]
    z = X @ W.T + b
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    expected = W - 0.5 * (p - y).T @ X / len(X)
    found = model.estimator_.module_[0].weight.detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_an_mlp_takes_the_steps_of_its_own_solver(solver, blobs):
    """One step over all rows is that of scikit-learn's partial_fit that forgot its own."""
    start = MLPClassifier(
        (6,), solver=solver, batch_size=len(blobs.X_held), alpha=0.1, random_state=0
    )
    start.partial_fit(blobs.X, blobs.y, classes=[0, 1, 2])
    model = tuned(start, blobs, epochs=1, batch_size=len(blobs.X_held))
    peer = copy.deepcopy(start)
    del peer._optimizer
    peer.partial_fit(blobs.X_held, blobs.y_held, classes=[0, 1, 2])
    for own, theirs in zip(model.estimator_.coefs_, peer.coefs_, strict=True):
        np.testing.assert_allclose(own, theirs, atol=1e-6)


def test_early_stopping_keeps_the_best_and_may_keep_the_start(starts, blobs):
    wild = tuned(starts["mlp"], blobs, early_stopping=True, learning_rate=5.0, epochs=10)
    assert wild.n_epochs_ == 0
    assert len(wild.loss_curve_) == 5  # n_iter_no_change
    np.testing.assert_array_equal(wild.estimator_.coefs_[0], np.float32(starts["mlp"].coefs_[0]))
    calm = tuned(starts["mlp"], blobs, early_stopping=True, epochs=6, validation_fraction=0.3)
    assert calm.validation_curve_[calm.n_epochs_] == min(calm.validation_curve_)
    assert len(calm.validation_curve_) == 7


def test_averaging_the_path_is_the_mean_of_its_second_half(starts, blobs):
    path = [tuned(starts["mlp"], blobs, epochs=n) for n in (3, 4)]
    mean = tuned(starts["mlp"], blobs, epochs=4, average=True)
    for i, coef in enumerate(mean.estimator_.coefs_):
        expected = (path[0].estimator_.coefs_[i] + path[1].estimator_.coefs_[i]) / 2
        np.testing.assert_allclose(coef, expected, atol=1e-6)


def test_averaging_measures_batch_norm_anew(starts, blobs):
    model = tuned(starts["skorch"], blobs, epochs=6, average=True).estimator_.module_
    X = torch.as_tensor(blobs.X_held, dtype=torch.float32)
    with torch.no_grad():
        hidden = model[0](X)
    np.testing.assert_allclose(model[1].running_mean, hidden.mean(0), atol=1e-5)
    np.testing.assert_allclose(model[1].running_var, hidden.var(0), rtol=1e-4)
    assert model[1].momentum == starts["skorch"].module_[1].momentum


def test_weight_decay_shrinks(starts, blobs):
    for kind, norm in (
        ("mlp", lambda e: np.abs(e.coefs_[0]).sum()),
        ("skorch", lambda e: float(e.module_[0].weight.detach().abs().sum())),
    ):
        strong, none = (
            norm(tuned(starts[kind], blobs, epochs=10, weight_decay=d).estimator_) for d in (5.0, 0)
        )
        assert strong < none


def test_a_frame_of_float64_reaches_a_float32_net(starts, blobs):
    frame = pd.DataFrame(blobs.X_held, columns=[f"x{i}" for i in range(8)])
    model = FineTunedClassifier(FrozenEstimator(starts["skorch"]), random_state=0)
    model.fit(frame, blobs.y_held)
    assert model.feature_names_in_.tolist() == list(frame.columns)
    expected = tuned(starts["skorch"], blobs).predict_proba(blobs.X_test)
    found = model.predict_proba(pd.DataFrame(blobs.X_test, columns=frame.columns))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_unfitted_estimator_is_fitted_and_then_tuned(blobs):
    start = MLPClassifier((8,), max_iter=30, random_state=0)
    model = FineTunedClassifier(start, random_state=0).fit(blobs.X, blobs.y)
    assert not hasattr(start, "coefs_")
    by_hand = FineTunedClassifier(
        FrozenEstimator(clone(start).fit(blobs.X, blobs.y)), random_state=0
    )
    by_hand.fit(blobs.X, blobs.y)
    np.testing.assert_array_equal(model.predict_proba(blobs.X), by_hand.predict_proba(blobs.X))
    with pytest.warns(RefitWarning, match="FrozenEstimator"):
        FineTunedClassifier(clone(start).fit(blobs.X, blobs.y)).fit(blobs.X, blobs.y)


def test_fit_transform_is_out_of_fold(starts, blobs):
    model = FineTunedClassifier(FrozenEstimator(starts["mlp"]), epochs=10, cv=3, random_state=0)
    z = model.fit_transform(blobs.X_held, blobs.y_held)
    assert np.abs(z - model.transform(blobs.X_held)).max() > 0.01
    fold = np.arange(len(z)) < 50
    outside = clone(model).set_params(cv=[(np.flatnonzero(~fold), np.flatnonzero(fold))])
    held = outside.fit_held_out(blobs.X_held, blobs.y_held)
    alone = clone(model).fit(blobs.X_held[~fold], blobs.y_held[~fold])
    np.testing.assert_allclose(
        np.exp(held.log_proba), alone.predict_proba(blobs.X_held[fold]), atol=1e-12
    )


def test_no_batch_has_a_single_row(starts, blobs):
    """Batch norm has no variance of one row: torch would refuse it."""
    rows = slice(0, 2 * 16 + 1)
    model = FineTunedClassifier(
        FrozenEstimator(starts["skorch"]), epochs=1, batch_size=16, random_state=0
    )
    model.fit(blobs.X_held[rows], blobs.y_held[rows])
    assert model.n_epochs_ == 1
    assert np.isfinite(model.predict_proba(blobs.X_test)).all()


def test_embedded_columns_stay_whole(blobs):
    class Rows:
        X = np.column_stack([np.arange(200) % 4, blobs.X[:, 1:]])
        y = blobs.y

    start = net(Rows, module=Embedded())
    model = FineTunedClassifier(
        FrozenEstimator(start),
        target="members",
        teacher=FrozenEstimator(start),
        augment="both",
        epochs=2,
        random_state=0,
    ).fit(Rows.X)
    assert model.predict_proba(Rows.X).shape == (200, 3)


@pytest.mark.filterwarnings("ignore::skmergecal.exceptions.MergeBarrierWarning")
def test_real_rows_and_real_gains():
    """Digits: 5 epochs on 400 new rows help a net, and its merged twin."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    nets = [
        MLPClassifier((32,), max_iter=60, random_state=s).fit(X[:500], y[:500]) for s in range(2)
    ]
    one = MergedClassifier.from_fitted(nets, X[500:900], y[500:900], method="parameters")
    for start in (nets[0], one):
        model = FineTunedClassifier(FrozenEstimator(start), random_state=0).fit(
            X[500:900], y[500:900]
        )
        before, after = (log_loss(y[900:], m.predict_proba(X[900:])) for m in (start, model))
        assert after < 0.95 * before
