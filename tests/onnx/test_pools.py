"""Every pool of members in ONNX: weights, temperatures, softening, missing classes, zeros."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skmergecal import (
    DistilledClassifier,
    FineTunedClassifier,
    MergedClassifier,
    TemperatureCalibrator,
)
from skmergecal.calibration import ClassShift
from tests.onnx.sessions import same

POOLS = [
    {},
    {"calibrate": "merged"},
    {"method": "logits"},
    {"method": "logits", "weights": None},
    {"method": "logits", "weights": "greedy", "calibrate": "both"},
    {"method": "logits", "weights": "classwise"},
    {"method": "logits", "weights": "classwise", "alpha": 3.0, "calibrate": "merged"},
    {"method": "logits", "weights": {"forest": 1, "linear": 3, "network": 0}},
    {"method": "probabilities"},
    {"method": "probabilities", "weights": "greedy", "calibrate": "members"},
    {"method": "probabilities", "weights": None, "calibrate": "both"},
]


@pytest.mark.parametrize("settings", POOLS, ids=str)
def test_pools_give_the_same_probabilities(data, members, settings):
    X, y = data
    settings = dict(settings)
    if isinstance(settings.get("weights"), dict):
        settings["weights"] = {**dict.fromkeys(dict(members), 0), **settings["weights"]}
    model = MergedClassifier.from_fitted(members, X[80:], y[80:], **settings)
    same(model, X)


def test_cross_class_terms_are_part_of_the_default():
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=600)
    X = np.eye(4)[y] + rng.normal(scale=0.7, size=(600, 4))
    ridge = LogisticRegression(C=0.01).fit(X[:200], y[:200])
    bayes = GaussianNB().fit(X[:200], y[:200])
    merged = MergedClassifier.from_fitted([("ridge", ridge), ("bayes", bayes)], X[200:], y[200:])
    assert merged.pool_.classwise.across is not None
    same(merged, X)


@pytest.mark.parametrize("method", ["logits", "probabilities", "auto"])
def test_models_of_folds_are_averaged(data, method):
    X, y = data
    pair = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=2))]
    model = MergedClassifier(pair, method=method, refit=False, cv=2, calibrate="merged")
    same(model.fit(X, y), X)
    same(model.estimators_[1], X)


def fitted_without(X, y, label):
    return LogisticRegression().fit(X[y != label], y[y != label])


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "probabilities"},
        {"method": "probabilities", "calibrate": "both"},
        {"method": "probabilities", "missing_classes": "soften"},
        {"method": "logits", "missing_classes": "soften"},
        {"missing_classes": "soften"},
    ],
    ids=str,
)
def test_classes_that_members_do_not_know(settings):
    rng = np.random.default_rng(1)
    y = np.array(["a", "b", "c"])[rng.integers(3, size=240)]
    X = (y[:, None] == ["a", "b", "c"]) + rng.normal(size=(240, 3))
    forest = RandomForestClassifier(4, max_depth=4, random_state=0)
    members = {
        "no b": fitted_without(X[:100], y[:100], "b"),
        "no a": forest.fit(X[:100][y[:100] != "a"], y[:100][y[:100] != "a"]),
        "all": GaussianNB().fit(X[:100], y[:100]),
    }
    model = MergedClassifier.from_fitted(list(members.items()), X[100:], y[100:], **settings)
    same(model, X)


@pytest.mark.parametrize("settings", POOLS[::2], ids=str)
def test_zeros_and_saturated_values_agree(settings):
    rng = np.random.default_rng(2)
    y = rng.integers(2, size=200)
    X = y[:, None] * 3.0 + rng.normal(size=(200, 2))
    X[::17] *= 400  # densities that underflow, margins of a thousand
    sharp = LogisticRegression(C=1e6, max_iter=1000).fit(X[:60], y[:60])
    sharp.coef_ = sharp.coef_ * 50
    members = [
        ("linear", sharp),
        ("network", GaussianNB().fit(X[:60], y[:60])),
        ("forest", RandomForestClassifier(3, random_state=0).fit(X[:60], y[:60])),
    ]
    model = MergedClassifier.from_fitted(members, X[60:], y[60:], **settings)
    proba = same(model, X)
    with np.errstate(divide="ignore"):
        found, expected = np.log(proba), model.predict_log_proba(X)
    shown = np.isfinite(expected) & (expected > -600)
    np.testing.assert_allclose(found[shown], expected[shown], atol=1e-3)
    assert (proba[np.isneginf(expected)] == 0).all()


def test_parameters_that_were_merged(data):
    X, y = data
    pair = [(f"c{c}", LogisticRegression(C=c)) for c in (0.1, 1)]
    same(MergedClassifier(pair, method="parameters", calibrate="merged").fit(X, y), X)


def test_own_estimators_inside_each_other(data, members):
    X, y = data
    inner = MergedClassifier.from_fitted(members[:3], X[80:], y[80:], method="logits")
    scaled = StandardScaler(with_std=False).fit(X)
    calibrated = TemperatureCalibrator(FrozenEstimator(make_pipeline(scaled, inner)))
    outer = MergedClassifier.from_fitted(
        [("deep", calibrated.fit(X[80:], y[80:])), members[3]], X[80:], y[80:]
    )
    same(make_pipeline(FrozenEstimator(scaled), FrozenEstimator(outer)), X)


@pytest.mark.parametrize("margins", [False, True])
def test_a_calibrator_of_logits(margins):
    rng = np.random.default_rng(3)
    z = rng.normal(size=(90, 1 if margins else 3))
    y = (z[:, 0] > rng.normal(size=90)).astype(int) if margins else z.argmax(axis=1)
    same(TemperatureCalibrator().fit(z, y), z)
    same(ClassShift().fit(z, y), z)


def test_shifts_of_classes_around_a_merge_and_inside_one(data, members):
    X, y = data
    pair = MergedClassifier.from_fitted(members[:2], X[80:], y[80:], method="probabilities")
    shifted = ClassShift(FrozenEstimator(pair), shift=np.arange(len(pair.classes_))).fit(X, y)
    same(shifted, X)
    same(make_pipeline(shifted, TemperatureCalibrator(temperature=2.0)).fit(X, y), X)


def test_steps_in_a_pipeline(data):
    X, y = data
    merged = MergedClassifier([("linear", LogisticRegression()), ("bayes", GaussianNB())], cv=3)
    same(make_pipeline(StandardScaler(), merged, TemperatureCalibrator()).fit(X, y), X)


def test_a_tuned_classifier(data, members):
    X, y = data
    tuned = FineTunedClassifier(FrozenEstimator(dict(members)["network"]), epochs=1, random_state=0)
    same(tuned.fit(X[80:], y[80:]), X)


def test_a_student(data, members):
    X, y = data
    teacher = MergedClassifier.from_fitted(members, X[80:], y[80:], method="logits")
    same(DistilledClassifier(LogisticRegression(), FrozenEstimator(teacher)).fit(X, y), X)
