"""Grid search over method, weights, calibrate and temperature; the cache; thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from joblib import Memory
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    StratifiedKFold,
    TunedThresholdClassifierCV,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.fixes import parse_version

from skmergecal import MergedClassifier, TemperatureCalibrator

CALLS: dict[str, int] = {}


class Counted(ClassifierMixin, BaseEstimator):
    """Counts the calls of a classifier's outputs, by name (the cache copies objects)."""

    def __init__(self, name, inner):
        self.name = name
        self.inner = inner

    def fit(self, X, y):
        CALLS[f"{self.name} fit"] = CALLS.get(f"{self.name} fit", 0) + 1
        self.inner_ = clone(self.inner).fit(X, y)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, X):
        CALLS[self.name] = CALLS.get(self.name, 0) + 1
        return self.inner_.predict_proba(X)


class CountedLogistic(LogisticRegression):
    """A derived class of a family that is read through its decision function."""

    def decision_function(self, X):
        CALLS["derived"] = CALLS.get("derived", 0) + 1
        return super().decision_function(X)

    def predict_proba(self, X):
        CALLS["derived"] = CALLS.get("derived", 0) + 1
        margin = LogisticRegression.decision_function(self, X)
        p = np.exp(margin - margin.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)


GRID = [
    {"method": ["logits"], "weights": ["log_loss", "greedy", None], "calibrate": [None, "members"]},
    {"method": ["probabilities"], "weights": ["log_loss", [1, 2, 3]], "calibrate": ["merged"]},
    {"alpha": [0.1, 10.0], "calibrate": [None, "both"]},
]


def counted_members(blobs):
    inner = {"forest": RandomForestClassifier(5, random_state=0), "bayes": GaussianNB()}
    members = [(name, Counted(name, model)) for name, model in inner.items()]
    members.append(("derived", CountedLogistic()))
    return members


@pytest.mark.once  # how often members are asked
def test_search_calls_each_frozen_member_at_most_twice_a_fold(blobs, tmp_path):
    frozen = [(n, FrozenEstimator(m.fit(blobs.X, blobs.y))) for n, m in counted_members(blobs)]
    splits = StratifiedKFold(3)
    CALLS.clear()
    search = GridSearchCV(
        MergedClassifier(frozen, memory=str(tmp_path)),
        GRID,
        cv=splits,
        scoring="neg_log_loss",
        refit=False,
    ).fit(blobs.X_held, blobs.y_held)
    assert len(search.cv_results_["params"]) == 12
    assert {"forest", "bayes", "derived"} == set(CALLS)
    assert max(CALLS.values()) <= 2 * 3
    plain = GridSearchCV(
        MergedClassifier(frozen), GRID, cv=splits, scoring="neg_log_loss", refit=False
    ).fit(blobs.X_held, blobs.y_held)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"]
    )


@pytest.mark.once  # how often members are asked
def test_search_fits_each_member_once_a_fold(blobs, tmp_path):
    members = counted_members(blobs)[:2]
    members[1] = ("bayes", Counted("bayes", GaussianNB()))
    grid = {"weights": ["log_loss", "greedy", None], "calibrate": ["members", "merged"]}
    CALLS.clear()
    GridSearchCV(
        MergedClassifier(members, cv=2, memory=Memory(tmp_path, verbose=0)), grid, cv=3, refit=False
    ).fit(blobs.X, blobs.y)
    assert CALLS["bayes fit"] == 3 * (2 + 1)  # inner folds and all rows, for each outer fold
    assert CALLS["forest fit"] == 3 * (2 + 1)


@pytest.mark.once  # how often members are asked
def test_members_of_the_readme_are_cached(blobs, tmp_path, monkeypatch):
    """LogisticRegression has random_state=None, but its default solver draws nothing."""
    fits = []
    original = LogisticRegression.fit
    monkeypatch.setattr(
        LogisticRegression, "fit", lambda self, X, y: fits.append(1) or original(self, X, y)
    )
    members = [("logistic", LogisticRegression(max_iter=1000)), ("bayes", GaussianNB())]
    grid = {"weights": ["log_loss", "greedy", None], "calibrate": ["members", "merged"]}
    model = MergedClassifier(members, cv=2, memory=tmp_path)
    GridSearchCV(model, grid, cv=3, refit=False).fit(blobs.X, blobs.y)
    assert len(fits) == 3 * (2 + 1)


def test_a_fixed_temperature_needs_no_folds(blobs, monkeypatch):
    """Nothing is held out: what is inside is fitted once, this package's own, too."""
    fits = []
    original = GaussianNB.fit
    monkeypatch.setattr(
        GaussianNB, "fit", lambda self, X, y: fits.append(1) or original(self, X, y)
    )
    merge = MergedClassifier([("bayes", GaussianNB())], weights=None)
    TemperatureCalibrator(merge, temperature=2.0).fit(blobs.X, blobs.y)
    assert len(fits) == 1
    TemperatureCalibrator(merge, temperature=2.0).fit_transform(blobs.X, blobs.y)
    assert len(fits) == 1 + 6


