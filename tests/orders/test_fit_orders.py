"""fit_orders and compare_fit_orders: all orders by name, on the same members and folds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from scipy import stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from skmergecal import (
    DistilledClassifier,
    FineTunedClassifier,
    MergedClassifier,
    TemperatureCalibrator,
    compare_fit_orders,
    fit_orders,
)

#: Small nets, a few epochs, few rows.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Stochastic Optimizer"),
    pytest.mark.filterwarnings("ignore:.*no finite temperature is best"),
]

ALL = [
    "merge",
    "calibrate-then-merge",
    "merge-then-calibrate",
    "calibrate-merge-calibrate",
    "tune-then-merge",
    "tune-then-merge-then-calibrate",
    "merge-then-tune",
    "merge-then-tune-then-calibrate",
    "merge-then-distil",
    "merge-then-distil-then-calibrate",
]
QUICK = {"weights": None, "repair": None, "barrier_tolerance": 100.0}


def own():
    return [("lda", LinearDiscriminantAnalysis()), ("bayes", GaussianNB())]


def nets(**params):
    params = {"max_iter": 30, **params}
    return [(f"net{seed}", MLPClassifier((8,), random_state=seed, **params)) for seed in range(2)]


class Counting(GaussianNB):
    """Counts its fits."""

    fits = 0

    def fit(self, X, y, sample_weight=None):
        type(self).fits += 1
        return super().fit(X, y, sample_weight)


def test_names_and_what_they_stand_for():
    assert list(fit_orders(own())) == ALL[:4]
    assert list(fit_orders(own(), calibrate=False)) == ["merge"]
    orders = fit_orders(nets(), method="logits", tune={"epochs": 3}, distil=True, cv=2)
    assert list(orders) == ALL
    assert [orders[name].calibrate for name in ALL[:4]] == [None, "members", "merged", "both"]
    tuned = orders["tune-then-merge"]
    assert isinstance(tuned, MergedClassifier)
    assert (tuned.method, tuned.cv) == ("logits", 2)
    assert [e.epochs for _, e in tuned.estimators] == [3, 3]
    after = orders["merge-then-tune"]
    assert isinstance(after, FineTunedClassifier)
    assert (after.epochs, after.target, after.estimator.method) == (3, "labels", "parameters")
    last = orders["merge-then-distil-then-calibrate"]
    assert isinstance(last, TemperatureCalibrator)
    assert (last.estimator.target, last.estimator.epochs) == ("members", 30)
    only = fit_orders(nets(), calibrate=False, tune=True, distil={"epochs": 2})
    assert list(only) == ["merge", "tune-then-merge", "merge-then-tune", "merge-then-distil"]
    assert only["merge-then-distil"].epochs == 2


def test_a_dropped_member_stays_dropped(blobs):
    orders = fit_orders([*nets(), ("gone", "drop")], tune={"epochs": 1}, cv=2)
    fitted = orders["tune-then-merge"].fit(blobs.X, blobs.y)
    assert list(fitted.named_estimators_) == ["net0", "net1"]


def test_a_grid_chooses_among_orders(blobs):
    orders = fit_orders(own(), method="logits", weights=None, cv=2)
    model = Pipeline([("model", MergedClassifier(own()))])
    grid = GridSearchCV(model, {"model": list(orders.values())}, scoring="neg_log_loss", cv=2)
    grid.fit(blobs.X, blobs.y)
    assert grid.best_params_["model"].calibrate is not None


def test_every_order_fits_frozen_nets(blobs):
    members = [(name, FrozenEstimator(e.fit(blobs.X, blobs.y))) for name, e in nets()]
    orders = fit_orders(
        members,
        method="parameters",
        tune={"epochs": 2, "random_state": 0},
        distil={"epochs": 2, "random_state": 0},
        cv=2,
        **QUICK,
    )
    for name, order in orders.items():
        order.fit(blobs.X_held, blobs.y_held)
        loss = log_loss(blobs.y_test, order.predict_proba(blobs.X_test))
        assert loss < (np.log(3) if "calibrate" in name else 2.0), name


def test_the_table_is_what_folds_by_hand_give(blobs):
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    members = [(n, FrozenEstimator(e.fit(blobs.X, blobs.y))) for n, e in own()]
    table = compare_fit_orders(
        members, blobs.X_held, blobs.y_held, method="logits", weights=None, cv=cv
    )
    scores = []
    for train, test in cv.split(blobs.X_held, blobs.y_held):
        orders = fit_orders(members, method="logits", weights=None)
        X, y = blobs.X_held, blobs.y_held
        scores.append(
            [
                -log_loss(y[test], o.fit(X[train], y[train]).predict_proba(X[test]))
                for o in orders.values()
            ]
        )
    scores = np.array(scores)
    np.testing.assert_allclose(table["mean"], scores.mean(axis=0), atol=1e-12)
    difference = scores - scores[:, :1]
    np.testing.assert_allclose(table["difference"], difference.mean(axis=0), atol=1e-12)
    error = np.sqrt(difference.var(axis=0, ddof=1) * (1 / 3 + 1 / 2))
    half = stats.t.ppf(0.975, 2) * error
    np.testing.assert_allclose(table["high"] - table["difference"], half, rtol=0.01)
    assert (table[["fit_time", "predict_time"]] > 0).all(axis=None)


def test_members_are_fitted_once_a_fold(blobs):
    Counting.fits = 0
    members = [("one", Counting()), ("two", LinearDiscriminantAnalysis())]
    params = {"method": "logits", "weights": None, "cv": 4, "random_state": 0}
    table = compare_fit_orders(members, blobs.X, blobs.y, **params)
    assert Counting.fits == 4
    assert list(table.index) == ALL[:4]
    with parallel_config(backend="threading"):
        again = compare_fit_orders(
            members,
            blobs.X,
            blobs.y,
            n_jobs=2,
            orders=["merge-then-calibrate"],
            baseline="calibrate-merge-calibrate",
            **params,
        )
    assert list(again.index) == ["calibrate-merge-calibrate", "merge-then-calibrate"]
    for name in again.index:
        assert again["mean"][name] == pytest.approx(table["mean"][name], abs=1e-12)
    gap = table["mean"]["merge-then-calibrate"] - table["mean"]["calibrate-merge-calibrate"]
    assert again["difference"]["merge-then-calibrate"] == pytest.approx(gap, abs=1e-12)


@pytest.mark.once  # old versions fit every order of frozen nets
def test_all_orders_of_nets_on_folds(blobs):
    table = compare_fit_orders(
        nets(max_iter=8, learning_rate_init=0.05),
        pd.DataFrame(blobs.X),
        np.array(["a", "b", "c"])[blobs.y],
        method="parameters",
        cv=2,
        tune={"epochs": 2, "random_state": 0},
        distil={"epochs": 2, "random_state": 0},
        scoring="accuracy",
        random_state=0,
        **{**QUICK, "alignment": "weights"},
    )
    assert list(table.index) == ALL
    assert (table["mean"] > 0.3).all()
    assert table.loc["merge", ["difference", "low", "high"]].tolist() == [0, 0, 0]


def test_groups_are_not_divided(blobs):
    seen = []

    class Spy(GaussianNB):
        def fit(self, X, y, sample_weight=None):
            seen.append(set(X[:, 0].tolist()))
            return super().fit(X, y, sample_weight)

        def predict_proba(self, X):
            assert not seen[-1] & set(X[:, 0].tolist())
            return super().predict_proba(X)

    groups = np.arange(len(blobs.y)) // 10
    X = np.column_stack([groups, blobs.X])
    compare_fit_orders(
        [("one", Spy())],
        X,
        blobs.y,
        cv=GroupKFold(3),
        groups=groups,
        weights=None,
        calibrate=False,
        random_state=0,
    )
    assert len(seen) == 3


def test_one_fold_has_no_interval(blobs):
    cv = [(np.arange(100), np.arange(100, 200))]
    table = compare_fit_orders(own(), blobs.X, blobs.y, cv=cv, weights=None, random_state=0)
    assert np.isfinite(table["mean"]).all()
    assert table[["standard_error", "low", "high"]].isna().all(axis=None)


def test_errors(blobs):
    with pytest.raises(ValueError, match="unknown orders \\['merge-then-tune'\\]"):
        compare_fit_orders(own(), blobs.X, blobs.y, orders=["merge-then-tune"])
    with pytest.raises(ValueError, match="unknown orders \\['soup'\\]"):
        compare_fit_orders(own(), blobs.X, blobs.y, baseline="soup")
    with pytest.raises(ValueError, match="LinearDiscriminantAnalysis cannot") as error:
        compare_fit_orders(own(), blobs.X, blobs.y, tune=True, weights=None)
    assert "while fitting the order 'tune-then-merge'" in error.value.__notes__
    with pytest.raises(TypeError, match="unexpected keyword"):
        fit_orders(own(), speed=3)
    with pytest.raises(ValueError, match="tuples"):
        compare_fit_orders([SGDClassifier(), own()[0]], blobs.X, blobs.y)


def test_the_merge_of_members_of_any_kind_can_be_distilled_into_a_student(binary):
    members = {"bayes": GaussianNB(), "tree": DecisionTreeClassifier(max_depth=2, random_state=0)}
    settings = {"student": LogisticRegression(max_iter=1000), "label_share": 0.5, "cv": 2}
    orders = fit_orders(members, distil=settings, cv=2)
    assert list(orders)[-2:] == ["merge-then-distil", "merge-then-distil-then-calibrate"]
    distilled = orders["merge-then-distil"].fit(binary.X, binary.y)
    assert isinstance(distilled.student_, LogisticRegression)
    assert isinstance(distilled.teacher_, MergedClassifier)
    assert distilled.label_share_ == 0.5
    last = orders["merge-then-distil-then-calibrate"]
    assert isinstance(last.estimator, DistilledClassifier)
    table = compare_fit_orders(
        members, binary.X, binary.y, distil=settings, calibrate=False, cv=2, random_state=0
    )
    assert table.index.tolist() == ["merge", "merge-then-distil"]
    assert np.isfinite(table["mean"]).all()
