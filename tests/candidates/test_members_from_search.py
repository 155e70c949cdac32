"""Candidates of searches of scikit-learn as members: which, in what order, under what names."""

from __future__ import annotations

import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - its import turns the searches on
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.validation import check_is_fitted

from skmergecal import MergedClassifier, TemperatureCalibrator, members_from_search

X, Y = make_classification(
    150, 6, n_informative=4, n_classes=3, n_clusters_per_class=1, flip_y=0.2, random_state=0
)
TREE = DecisionTreeClassifier(random_state=0)
FOLDS = StratifiedKFold(3)


def grid(estimator, space, **settings):
    search = GridSearchCV(estimator, space, **{"scoring": "neg_log_loss", "cv": FOLDS} | settings)
    return search.fit(X, Y)


@pytest.fixture(scope="module")
def trees():
    return grid(TREE, {"max_depth": [1, 5, 2, 3]})


def names(members):
    return [name for name, _ in members]


def test_the_recipe_merges_the_best_candidates(trees):
    members = members_from_search(trees, n_members=3)
    best = np.argsort(-trees.cv_results_["mean_test_score"])[:3]
    depths = [trees.cv_results_["params"][i]["max_depth"] for i in best]
    assert names(members) == [f"decisiontree max_depth={depth}" for depth in depths]
    assert members[0][1].get_params() == trees.best_estimator_.get_params()
    for _, member in members:
        with pytest.raises(NotFittedError):
            check_is_fitted(member)
    merged = MergedClassifier(members_from_search(trees, 3), cv=trees.cv).fit(X, Y)
    assert merged.score(X, Y) > 0.6
    assert pickle.loads(pickle.dumps(clone(merged).fit(X, Y))).weights_.sum() == pytest.approx(1)
    merged.set_params(**{f"{names(members)[0]}__max_depth": 4})
    assert merged.estimators[0][1].max_depth == 4


def test_equal_sets_count_once_and_fits_that_failed_do_not():
    space = [
        {"C": [1, 1.0, np.float64(1), 0.1]},
        {"C": [0.1], "max_iter": [100]},
        {"C": [3.0, -1.0]},
    ]
    with pytest.warns() as caught:
        search = grid(LogisticRegression(), space)
    assert any("fits failed" in str(w.message) for w in caught)
    with pytest.warns(UserWarning, match="n_members=8, but search has 3 different cand") as caught:
        members = members_from_search(search)
    assert caught[0].filename == __file__
    assert sorted(m.C for _, m in members) == [0.1, 1, 3]
    assert names(members_from_search(search, 3)) == names(members)  # the remedy


def test_values_equal_up_to_type_count_once_only_where_they_mean_the_same():
    """One feature, and all of them; one row, and all of them."""
    forest = RandomForestClassifier(5, random_state=0)
    search = grid(forest, {"max_features": [1, np.int64(1), np.float64(1), 1.0]})
    members = members_from_search(search, 2)
    assert {type(m.max_features) for _, m in members} & {int, np.int64}
    assert {type(m.max_features) for _, m in members} & {float, np.float64}
    assert members[0][1].max_features == search.best_params_["max_features"]
    inside = {"steps": [[("forest", clone(forest).set_params(max_samples=n))] for n in (2, 1.0)]}
    assert len(members_from_search(grid(Pipeline([("forest", forest)]), inside), 2)) == 2


def test_values_that_are_estimators_arrays_and_random_states_are_compared_by_content():
    base = Pipeline([("scale", StandardScaler()), ("tree", clone(TREE))])
    base.set_params(tree__random_state=np.random.RandomState(0))
    scalers = [StandardScaler(), StandardScaler(), MinMaxScaler(), MinMaxScaler((0, 2)), None]
    space = {"scale": scalers, "tree__class_weight": [{0: 1, 1: 2, 2: 1}, {0: 1, 1: 2, 2: 1}]}
    search = grid(base, space)
    members = members_from_search(search, 4)
    assert sorted(names(members)) == [
        "tree scale=MinMaxScaler",
        "tree scale=MinMaxScaler-2",
        "tree scale=None",
        "tree scale=StandardScaler",
    ]
    assert not any(step[0][1] in scalers[:4] for _, step in ((n, m.steps) for n, m in members))
    with pytest.warns(UserWarning, match="has 4 different"):
        members_from_search(search, 5)


