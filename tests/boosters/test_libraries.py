"""EarlyStopped with the boosters themselves, where they are installed, and as members."""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmergecal import EarlyStopped, MergedClassifier
from skmergecal.exceptions import IncompatibleEstimatorsError

pytestmark = pytest.mark.thorough


def light(**params):
    lightgbm = pytest.importorskip("lightgbm")
    return lightgbm.LGBMClassifier(
        **{"n_estimators": 300, "num_leaves": 4, "n_jobs": 1, "verbose": -1, **params}
    )


def xgb(**params):
    xgboost = pytest.importorskip("xgboost")
    return xgboost.XGBClassifier(**{"n_estimators": 300, "max_depth": 2, "n_jobs": 1, **params})


def cat(**params):
    catboost = pytest.importorskip("catboost")
    quiet = {"verbose": False, "allow_writing_files": False, "thread_count": 1}
    return catboost.CatBoostClassifier(**{"iterations": 300, "depth": 2, **quiet, **params})


ROUNDS = {light: "n_estimators", xgb: "n_estimators", cat: "iterations"}
PATIENCE = {light: "early_stopping_round", xgb: "early_stopping_rounds", cat: "od_wait"}
LABELS = {
    "codes": [0, 1, 2],
    "names": ["bad", "good", "medium"],
    "gaps": [5, 9, 13],
    "negative": [-1, 0, 7],
}
libraries = pytest.mark.parametrize("make", list(PATIENCE))


@libraries
@pytest.mark.parametrize("k", [2, 3])
def test_labels_of_any_kind_stop_at_the_same_round(blobs, make, k):
    rows = blobs.y < k
    X, y, weight = blobs.X[rows], blobs.y[rows], np.linspace(1, 2, int(rows.sum()))
    found = {}
    for kind, labels in LABELS.items():
        model = EarlyStopped(make(**{PATIENCE[make]: 5}), validation_fraction=0.3, random_state=0)
        model.fit(X, np.asarray(labels)[y], weight)
        assert model.classes_.tolist() == labels[:k]
        assert set(model.predict(X).tolist()) <= set(labels[:k])
        found[kind] = model.n_rounds_, model.predict_proba(blobs.X_test)
    rounds, p = found["codes"]
    assert 1 <= rounds < 300
    for other_rounds, other in found.values():
        assert other_rounds == rounds
        np.testing.assert_allclose(other, p, atol=1e-6)


@libraries
def test_fifty_rounds_without_gain_are_the_default(blobs, make):
    model = EarlyStopped(make(), random_state=0).fit(blobs.X, blobs.y)
    assert model.n_rounds_ < 250
    given = {k: v for k, v in model.estimator.get_params().items() if "stop" in k}
    assert all(value is None for value in given.values())


@libraries
def test_truth_values_stay_truth_values(blobs, make):
    y = blobs.y == 1
    model = EarlyStopped(make(), random_state=0).fit(blobs.X, y)
    assert model.classes_.dtype == bool
    assert model.score(blobs.X_test, blobs.y_test == 1) > 0.6


@libraries
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_labels_that_are_dates_stay_dates(blobs, make, in_pipeline):
    """CatBoost makes texts of them."""
    y = np.array(["2021-01-01", "2020-01-01", "2019-05-05"], dtype="datetime64[D]")[blobs.y]
    few = make(**{ROUNDS[make]: 3})
    booster = make_pipeline(FunctionTransformer(), few) if in_pipeline else few
    merged = MergedClassifier({"booster": booster, "line": LogisticRegression()}, cv=2)
    merged.fit(blobs.X, y)
    np.testing.assert_array_equal(merged.classes_, np.unique(y))
    codes = clone(merged).fit(blobs.X, 2 - blobs.y)
    np.testing.assert_allclose(
        merged.predict_proba(blobs.X_test), codes.predict_proba(blobs.X_test), atol=1e-9
    )


def test_callbacks_that_stop_are_kept(blobs):
    lightgbm, xgboost = pytest.importorskip("lightgbm"), pytest.importorskip("xgboost")
    stop = lightgbm.early_stopping(3, verbose=False)
    EarlyStopped(light(), random_state=0).fit(blobs.X, blobs.y, callbacks=[stop])
    booster = xgb(callbacks=[xgboost.callback.EarlyStopping(rounds=3)])
    model = EarlyStopped(booster, random_state=0).fit(blobs.X, blobs.y)
    assert model.estimator_.early_stopping_rounds is None
    assert model.n_rounds_ < 300


