"""FineTunedClassifier inside of, and around, what else there is."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import FineTunedClassifier, MergedClassifier, TemperatureCalibrator

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
    inner = FineTunedClassifier(FrozenEstimator(starts["mlp"]), epochs=200, random_state=0)
    model = TemperatureCalibrator(inner).fit(blobs.X_held, blobs.y_held)
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
