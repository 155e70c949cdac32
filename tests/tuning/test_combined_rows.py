"""Synthetic rows that students learn: which they are, and when there are none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from skmergecal import DistilledClassifier
from skmergecal._training import combined_rows
from tests.strategies import seeds
from tests.tuning.test_distilled_classifier import TREE, X_TEST, Y_TEST, X, Y


def table(rng, n, *, frame):
    numbers = rng.normal(size=(n, 3))
    numbers[rng.random((n, 3)) < 0.1] = np.nan
    if not frame:
        return numbers
    mixed = pd.DataFrame(numbers, columns=list("abc"))
    mixed["kind"] = pd.Categorical(rng.choice(list("xyz"), n))
    mixed["note"] = rng.choice(np.array(["p", None, "q"], dtype=object), n)
    return mixed.assign(whole=rng.integers(0, 4, n))


@given(seed=seeds, frame=st.booleans(), times=st.sampled_from([0.5, 1, 3]))
def test_they_are_the_same_for_weights_and_repetitions_in_any_order(seed, frame, times):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 30))
    rows, weight = table(rng, n, frame=frame), rng.integers(1, 4, n)
    made, each = combined_rows(rows, weight.astype(float), times, 0)
    again = rng.permutation(np.repeat(np.arange(n), weight))
    other, own = combined_rows(rows.iloc[again] if frame else rows[again], None, times, 0)
    assert own == each
    assert len(made) == round(times * len(pd.DataFrame(rows).drop_duplicates()))
    pd.testing.assert_frame_equal(pd.DataFrame(made), pd.DataFrame(other))
    if frame:
        assert (made.dtypes == rows.dtypes).all()
    for column in range(made.shape[1]):
        values = pd.DataFrame(made).iloc[:, column]
        assert values.isin(pd.DataFrame(rows).iloc[:, column]).all()


def test_a_fifth_of_the_values_come_from_other_rows_as_often_as_these_count():
    rows = np.arange(500.0).reshape(100, 5)
    weight = np.where(np.arange(100) < 50, 3.0, 1.0)
    made, each = combined_rows(rows, weight, 300, 0)
    assert len(made) == 10_000  # and no more
    assert each == 2.0
    source = made // 5
    base = np.median(source, axis=1)[:, None]
    assert abs((source != base).mean() - 0.2) < 0.02
    assert abs((source < 50).mean() - 0.75) < 0.01
    same, _ = combined_rows(pd.DataFrame(rows), weight, 300, 0)
    assert np.array_equal(same, made)


def spread(n=120):
    """A tree that has few rows, and a teacher that had many."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(1500, 8))
    y = (Z.sum(axis=1) + rng.normal(size=1500) > 0).astype(int)
    teacher = FrozenEstimator(LogisticRegression().fit(Z[n:700], y[n:700]))
    return Z[:n], y[:n], teacher, Z[700:], y[700:]


def test_a_tree_of_few_rows_learns_the_teacher_better_from_them():
    Z, y, teacher, Z_test, y_test = spread()
    tree = DecisionTreeClassifier(max_depth=5, random_state=0)
    losses = []
    for times in (0, 3):
        model = DistilledClassifier(tree, teacher, label_share=0, synthetic_rows=times).fit(Z, y)
        losses.append(log_loss(y_test, model.predict_proba(Z_test)))
    assert losses[1] < losses[0] - 0.03


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_net_learns_them_beside_the_rows_that_are_there(share):
    rng = np.random.default_rng(0)
    first, y = rng.normal(size=1300), rng.integers(0, 2, 1300)
    # The classes lie on two sides of a line, so near that rows between rows tell little of it.
    second = first + 0.2 * (2 * y - 1) * np.abs(rng.normal(size=1300))
    Z = np.column_stack([first, second])
    teacher = FrozenEstimator(LogisticRegression(C=1e4).fit(Z[300:800], y[300:800]))
    net = MLPClassifier((8,), learning_rate_init=0.01, n_iter_no_change=40, tol=9.0, random_state=0)
    losses = []
    for times in (0, 3):
        model = DistilledClassifier(
            net, teacher, label_share=share, synthetic_rows=times, random_state=0
        )
        losses.append(log_loss(y[800:], model.fit(Z[:300], y[:300]).predict_proba(Z[800:])))
    assert losses[1] < 0.7 * losses[0]


class Watched(TransformerMixin, BaseEstimator):
    """Notes how many rows it is fitted on."""

    def fit(self, X, y=None):
        self.n_rows_, self.known_ = len(X), y is not None
        return self

    def transform(self, X):
        return X


def test_steps_of_a_pipeline_before_the_last_are_fitted_on_the_rows_that_are_there():
    teacher = FrozenEstimator(GaussianNB().fit(X_TEST, Y_TEST))
    student = make_pipeline(make_pipeline(Watched()), Watched(), TREE)
    model = DistilledClassifier(student, teacher, label_share=0.5).fit(X, Y)
    assert model.student_[0][0].n_rows_ == model.student_[1].n_rows_ == len(X)
    bare = DistilledClassifier(TREE, teacher, label_share=0.5).fit(X, Y)
    assert np.array_equal(model.predict_proba(X_TEST), bare.predict_proba(X_TEST))


class Noting(GaussianNB):
    """Naive Bayes that notes its rows, and takes a note for each."""

    rows: int = 0

    def fit(self, X, y, sample_weight=None, note=None):
        Noting.rows = X.shape[0]
        assert note is None or len(note) == X.shape[0]
        return super().fit(X.toarray() if sparse.issparse(X) else X, y, sample_weight)

    def predict_proba(self, X):
        return super().predict_proba(X.toarray() if sparse.issparse(X) else X)


@pytest.mark.parametrize("kind", ["none", "sparse", "objects", "labels only"])
def test_where_there_are_none(kind):
    rows = {"sparse": sparse.csr_array(X), "objects": X.astype(object)}.get(kind, X)
    teacher = FrozenEstimator(Noting().fit(X_TEST, Y_TEST))
    share = 1.0 if kind == "labels only" else 0.0
    times = 0 if kind == "none" else 3
    model = DistilledClassifier(Noting(), teacher, label_share=share, synthetic_rows=times)
    model.fit(rows, Y)
    assert Noting.rows <= 3 * len(X)  # copies of the rows themselves
    if share == 0.0:
        DistilledClassifier(Noting(), teacher, label_share=share).fit(X, Y)
        assert Noting.rows > 4 * len(X)


def test_a_student_that_draws_rows_by_itself_is_refused():
    class Sampler(BaseEstimator):
        def fit_resample(self, X, y):
            return X[::2], y[::2]

    from sklearn.pipeline import Pipeline

    teacher = FrozenEstimator(GaussianNB().fit(X_TEST, Y_TEST))
    student = Pipeline([("half", Sampler()), ("tree", TREE)])
    with pytest.raises(ValueError, match="a step of the student draws other rows"):
        DistilledClassifier(student, teacher, label_share=0.5).fit(X, Y)
    weight = np.arange(len(X)) % 2 + 1.0
    DistilledClassifier(TREE, teacher, label_share=0.5).fit(X, Y, sample_weight=weight)