def test_open_random_states_are_not_cached(blobs, tmp_path):
    open_state = [("forest", Counted("open", RandomForestClassifier(3)))]
    model = MergedClassifier(open_state, cv=2, memory=tmp_path)
    CALLS.clear()
    for _ in range(2):
        clone(model).fit(blobs.X, blobs.y)
    assert CALLS["open fit"] == 2 * 3
    shuffled = CalibratedClassifierCV(GaussianNB(), cv=StratifiedKFold(3, shuffle=True))
    models = [
        MergedClassifier([("c", shuffled)], cv=2, memory=tmp_path).fit(blobs.X, blobs.y)
        for _ in range(2)
    ]
    proba = [m.predict_proba(blobs.X_test) for m in models]
    assert np.abs(proba[0] - proba[1]).max() > 0


def test_the_cache_confuses_neither_members_nor_rows(blobs, tmp_path):
    a = LogisticRegression().fit(blobs.X, blobs.y)
    b = LogisticRegression().fit(blobs.X, blobs.y)
    b.coef_ = b.coef_ + 1e-12
    near = blobs.X_test.copy()
    near[0, 0] = np.nextafter(near[0, 0], np.inf)
    for model in (a, b):
        for X in (blobs.X_test, near):
            cached = MergedClassifier.from_fitted(
                [model], blobs.X_held, blobs.y_held, weights=None, memory=tmp_path
            )
            plain = MergedClassifier.from_fitted([model], blobs.X_held, blobs.y_held, weights=None)
            np.testing.assert_array_equal(cached.predict_proba(X), plain.predict_proba(X))


def test_what_cannot_be_hashed_is_not_cached(blobs, tmp_path):
    generator = (i for i in range(3))  # it cannot be pickled, nor can what refers to it
    odd = FunctionTransformer(lambda x: 2 * x if generator else x)
    forest = RandomForestClassifier(5, random_state=0)  # it is read in another way
    members = [("odd", make_pipeline(odd, GaussianNB())), ("forest", make_pipeline(odd, forest))]
    cached = MergedClassifier(members, cv=2, memory=tmp_path).fit(blobs.X, blobs.y)
    plain = MergedClassifier(members, cv=2).fit(blobs.X, blobs.y)
    np.testing.assert_array_equal(
        cached.predict_proba(blobs.X_test), plain.predict_proba(blobs.X_test)
    )
    frozen = [(name, FrozenEstimator(e)) for name, e in plain.named_estimators_.items()]
    a, b = (
        MergedClassifier(frozen, memory=memory).fit(blobs.X_held, blobs.y_held)
        for memory in (tmp_path, None)
    )
    assert a.temperature_ == b.temperature_
    np.testing.assert_array_equal(a.predict_proba(blobs.X_test), b.predict_proba(blobs.X_test))


@pytest.mark.parametrize("cv", [KFold(2), KFold(2, shuffle=True, random_state=0)])
def test_splitters_that_draw_nothing_are_cached(blobs, tmp_path, cv):
    member = CalibratedClassifierCV(Counted("split", GaussianNB()), cv=cv)
    model = MergedClassifier([("c", member)], weights=None, memory=tmp_path)
    CALLS.clear()
    for _ in range(2):
        clone(model).fit(blobs.X, blobs.y)
    assert CALLS["split fit"] == 2


def test_search_over_a_pipeline_with_a_temperature(blobs, members):
    frozen = [(n, FrozenEstimator(m)) for n, m in members.items()]
    pipeline = Pipeline(
        [("merge", MergedClassifier(frozen)), ("calibrate", TemperatureCalibrator())]
    )
    temperatures = [0.1, 0.5, 1.0, 2.0, None]
    search = GridSearchCV(
        pipeline,
        {"calibrate__temperature": temperatures, "merge__weights": ["log_loss", None]},
        scoring="neg_log_loss",
        cv=3,
    ).fit(blobs.X_held, blobs.y_held)
    scores = np.array(search.cv_results_["mean_test_score"]).reshape(5, 2)
    assert scores[4].max() > scores[0].max()  # a fitted temperature beats one of 0.1
    assert set(search.best_params_) == {"calibrate__temperature", "merge__weights"}
    search.predict_proba(blobs.X_test)


def test_search_over_the_order(blobs):
    members = [("weak", LogisticRegression(C=0.01)), ("bayes", GaussianNB())]
    merge = MergedClassifier(members, weights=None, cv=3)
    calibrated = [(n, TemperatureCalibrator(m, cv=3)) for n, m in members]
    orders = [
        merge,
        TemperatureCalibrator(merge),
        MergedClassifier(calibrated, weights=None, cv=3),
        make_pipeline(merge, TemperatureCalibrator()),
    ]
    search = GridSearchCV(Pipeline([("model", merge)]), {"model": orders}, scoring="neg_log_loss")
    search.fit(blobs.X, blobs.y)
    scores = search.cv_results_["mean_test_score"]
    assert scores[1] == pytest.approx(scores[3], abs=1e-10)
    assert np.isfinite(scores).all()


