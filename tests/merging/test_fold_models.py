"""Members that average the models of folds: refit=False, and from_cv."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    cross_validate,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from skmergecal import MergedClassifier, TemperatureCalibrator, calibration_report
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.pooling import fit_linear_pool, fit_logarithmic_pool
from tests.folds import FOLDS, fitted_on_folds, softened, unfitted


def oracle(models, splits, X, y, X_new, method):
    """Out-of-fold opinions to learn from, and averages to predict with."""
    own, new = [], []
    for fitted in models.values():
        held = np.empty((len(y), 3))
        for (_, test), model in zip(splits, fitted, strict=True):
            held[test] = model.predict_proba(X[test])
        amount = 1 / (len(y) + 1) if (held == 0).any() else 0.0
        each = [model.predict_proba(X_new) for model in fitted]
        if method == "logits":
            held = softened(held, amount)
            each = [softened(p, amount) for p in each]
        own.append(held)
        new.append(np.mean(each, axis=0))
    if method == "logits":
        fit = fit_logarithmic_pool(own, y, alpha="auto")
        scores = np.tensordot(fit.weights, new, axes=1) / fit.temperature
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)
    return np.tensordot(fit_linear_pool(own, y).weights, new, axes=1)


@pytest.mark.parametrize("method", ["logits", "probabilities"])
def test_both_ways_average_what_the_pool_pools(blobs, splits, fold_models, method):
    expected = oracle(fold_models, splits, blobs.X, blobs.y, blobs.X_test, method)
    kept = MergedClassifier(unfitted(), method=method, cv=FOLDS, refit=False).fit(blobs.X, blobs.y)
    given = MergedClassifier.from_cv(fold_models, blobs.X, blobs.y, splits, method=method)
    for merged in (kept, given):
        np.testing.assert_allclose(merged.predict_proba(blobs.X_test), expected, atol=1e-7)


def test_linear_pools_average_calibrated_probabilities(blobs):
    merged = MergedClassifier(
        [("logistic", LogisticRegression()), ("bayes", GaussianNB())],
        method="probabilities",
        weights=None,
        calibrate="members",
        cv=FOLDS,
        refit=False,
    ).fit(blobs.X, blobs.y)
    scaled = [
        model.predict_log_proba(blobs.X_test) / temperature
        for average, temperature in zip(
            merged.estimators_, merged.member_temperatures_, strict=True
        )
        for model in average.estimators
    ]
    expected = np.mean([np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) for z in scaled], axis=0)
    np.testing.assert_allclose(merged.predict_proba(blobs.X_test), expected, atol=1e-9)


SETTINGS = [
    {},
    {"weights": "greedy"},
    {"method": "logits", "weights": "classwise", "calibrate": "merged"},
    {"method": "probabilities", "calibrate": "both"},
    {"method": "probabilities", "weights": [1, 2, 1]},
    {"method": "logits", "weights": None},
]


@pytest.mark.parametrize("params", SETTINGS)
def test_models_that_exist_give_what_is_fitted_here(blobs, fold_models, params):
    kept = MergedClassifier(unfitted(), cv=FOLDS, refit=False, **params).fit(blobs.X, blobs.y)
    given = MergedClassifier.from_cv(fold_models, blobs.X, blobs.y, FOLDS, **params)
    expected = kept.predict_proba(blobs.X_test)
    np.testing.assert_allclose(given.predict_proba(blobs.X_test), expected, atol=1e-9)
    np.testing.assert_allclose(given.weights_, kept.weights_, atol=1e-9)
    one_by_one = [kept.predict_proba(row[None])[0] for row in blobs.X_test[:5]]
    np.testing.assert_allclose(one_by_one, expected[:5], rtol=1e-12)
    np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("method", ["logits", "probabilities"])
def test_merge_of_one_member_is_the_member(blobs, method, refit):
    members = [("trees", ExtraTreesClassifier(5, max_depth=3, random_state=0))]
    merged = MergedClassifier(members, method=method, weights=None, cv=FOLDS, refit=refit)
    merged.fit(blobs.X, blobs.y)
    alone = merged.estimators_[0]
    np.testing.assert_array_equal(alone.classes_, [0, 1, 2])
    np.testing.assert_array_equal(alone.predict(blobs.X_test), merged.predict(blobs.X_test))
    if refit and method == "logits":
        return  # its zeros are softened before the log
    p = merged.predict_proba(blobs.X_test)
    np.testing.assert_array_equal(merged.predict_proba(blobs.X_test[:1]), p[:1])
    np.testing.assert_allclose(alone.predict_proba(blobs.X_test), p, atol=1e-12)
    np.testing.assert_allclose(
        np.exp(alone.predict_log_proba(blobs.X_test)), alone.predict_proba(blobs.X_test), atol=1e-12
    )


def test_weights_and_out_of_fold_rows_are_those_of_a_refit(blobs):
    members = [
        ("tree", DecisionTreeClassifier(max_depth=3, random_state=0)),
        ("bayes", GaussianNB()),
    ]
    kept, refitted = (MergedClassifier(members, cv=FOLDS, refit=refit) for refit in (False, True))
    out = [model.fit_transform(blobs.X, blobs.y) for model in (kept, refitted)]
    np.testing.assert_allclose(out[0], out[1], atol=1e-12)
    np.testing.assert_array_equal(kept.weights_, refitted.weights_)
    assert np.abs(kept.transform(blobs.X) - out[0]).max() > 0.1


def test_frozen_members_are_not_affected(blobs, members):
    frozen = [(name, FrozenEstimator(members[name])) for name in ("logistic", "lda")]
    one, other = (
        MergedClassifier(frozen, refit=r).fit(blobs.X_held, blobs.y_held) for r in (True, False)
    )
    np.testing.assert_array_equal(
        one.predict_proba(blobs.X_test), other.predict_proba(blobs.X_test)
    )
    assert other.estimators_[0] is frozen[0][1]
    mixed = MergedClassifier([*frozen, ("bayes", GaussianNB())], refit=False, cv=FOLDS)
    mixed.fit(blobs.X_held, blobs.y_held)
    assert mixed.estimators_[0] is frozen[0][1]
    assert len(mixed.estimators_[2].estimators) == 3


def test_search_over_refit_and_a_clone_keep_the_parameter(blobs):
    members = [
        ("bayes", GaussianNB()),
        ("tree", DecisionTreeClassifier(max_depth=3, random_state=0)),
    ]
    merged = MergedClassifier(members, cv=2, method="logits")
    search = GridSearchCV(merged, {"refit": [True, False]}, cv=2, scoring="neg_log_loss")
    search.fit(blobs.X, blobs.y)
    assert np.ptp(search.cv_results_["mean_test_score"]) > 0
    assert clone(merged.set_params(refit=False)).get_params()["refit"] is False


def test_parameters_need_a_refit(blobs, fold_models):
    members = [("a", LogisticRegression()), ("b", LogisticRegression(C=0.1))]
    merged = MergedClassifier(members, method="parameters", refit=False, cv=3)
    with pytest.raises(ValueError, match=r"\['a', 'b'\].*pass refit=True, or method='logits'"):
        merged.fit(blobs.X, blobs.y)
    merged.set_params(refit=True).fit(blobs.X, blobs.y)
    merged.set_params(refit=False, method="logits").fit(blobs.X, blobs.y)
    with pytest.raises(ValueError, match="pass unfitted members"):
        MergedClassifier.from_cv(fold_models, blobs.X, blobs.y, FOLDS, method="parameters")


def random_labels(y, kind):
    names = {"strings": np.array(["b", "a", "c"]), "numbers": np.array([23, -3, 13])}
    return names[kind][y] if kind in names else pd.Series(pd.Categorical.from_codes(y, list("bac")))


@pytest.fixture(scope="module")
def kept_model(blobs, splits):
    """Members that average the models of their folds, of labels 0, 1 and 2."""
    return MergedClassifier(unfitted(), cv=splits, refit=False).fit(blobs.X, blobs.y)


@pytest.mark.parametrize("kind", ["strings", "numbers", "categories"])
def test_labels_of_any_kind_give_the_same(blobs, splits, kept_model, kind):
    labels = random_labels(blobs.y, kind)
    merged = MergedClassifier(unfitted(), cv=splits, refit=False).fit(blobs.X, labels)
    models = fitted_on_folds(blobs.X, np.asarray(labels), splits)
    given = MergedClassifier.from_cv(models, blobs.X, labels, splits)
    columns = np.searchsorted(
        merged.classes_, np.asarray(labels)[[np.argmax(blobs.y == c) for c in range(3)]]
    )
    p = kept_model.predict_proba(blobs.X_test)
    for model in (merged, given):
        np.testing.assert_allclose(model.predict_proba(blobs.X_test)[:, columns], p, atol=1e-6)
        assert set(model.estimators_[0].predict(blobs.X_test)) <= set(labels)


class OnFrames(ClassifierMixin, BaseEstimator):
    """Knows a column by its name, whose values are text."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.inner_ = GaussianNB().fit(self.plain(X), y)
        return self

    def plain(self, X):
        return X.assign(text=X["text"].map(float)).to_numpy(dtype=float)

    def predict_proba(self, X):
        return self.inner_.predict_proba(self.plain(X))

    def predict(self, X):
        return self.inner_.predict(self.plain(X))


