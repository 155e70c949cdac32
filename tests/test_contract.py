"""The written contract: frozen members, bare logits, weights, containers, splits, routing."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from joblib import parallel_config
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneOut,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import MergedClassifier, TemperatureCalibrator
from tests.stand_ins import Opaque


def own():
    return [("logistic", LogisticRegression()), ("bayes", GaussianNB())]


@pytest.fixture(scope="module")
def models(blobs, members):
    """Fitted classifiers of every kind."""
    X, y = blobs.X_held, blobs.y_held
    same = [LogisticRegression(C=c).fit(blobs.X, blobs.y) for c in (0.1, 1)]
    z = members["logistic"].decision_function(X)
    return {
        "frozen logits": (MergedClassifier.from_fitted(members, X, y), blobs.X_test),
        "frozen probabilities": (
            MergedClassifier.from_fitted(members, X, y, method="probabilities", calibrate="both"),
            blobs.X_test,
        ),
        "frozen parameters": (
            MergedClassifier.from_fitted(same, X, y, method="parameters"),
            blobs.X_test,
        ),
        "mixed": (
            MergedClassifier([*own(), ("f", FrozenEstimator(same[0]))], cv=2).fit(X, y),
            blobs.X_test,
        ),
        "averages of folds": (
            MergedClassifier(own(), cv=2, refit=False, calibrate="merged").fit(X, y),
            blobs.X_test,
        ),
        "frozen calibrator": (
            TemperatureCalibrator(FrozenEstimator(members["bayes"])).fit(X, y),
            blobs.X_test,
        ),
        "bare logits": (TemperatureCalibrator().fit(z, y), z),
    }


NAMES = [
    "frozen logits",
    "frozen probabilities",
    "frozen parameters",
    "mixed",
    "averages of folds",
    "frozen calibrator",
    "bare logits",
]


@pytest.mark.parametrize("name", NAMES)
def test_outputs_fit_together(models, name):
    model, X = models[name]
    proba = model.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), proba, atol=1e-12)
    np.testing.assert_array_equal(model.predict(X), model.classes_[proba.argmax(axis=1)])
    z = model.transform(X)
    shifted = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(np.exp(shifted), proba, atol=1e-9)
    assert model.decision_function(X).shape == (len(X), 3)
    assert model.get_feature_names_out().shape == (3,)


@pytest.mark.parametrize("name", NAMES)
def test_pickled_and_cloned(models, name):
    model, X = models[name]
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert not hasattr(clone(model), "temperature_")


@pytest.mark.parametrize("name", NAMES)
def test_wrong_number_of_features(models, name):
    model, X = models[name]
    with pytest.raises(ValueError, match=r"features|columns"):
        model.predict_proba(X[:, :2])


@pytest.mark.parametrize("name", NAMES)
def test_frames_come_out_on_request(models, name):
    model, X = models[name]
    model = pickle.loads(pickle.dumps(model)).set_output(transform="pandas")
    out = model.transform(X)
    assert isinstance(out, pd.DataFrame)
    assert list(out.columns) == list(model.get_feature_names_out())


def test_binary_margins_of_any_shape(binary, binary_members):
    d = binary_members["lda"].decision_function(binary.X_held)
    flat = TemperatureCalibrator().fit(d, binary.y_held)
    column = TemperatureCalibrator().fit(d[:, None], binary.y_held)
    pair = TemperatureCalibrator().fit(np.column_stack([0 * d, d]), binary.y_held)
    np.testing.assert_array_equal(flat.predict_proba(d), column.predict_proba(d[:, None]))
    np.testing.assert_allclose(flat.temperature_, pair.temperature_, rtol=1e-12)
    np.testing.assert_allclose(flat.decision_function(d), d / flat.temperature_)
    wrapped = TemperatureCalibrator(FrozenEstimator(binary_members["lda"]))
    wrapped.fit(binary.X_held, binary.y_held)
    assert wrapped.temperature_ == pytest.approx(flat.temperature_, rel=1e-12)


def test_frames_of_logits_and_wrong_containers():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(60, 3))
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    frame = pd.DataFrame(z, columns=["a", "b", "c"])
    calibrator = TemperatureCalibrator().fit(frame, y)
    np.testing.assert_array_equal(calibrator.feature_names_in_, ["a", "b", "c"])
    with pytest.raises(ValueError, match="feature names"):
        calibrator.predict(frame[["c", "b", "a"]])


def settings():
    return [
        (MergedClassifier, {}),
        (MergedClassifier, {"method": "probabilities", "calibrate": "both"}),
        (MergedClassifier, {"method": "logits", "refit": False}),
        (MergedClassifier, {"weights": "greedy", "calibrate": "merged"}),
    ]


@pytest.mark.parametrize(("cls", "params"), settings())
@pytest.mark.parametrize("frozen", [True, False])
def test_whole_weights_repeat_rows_and_zero_removes_them(blobs, cls, params, frozen):
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 4, len(blobs.y))
    repeated = np.repeat(np.arange(len(weight)), weight)
    X, y = blobs.X_held, blobs.y_held
    model = make_model(blobs, cls, params, frozen)
    folds = np.arange(len(y)) % 2
    model.set_params(cv=split_by(folds))
    a = clone(model).fit(X, y, sample_weight=weight)
    b = clone(model).set_params(cv=split_by(folds[repeated])).fit(X[repeated], y[repeated])
    np.testing.assert_allclose(a.weights_, b.weights_, atol=1e-5)
    np.testing.assert_allclose(
        a.predict_proba(blobs.X_test), b.predict_proba(blobs.X_test), atol=1e-5
    )


SPLITTERS = [3, KFold(3), StratifiedKFold(3, shuffle=True, random_state=0)]


@pytest.mark.parametrize(
    ("cls", "params", "frozen", "cv"),
    # Each splitter with one setting, and each setting with one splitter.
    [(*settings()[0], False, cv) for cv in SPLITTERS]
    + [(*each, False, cv) for each, cv in zip(settings()[1:], SPLITTERS, strict=True)]
    + [(*each, True, cv) for each, cv in zip(settings(), [*SPLITTERS, 2], strict=True)],
)
def test_zero_weight_removes_a_row_for_any_splitter(blobs, cls, params, frozen, cv):
    weight = np.r_[np.zeros(40), np.ones(160)]
    model = make_model(blobs, cls, params, frozen).set_params(cv=cv)
    X = blobs.X_held.copy()
    X[:40] = 1e3
    y = blobs.y_held.copy()
    a = clone(model).fit(X, y, sample_weight=weight)
    b = clone(model).fit(X[40:], y[40:], sample_weight=weight[40:])
    np.testing.assert_array_equal(a.predict_proba(blobs.X_test), b.predict_proba(blobs.X_test))


def make_model(blobs, cls, params, frozen):
    members = own()
    if frozen:
        members = [(n, FrozenEstimator(m.fit(blobs.X, blobs.y))) for n, m in members]
    return cls(members, **params)


def split_by(folds):
    return [(np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in np.unique(folds)]


def test_transform_of_rows_of_weight_zero(blobs):
    weight = np.r_[np.zeros(5), np.ones(195)]
    model = MergedClassifier(own(), cv=2)
    out = model.fit_transform(blobs.X, blobs.y, sample_weight=weight)
    np.testing.assert_allclose(out[:5], model.transform(blobs.X[:5]), atol=1e-12)


def test_fractional_weights_that_say_next_to_nothing(blobs):
    with pytest.warns(UserWarning, match="fewer than the 3 classes"):
        MergedClassifier(own(), cv=3).fit(blobs.X, blobs.y, sample_weight=np.full(200, 1e-3))


def test_members_without_sample_weight_are_named(blobs):
    members = [("near", KNeighborsClassifier()), ("bayes", GaussianNB())]
    with pytest.warns(UserWarning, match="'near' .KNeighborsClassifier. does not take sample_w"):
        MergedClassifier(members, cv=3).fit(blobs.X, blobs.y, sample_weight=np.ones(200))


def members_that_hand_weights_on():
    inner = LogisticRegression(C=0.05)
    scaler = StandardScaler(with_mean=False, with_std=False)
    piped = make_pipeline(scaler, inner)
    pair = [("logistic", inner), ("bayes", GaussianNB())]
    return {
        "search": GridSearchCV(inner, {"C": [0.05]}, cv=2),
        "search of a pipeline": GridSearchCV(piped, {"logisticregression__C": [0.05]}, cv=2),
        "vote": VotingClassifier(pair, voting="soft"),
    }


@pytest.mark.parametrize("which", ["search", "search of a pipeline", "vote"])
def test_weights_reach_members_that_hand_them_on(blobs, which):
    """Weights are repetition there, too; nothing says that they are not taken."""
    member = members_that_hand_weights_on()[which]
    weight = np.random.default_rng(0).integers(0, 4, len(blobs.y)).astype(float)
    index = np.repeat(np.arange(len(blobs.y)), weight.astype(int))
    fold = np.arange(len(blobs.y)) % 2
    weighted = TemperatureCalibrator(member, cv=split_by(fold))
    weighted.fit(blobs.X, blobs.y, sample_weight=weight)
    repeated = TemperatureCalibrator(member, cv=split_by(fold[index]))
    repeated.fit(blobs.X[index], blobs.y[index])
    np.testing.assert_allclose(
        weighted.predict_proba(blobs.X_test), repeated.predict_proba(blobs.X_test), atol=1e-4
    )


def test_fit_transform_is_out_of_fold(blobs):
    """What replaces scikit-learn's check that fit_transform equals fit, then transform."""
    folds = split_by(np.arange(200) % 4)
    model = MergedClassifier(own(), weights=None, cv=folds)
    out = model.fit_transform(blobs.X, blobs.y)
    for train, test in folds:
        z = [
            m.fit(blobs.X[train], blobs.y[train]).predict_log_proba(blobs.X[test]) for _, m in own()
        ]
        mean = (z[0] + z[1]) / 2
        expected = mean - np.log(np.exp(mean).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(out[test], expected, atol=1e-9)
    assert np.abs(out - model.transform(blobs.X)).max() > 1e-3


def test_fit_transform_with_frozen_members_is_transform(blobs, members):
    frozen = [(n, FrozenEstimator(m)) for n, m in members.items()]
    for model in (
        MergedClassifier(frozen, calibrate="both"),
        MergedClassifier(frozen, method="probabilities"),
        TemperatureCalibrator(frozen[0][1]),
    ):
        out = model.fit_transform(blobs.X_held, blobs.y_held)
        np.testing.assert_allclose(out, model.transform(blobs.X_held), atol=1e-12)


@pytest.mark.parametrize(
    "cv",
    [
        ShuffleSplit(3, test_size=0.3, random_state=0),
        RepeatedKFold(n_splits=2, n_repeats=2, random_state=0),
    ],
)
def test_splits_that_are_no_partition(blobs, cv):
    model = MergedClassifier(own(), cv=cv)
    model.fit(blobs.X, blobs.y)
    with pytest.raises(ValueError, match="needs each row held out once"):
        model.fit_transform(blobs.X, blobs.y)


def test_repeated_splits_do_not_count_rows_twice(blobs):
    once = StratifiedKFold(3, shuffle=True, random_state=0)
    often = RepeatedStratifiedKFold(n_splits=3, n_repeats=4, random_state=0)
    a, b = (
        TemperatureCalibrator(GaussianNB(), cv=cv).fit(blobs.X, blobs.y) for cv in (once, often)
    )
    widths = [np.diff(np.log(m.temperature_interval_))[0] for m in (a, b)]
    assert widths[1] == pytest.approx(widths[0], rel=0.2)


@pytest.mark.parametrize("weight", [None, np.linspace(0, 2, 200)], ids=["equal", "weights"])
def test_the_same_splits_twice_are_the_same_rows(blobs, weight):
    folds = list(StratifiedKFold(3).split(blobs.X, blobs.y))
    once, twice = (
        TemperatureCalibrator(GaussianNB(), cv=cv).fit(blobs.X, blobs.y, sample_weight=weight)
        for cv in (folds, folds * 2)
    )
    assert twice.temperature_ == pytest.approx(once.temperature_, rel=1e-9)
    assert twice.temperature_interval_ == pytest.approx(once.temperature_interval_, rel=1e-6)


def test_leave_one_out(blobs):
    model = MergedClassifier([("bayes", GaussianNB())], cv=LeaveOneOut())
    assert model.fit_transform(blobs.X[:30], blobs.y[:30]).shape == (30, 3)


@pytest.mark.parametrize("estimator", ["merged", "averages", "calibrator"])
def test_groups_reach_the_splitter(blobs, estimator):
    groups = np.arange(200) // 20
    model = {
        "merged": MergedClassifier(own(), cv=GroupKFold(2)),
        "averages": MergedClassifier(own(), cv=GroupKFold(2), refit=False),
        "calibrator": TemperatureCalibrator(GaussianNB(), cv=GroupKFold(2)),
    }[estimator]
    folds = list(GroupKFold(2).split(blobs.X, blobs.y, groups))
    expected = clone(model).set_params(cv=folds).fit(blobs.X, blobs.y)
    plain = clone(model).fit(blobs.X, blobs.y, groups=groups)
    assert plain.temperature_ == expected.temperature_
    with sklearn.config_context(enable_metadata_routing=True):
        routed = clone(model).fit(blobs.X, blobs.y, groups=groups)
    assert routed.temperature_ == expected.temperature_


@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: make_pipeline(StandardScaler(), m)])
def test_routing_with_nothing_to_route(blobs, wrap):
    models = [
        MergedClassifier(own(), cv=2),
        MergedClassifier(own(), cv=2, refit=False),
        TemperatureCalibrator(GaussianNB(), cv=2),
        TemperatureCalibrator(wrap(MergedClassifier(own(), cv=2)), cv=2),
    ]
    for model in models:
        expected = clone(wrap(model)).fit(blobs.X, blobs.y).predict_proba(blobs.X_test)
        with sklearn.config_context(enable_metadata_routing=True):
            routed = clone(wrap(model)).fit(blobs.X, blobs.y).predict_proba(blobs.X_test)
        np.testing.assert_array_equal(routed, expected)


