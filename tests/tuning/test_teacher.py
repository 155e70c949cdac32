"""Learning from the members: teachers, rows without labels, synthetic rows, scaled rows."""

from __future__ import annotations

import pickle
import sys
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skmergecal import FineTunedClassifier, MergedClassifier, TemperatureCalibrator
from skmergecal._training import open_estimator, synthetic_rows

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


def nets_of(problem, n=3, scaled=False):
    made = []
    for seed in range(n):
        net = MLPClassifier((16,), max_iter=100, alpha=0.1, random_state=seed)
        made.append(
            (make_pipeline(StandardScaler(), net) if scaled else net).fit(problem.X, problem.y)
        )
    return made


class Listener:
    """A callback that notes what it is told."""

    told: ClassVar[list] = []

    def setup(self, estimator, context):
        self.told.append("setup")

    def on_fit_task_begin(self, estimator, context):
        self.told.append(context.task_name)

    def on_fit_task_end(self, estimator, context):
        return False

    def teardown(self, estimator, context):
        self.told.append("teardown")


@pytest.fixture(scope="module")
def nets(blobs):
    return nets_of(blobs)


@pytest.fixture(scope="module")
def merged(nets, blobs):
    return MergedClassifier.from_fitted(
        nets, blobs.X_held, blobs.y_held, method="parameters", X_unlabeled=blobs.X
    )


def divergence(model, merged, X):
    pool = merged.members_log_proba(X)
    return float((np.exp(pool) * (pool - model.predict_log_proba(X))).sum(axis=1).mean())


def distilled(start, **params):
    params = {"epochs": 20, "target": "members", "random_state": 0, **params}
    return FineTunedClassifier(FrozenEstimator(start), **params)


def test_members_log_proba_is_the_pool_whatever_the_method(nets, merged, blobs):
    pool = MergedClassifier.from_fitted(nets, method="logits", weights=merged.weights_)
    expected = pool.predict_log_proba(blobs.X_test)
    np.testing.assert_allclose(merged.members_log_proba(blobs.X_test), expected, atol=1e-12)
    for method in ("auto", "logits", "probabilities"):
        other = MergedClassifier.from_fitted(nets, blobs.X_held, blobs.y_held, method=method)
        np.testing.assert_allclose(
            np.exp(other.members_log_proba(blobs.X_test)),
            other.predict_proba(blobs.X_test),
            atol=1e-12,
        )
    with pytest.raises(NotFittedError):
        MergedClassifier([("a", nets[0])]).members_log_proba(blobs.X_test)


def test_distilling_brings_the_model_nearer_to_the_pool(nets, blobs):
    plain = MergedClassifier.from_fitted(
        nets,
        blobs.X_held,
        blobs.y_held,
        method="parameters",
        alignment=None,
        repair=None,
        barrier_tolerance=10.0,
    )
    before = divergence(plain, plain, blobs.X_test)
    rows = np.concatenate([blobs.X, blobs.X_held])
    for augment in (None, "mixup", "jitter", "both"):
        model = distilled(plain, augment=augment).fit(rows)
        assert divergence(model, plain, blobs.X_test) < 0.5 * before


def test_rows_without_labels_are_rows(merged, blobs):
    together = distilled(merged).fit(np.concatenate([blobs.X_held, blobs.X]))
    apart = distilled(merged).fit(blobs.X_held, X_unlabeled=blobs.X)
    labelled = distilled(merged).fit(blobs.X_held, blobs.y_held, X_unlabeled=blobs.X)
    only = distilled(merged).fit(blobs.X_held[:0], blobs.y_held[:0], X_unlabeled=blobs.X)
    p = together.predict_proba(blobs.X_test)
    np.testing.assert_array_equal(apart.predict_proba(blobs.X_test), p)
    np.testing.assert_array_equal(labelled.predict_proba(blobs.X_test), p)
    assert np.abs(only.predict_proba(blobs.X_test) - p).max() > 1e-4


def test_rows_without_labels_may_have_weights(merged, blobs):
    weight = (np.arange(len(blobs.X_held)) % 3).astype(float)
    one = distilled(merged).fit(blobs.X_held, sample_weight=weight)
    two = distilled(merged).fit(blobs.X_held[weight > 0], sample_weight=weight[weight > 0])
    three = distilled(merged).fit(blobs.X_held[weight > 0])
    p = one.predict_proba(blobs.X_test)
    np.testing.assert_array_equal(p, two.predict_proba(blobs.X_test))
    assert np.abs(p - three.predict_proba(blobs.X_test)).max() > 1e-6
    with pytest.raises(ValueError, match="speed"):
        distilled(merged).fit(blobs.X_held, speed=3)