@pytest.mark.parametrize("container", ["frame", "sparse"])
def test_frames_and_sparse_rows(blobs, splits, container):
    if container == "frame":

        def pack(X):
            table = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
            return table.assign(text=table["x0"].map(str)).set_index(np.arange(len(X)) * 7)

        model = OnFrames()
    else:
        pack, model = csr_matrix, LogisticRegression()
    X, y = pack(blobs.X), blobs.y
    merged = MergedClassifier([("model", model)], cv=FOLDS, refit=False).fit(X, y)
    models = cross_validate(model, X, y, cv=FOLDS, return_estimator=True)["estimator"]
    given = MergedClassifier.from_cv({"model": models}, X, y, splits)
    p = merged.predict_proba(pack(blobs.X_test))
    np.testing.assert_allclose(given.predict_proba(pack(blobs.X_test)), p, atol=1e-9)
    if container == "frame":
        assert merged.feature_names_in_[-1] == given.feature_names_in_[-1] == "text"
    assert merged.n_features_in_ == given.n_features_in_ == X.shape[1]


def test_weights_are_repetitions_and_zero_removes_a_row(blobs, splits, fold_models):
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 3, len(blobs.y))
    rows = np.repeat(np.arange(len(weight)), weight)
    again = [tuple(np.flatnonzero(np.isin(rows, part)) for part in split) for split in splits]
    weighted = MergedClassifier.from_cv(fold_models, blobs.X, blobs.y, splits, weight)
    repeated = MergedClassifier.from_cv(fold_models, blobs.X[rows], blobs.y[rows], again)
    kept = MergedClassifier([("bayes", GaussianNB())], cv=splits, refit=False)
    kept_rows = clone(kept).set_params(cv=again).fit(blobs.X[rows], blobs.y[rows])
    for a, b in [(weighted, repeated), (kept.fit(blobs.X, blobs.y, weight), kept_rows)]:
        p = a.predict_proba(blobs.X_test)
        np.testing.assert_allclose(b.predict_proba(blobs.X_test), p, atol=1e-5)
    garbage = np.where((weight == 0)[:, None], 1e9, blobs.X)
    same = MergedClassifier.from_cv(fold_models, garbage, blobs.y, splits, weight)
    np.testing.assert_array_equal(same.weights_, weighted.weights_)