def test_weights_are_routed_to_those_who_request_them(blobs):
    weight = np.arange(200) % 3 + 1.0
    with sklearn.config_context(enable_metadata_routing=True):
        wants = LogisticRegression().set_fit_request(sample_weight=True)
        not_ = GaussianNB().set_fit_request(sample_weight=False)
        model = MergedClassifier([("wants", wants), ("not", not_)], weights=None, cv=3)
        model.fit(blobs.X, blobs.y, sample_weight=weight)
    expected = LogisticRegression().fit(blobs.X, blobs.y, sample_weight=weight).coef_
    np.testing.assert_array_equal(model.named_estimators_["wants"].coef_, expected)
    np.testing.assert_array_equal(
        model.named_estimators_["not"].theta_, GaussianNB().fit(blobs.X, blobs.y).theta_
    )


def test_weights_reach_the_last_step_of_a_pipeline(blobs):
    weight = np.arange(200) % 3 + 1.0
    member = make_pipeline(make_pipeline(GaussianNB()))
    model = MergedClassifier([("m", member)], weights=None, cv=3)
    model.fit(blobs.X, blobs.y, sample_weight=weight)
    np.testing.assert_array_equal(
        model.estimators_[0][-1][-1].theta_,
        GaussianNB().fit(blobs.X, blobs.y, sample_weight=weight).theta_,
    )