@libraries
def test_cross_fitted_beside_others(blobs, make):
    y = np.asarray(LABELS["names"])[blobs.y]
    few = make(**{PATIENCE[make]: 5, ROUNDS[make]: 20})
    members = {
        "booster": make_pipeline(FunctionTransformer(), EarlyStopped(few, random_state=0)),
        "line": LogisticRegression(),
    }
    merged = MergedClassifier(members, cv=2, method="logits", calibrate="merged")
    grid = {"booster__earlystopped__validation_fraction": [0.3]}
    search = GridSearchCV(merged, grid, cv=2).fit(blobs.X, y, sample_weight=np.ones(200))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.loss_estimate_.loss < 1.2
    with pytest.raises(IncompatibleEstimatorsError, match="keep the merged classifier"):
        search.best_estimator_.to_estimator()


@pytest.fixture
def people():
    """A table with a column of categories and gaps in another."""
    rng = np.random.default_rng(0)
    town = rng.choice(["Bern", "Oslo", "Rome"], size=300)
    age = rng.normal(40, 10, size=300)
    y = np.where(age + 20 * (town == "Oslo") + rng.normal(0, 5, 300) > 45, "yes", "no")
    age[::7] = np.nan
    return pd.DataFrame({"town": pd.Categorical(town), "age": age}), y


@pytest.mark.parametrize(
    "make",
    [
        lambda: light(n_estimators=40),
        lambda: xgb(n_estimators=40, enable_categorical=True, tree_method="hist"),
        lambda: cat(iterations=40, cat_features=("town",)),
    ],
)
def test_categories_and_missing_values(people, make):
    X, y = people
    stopped = EarlyStopped(make(), random_state=0)
    merged = MergedClassifier({"b": stopped}, cv=2, method="logits").fit(X, y)
    assert merged.score(X, y) > 0.8
    assert merged.feature_names_in_.tolist() == ["town", "age"]


def test_columns_of_catboost_in_fit(people):
    X, y = people
    model = EarlyStopped(cat(iterations=40), random_state=0).fit(X, y, cat_features=["town"])
    assert model.score(X, y) > 0.8


def test_weights_of_classes_keep_their_labels(blobs):
    """LightGBM is given codes of the rows to stop by; class_weight names labels."""
    y = np.asarray(LABELS["gaps"])[blobs.y]
    plain, heavy = (
        EarlyStopped(light(class_weight=weight), random_state=0).fit(blobs.X, y)
        for weight in (None, {9: 20.0, 5: 1.0, 13: 1.0})
    )
    assert heavy.predict_proba(blobs.X)[:, 1].mean() > plain.predict_proba(blobs.X)[:, 1].mean()
    assert heavy.estimator.class_weight == {9: 20.0, 5: 1.0, 13: 1.0}


@pytest.mark.parametrize("make", [light, xgb])
def test_rows_to_stop_by_through_routing(blobs, make):
    """By hand: other rows than X, as many as X, with labels of any kind."""
    X, other = blobs.X, blobs.X_held
    y, y_other = (np.asarray(LABELS["gaps"])[labels] for labels in (blobs.y, blobs.y_held))
    booster = make(**{PATIENCE[make]: 5})
    apart = {"eval_set": [(other, y_other)]}
    coded = {"eval_set": [(other, blobs.y_held)]}
    if "eval_X" in inspect.signature(booster.fit).parameters:
        apart = {"eval_X": other, "eval_y": y_other}
        coded = {"eval_X": other, "eval_y": blobs.y_held}
    with sklearn.config_context(enable_metadata_routing=True):
        asked = clone(booster).set_fit_request(**dict.fromkeys(apart, True))
        members = [("b", asked), ("line", LogisticRegression())]
        merged = MergedClassifier(members, cv=2, method="logits").fit(X, y, **apart)
    booster.fit(X, blobs.y, **coded)
    np.testing.assert_allclose(
        merged.named_estimators_["b"].predict_proba(X), booster.predict_proba(X), atol=1e-6
    )