def test_groups_reach_the_splitters_that_use_them(blobs):
    groups = np.arange(len(blobs.y)) // 20
    by_group = list(GroupKFold(3).split(blobs.X, blobs.y, groups))
    merged = MergedClassifier([("bayes", GaussianNB())], cv=GroupKFold(3), refit=False)
    merged.fit(blobs.X, blobs.y, groups=groups)
    models = {
        **fitted_on_folds(blobs.X, blobs.y, by_group, [("bayes", GaussianNB())]),
        **fitted_on_folds(
            blobs.X, blobs.y, list(KFold(4).split(blobs.X)), [("logistic", LogisticRegression())]
        ),
    }
    bayes = {"bayes": models["bayes"]}
    alone = MergedClassifier.from_cv(bayes, blobs.X, blobs.y, GroupKFold(3), groups=groups)
    np.testing.assert_allclose(
        alone.predict_proba(blobs.X_test), merged.predict_proba(blobs.X_test), atol=1e-9
    )
    each = {"logistic": KFold(4), "bayes": GroupKFold(3)}
    both = MergedClassifier.from_cv(models, blobs.X, blobs.y, each, groups=groups)
    lists = {"bayes": by_group, "logistic": list(KFold(4).split(blobs.X))}
    same = MergedClassifier.from_cv(models, blobs.X, blobs.y, lists)
    np.testing.assert_array_equal(both.weights_, same.weights_)