def test_any_classifier_can_teach(nets, members, blobs):
    forest = members["forest"]
    model = distilled(nets[0], teacher=FrozenEstimator(forest), epochs=60).fit(blobs.X_held)
    far = np.abs(nets[0].predict_proba(blobs.X_held) - forest.predict_proba(blobs.X_held)).mean()
    near = np.abs(model.predict_proba(blobs.X_held) - forest.predict_proba(blobs.X_held)).mean()
    assert near < 0.75 * far
    own = distilled(nets[0], teacher=DecisionTreeClassifier(max_depth=3, random_state=0))
    own.fit(blobs.X_held, blobs.y_held)
    frozen = DecisionTreeClassifier(max_depth=3, random_state=0).fit(blobs.X_held, blobs.y_held)
    same = distilled(nets[0], teacher=FrozenEstimator(frozen)).fit(blobs.X_held, blobs.y_held)
    np.testing.assert_array_equal(own.predict_proba(blobs.X), same.predict_proba(blobs.X))


def test_everything_fitted_here(blobs):
    """Members, merge, distillation and temperature, from nothing but rows."""
    members = [(f"net{s}", MLPClassifier((8,), max_iter=20, random_state=s)) for s in range(2)]
    inner = FineTunedClassifier(
        MergedClassifier(
            members,
            method="parameters",
            cv=2,
            weights=None,
            repair=None,
            on_barrier="warn",
            barrier_tolerance=10.0,
        ),
        target="members",
        epochs=5,
        cv=2,
        random_state=0,
    )
    model = TemperatureCalibrator(inner, cv=2).fit(blobs.X, blobs.y, X_unlabeled=blobs.X_held)
    assert isinstance(model.estimator_.estimator_, MLPClassifier)
    assert log_loss(blobs.y_test, model.predict_proba(blobs.X_test)) < np.log(3)


def test_tuned_members_merge_into_one(nets, blobs):
    """tune-then-merge is the merge of what tuning gives."""
    params = {
        "method": "parameters",
        "weights": None,
        "alignment": "weights",
        "repair": None,
        "barrier_tolerance": 10.0,
    }
    tuned = [
        FineTunedClassifier(FrozenEstimator(n), random_state=0).fit(blobs.X_held, blobs.y_held)
        for n in nets
    ]
    merged = MergedClassifier.from_fitted(tuned, blobs.X_test, blobs.y_test, **params)
    inner = MergedClassifier.from_fitted(
        [t.estimator_ for t in tuned], blobs.X_test, blobs.y_test, **params
    )
    np.testing.assert_allclose(
        merged.predict_proba(blobs.X_test), inner.predict_proba(blobs.X_test), atol=1e-12
    )
    assert isinstance(merged.merged_estimator_, MLPClassifier)


def test_folded_scalers_do_not_slow_training(blobs):
    """A merge of Pipelines takes raw rows; training it does not depend on their units."""
    losses = []
    for spread in (1.0, 1e4):
        units = spread ** np.linspace(-1, 1, 8)

        class Scaled:
            X, y = blobs.X * units, blobs.y

        merged = MergedClassifier.from_fitted(
            2 * nets_of(Scaled, n=1, scaled=True),
            blobs.X_held * units,
            blobs.y_held,
            method="parameters",
            weights=None,
            alignment=None,
            repair=None,
            barrier_tolerance=10.0,
        )
        assert isinstance(merged.merged_estimator_, MLPClassifier)
        model = FineTunedClassifier(FrozenEstimator(merged), epochs=20, random_state=0)
        model.fit(blobs.X_held * units, blobs.y_held)
        assert isinstance(model.estimator_, MLPClassifier)
        losses.append(log_loss(blobs.y_held, model.predict_proba(blobs.X_held * units)))
        assert losses[-1] < log_loss(blobs.y_held, merged.predict_proba(blobs.X_held * units))
    assert losses[1] == pytest.approx(losses[0], abs=1e-3)


