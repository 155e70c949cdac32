"""Grids without combinations that MergedClassifier refuses, and what it says of those."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import MergedClassifier, TemperatureCalibrator, compare_fit_orders, valid_grid

METHODS = ["auto", "logits", "probabilities", "parameters"]
WEIGHTS = ["log_loss", "classwise", "greedy", "greedy_replacement", None, [1, 2], {"a": 1, "b": 3}]


class Unfit(ClassifierMixin, BaseEstimator):
    """Fails where anything is fitted."""

    def fit(self, X, y):
        raise AssertionError


def test_a_grid_has_what_can_be_fitted_and_nothing_else(binary):
    X, y = binary.X[:80], binary.y[:80]
    fitted = {"a": LogisticRegression().fit(X, y), "b": LogisticRegression(C=9).fit(X, y)}
    frozen = [(name, FrozenEstimator(model)) for name, model in fitted.items()]
    listed = list(ParameterGrid(valid_grid(method=METHODS, weights=WEIGHTS)))
    for method, weights in itertools.product(METHODS, WEIGHTS):
        params = {"method": method, "weights": weights}
        if params in listed:
            MergedClassifier(frozen, **params).fit(binary.X_held, binary.y_held)
            continue
        with pytest.raises(ValueError, match="Valid combinations:\n") as error:
            MergedClassifier([("a", Unfit()), ("b", Unfit())], **params).fit(X, y)
        table = dict(re.findall(r"^(\w+) +\| (.*)$", str(error.value), re.M))
        for name in METHODS:  # the table is the same as the grid
            known = [p["weights"] for p in listed if p["method"] == name]
            assert table[name].split(", ") == [w for w in known if isinstance(w, str)]
        remedy = re.search(r"use weights='(\w+)'", str(error.value))[1]
        MergedClassifier(frozen, method=method, weights=remedy).fit(binary.X_held, binary.y_held)


@pytest.mark.parametrize("params", [{"method": "probabilities"}, {"tune": True}])
def test_orders_with_such_a_combination_are_refused_before_members_are_fitted(binary, params):
    members = [("a", Unfit()), ("b", Unfit())]
    params = {"weights": "classwise", "calibrate": False, **params}
    with pytest.raises(ValueError, match="Valid combinations:\n"):
        compare_fit_orders(members, binary.X, binary.y, **params)
    if "tune" in params:  # the order "merge" alone is valid, and fits its members
        with pytest.raises(AssertionError):
            compare_fit_orders(members, binary.X, binary.y, **params, orders=["merge"])


def test_a_search_over_a_valid_grid_has_no_fit_that_fails(binary):
    members = [("a", LogisticRegression()), ("b", LogisticRegression(C=0.01))]
    grid = valid_grid(
        method=["probabilities", "parameters"],
        weights=np.array(["log_loss", "classwise", "greedy_replacement"]),
        refit=[True, False],
        cv=[2],
    )
    assert [len(ParameterGrid(part)) for part in grid] == [2, 2]
    search = GridSearchCV(MergedClassifier(members), grid, error_score="raise", cv=2)
    assert len(search.fit(binary.X[:100], binary.y[:100]).cv_results_["params"]) == 4


def test_missing_classes_are_softened_where_a_method_can(blobs):
    """A search over members of unlike classes, and one over members that know the same."""
    X, y = blobs.X, blobs.y
    some = y > 0
    same, other = LogisticRegression().fit(X, y), LogisticRegression(C=0.1).fit(X, y)
    unlike = LogisticRegression().fit(X[some], y[some])
    values = {"missing_classes": ["auto", "soften"]}
    grid = valid_grid(method=METHODS, **values)
    assert [part["missing_classes"] for part in grid] == [["auto", "soften"]] * 3 + [["auto"]]
    only = valid_grid(method=METHODS, missing_classes=["soften"])
    assert len(only) == len(METHODS)
    for pair, lists in [((same, other), grid), ((same, unlike), only[:3])]:
        members = [("a", FrozenEstimator(pair[0])), ("b", FrozenEstimator(pair[1]))]
        for params in ParameterGrid(lists):
            MergedClassifier(members, **params).fit(blobs.X_held, blobs.y_held)
    merged = MergedClassifier(members, method="parameters", missing_classes="soften")
    with pytest.raises(ValueError, match="only for the same classes"):  # members are not known here
        merged.fit(blobs.X_held, blobs.y_held)


def test_names_may_lead_through_pipelines_and_wrappers(binary):
    merged = MergedClassifier([("a", LogisticRegression()), ("b", LogisticRegression(C=9))], cv=2)
    model = Pipeline([("scale", StandardScaler()), ("last", TemperatureCalibrator(merged, cv=2))])
    inside = "last__estimator__"
    grid = valid_grid(
        scale__with_std=[True],
        **{f"{inside}method": ["probabilities", "logits"], f"{inside}weights": ["classwise", None]},
    )
    assert [part[f"{inside}weights"] for part in grid] == [[None], ["classwise", None]]
    search = GridSearchCV(model, grid, error_score="raise", cv=2)
    search.fit(binary.X[:80], binary.y[:80])
    assert search.best_params_["scale__with_std"] is True


def test_other_lists_go_along_unchanged():
    assert valid_grid(weights=["classwise"]) == [{"weights": ["classwise"]}]
    assert valid_grid(method=["sigmoid"]) == [{"method": ["sigmoid"]}]  # of another estimator
    assert valid_grid(my_method=["x"], weights=[None]) == [{"my_method": ["x"], "weights": [None]}]


@pytest.mark.parametrize(
    ("lists", "match"),
    [
        ({"method": "logits"}, "method should be a list"),
        ({"method": [], "weights": [None]}, "method should be a list"),
        ({"method": ["mean"], "weights": [None]}, "method='mean'.*does not exist"),
        ({"method": ["auto"], "weights": ["logloss"]}, "weights='logloss' does not exist"),
        ({"method": ["probabilities"], "weights": ["classwise"]}, "no combination"),
    ],
)
def test_lists_of_nothing_valid(lists, match):
    with pytest.raises(ValueError, match=match):
        valid_grid(**lists)
