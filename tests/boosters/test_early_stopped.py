"""EarlyStopped with small stand-ins for boosters: the rows it sets apart, and what it hands on."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmergecal import EarlyStopped, MergedClassifier, TemperatureCalibrator

NAMES = np.array(["bad", "good", "medium"])


class Boosted(GradientBoostingClassifier):
    """Keeps the rounds before the lowest loss of the rows to stop by."""

    def fit(self, X, y, sample_weight=None, eval_set=None, eval_sample_weight=None):
        super().fit(X, y, sample_weight)
        ((X_eval, y_eval),) = eval_set
        (weight,) = eval_sample_weight or [None]
        losses = [
            log_loss(y_eval, p, sample_weight=weight, labels=self.classes_)
            for p in self.staged_predict_proba(X_eval)
        ]
        self.best_iteration_ = int(np.argmin(losses)) + 1
        self.estimators_ = self.estimators_[: self.best_iteration_]
        self.n_estimators_ = self.best_iteration_
        return self


class Records(ClassifierMixin, BaseEstimator):
    """Notes what its fit got; takes codes only if told so."""

    def __init__(self, codes=False, early_stopping_rounds=None):
        self.codes = codes
        self.early_stopping_rounds = early_stopping_rounds

    def fit(
        self, X, y, sample_weight=None, eval_set=None, sample_weight_eval_set=None, margin=None
    ):
        if self.codes and np.asarray(y).dtype.kind not in "iu":
            raise ValueError("codes, please")
        self.got_ = {name: value for name, value in locals().items() if name != "self"}
        self.inner_ = GaussianNB().fit(X, y, sample_weight)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, X):
        return self.inner_.predict_proba(X)


def booster():
    return Boosted(n_estimators=3, max_depth=2, random_state=0)


CHECKED = EarlyStopped(booster(), random_state=0, validation_fraction=0.2)
TWICE = "a row that comes twice may stand in both parts"
SPLITS = {f"check_sample_weight_equivalence_on_{kind}_data": TWICE for kind in ("dense", "sparse")}


CHECKS = parametrize_with_checks([CHECKED], expected_failed_checks=lambda estimator: SPLITS).mark


@pytest.mark.thorough
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("codes", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("as_frame", [False, True])
def test_rows_are_set_apart_by_classes_with_their_weights(blobs, codes, weighted, as_frame):
    X = pd.DataFrame(blobs.X).assign(number=np.arange(200.0))
    X = X.rename(columns=str)
    y, weight = NAMES[blobs.y], np.linspace(1, 2, 200) if weighted else None
    model = EarlyStopped(Records(codes), validation_fraction=0.25, random_state=0)
    rows = X if as_frame else X.to_numpy()
    model.fit(rows, y, weight, margin=np.arange(200))
    got = model.estimator_.got_
    ((X_apart, y_apart),) = got["eval_set"]
    assert type(got["X"]) is type(X_apart) is type(rows)
    labels = np.arange(3) if codes else NAMES
    numbers = [np.asarray(part)[:, -1].astype(int) for part in (got["X"], X_apart)]
    assert sorted(np.concatenate(numbers)) == list(range(200))
    np.testing.assert_array_equal(got["margin"], numbers[0])
    for part, found in zip(numbers, (got["y"], y_apart), strict=True):
        np.testing.assert_array_equal(found, labels[blobs.y[part]])
    assert len(y_apart) == 50
    shares = np.bincount(blobs.y[numbers[1]]) / np.bincount(blobs.y)
    np.testing.assert_allclose(shares, 0.25, atol=0.02)
    if weighted:
        np.testing.assert_array_equal(got["sample_weight"], weight[numbers[0]])
        np.testing.assert_array_equal(got["sample_weight_eval_set"], [weight[numbers[1]]])
    else:
        assert got["sample_weight"] is got["sample_weight_eval_set"] is None
    assert model.estimator_.early_stopping_rounds == 50
    assert model.estimator.early_stopping_rounds is None  # what was given is not changed
    assert model.classes_.tolist() == NAMES.tolist()
    assert set(model.predict(rows)) <= set(NAMES)


def test_its_own_patience_is_kept_and_other_rows_come_with_another_seed(blobs):
    def apart(**params):
        model = EarlyStopped(Records(early_stopping_rounds=7), **params).fit(blobs.X, blobs.y)
        assert model.estimator_.early_stopping_rounds == 7
        return model.estimator_.got_["eval_set"][0][0]

    np.testing.assert_array_equal(apart(random_state=1), apart(random_state=1))
    assert not np.array_equal(apart(random_state=1), apart(random_state=2))
    assert len(apart(random_state=1)) == 20


def test_rare_classes_keep_a_row_to_learn_from_and_rows_of_weight_0_do_not_count(blobs):
    y = np.array(["many"] * 196 + ["one", "two", "two", "gone"])
    weight = np.ones(200)
    weight[-1] = 0
    model = EarlyStopped(Records(), validation_fraction=0.9, random_state=0)
    model.fit(blobs.X, y, weight)
    got = model.estimator_.got_
    assert sorted(got["y"].tolist()).count("two") == 1
    assert "one" in got["y"]
    assert "one" not in got["eval_set"][0][1]
    assert model.classes_.tolist() == ["many", "one", "two"]
    with pytest.raises(ValueError, match="leave none to stop by: pass more rows, or the estimator"):
        model.fit(blobs.X[-3:], ["a", "b", "c"])
    model.fit(blobs.X[-3:], ["a", "b", "b"])  # the remedies
    clone(model.estimator).fit(blobs.X[-3:], ["a", "b", "c"])


@pytest.mark.parametrize("kind", ["inside", "around"])
def test_pipelines(blobs, kind):
    """As the last step, or around one that ends in a booster: rows apart are scaled, too."""
    if kind == "around":
        model = EarlyStopped(make_pipeline(StandardScaler(), Records()), random_state=0)
        fitted = model.fit(blobs.X, blobs.y, np.ones(200)).estimator_
        train = fitted[-1].got_["X"]
        np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-12)
        apart = fitted[0].inverse_transform(fitted[-1].got_["eval_set"][0][0])
        assert all(np.isclose(blobs.X, row).all(axis=1).any() for row in apart)
        assert fitted[-1].got_["sample_weight"] is not None
    else:
        model = make_pipeline(StandardScaler(), EarlyStopped(Records(), random_state=0))
        model.fit(blobs.X, blobs.y)
    merged = MergedClassifier({"stopped": clone(model), "line": LogisticRegression()}, cv=2)
    assert merged.fit(blobs.X, NAMES[blobs.y]).score(blobs.X_test, NAMES[blobs.y_test]) > 0.4


def test_in_cross_fitting_searches_clones_and_pickles(blobs):
    stopped = EarlyStopped(booster(), random_state=0)
    assert stopped.get_params()["estimator__max_depth"] == 2
    merged = MergedClassifier({"b": stopped, "l": LogisticRegression()}, cv=2, method="logits")
    y, weight = NAMES[blobs.y], np.ones(200)
    grid = {"b__estimator__max_depth": [1, 2]}
    search = GridSearchCV(merged, grid, cv=2).fit(blobs.X, y, sample_weight=weight)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_
    p = best.predict_proba(blobs.X_test)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(best)).predict_proba(blobs.X_test), p)
    np.testing.assert_array_equal(
        clone(best).fit(blobs.X, y, weight).predict_proba(blobs.X_test), p
    )
    assert 1 <= best.named_estimators_["b"].n_rounds_ <= 3
    calibrated = TemperatureCalibrator(stopped, cv=2).fit(blobs.X, y)
    assert calibrated.classes_.tolist() == NAMES.tolist()


def test_the_rows_of_the_fold_are_never_seen(blobs):
    """Members of folds are kept with refit=False: what each got, and what it is read on."""
    X = np.column_stack([blobs.X, np.arange(200.0)])
    merged = MergedClassifier({"r": EarlyStopped(Records(), random_state=0)}, cv=4, refit=False)
    merged.fit(X, blobs.y)
    seen = []
    for model in merged.estimators_[0].estimators:
        got = model.estimator_.got_
        seen.append({*got["X"][:, -1], *got["eval_set"][0][0][:, -1]})
        assert len(seen[-1]) == 150
    held = [set(range(200)) - rows for rows in seen]
    assert set().union(*held) == set(range(200))


def test_parameters_are_routed_to_the_booster(blobs):
    with sklearn.config_context(enable_metadata_routing=True):
        inner = Records().set_fit_request(margin=True, sample_weight=True)
        stopped = EarlyStopped(inner, random_state=0).set_fit_request(sample_weight=True)
        line = LogisticRegression().set_fit_request(sample_weight=True)
        merged = MergedClassifier({"r": stopped, "line": line}, cv=2, method="logits")
        merged.fit(blobs.X, blobs.y, sample_weight=np.ones(200), margin=np.arange(200))
    got = merged.estimators_[0].estimator_.got_
    assert len(got["margin"]) == len(got["sample_weight"]) == len(got["X"]) == 180


class Unweighted(Records):
    """Takes no weights at all, or none for the rows to stop by."""

    def fit(self, X, y, eval_set=None):
        return super().fit(X, y, eval_set=eval_set)


class HalfWeighted(Records):
    def fit(self, X, y, sample_weight=None, eval_set=None):
        return super().fit(X, y, sample_weight, eval_set=eval_set)


def test_weights_that_it_does_not_take_are_named(blobs):
    with pytest.warns(UserWarning, match=r"HalfWeighted\.fit takes no weights of rows to stop by"):
        EarlyStopped(HalfWeighted()).fit(blobs.X, blobs.y, np.ones(200))
    with (
        pytest.warns(UserWarning, match="Unweighted does not take sample_weight"),
        pytest.warns(UserWarning, match="takes no weights of rows to stop by"),
    ):
        EarlyStopped(Unweighted()).fit(blobs.X, blobs.y, np.ones(200))


@pytest.mark.parametrize(
    ("estimator", "match", "remedy"),
    [
        (
            HistGradientBoostingClassifier(max_iter=2),
            r"pass HistGradientBoostingClassifier\(early_stopping=True\) without EarlyStopped",
            HistGradientBoostingClassifier(max_iter=2, early_stopping=True),
        ),
        (
            GradientBoostingClassifier(n_estimators=2),
            r"pass GradientBoostingClassifier\(n_iter_no_change=10\) without EarlyStopped",
            GradientBoostingClassifier(n_estimators=2, n_iter_no_change=10),
        ),
        (
            RandomForestClassifier(n_estimators=2),
            "pass RandomForestClassifier without EarlyStopped, or a booster",
            RandomForestClassifier(n_estimators=2),
        ),
        (
            GridSearchCV(Records(), {"early_stopping_rounds": [1]}, cv=2),
            r"put it inside, GridSearchCV\(EarlyStopped\(estimator\), \.\.\.\), with estimator__",
            GridSearchCV(EarlyStopped(Records()), {"estimator__early_stopping_rounds": [1]}, cv=2),
        ),
    ],
)
def test_estimators_without_eval_set(blobs, estimator, match, remedy):
    with pytest.raises(ValueError, match=r"fit takes no eval_set: .*" + match):
        EarlyStopped(estimator).fit(blobs.X, blobs.y)
    remedy.fit(blobs.X, blobs.y)


class CopiesLists(Records):
    """As CatBoostClassifier does with cat_features."""

    def __init__(self, columns=()):
        super().__init__()
        self.columns = [*columns] if isinstance(columns, list) else columns


@pytest.mark.parametrize("stopped", [False, True])
def test_a_list_that_cannot_be_cloned_has_a_remedy(blobs, stopped):
    def merged(columns):
        member = CopiesLists(columns)
        return MergedClassifier([EarlyStopped(member) if stopped else member], weights=None)

    with pytest.raises(RuntimeError, match="Cannot clone") as error:
        merged([0, 1]).fit(blobs.X, blobs.y)
    assert "can be cloned if you pass a tuple" in " ".join(error.value.__notes__)
    merged((0, 1)).fit(blobs.X, blobs.y)


@pytest.mark.parametrize("fraction", [0, 1, 1.5, "a"])
def test_fractions_that_are_none(blobs, fraction):
    with pytest.raises(ValueError, match="validation_fraction"):
        EarlyStopped(Records(), validation_fraction=fraction).fit(blobs.X, blobs.y)