def test_scaled_rows_change_no_function(blobs):
    nets = nets_of(blobs, n=2, scaled=True)
    merged = MergedClassifier.from_fitted(
        nets,
        blobs.X_held,
        blobs.y_held,
        method="parameters",
        weights=None,
        alignment="weights",
        repair=None,
        barrier_tolerance=10.0,
    )
    start = open_estimator(merged).scaled(blobs.X_held)
    assert start.scaler is not None
    said = start.net.predict_proba(start.rows(blobs.X_test))
    np.testing.assert_allclose(said, merged.predict_proba(blobs.X_test), atol=1e-12)
    back = start.rebuilt(start.net).predict_proba(blobs.X_test)
    np.testing.assert_allclose(back, merged.predict_proba(blobs.X_test), atol=1e-12)


@given(
    augment=st.sampled_from(["mixup", "jitter", "both"]),
    seed=st.integers(0, 99),
    dtype=st.sampled_from([np.float32, np.float64, np.int64]),
)
def test_synthetic_rows(augment, seed, dtype):
    rng = np.random.default_rng(seed)
    X = (10 * rng.normal(size=(300, 4))).astype(dtype)
    before = X.copy()
    drawn = synthetic_rows(X, augment, [1], rng)
    np.testing.assert_array_equal(X, before)
    assert drawn.shape == X.shape
    assert set(drawn[:, 1].tolist()) <= set(X[:, 1].astype(drawn.dtype).tolist())
    moved = drawn[:, [0, 2, 3]] - X[:, [0, 2, 3]]
    if augment == "mixup":
        assert drawn.min() >= X.min()
        assert drawn.max() <= X.max()
        assert (np.abs(moved) <= 0.5 * np.ptp(X, axis=0)[[0, 2, 3]]).all()
    if augment == "jitter":
        np.testing.assert_array_equal(drawn[:, 1], X[:, 1])
        np.testing.assert_allclose(moved.std(axis=0), 0.2 * X.std(axis=0)[[0, 2, 3]], rtol=0.2)
    assert np.abs(moved).max() > 0


def test_synthetic_rows_of_a_frame_keep_what_is_no_number(blobs):
    frame = pd.DataFrame(blobs.X.copy(), columns=list("abcdefgh"))
    frame["kind"] = pd.Categorical(np.array(["x", "y"])[np.arange(len(frame)) % 2])
    frame["count"] = np.arange(len(frame)) % 5
    frame.loc[0, "a"] = np.nan
    before = frame.copy()
    drawn = synthetic_rows(frame, "both", [], np.random.default_rng(0))
    pd.testing.assert_frame_equal(frame, before)
    assert drawn.dtypes.to_dict() == frame.dtypes.to_dict()
    assert set(drawn["count"]) <= set(range(5))
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), list("bcdefgh")), ("text", OneHotEncoder(), ["kind"])]
    )
    start = make_pipeline(columns, MLPClassifier((8,), max_iter=30, random_state=0))
    start.fit(frame, blobs.y)
    model = distilled(start, teacher=FrozenEstimator(start), augment="both", epochs=2).fit(frame)
    assert model.predict(frame).shape == (len(frame),)


def test_containers_of_rows(merged, blobs):
    columns = list("abcdefgh")
    frames = [pd.DataFrame(part, columns=columns) for part in (blobs.X_held, blobs.X)]
    expected = distilled(merged).fit(blobs.X_held, X_unlabeled=blobs.X)
    lists = distilled(merged).fit(blobs.X_held.tolist(), X_unlabeled=blobs.X.tolist())
    np.testing.assert_allclose(
        lists.predict_proba(blobs.X_test), expected.predict_proba(blobs.X_test), atol=1e-12
    )
    matrix = sparse.csr_matrix
    thin = distilled(merged.merged_estimator_, teacher=FrozenEstimator(merged.merged_estimator_))
    thin.fit(matrix(blobs.X_held), X_unlabeled=matrix(blobs.X))
    assert thin.predict(matrix(blobs.X_test)).shape == blobs.y_test.shape
    with pytest.raises(ValueError, match="columns of X"):
        distilled(merged).fit(frames[0], X_unlabeled=frames[1].iloc[:, ::-1])
    with pytest.raises(ValueError, match=r"should have \(8,\) columns"):
        distilled(merged).fit(blobs.X_held, X_unlabeled=blobs.X[:, :3])


