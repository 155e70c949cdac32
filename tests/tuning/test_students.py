"""Which classifiers can be students, and what is switched off while they learn."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import DistilledClassifier, TemperatureCalibrator
from skmergecal.exceptions import RefitWarning
from tests.tuning.test_distilled_classifier import TREE, X_TEST, Y_TEST, X, Y


@pytest.fixture(scope="module")
def teacher():
    """Logistic regression, fitted to other rows."""
    return LogisticRegression(C=0.1).fit(X_TEST, Y_TEST)


@pytest.mark.parametrize(
    ("make", "args", "text"),
    [
        (lambda t: DistilledClassifier(TREE, t), (X,), "requires y.*label_share='auto'"),
        (lambda t: DistilledClassifier(TREE, TREE, label_share=0), (X,), "requires y to be passed"),
        (
            lambda t: DistilledClassifier(KNeighborsClassifier(), t),
            (X, Y),
            "takes no sample_weight",
        ),
        (lambda t: DistilledClassifier(FrozenEstimator(t.estimator), t), (X, Y), "is frozen"),
        (lambda t: DistilledClassifier(LogisticRegressionCV(cv=3), t), (X, Y), "holds out rows"),
        (lambda t: DistilledClassifier(TREE, t), (X, np.r_[["new"], Y[1:]]), "unknown to the"),
        (lambda t: DistilledClassifier(TREE, t, label_share=2), (X, Y), "label_share"),
    ],
)
def test_what_cannot_be_distilled_says_why(teacher, make, args, text):
    with pytest.raises(ValueError, match=text):
        make(FrozenEstimator(teacher)).fit(*args)


def test_remedies_of_what_cannot_be_distilled(teacher):
    frozen = FrozenEstimator(teacher)
    DistilledClassifier(TREE, frozen, label_share=0).fit(X)
    search = GridSearchCV(
        DistilledClassifier(TREE, frozen, cv=2), {"label_share": [0, 0.5, 1]}, cv=2
    )
    assert search.fit(X, Y).best_estimator_.label_share_ in (0, 0.5, 1)
    with pytest.raises(ValueError, match="teaches nothing with label_share=1"):
        DistilledClassifier(TREE, frozen, label_share=1).fit(X, Y, X_unlabeled=X)
    DistilledClassifier(TREE, frozen, label_share=1).fit(X, Y)
    DistilledClassifier(TREE, frozen, label_share=0.5).fit(X, Y, X_unlabeled=X)
    DistilledClassifier(teacher, frozen, label_share=0.5).fit(X, Y)
    wrapped = TemperatureCalibrator(DistilledClassifier(TREE, frozen, label_share=0.5), cv=2)
    assert wrapped.fit(X, Y).temperature_ > 0
    new = np.r_[["new"], Y[1:]]
    DistilledClassifier(TREE, frozen, label_share=0.5).fit(X[1:], new[1:])
    with pytest.raises(ValueError, match="drop these rows, or train it on them"):
        DistilledClassifier(TREE, frozen, label_share=0.5).fit(X, new)
    taught = FrozenEstimator(LogisticRegression().fit(X, new))
    DistilledClassifier(TREE, taught, label_share=0.5).fit(X, new)
    halves = [(np.arange(80), np.arange(80, 160)), (np.arange(80, 160), np.arange(80))]
    with pytest.raises(ValueError, match="three folds or more; it has 2"):
        DistilledClassifier(TREE, GaussianNB(), cv=halves).fit(X, Y)
    DistilledClassifier(TREE, frozen, cv=halves).fit(X, Y)
    DistilledClassifier(TREE, GaussianNB(), cv=PredefinedSplit(np.arange(160) % 3)).fit(X, Y)
    with pytest.raises(NotFittedError, match="teacher"):
        DistilledClassifier(TREE, FrozenEstimator(GaussianNB())).fit(X, Y)
    with pytest.warns(RefitWarning, match="'teacher' is fitted already"):
        DistilledClassifier(TREE, GaussianNB().fit(X, Y), label_share=0, cv=2).fit(X, Y)


@pytest.mark.parametrize(
    ("student", "name"),
    [
        (HistGradientBoostingClassifier(max_iter=2, early_stopping=True), "early_stopping=False"),
        (
            make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", early_stopping=True)),
            "early_stopping=False",
        ),
        (GradientBoostingClassifier(n_estimators=2, n_iter_no_change=5), "n_iter_no_change=None"),
        (RandomForestClassifier(20, oob_score=True, random_state=0), "oob_score=False"),
    ],
)
def test_what_sets_rows_apart_is_switched_off_with_a_warning(teacher, student, name):
    before = pickle.dumps(student)
    model = DistilledClassifier(student, FrozenEstimator(teacher), label_share=0.5)
    with pytest.warns(UserWarning, match=name) as found:
        model.fit(X, Y)
    assert len(found) == 1
    last = model.student_[-1] if hasattr(model.student_, "steps") else model.student_
    parameter, _, value = name.partition("=")
    assert str(last.get_params()[parameter]) == value
    assert pickle.dumps(student) == before


def test_boosting_that_stops_early_by_itself_from_10000_copies_on(teacher):
    rows = np.arange(6000) % len(X)
    student = HistGradientBoostingClassifier(max_iter=2)
    model = DistilledClassifier(student, FrozenEstimator(teacher), label_share=0.5)
    with pytest.warns(UserWarning, match=r"early_stopping=False: with early_stopping='auto'"):
        model.fit(X[rows], Y[rows])
    assert not model.fit(X, Y).student_.do_early_stopping_