def test_a_fixed_temperature_gives_what_the_fitted_one_gave(blobs):
    for inner in (RandomForestClassifier(5, random_state=0), GaussianNB()):
        free = TemperatureCalibrator(inner, cv=3).fit(blobs.X, blobs.y)
        fixed = TemperatureCalibrator(inner, cv=3, temperature=free.temperature_)
        fixed.fit(blobs.X, blobs.y)
        assert fixed.temperature_interval_ is None
        np.testing.assert_allclose(
            fixed.predict_proba(blobs.X_test), free.predict_proba(blobs.X_test), atol=1e-12
        )


def test_thresholds_around_and_inside(binary, binary_members):
    frozen = FrozenEstimator(binary_members["bayes"])
    calibrated = TemperatureCalibrator(frozen).fit(binary.X_held, binary.y_held)
    around = TunedThresholdClassifierCV(calibrated, cv="prefit", refit=False, thresholds=20)
    around.fit(binary.X_held, binary.y_held)
    positive = calibrated.predict_proba(binary.X_test)[:, 1] >= around.best_threshold_
    np.testing.assert_array_equal(around.predict(binary.X_test), around.classes_[1 * positive])
    tuned = TunedThresholdClassifierCV(GaussianNB(), cv=3, thresholds=20).fit(binary.X, binary.y)
    inside = TemperatureCalibrator(FrozenEstimator(tuned)).fit(binary.X_held, binary.y_held)
    z = np.log(tuned.predict_proba(binary.X_test)) / inside.temperature_
    expected = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(inside.predict_proba(binary.X_test), expected, atol=1e-12)
    tuning = TunedThresholdClassifierCV(GaussianNB(), cv=3, thresholds=5)
    fitted_here = TemperatureCalibrator(tuning, cv=3)
    assert fitted_here.fit(binary.X, binary.y).score(binary.X_test, binary.y_test) > 0.6


def test_a_frozen_last_step_is_never_fitted(blobs):
    inner = MergedClassifier([("bayes", GaussianNB())], cv=3).fit(blobs.X, blobs.y)
    before = inner.predict_proba(blobs.X_test)
    unchanged = StandardScaler(with_mean=False, with_std=False)
    around = TemperatureCalibrator(make_pipeline(unchanged, FrozenEstimator(inner)))
    around.fit(blobs.X_held, blobs.y_held)
    np.testing.assert_array_equal(inner.predict_proba(blobs.X_test), before)
    direct = TemperatureCalibrator(FrozenEstimator(inner)).fit(blobs.X_held, blobs.y_held)
    assert around.temperature_ == pytest.approx(direct.temperature_, rel=1e-12)


def test_zero_weights_remove_rows_before_a_pipeline_of_ours(blobs):
    model = TemperatureCalibrator(
        make_pipeline(StandardScaler(), MergedClassifier([("bayes", GaussianNB())], cv=3))
    )
    weight = np.r_[np.zeros(40), np.ones(160)]
    X = blobs.X.copy()
    X[:40] *= 50
    a = clone(model).fit(X, blobs.y, sample_weight=weight)
    b = clone(model).fit(X[40:], blobs.y[40:], sample_weight=weight[40:])
    np.testing.assert_allclose(
        a.predict_proba(blobs.X_test), b.predict_proba(blobs.X_test), atol=1e-12
    )


def test_a_used_up_generator_is_an_error(blobs):
    folds = StratifiedKFold(3).split(blobs.X, blobs.y)
    model = MergedClassifier([("bayes", GaussianNB())], cv=folds)
    model.fit(blobs.X, blobs.y)
    with pytest.raises(ValueError, match="holds out no rows"):
        model.fit(blobs.X, blobs.y)


def test_masks_as_folds(blobs):
    rows = np.arange(200)
    masks = [(rows % 4 != f, rows % 4 == f) for f in range(4)]
    numbers = [(np.flatnonzero(a), np.flatnonzero(b)) for a, b in masks]
    models = [
        MergedClassifier([("bayes", GaussianNB())], cv=cv).fit(blobs.X, blobs.y)
        for cv in (masks, numbers)
    ]
    assert models[0].temperature_ == models[1].temperature_


@pytest.mark.parametrize("name", ["logistic", "lda", "mlp"])
def test_scikit_learns_own_temperature_where_it_is_right(blobs, members, name):
    import sklearn

    if parse_version(sklearn.__version__) < parse_version("1.8"):
        pytest.skip("scikit-learn has temperature scaling since 1.8")
    frozen = FrozenEstimator(members[name])
    theirs = CalibratedClassifierCV(frozen, method="temperature").fit(blobs.X_held, blobs.y_held)
    ours = TemperatureCalibrator(frozen, alpha=0).fit(blobs.X_held, blobs.y_held)
    np.testing.assert_allclose(
        ours.predict_proba(blobs.X_test), theirs.predict_proba(blobs.X_test), atol=1e-6
    )