def test_dropped_members_and_their_weights(blobs):
    model = MergedClassifier([*own(), ("x", "drop")], weights=[1, 3, 7], cv=2)
    model.fit(blobs.X, blobs.y)
    np.testing.assert_allclose(model.weights_, [0.25, 0.75])
    by_name = clone(model).set_params(weights={"logistic": 1, "bayes": 3, "x": 5})
    np.testing.assert_allclose(by_name.fit(blobs.X, blobs.y).weights_, [0.25, 0.75])
    model.set_params(bayes="drop", logistic__C=0.5)
    model.fit(blobs.X, blobs.y)
    assert list(model.named_estimators_) == ["logistic"]
    assert model.named_estimators_.logistic.C == 0.5
    assert model.named_estimators["bayes"] == "drop"


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_jobs_and_backends_change_nothing(blobs, backend):
    serial = MergedClassifier(own(), cv=2).fit(blobs.X, blobs.y)
    with parallel_config(backend=backend):
        parallel = MergedClassifier(own(), cv=2, n_jobs=2).fit(blobs.X, blobs.y)
    np.testing.assert_allclose(
        parallel.predict_proba(blobs.X_test), serial.predict_proba(blobs.X_test), atol=1e-12
    )


def test_predict_of_a_member_is_never_called(blobs):
    model = MergedClassifier([("o", Opaque())], calibrate="both", cv=2).fit(blobs.X, blobs.y)
    model.predict(blobs.X_test)
    TemperatureCalibrator(Opaque(), cv=2).fit(blobs.X, blobs.y).predict(blobs.X_test)