def test_errors_name_the_remedy(nets, members, merged, blobs):
    X, y = blobs.X_held, blobs.y_held
    frozen = FrozenEstimator(nets[0])
    pool = MergedClassifier.from_fitted(nets, X, y, method="logits")
    cases = [
        (FineTunedClassifier(FrozenEstimator(members["forest"])), "forget what it starts from"),
        (FineTunedClassifier(LogisticRegression()), "LogisticRegression cannot be trained further"),
        (FineTunedClassifier(FrozenEstimator(pool)), "method='parameters'; or tune the members"),
        (FineTunedClassifier(frozen, target="members"), "pass a MergedClassifier"),
        (FineTunedClassifier(frozen, teacher=frozen), "teacher is for target='members'"),
        (FineTunedClassifier(frozen, augment="both"), "augment is for target='members'"),
        (
            FineTunedClassifier(SGDClassifier(loss="log_loss"), target="members", teacher=frozen),
            "learns from labels only",
        ),
        (
            FineTunedClassifier(GaussianNB(), learning_rate=0.1),
            "GaussianNB has no learning rate to set",
        ),
        (FineTunedClassifier(GaussianNB(), average=True), "average is for nets"),
        (FineTunedClassifier(GaussianNB(), weight_decay=0.0), "weight_decay is for nets"),
        (
            FineTunedClassifier(MLPClassifier((3,), solver="sgd", max_iter=5), weight_decay=0.1),
            "set its alpha instead",
        ),
    ]
    for model, message in cases:
        with pytest.raises(ValueError, match=message):
            model.fit(X, y)
    with pytest.raises(ValueError, match="X_unlabeled teaches nothing"):
        FineTunedClassifier(frozen).fit(X, y, X_unlabeled=X)
    with pytest.raises(ValueError, match=r"has the classes \[0, 1, 2\], y has \[7, 8, 9\]"):
        FineTunedClassifier(frozen).fit(X, y + 7)
    with pytest.raises(ValueError, match="y to be passed"):
        FineTunedClassifier(frozen).fit(X)
    two = LogisticRegression().fit(X[y > 0], y[y > 0])
    with pytest.raises(ValueError, match="the teacher knows the classes"):
        FineTunedClassifier(frozen, target="members", teacher=FrozenEstimator(two)).fit(X, y)
    with pytest.raises(ValueError, match="augment mixes rows of numbers; got csr_matrix"):
        distilled(nets[0], teacher=frozen, augment="both").fit(sparse.csr_matrix(X))
    with pytest.raises(NotFittedError):
        FineTunedClassifier(frozen).predict(X)


def test_an_interrupt_leaves_everything_as_it_was(nets, blobs, monkeypatch):
    model = FineTunedClassifier(FrozenEstimator(nets[0]), random_state=0)
    model.fit(blobs.X_held, blobs.y_held)
    before, start = model.predict_proba(blobs.X_test), pickle.dumps(nets[0])

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("skmergecal.tuning._progress.Progress.epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            model.set_params(epochs=50).fit(blobs.X_held, blobs.y_held)
    assert pickle.dumps(nets[0]) == start
    np.testing.assert_array_equal(model.predict_proba(blobs.X_test), before)


def test_verbose_tells_of_each_epoch(nets, blobs, capsys):
    model = FineTunedClassifier(FrozenEstimator(nets[0]), verbose=1, early_stopping=True, epochs=2)
    model.fit(blobs.X_held, blobs.y_held)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "[FineTunedClassifier] epoch 1 of 2",
        "[FineTunedClassifier] epoch 2 of 2",
    ]
    assert "held-out loss" in lines[0]


def test_callbacks_are_told_of_runs_and_epochs(nets, blobs):
    model = FineTunedClassifier(FrozenEstimator(nets[0]), epochs=2, cv=2, random_state=0)
    if "sklearn.callback" not in sys.modules:
        assert tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9)
        return
    told = Listener.told
    model.set_callbacks(Listener()).fit(blobs.X_held, blobs.y_held)
    assert told == ["setup", "fit", "tune", "epoch", "epoch", "teardown"]
    told.clear()
    model.fit_held_out(blobs.X_held, blobs.y_held)
    assert told.count("tune") == 3
    assert pickle.loads(pickle.dumps(model)).predict(blobs.X_test).shape == blobs.y_test.shape
