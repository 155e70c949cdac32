"""Columns that members drop, and that hold what no model can read: text, dates, NaN."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.feature_selection import SelectFromModel, SelectorMixin, VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.naive_bayes import MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skmergecal import FineTunedClassifier, MergedClassifier, TemperatureCalibrator, merge_path
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import (
    average_parameters,
    fisher_average,
    merge_task_vectors,
    read_parameters,
    write_parameters,
)


@pytest.fixture(scope="module")
def people():
    """A frame of numbers between columns that are no numbers, and labels."""
    rng = np.random.default_rng(0)
    n = 80
    frame = pd.DataFrame(
        {
            "city": rng.choice(["Ulm", "Jena"], n),
            "a": rng.normal(5, 2, n),
            "born": pd.date_range("1980-01-01", periods=n),
            "b": rng.normal(size=n),
            "lost": np.nan,
            "c": rng.integers(0, 9, n),
            "kind": pd.Categorical(rng.choice(["x", "y"], n)),
        }
    )
    return frame, np.where(frame["a"] - 5 + frame["b"] + rng.normal(size=n) > 0, "yes", "no")


def scaled(columns, **settings):
    return ColumnTransformer([("n", StandardScaler(), columns)], **settings)


def linear(*fronts, C=1.0):
    return make_pipeline(*fronts, LogisticRegression(C=C))


def half_lost(X):
    return (
        X[["lost", "a", "b"]].assign(lost=np.where(np.arange(len(X)) % 2, 1.0, np.nan)).to_numpy()
    )


class ByName(SelectorMixin, BaseEstimator):
    """A selector of the user's, which looks at names only."""

    def __init__(self, names=()):
        self.names = names

    def fit(self, X, y=None):
        self.n_features_in_, self.feature_names_in_ = X.shape[1], np.array(X.columns, dtype=object)
        return self

    def _get_support_mask(self):
        return np.isin(self.feature_names_in_, self.names)


class Numbers(BaseEstimator):
    """A model to which columns of numbers matter."""

    def fit(self, X, y):
        self.coef_ = np.array([kind.kind in "fi" for kind in X.dtypes], dtype=float)
        return self


PICKS = {
    "a selector by names": lambda X: (ByName(["a", "b"]), X.drop(columns=["lost", "born"])),
    "a model that chooses": lambda X: (
        SelectFromModel(Numbers(), threshold=0.5),
        X.drop(columns=["lost", "born", "kind"]),
    ),
    "names": lambda X: (scaled(["b", "a"]), X),
    "one name": lambda X: (scaled(["a"]), X),
    "places": lambda X: (scaled([3, 1, -2]), X),
    "a mask": lambda X: (scaled([False, True, False, True, False, True, False]), X),
    "the numbers": lambda X: (
        scaled(make_column_selector(dtype_include="number")),
        X.drop(columns="lost"),
    ),
    "passed": lambda X: (ColumnTransformer([("n", "passthrough", ["a", "c"])]), X),
    "rest dropped by name": lambda X: (
        ColumnTransformer(
            [("t", "drop", ["city", "born", "lost", "kind"])], remainder="passthrough"
        ),
        X,
    ),
    "objects without names": lambda X: (scaled([1, 3]), X.to_numpy(dtype=object)),
    "numbers, one lost": lambda X: (scaled([0, 1]), X[["a", "b", "lost"]].to_numpy()),
    "constant where known": lambda X: (VarianceThreshold(), half_lost(X)),
    "scaled before and after": lambda X: (
        make_pipeline(StandardScaler(), VarianceThreshold(), MinMaxScaler()),
        half_lost(X),
    ),
}


@pytest.mark.parametrize("pick", PICKS)
def test_columns_that_members_drop_are_dropped_by_one_model(people, pick):
    X, y = people
    front, X = PICKS[pick](X)
    steps = [step for _, step in front.steps] if isinstance(front, Pipeline) else [front]
    members = [linear(*map(clone, steps), C=C).fit(X, y) for C in (0.1, 1.0)]
    for method in ("parameters", "logits"):
        merged = MergedClassifier.from_fitted(members, X, y, method=method, calibrate="merged")
        plain = merged.to_estimator(X)
        p = plain.predict_proba(X)
        np.testing.assert_allclose(p, merged.predict_proba(X), atol=1e-9)
        again = write_parameters(plain, read_parameters(plain))
        np.testing.assert_allclose(again.predict_proba(X), p, atol=1e-12)
        assert "skmergecal" not in str([type(step).__module__ for _, step in plain.steps])


def test_members_that_take_other_columns_become_one_that_takes_all_of_these(people):
    X, y = people
    members = [linear(scaled(c)).fit(X, y) for c in (["a", "b"], ["c", "a"], ["b"])]
    merged = MergedClassifier.from_fitted(members, X, y, method="logits")
    plain = merged.to_estimator(X)
    assert plain[0].transform(X).shape == (80, 3)
    np.testing.assert_allclose(plain.predict_proba(X), merged.predict_proba(X), atol=1e-9)
    path = merge_path(members[0], members[1], X, y, n_points=3)
    assert np.isfinite(path.loss).all()
    numbers = X[["a", "b", "c"]]
    whole = LogisticRegression().fit(numbers, y)  # it takes all columns, so nothing is dropped
    members = [linear(scaled(["c", "a"])).fit(numbers, y), whole]
    merged = MergedClassifier.from_fitted(members, numbers, y, method="parameters")
    assert type(merged.merged_estimator_) is LogisticRegression


