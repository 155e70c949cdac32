"""A grid search over frozen members with memory= reads each row once, not once a fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array, csr_matrix
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, RepeatedStratifiedKFold, ShuffleSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from skmergecal import MergedClassifier

GRID = [{"weights": [[2, 1]]}, {"calibrate": ["merged"]}]


class Counted(ClassifierMixin, BaseEstimator):
    """Counts the rows that it is asked about."""

    def __init__(self, inner):
        self.inner = inner

    def fit(self, X, y):
        self.inner.fit(plain(X), y)
        self.classes_, self.asked_ = self.inner.classes_, []
        return self

    def predict_proba(self, X):
        Z = plain(X)
        self.asked_.append(len(Z))
        return self.inner.predict_proba(Z)


def plain(X):
    """Numbers, from whatever container."""
    if hasattr(X, "toarray"):
        return X.toarray()
    if hasattr(X, "columns"):
        return X.assign(letter=X["letter"].map(ord)).to_numpy(dtype=float)
    return np.array([[float(value) for value in row] for row in X])


def frame(X):
    table = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    return table.assign(letter=[chr(97 + i % 5) for i in range(len(X))])


CONTAINERS = {
    "array": lambda X: X,
    "float32": lambda X: X.astype(np.float32),
    "objects": lambda X: X.astype(object),
    "list": lambda X: X.tolist(),
    "frame": frame,
    "categories": lambda X: frame(X).astype({"letter": "category"}),
    "csr_matrix": csr_matrix,
    "csr_array": csr_array,
    "wide": lambda X: np.hstack([X] * 20),
}


@pytest.fixture
def members(blobs):
    models = [DecisionTreeClassifier(max_depth=4, random_state=0), GaussianNB()]
    return lambda X: [
        (str(i), FrozenEstimator(Counted(clone(m)).fit(X, blobs.y))) for i, m in enumerate(models)
    ]


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_row_is_read_once_in_all_folds(blobs, members, tmp_path, container):
    X, rows = (CONTAINERS[container](data) for data in (blobs.X, blobs.X_held[:169]))
    frozen = members(X)
    model = MergedClassifier(frozen, memory=tmp_path, method="logits")
    compared = container in ("array", "frame")
    grid = GRID if compared else {"calibrate": ["merged"]}
    search = GridSearchCV(model, grid, cv=3, scoring="neg_log_loss", error_score="raise")
    found = search.fit(rows, blobs.y_held[:169])
    asked = [member.estimator.asked_ for _, member in frozen]
    assert [sum(counts) for counts in asked] == [169, 169]
    assert [len(counts) for counts in asked] == [2, 2]
    if compared:
        plain_search = GridSearchCV(
            MergedClassifier(frozen, method="logits"), GRID, cv=3, scoring="neg_log_loss"
        ).fit(rows, blobs.y_held[:169])
        np.testing.assert_array_equal(
            found.cv_results_["mean_test_score"], plain_search.cv_results_["mean_test_score"]
        )


def test_after_a_fit_on_all_rows_a_search_asks_no_more(blobs, members, tmp_path):
    """A search alone asks each member twice: it hands over the first fold's rows in two parts."""
    frozen, y = members(blobs.X), blobs.y_held[:169]
    model = MergedClassifier(frozen, memory=tmp_path, method="logits").fit(blobs.X_held[:169], y)
    search = GridSearchCV(model, GRID, cv=3, scoring="neg_log_loss", error_score="raise")
    search.fit(blobs.X_held[:169], y)
    assert [member.estimator.asked_ for _, member in frozen] == [[169], [169]]


@pytest.mark.parametrize(
    "cv",
    [
        RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0),
        ShuffleSplit(3, random_state=0),
    ],
)
def test_shuffled_and_repeated_folds(blobs, members, tmp_path, cv):
    frozen = members(blobs.X)
    model = MergedClassifier(frozen, memory=tmp_path, method="logits")
    grid = {"calibrate": ["merged"]}
    GridSearchCV(model, grid, cv=cv, scoring="neg_log_loss").fit(blobs.X_held, blobs.y_held)
    assert [sum(member.estimator.asked_) for _, member in frozen] == [200, 200]


def test_rows_that_differ_in_one_bit_or_type_are_other_rows(blobs, members, tmp_path):
    table = frame(blobs.X_held)
    near, letter = table.copy(), table.copy()
    near.loc[7, "x0"] = np.nextafter(near.loc[7, "x0"], np.inf)
    letter.loc[7, "letter"] = "z"
    moved = table.set_index(np.arange(200)[::-1])
    frozen = members(frame(blobs.X))
    settings = {"method": "logits", "weights": [1, 1]}
    model = MergedClassifier(frozen, memory=tmp_path, **settings).fit(table, blobs.y_held)
    model.predict_proba(table)
    without = MergedClassifier(members(frame(blobs.X)), **settings).fit(table, blobs.y_held)
    narrow = table.astype({"x0": np.float32})
    for other, same in (
        (table, True),
        (near, False),
        (letter, False),
        (moved, False),
        (narrow, False),
    ):
        shuffled = other.sample(frac=1, random_state=0)
        before = [len(member.estimator.asked_) for _, member in frozen]
        cached = model.predict_proba(shuffled)
        after = [len(member.estimator.asked_) for _, member in frozen]
        assert (before == after) == same
        np.testing.assert_array_equal(cached, without.predict_proba(shuffled))
