"""FineTunedClassifier inside of, and around, what else there is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import FineTunedClassifier, MergedClassifier, TemperatureCalibrator
from skmergecal._networks import dense_network
from skmergecal.parameters import Parameters, read_parameters, write_parameters

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


@pytest.fixture(scope="module")
def starts(blobs):
    X, y = blobs.X, blobs.y
    return {
        "mlp": MLPClassifier((12,), max_iter=40, random_state=0).fit(X, y),
        "pipeline": make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=30)).fit(X, y),
        "sgd": SGDClassifier(loss="log_loss", random_state=0).fit(X, y),
    }


def test_a_calibrator_around_it_learns_from_rows_it_has_not_seen(starts, blobs):
    inner = FineTunedClassifier(
        FrozenEstimator(starts["mlp"]), epochs=10, learning_rate=0.05, cv=2, random_state=0
    )
    model = TemperatureCalibrator(inner, cv=2).fit(blobs.X_held, blobs.y_held)
    on_its_own_rows = TemperatureCalibrator(FrozenEstimator(model.estimator_))
    on_its_own_rows.fit(blobs.X_held, blobs.y_held)
    assert model.temperature_ > on_its_own_rows.temperature_
    held = clone(inner).fit_held_out(blobs.X_held, blobs.y_held)
    bare = TemperatureCalibrator().fit(held.log_proba, blobs.y_held[held.rows])
    assert bare.temperature_ == pytest.approx(model.temperature_, rel=1e-10)


def test_around_a_calibrator_the_temperature_goes_into_the_last_layer(starts, blobs):
    for kind in ("mlp", "pipeline"):
        cool = TemperatureCalibrator(FrozenEstimator(starts[kind]), temperature=2.0)
        cool.fit(blobs.X_held, blobs.y_held)
        same = FineTunedClassifier(FrozenEstimator(cool), epochs=0).fit(blobs.X_held, blobs.y_held)
        np.testing.assert_allclose(
            same.predict_proba(blobs.X_test), cool.predict_proba(blobs.X_test), atol=1e-6
        )
        assert type(same.estimator_) is type(starts[kind])


def test_a_grid_searches_over_epochs_in_any_nesting(starts, blobs):
    models = {
        "epochs": FineTunedClassifier(FrozenEstimator(starts["mlp"]), random_state=0),
        "estimator__epochs": TemperatureCalibrator(
            FineTunedClassifier(FrozenEstimator(starts["mlp"]), random_state=0), cv=2
        ),
        "one__epochs": MergedClassifier(
            [
                ("one", FineTunedClassifier(FrozenEstimator(starts["mlp"]), random_state=0)),
                ("two", FrozenEstimator(starts["sgd"])),
            ],
            cv=2,
        ),
    }
    for name, model in models.items():
        grid = GridSearchCV(model, {name: [0, 2]}, scoring="neg_log_loss", cv=2)
        grid.fit(blobs.X_held, blobs.y_held)
        assert np.isfinite(grid.cv_results_["mean_test_score"]).all()
        assert grid.best_params_[name] == 2


def test_rows_without_labels_are_routed(starts, blobs):
    """Through a calibrator: with metadata routing where it is asked for, and without it."""
    net = FrozenEstimator(starts["mlp"])

    def model():
        inner = FineTunedClassifier(
            net, target="members", teacher=net, epochs=3, learning_rate=0.1, random_state=0
        )
        return TemperatureCalibrator(inner, temperature=1.0)

    X, y = blobs.X_held, blobs.y_held
    plain = model().fit(X, y, X_unlabeled=blobs.X)
    fewer = model().fit(X, y)
    assert np.abs(plain.predict_proba(X) - fewer.predict_proba(X)).max() > 1e-3
    with config_context(enable_metadata_routing=True):
        routed = model()
        routed.estimator.set_fit_request(X_unlabeled=True)
        routed.fit(X, y, X_unlabeled=blobs.X)
        with pytest.raises(ValueError, match="X_unlabeled"):
            model().fit(X, y, X_unlabeled=blobs.X)
    np.testing.assert_array_equal(routed.predict_proba(X), plain.predict_proba(X))
    with pytest.raises(ValueError, match="X_unlabeled"):
        TemperatureCalibrator(net).fit(X, y, X_unlabeled=blobs.X)


def test_as_many_rows_without_labels_are_not_cut_with_the_others(starts, blobs):
    """X_unlabeled of the length of X is no parameter with one entry a row."""
    net = FrozenEstimator(starts["mlp"])
    inner = FineTunedClassifier(net, target="members", teacher=net, epochs=2, random_state=0)
    weight = (np.arange(len(blobs.y_held)) % 2).astype(float)
    model = TemperatureCalibrator(inner, temperature=1.0)
    model.fit(blobs.X_held, blobs.y_held, sample_weight=weight, X_unlabeled=blobs.X)
    kept = weight > 0
    alone = clone(inner).fit(
        blobs.X_held[kept], blobs.y_held[kept], weight[kept], X_unlabeled=blobs.X
    )
    np.testing.assert_allclose(
        model.predict_proba(blobs.X_test), alone.predict_proba(blobs.X_test), atol=1e-12
    )


class TwoLayers(ClassifierMixin, BaseEstimator):
    """A net of somebody's own, whose ``alpha`` and ``solver`` are not those of MLPClassifier."""

    def __init__(self, arrays=None, alpha=1e9, solver="sgd"):
        self.arrays = arrays
        self.alpha = alpha
        self.solver = solver

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        a = self.arrays
        z = np.maximum(X @ a["W"] + a["b"], 0) @ a["V"] + a["c"]
        return np.exp(z - logsumexp(z, axis=1, keepdims=True))


def test_a_registered_net_of_ones_own_is_trained(blobs):
    read_parameters.register(
        TwoLayers,
        lambda own: Parameters(
            own.arrays,
            {"type": "TwoLayers"},
            network=dense_network([("W", "b"), ("V", "c")], "relu", 8),
        ),
    )
    write_parameters.register(
        TwoLayers, lambda own, new: TwoLayers(new.arrays).fit(None, own.classes_)
    )
    rng = np.random.default_rng(0)
    arrays = {"W": rng.normal(size=(8, 16)) / 3, "b": np.zeros(16)}
    arrays |= {"V": rng.normal(size=(16, 3)) / 4, "c": np.zeros(3)}
    start = TwoLayers(arrays).fit(blobs.X, blobs.y)
    model = FineTunedClassifier(
        FrozenEstimator(start), epochs=100, learning_rate=0.01, random_state=0
    ).fit(blobs.X, blobs.y)
    assert isinstance(model.estimator_, TwoLayers)
    right = start.predict_proba(blobs.X).argmax(axis=1) == blobs.y
    assert model.score(blobs.X, blobs.y) > right.mean() + 0.2