def test_members_of_other_frames_are_refused(people):
    X, y = people
    members = [linear(scaled(["a", "b"])).fit(F, y) for F in (X, X.drop(columns="c"))]
    parameters = [read_parameters(member) for member in members]
    with pytest.raises(IncompatibleEstimatorsError, match="their n_features differ, 7 and 6"):
        average_parameters(parameters, [0.5, 0.5])


def test_nets_that_drop_columns_are_aligned_and_repaired(people):
    X, y = people

    def net(columns, seed):
        mlp = MLPClassifier((4,), solver="lbfgs", alpha=1.0, random_state=seed)
        return make_pipeline(scaled(columns), mlp).fit(X, y)

    members = [net(["a", "b"], 0), net(["b", "c"], 1)]
    merged = MergedClassifier.from_fitted(
        members, X, y, method="parameters", barrier_tolerance=5.0, X_unlabeled=X[:40]
    )
    assert isinstance(merged.merged_estimator_, Pipeline)
    assert merged.merged_estimator_[-1].n_features_in_ == 3
    plain = merged.to_estimator(X)
    np.testing.assert_allclose(plain.predict_proba(X), merged.predict_proba(X), atol=1e-6)


def test_training_after_dropped_columns_does_not_depend_on_their_units(people):
    X, y = people
    losses = []
    for spread in (1.0, 1e4):
        frame = X.assign(a=X["a"] * spread, b=X["b"] / spread)
        mlp = MLPClassifier((4,), solver="lbfgs", alpha=1.0, random_state=0)
        members = [make_pipeline(scaled(["a", "b"]), mlp).fit(frame, y)] * 2
        merged = MergedClassifier.from_fitted(
            members, frame, y, method="parameters", weights=None, alignment=None, repair=None
        )
        tuned = FineTunedClassifier(FrozenEstimator(merged), epochs=10, random_state=0)
        losses.append(log_loss(y, tuned.fit(frame, y).predict_proba(frame)))
    assert losses[1] == pytest.approx(losses[0], abs=1e-3)


def test_what_comes_before_the_dropped_columns_is_kept_or_folded(people):
    X, y = people
    numbers = X[["a", "b", "c", "lost"]].to_numpy()
    numbers[::7, 0] = np.nan
    picked = ColumnTransformer([("n", MinMaxScaler(), [2, 0])])
    imputer = SimpleImputer(keep_empty_features=True)
    member = linear(imputer, StandardScaler(), picked).fit(numbers, y)
    calibrated = TemperatureCalibrator(FrozenEstimator(member), temperature=2.0).fit(numbers, y)
    plain = MergedClassifier.from_fitted([calibrated], weights=None).to_estimator(numbers)
    assert [type(step) for _, step in plain.steps] == [
        SimpleImputer,
        ColumnTransformer,
        LogisticRegression,
    ]
    np.testing.assert_allclose(
        plain.predict_proba(numbers), calibrated.predict_proba(numbers), atol=1e-12
    )


def test_averages_other_than_the_mean_drop_the_columns_too(people):
    X, y = people
    members = [linear(scaled(c)).fit(X, y) for c in (["a", "b"], ["b", "c"])]
    base = linear(scaled(["a", "b"]), C=0.01).fit(X, y)
    for merged in (fisher_average(members, X), merge_task_vectors(members, base=base)):
        assert merged.predict_proba(X).shape == (80, 2)
        assert merged[-1].coef_.shape == (1, 3)


def test_counts_and_members_fitted_here(people):
    X, y = people
    counts = [
        make_pipeline(ColumnTransformer([("n", "passthrough", ["c"])]), MultinomialNB(alpha=a))
        for a in (1, 5)
    ]
    merged = MergedClassifier(list(zip("ab", counts, strict=True)), method="parameters", cv=2)
    plain = merged.fit(X, y).to_estimator(X)
    np.testing.assert_allclose(plain.predict_proba(X), merged.predict_proba(X), atol=1e-9)


def test_a_step_of_the_same_name_stays(people):
    X, y = people
    numbers = X[["a", "b", "lost"]].to_numpy()
    member = Pipeline(
        [
            ("drop_columns", SimpleImputer(keep_empty_features=True)),
            ("pick", scaled([1, 0])),
            ("model", LogisticRegression()),
        ]
    ).fit(numbers, y)
    plain = write_parameters(member, read_parameters(member))
    assert len({name for name, _ in plain.steps}) == 3
    np.testing.assert_allclose(clone(plain).fit(numbers, y).predict_proba(numbers).sum(axis=1), 1.0)