class LGBMClassifier(DecisionTreeClassifier):
    """A stand-in for that of LightGBM."""

    def __init__(self, learning_rate=0.1, num_leaves=31):
        super().__init__(max_depth=2, random_state=0)
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves


@pytest.mark.parametrize(
    ("estimator", "space", "expected"),
    [
        (
            LGBMClassifier(),
            {"learning_rate": [0.1, 0.3], "num_leaves": [31, 63]},
            [f"lgbm learning_rate={r} num_leaves={n}" for r in (0.1, 0.3) for n in (31, 63)],
        ),
        (
            make_pipeline(StandardScaler(), TREE),
            {
                "decisiontreeclassifier__max_depth": [3],
                "decisiontreeclassifier__ccp_alpha": [0.0101],
            },
            ["decisiontree"],
        ),
        (
            Pipeline([("cv", LogisticRegression())]),
            {"cv__C": [1.0]},
            ["cv-2"],  # cv is a parameter of the merge
        ),
        (
            Pipeline([("pca", PCA()), ("lda", LinearDiscriminantAnalysis())]),
            {"pca__n_components": [2, 3], "lda__n_components": [1, 2]},
            [f"lda lda.n_components={i} pca.n_components={j}" for i in (1, 2) for j in (2, 3)],
        ),
        (
            Pipeline([("a", Pipeline([("step", TREE)]))]),
            {"a__step__max_depth": [1, 2], "a__step__min_samples_leaf": [0.123456, 2]},
            [f"step max_depth={d} min_samples_leaf={m}" for d in (1, 2) for m in ("0.123", 2)],
        ),
        (
            TemperatureCalibrator(GaussianNB()),
            {"temperature": [0.5], "estimator__priors": [[0.2, 0.3, 0.5], None]},
            ["temperaturecalibrator priors=(0.2,0.3,0.5)", "temperaturecalibrator priors=None"],
        ),
    ],
    ids=["booster", "make_pipeline", "taken", "the same last part", "nested", "values"],
)
def test_names_have_the_last_part_of_what_varies(estimator, space, expected):
    members = members_from_search(grid(estimator, space), len(expected))
    assert sorted(names(members)) == sorted(expected)
    MergedClassifier(members, weights=None, cv=2).fit(X, Y)


class Named(DecisionTreeClassifier):
    """Has a parameter whose values are text and functions."""

    def __init__(self, note="", max_depth=1):
        super().__init__(max_depth=max_depth, random_state=0)
        self.note = note


def test_names_are_valid_and_unique_whatever_the_values():
    values = ["a__b", "a_b", "x" * 100, "x" * 99, grid, lambda: 1, {"w": 0.123456}]
    members = members_from_search(grid(Named(), {"note": values}), len(values))
    assert len(set(names(members))) == len(values)
    assert not any("__" in name or len(name) > 60 for name in names(members))
    MergedClassifier(members, weights=None, cv=2).fit(X, Y)


@pytest.mark.parametrize("kind", [HalvingGridSearchCV, HalvingRandomSearchCV])
def test_of_a_search_by_halving_only_the_last_iteration_counts(kind):
    space = {"max_depth": [1, 2, 3, 5], "min_samples_leaf": [1, 9]}
    more = {"n_candidates": 8} if kind is HalvingRandomSearchCV else {}
    settings = {"factor": 2, "min_resources": 60, "random_state": 0, "cv": 2, **more}
    search = kind(TREE, space, scoring="neg_log_loss", **settings).fit(X, Y)
    results = search.cv_results_
    last = results["iter"] == results["iter"].max()
    assert 1 < last.sum() < 8
    with pytest.warns(UserWarning, match="halving only those of the last iteration"):
        members = members_from_search(search, 8)
    expected = [p for p, counts in zip(results["params"], last, strict=True) if counts]
    found = [{key: m.get_params()[key] for key in space} for _, m in members]
    assert len(found) == len(expected)
    assert all(params in expected for params in found)
    assert {key: members[0][1].get_params()[key] for key in space} == search.best_params_