@pytest.mark.parametrize("method", ["auto", "logits", "probabilities"])
def test_a_class_that_a_fold_lacked_is_treated_as_in_cross_fitting(blobs, splits, method):
    X, y = blobs.X, blobs.y
    (train, test), *others = splits
    lacking = [(train[y[train] != 2], test), *others]
    members = [
        ("trees", DecisionTreeClassifier(max_depth=3, random_state=0)),
        ("bayes", GaussianNB()),
    ]
    kept = MergedClassifier(members, cv=lacking, method=method, refit=False)
    refitted = MergedClassifier(members, cv=lacking, method=method)
    for model in (kept, refitted):
        with pytest.warns(UserWarning, match=r"training rows miss classes: \{'trees': \[2\]"):
            model.fit(X, y)
    np.testing.assert_array_equal(kept.weights_, refitted.weights_)
    models = fitted_on_folds(X, y, lacking, members)
    with pytest.warns(UserWarning, match=r"training rows miss classes: \{'trees': \[2\]"):
        given = MergedClassifier.from_cv(models, X, y, lacking, method=method)
    p = kept.predict_proba(blobs.X_test)
    assert np.isfinite(np.log(p)).all() or method == "probabilities"
    np.testing.assert_allclose(given.predict_proba(blobs.X_test), p, atol=1e-9)
    alone = given.estimators_[0]
    np.testing.assert_array_equal(alone.classes_, [0, 1, 2])
    np.testing.assert_allclose(alone.predict_proba(blobs.X_test).sum(axis=1), 1)


class OnCodes(ClassifierMixin, BaseEstimator):
    """Takes no labels but 0..k-1, as XGBoost."""

    def fit(self, X, y):
        if not np.array_equal(np.unique(y), np.arange(len(np.unique(y)))):
            raise ValueError("labels should be 0..k-1")
        self.inner_ = GaussianNB().fit(X, y)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, X):
        return self.inner_.predict_proba(X)


def test_models_fitted_here_on_codes_remember_the_labels(blobs):
    y = np.array(["low", "mid", "top"])[blobs.y]
    merged = MergedClassifier([("codes", OnCodes())], cv=FOLDS, refit=False, method="logits")
    merged.fit(blobs.X, y)
    alone = merged.estimators_[0]
    np.testing.assert_array_equal(alone.classes_, ["low", "mid", "top"])
    again = MergedClassifier.from_fitted([alone], weights=None, method="logits")
    for model in (alone, again):
        assert np.mean(model.predict(blobs.X_test) == merged.predict(blobs.X_test)) == 1