def test_candidates_of_several_searches_are_ordered_together(trees):
    linear = RandomizedSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()),
        {"logisticregression__C": [0.001, 0.1, 1.0]},
        n_iter=3,
        scoring={"loss": "neg_log_loss", "accuracy": "accuracy"},
        refit="loss",
        cv=FOLDS,
    ).fit(X, Y)
    members = members_from_search([trees, linear, trees], 7)
    scores = {}
    for search, metric in ((trees, "score"), (linear, "loss")):
        kind = "decisiontree max_depth" if search is trees else "logisticregression C"
        each = zip(*(search.cv_results_[k] for k in ("params", f"mean_test_{metric}")), strict=True)
        scores |= {f"{kind}={next(iter(p.values())):.3g}": score for p, score in each}
    assert names(members) == sorted(scores, key=scores.get, reverse=True)


def test_scores_of_different_scorers_are_not_compared(trees):
    others = [grid(TREE, {"max_depth": [1]}, scoring=s) for s in (None, "accuracy")]
    for other in others:
        with pytest.raises(ValueError, match="search should be a list of searches with one scorer"):
            members_from_search([trees, other], 2)
    first, second = (members_from_search(s, 1) for s in (trees, others[0]))  # the remedy
    assert len(MergedClassifier(first + second, weights=None, cv=2).fit(X, Y).estimators_) == 2
    with pytest.warns(UserWarning, match="list of searches"):
        assert len(members_from_search([others[0]] * 2, 2)) == 1


def test_a_metric_among_several_is_named_by_refit():
    metrics = {"score": "accuracy", "loss": "neg_log_loss"}
    space = {"max_depth": [1, 2, 6]}
    search = grid(TREE, space, scoring=metrics, refit="loss")
    best = members_from_search(search, 1)[0][1]
    assert best.max_depth == space["max_depth"][np.argmax(search.cv_results_["mean_test_loss"])]
    for refit in (False, lambda results: 0):
        search = grid(TREE, space, scoring=metrics, refit=refit)
        with pytest.raises(ValueError, match=r"search has several metrics, .*refit='score'\)"):
            members_from_search(search, 1)
        search.set_params(refit="score")  # the remedy
        best = members_from_search(search, 1)[0][1]
        assert (
            best.max_depth == space["max_depth"][np.argmax(search.cv_results_["mean_test_score"])]
        )
    single = grid(TREE, space, refit=False)
    assert len(members_from_search(single, 3)) == 3


def test_with_rows_those_are_chosen_that_add_most():
    """Weak candidates of another kind add more than strong ones of the same kind."""
    rng = np.random.default_rng(0)
    half = rng.normal(size=(400, 2))
    y = (half[:, 0] + half[:, 1] + rng.logistic(size=400) > 0).astype(int)
    first, second = ([("f", SelectColumn(i)), ("m", LogisticRegression())] for i in (0, 1))
    half[:, 1] *= 0.8
    strong = GridSearchCV(Pipeline(first), {"m__C": [1, 1.1, 1.2]}, scoring="neg_log_loss", cv=3)
    weak = GridSearchCV(Pipeline(second), {"m__C": [1e-3]}, scoring="neg_log_loss", cv=3)
    searches = [strong.fit(half, y), weak.fit(half, y)]
    assert [m[0].column for _, m in members_from_search(searches, 2)] == [0, 0]
    chosen = members_from_search(searches, 2, X=half, y=y)
    assert [m[0].column for _, m in chosen] == [0, 1]
    as_many = members_from_search(searches, 4, X=half, y=y)
    assert names(as_many) == names(members_from_search(searches, 4))


class SelectColumn(StandardScaler):
    """Keeps one column."""

    def __init__(self, column=0):
        super().__init__()
        self.column = column

    def transform(self, X, copy=None):
        return super().transform(X)[:, [self.column]]


def test_rows_of_weight_0_have_no_say():
    weight = np.random.default_rng(1).integers(0, 3, len(Y))
    kept = weight > 0
    search = grid(LogisticRegression(), {"C": [1e-3, 0.03, 1, 100]})
    chosen = members_from_search(search, 2, X=X, y=Y, sample_weight=weight)
    alone = members_from_search(search, 2, X=X[kept], y=Y[kept], sample_weight=weight[kept])
    assert names(chosen) == names(alone)
    assert len(chosen) == 2


def test_groups_go_to_the_folds_of_the_search():
    groups = np.arange(len(Y)) % 5
    search = GridSearchCV(TREE, {"max_depth": [1, 2, 3]}, cv=GroupKFold(3)).fit(X, Y, groups=groups)
    assert len(members_from_search(search, 1, X=X, y=Y, groups=groups)) == 1
    with pytest.raises(ValueError, match="groups"):
        members_from_search(search, 1, X=X, y=Y)


def test_frozen_candidates_are_told_apart_by_what_they_learned(binary):
    fitted = [LogisticRegression().fit(binary.X[i::2], binary.y[i::2]) for i in (0, 1)]
    frozen = [FrozenEstimator(model) for model in (*fitted, fitted[0])]
    model = TemperatureCalibrator(frozen[0])
    search = GridSearchCV(model, {"estimator": frozen}, scoring="neg_log_loss", cv=2)
    with pytest.warns(UserWarning, match="has 2 different"):
        members = members_from_search(search.fit(binary.X_held, binary.y_held), 3)
    assert {id(m.estimator.estimator) for _, m in members} == {id(model) for model in fitted}


def test_nothing_of_the_search_changes(trees):
    before = pickle.dumps(trees)
    members = members_from_search(trees, 2, X=X, y=Y)
    members[0][1].set_params(max_depth=9).fit(X, Y)
    assert pickle.dumps(trees) == before


def test_values_that_are_estimators_are_not_changed():
    scaler = StandardScaler()
    model = Pipeline([("scale", MinMaxScaler()), ("tree", TREE)])
    search = grid(model, {"scale": [scaler], "scale__with_mean": [False]})
    ((_, member),) = members_from_search(search, 1)
    assert not member["scale"].with_mean
    assert scaler.with_mean


@pytest.mark.parametrize(
    ("search", "error", "match"),
    [
        (TREE, TypeError, "got a DecisionTreeClassifier: .*from_fitted"),
        (LogisticRegressionCV(), TypeError, "search should be a fitted search"),
        (GridSearchCV, TypeError, "search should be"),
        (GridSearchCV(TREE, {}), NotFittedError, r"search, a GridSearchCV, is not fitted.*fit\(X"),
        ([], ValueError, "got an empty list"),
        ([TREE], TypeError, "search should be"),
    ],
)
def test_what_is_no_fitted_search(search, error, match):
    with pytest.raises(error, match=match):
        members_from_search(search)


def test_containers_of_searches_name_what_to_pass(trees):
    for wrong, remedy in [
        ({"trees": trees}, "list(search.values())"),
        ((search for search in [trees]), "list(search)"),
    ]:
        with pytest.raises(TypeError, match=re.escape(f"pass {remedy}")):
            members_from_search(wrong)
    assert members_from_search(list({"trees": trees}.values()), 2)  # the remedy
    for results in (trees.cv_results_, pd.DataFrame(trees.cv_results_)):
        with pytest.raises(TypeError, match="pass the search itself"):
            members_from_search(results)


def test_candidates_that_cannot_be_members():
    with pytest.raises(ValueError, match=r"'ridge alpha=.*should be a classifier"):
        members_from_search(grid(Ridge(), {"alpha": [1, 2]}, scoring="r2"), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        failed = GridSearchCV(TREE, {"max_depth": [1]}, scoring=lambda *a: np.nan).fit(X, Y)
    with pytest.raises(ValueError, match="no candidate with a score"):
        members_from_search(failed)


def test_rows_come_with_their_labels(trees):
    for rows in ({"X": X}, {"y": Y}):
        with pytest.raises(ValueError, match="X and y should be passed together"):
            members_from_search(trees, **rows)
    with pytest.raises(ValueError, match=r"\['sample_weight', 'groups'\] belong to rows"):
        members_from_search(trees, sample_weight=np.ones(len(Y)), groups=Y)