def test_reports_pictures_and_pickles(blobs, fold_models, kept_model):
    given = MergedClassifier.from_cv(fold_models, blobs.X, blobs.y, FOLDS)
    for merged in (kept_model, given):
        report = merged.member_report(blobs.X_held, blobs.y_held)
        p = [
            e.predict_proba(blobs.X_held)[np.arange(len(blobs.y_held)), blobs.y_held]
            for e in merged.estimators_
        ]
        np.testing.assert_allclose(report["log_loss"], [-np.log(q).mean() for q in p], rtol=1e-3)
        assert "FoldAverage of 3 GaussianNB" in merged._repr_html_()
        again = pickle.loads(pickle.dumps(merged))
        np.testing.assert_array_equal(
            again.predict_proba(blobs.X_test), merged.predict_proba(blobs.X_test)
        )
        with pytest.raises(ValueError, match="features"):
            merged.predict_proba(blobs.X_test[:, :3])
    alone = kept_model.estimators_[0]
    read = calibration_report(alone, blobs.X_held, blobs.y_held, n_resamples=9)
    y = blobs.y_held
    assert read.before.scores["log loss"].value == pytest.approx(
        -np.log(alone.predict_proba(blobs.X_held)[np.arange(len(y)), y]).mean()
    )
    warm = TemperatureCalibrator(FrozenEstimator(alone), temperature=1.0)
    warm.fit(blobs.X_held, blobs.y_held)
    np.testing.assert_allclose(
        warm.predict_proba(blobs.X_test), alone.predict_proba(blobs.X_test), atol=1e-12
    )


def test_one_plain_estimator_of_all_fold_models(blobs):
    linear = MergedClassifier(
        [("a", LogisticRegression()), ("b", LogisticRegression(C=0.1))],
        cv=FOLDS,
        refit=False,
        method="logits",
    ).fit(blobs.X, blobs.y)
    forests = MergedClassifier(
        [("a", ExtraTreesClassifier(4, random_state=0)), ("b", ExtraTreesClassifier(4))],
        cv=FOLDS,
        refit=False,
        method="probabilities",
    ).fit(blobs.X, blobs.y)
    for merged, kind in [(linear, LogisticRegression), (forests, ExtraTreesClassifier)]:
        plain = merged.to_estimator(blobs.X_test)
        assert type(plain) is kind
        np.testing.assert_allclose(
            plain.predict_proba(blobs.X_test), merged.predict_proba(blobs.X_test), atol=1e-9
        )
    combined = MergedClassifier([("a", LogisticRegression())], cv=FOLDS, refit=False)
    combined.fit(blobs.X, blobs.y)
    with pytest.raises(IncompatibleEstimatorsError, match="use method='logits'") as caught:
        combined.to_estimator()
    assert "parameters" not in str(caught.value)


class Counted(GaussianNB):
    """Counts rows, in a list that all instances share."""

    asked: list = []  # noqa: RUF012

    def predict_proba(self, X):
        self.asked.append(len(X))
        return super().predict_proba(X)


def test_memory_keeps_fits_and_outputs_of_fold_models(blobs, tmp_path, splits):
    merged = MergedClassifier([("bayes", Counted())], cv=splits, refit=False, memory=tmp_path)
    first = merged.fit(blobs.X, blobs.y).predict_proba(blobs.X_test)
    asked = len(Counted.asked)
    for params in ({"calibrate": "merged"}, {"method": "logits"}):
        clone(merged).set_params(**params).fit(blobs.X, blobs.y).predict_proba(blobs.X_test)
    assert len(Counted.asked) == asked
    np.testing.assert_array_equal(merged.predict_proba(blobs.X_test), first)
    models = fitted_on_folds(blobs.X, blobs.y, splits, [("bayes", Counted())])
    asked = len(Counted.asked)
    given = MergedClassifier.from_cv(models, blobs.X, blobs.y, splits, memory=tmp_path)
    assert Counted.asked[asked:] == [len(test) for _, test in splits]  # each row by one model
    MergedClassifier.from_cv(models, blobs.X, blobs.y, splits, memory=tmp_path, alpha=1.0)
    assert len(Counted.asked) == asked + 3
    np.testing.assert_allclose(given.predict_proba(blobs.X_test), first, atol=1e-9)
    asked = len(Counted.asked)
    MergedClassifier.from_cv(models, blobs.X, blobs.y, splits, weights=None)
    assert Counted.asked[asked:] == [len(test) for _, test in splits]


def test_jobs_change_nothing(blobs, kept_model):
    one = kept_model.predict_proba(blobs.X_test)
    with parallel_config(backend="threading"):
        two = (
            clone(kept_model).set_params(n_jobs=2).fit(blobs.X, blobs.y).predict_proba(blobs.X_test)
        )
    np.testing.assert_allclose(one, two, atol=1e-12)
