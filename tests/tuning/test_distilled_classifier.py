"""DistilledClassifier: any ensemble into any student, measured on rows that neither has seen."""

from __future__ import annotations

import pickle
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_classification
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold, PredefinedSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.validation import has_fit_parameter

from skmergecal import (
    DistilledClassifier,
    FineTunedClassifier,
    MergedClassifier,
    TemperatureCalibrator,
)
from skmergecal.tuning._distillation_report import choose_share

SETTINGS = {"n_features": 6, "n_informative": 4, "n_classes": 3, "random_state": 0, "flip_y": 0.2}
X, CODES = make_classification(240, **SETTINGS)
Y = np.array(["good", "poor", "bad"])[CODES]
X_TEST, Y_TEST = X[160:], Y[160:]
X, CODES, Y = X[:160], CODES[:160], Y[:160]
TREE = DecisionTreeClassifier(max_depth=3, random_state=0)
WIDE = LogisticRegression(C=1e3, max_iter=1000)


@pytest.fixture(scope="module")
def teacher():
    """Logistic regression, fitted to other rows."""
    return LogisticRegression(C=0.1).fit(X_TEST, Y_TEST)


def wrong_teacher():
    """Confuses the classes."""
    others = {"good": "poor", "poor": "bad", "bad": "good"}
    return GaussianNB().fit(X_TEST, [others[label] for label in Y_TEST])


class Counted(ClassifierMixin, BaseEstimator):
    """Naive Bayes that counts its fits and the rows that it is asked about, of all copies."""

    fits = 0
    rows = 0

    def fit(self, X, y, sample_weight=None):
        type(self).fits += 1
        self.model_ = GaussianNB().fit(X, y, sample_weight)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X):
        type(self).rows += len(X)
        return self.model_.predict_proba(X)


def counted():
    return type("Counted", (Counted,), {"__module__": __name__})


def test_a_student_of_the_teachers_kind_has_the_teachers_probabilities(teacher):
    frozen = FrozenEstimator(teacher)
    student = DistilledClassifier(WIDE, frozen, label_share=0).fit(X, Y)
    assert np.abs(student.predict_proba(X_TEST) - teacher.predict_proba(X_TEST)).max() < 0.01
    assert student.classes_.tolist() == ["bad", "good", "poor"]
    assert (student.predict(X_TEST) == teacher.predict(X_TEST)).mean() > 0.97


@pytest.mark.parametrize("weight", [None, np.arange(160) % 3 + 1.0])
@pytest.mark.parametrize("student", [TREE, make_pipeline(StandardScaler(), WIDE)])
def test_with_labels_only_the_student_is_its_own_fit(teacher, student, weight):
    distilled = DistilledClassifier(student, FrozenEstimator(teacher), label_share=1)
    distilled.fit(X, Y, sample_weight=weight)
    name = "sample_weight" if student is TREE else "logisticregression__sample_weight"
    own = clone(student).fit(X, Y, **({} if weight is None else {name: weight}))
    assert np.array_equal(distilled.student_.predict_proba(X_TEST), own.predict_proba(X_TEST))


@pytest.mark.parametrize("share", [0, 0.3, "auto"])
def test_weights_are_repetitions_and_zero_removes_a_row(teacher, share):
    weight = np.random.default_rng(0).integers(0, 3, len(X))
    folds = np.arange(len(X)) % 3
    again = np.repeat(np.arange(len(X)), weight)

    def fitted(X, y, weight, folds):
        student = DistilledClassifier(
            WIDE, FrozenEstimator(teacher), label_share=share, cv=PredefinedSplit(folds)
        )
        return student.fit(X, y, sample_weight=weight)

    weighted = fitted(X, Y, weight, folds)
    repeated = fitted(X[again], Y[again], None, folds[again])
    assert weighted.label_share_ == repeated.label_share_
    assert np.allclose(weighted.predict_proba(X_TEST), repeated.predict_proba(X_TEST), atol=1e-4)
    if share == "auto":
        assert np.isclose(weighted.report_.student_loss, repeated.report_.student_loss, atol=1e-4)
        errors = weighted.report_.gain_standard_error, repeated.report_.gain_standard_error
        assert np.isclose(*errors, atol=1e-4)


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_weights_reach_the_last_step_of_a_pipeline_in_any_case(teacher, share, routing):
    weight = np.r_[np.ones(80), np.full(80, 50.0)]
    with sklearn.config_context(enable_metadata_routing=routing):
        last = LogisticRegression()
        student = make_pipeline(StandardScaler(), last)
        if routing:
            last.set_fit_request(sample_weight=True)
        model = DistilledClassifier(
            student, FrozenEstimator(teacher), label_share=share, synthetic_rows=0
        )
        weighted = model.fit(X, Y, sample_weight=weight).predict_proba(X_TEST)
    scaled = StandardScaler().fit(X)
    plain = DistilledClassifier(clone(last), FrozenEstimator(_behind(scaled, teacher)))
    plain.set_params(label_share=share, synthetic_rows=0).fit(
        scaled.transform(X), Y, sample_weight=weight
    )
    expected = plain.predict_proba(scaled.transform(X_TEST))
    np.testing.assert_allclose(weighted, expected, atol=1e-12)


def _behind(scaled, teacher):
    """The teacher of rows that are scaled."""
    lifted = LogisticRegression()
    lifted.classes_ = teacher.classes_
    lifted.coef_ = teacher.coef_ * scaled.scale_
    lifted.intercept_ = teacher.intercept_ + teacher.coef_ @ scaled.mean_
    return lifted


@pytest.mark.skipif(
    not has_fit_parameter(MLPClassifier, "sample_weight"), reason="new in scikit-learn 1.7"
)
def test_a_net_is_first_fitted_with_the_weights(teacher):
    net = MLPClassifier((4,), solver="lbfgs", max_iter=2000, alpha=1.0, random_state=0)
    weight = np.r_[np.ones(80), np.full(80, 50.0)]
    model = DistilledClassifier(net, FrozenEstimator(teacher), label_share=1)
    found = model.fit(X, Y, sample_weight=weight).predict_proba(X_TEST)
    own = clone(net).fit(X, Y, sample_weight=weight)
    np.testing.assert_allclose(found, own.predict_proba(X_TEST), atol=1e-9)


@pytest.mark.parametrize("frozen", [True, False])
def test_how_often_things_are_fitted_and_asked(frozen):
    student, teacher = counted(), counted()
    model = teacher().fit(X_TEST, Y_TEST) if frozen else teacher()
    teacher.fits = 0
    given = FrozenEstimator(model) if frozen else model
    student_of_all = DistilledClassifier(student(), given, cv=4).fit(X, Y)
    assert student.fits == 3 * 4 + 1
    # 4 for the soft labels of all rows, 1 for the teacher, and as many without each fold
    assert teacher.fits == (0 if frozen else 5 * 5)
    if frozen:
        # once more for the time, of 1,000 rows at most; and three synthetic ones of each row
        own = 0 if student_of_all.label_share_ == 1 else 3 * len(X)
        assert teacher.rows == 2 * len(X) + 4 * 3 * 120 + own
    student.fits = 0
    fixed = DistilledClassifier(student(), given, cv=4, label_share=0.5).fit(X, Y)
    assert student.fits == 1
    assert np.isnan(fixed.report_.student_loss)
    assert fixed.report_.teacher_loss > 0


def test_the_student_learns_what_models_that_did_not_see_a_row_say_of_it():
    forest = RandomForestClassifier(10, random_state=0)
    deep = DecisionTreeClassifier(random_state=0)
    learned = DistilledClassifier(deep, forest, label_share=0).fit(X, Y)
    known = DistilledClassifier(deep, FrozenEstimator(clone(forest).fit(X, Y)), label_share=0)
    known.fit(X, Y)  # whose rows the forest knows by heart
    losses = [log_loss(Y_TEST, model.predict_proba(X_TEST)) for model in (learned, known)]
    assert losses[0] < 0.9 * losses[1]


def test_auto_keeps_half_unless_another_share_is_better_by_a_standard_error():
    usual = np.linspace(0.2, 1.0, 50)
    noise = np.tile([1.0, -1.0], 25)
    assert choose_share({0.0: usual - 0.01 - noise, 0.5: usual, 1.0: usual + 0.1}, None) == 0.5
    assert choose_share({0.0: usual - 0.5 - noise, 0.5: usual, 1.0: usual - 0.4}, None) == 0.0
    assert choose_share({0.0: usual - 0.3, 0.5: usual, 1.0: usual - 0.4}, None) == 1.0
    counts = np.where(noise > 0, 9.0, 1.0)
    assert choose_share({0.0: usual - noise, 0.5: usual, 1.0: usual}, counts) == 0.0


def test_auto_chooses_labels_where_the_teacher_is_bad():
    model = DistilledClassifier(WIDE, FrozenEstimator(wrong_teacher()), cv=3).fit(X, Y)
    assert model.label_share_ == 1.0
    assert model.report_.student_loss == model.report_.labels_loss
    assert model.report_.losses_by_share[0.0] > model.report_.labels_loss


def test_report(teacher):
    model = DistilledClassifier(TREE, FrozenEstimator(teacher), cv=3).fit(X, Y)
    report = model.report_
    columns = np.searchsorted(teacher.classes_, Y)
    losses = -np.log(teacher.predict_proba(X))[np.arange(len(X)), columns]
    assert np.isclose(report.teacher_loss, losses.mean())
    assert np.isclose(report.teacher_standard_error, losses.std(ddof=1) / np.sqrt(len(X)))
    assert report.gain == pytest.approx(report.labels_loss - report.student_loss)
    assert report.gain_kept == pytest.approx(
        report.gain / (report.labels_loss - report.teacher_loss)
    )
    assert report.teacher_seconds > 0
    assert report.student_seconds > 0
    assert set(report.as_dict()["losses_by_share"]) == {"0.0", "0.5", "1.0"}
    assert "student on labels" in str(report)
    assert repr(report).startswith("DistillationReport(label_share=0.5, student_loss=")


class Asked(LogisticRegression):
    """Counts the rows that it is asked about."""

    asked: int = 0

    def predict_proba(self, X):
        Asked.asked += len(X)
        return super().predict_proba(X)


@pytest.mark.once
def test_time_of_a_teacher_is_that_of_predicting_not_of_reading_a_cache(tmp_path):
    members = [("a", FrozenEstimator(Asked(C=0.1).fit(X_TEST, Y_TEST)))]
    pool = MergedClassifier(members, memory=tmp_path).fit(X, Y)
    pool.predict_proba(X)  # now in the cache
    Asked.asked = 0
    DistilledClassifier(TREE, FrozenEstimator(pool), label_share=0.0).fit(X)
    assert Asked.asked >= len(X)


STUDENTS = [
    TREE,
    HistGradientBoostingClassifier(max_iter=3),
    RandomForestClassifier(5, random_state=0),
    GaussianNB(),
    SGDClassifier(loss="log_loss", random_state=0),
    make_pipeline(StandardScaler(), LogisticRegression()),
    make_pipeline(StandardScaler(), MLPClassifier((4,), max_iter=20, random_state=0)),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("student", STUDENTS, ids=lambda s: type(s).__name__)
def test_any_student_keeps_labels_classes_and_the_users_objects(student, teacher):
    frozen = FrozenEstimator(teacher)
    before = pickle.dumps((student, teacher, X, Y))
    model = DistilledClassifier(student, frozen, label_share=0.5, random_state=0).fit(X, Y)
    assert pickle.dumps((student, teacher, X, Y)) == before
    p = model.predict_proba(X_TEST)
    assert np.allclose(p.sum(axis=1), 1)
    own = model.student_.predict_proba(X_TEST)
    softened = model.student_.predict_proba(np.vstack([X, X_TEST])).min() == 0
    assert np.allclose(p, own, atol=1 / len(X) if softened else 1e-6)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(X_TEST), p)
    assert set(model.predict(X_TEST)) <= set(Y)


class OnlyCodes(GaussianNB):
    """Takes no labels but 0..k-1, as XGBoost does."""

    def fit(self, X, y, sample_weight=None):
        if not np.array_equal(np.unique(y), np.arange(len(np.unique(y)))):
            msg = f"Invalid classes inferred from unique values of `y`: {np.unique(y)}"
            raise ValueError(msg)
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("labels", [np.array([1, 5, 9]), np.array(["x", "y", "z"])])
def test_students_and_teachers_that_take_codes_only(labels, share):
    y = labels[CODES]
    coded = DistilledClassifier(OnlyCodes(), OnlyCodes(), label_share=share, cv=3).fit(X, y)
    plain = DistilledClassifier(GaussianNB(), GaussianNB(), label_share=share, cv=3).fit(X, y)
    assert np.array_equal(coded.predict_proba(X), plain.predict_proba(X))
    assert coded.classes_.tolist() == labels.tolist()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_net_learns_the_teacher_better_than_labels_do():
    other = make_classification(1200, **SETTINGS)
    forest = RandomForestClassifier(15, min_samples_leaf=5, random_state=0)
    forest.fit(other[0][240:], np.array(["good", "poor", "bad"])[other[1][240:]])
    net = make_pipeline(
        StandardScaler(), MLPClassifier((16,), max_iter=200, solver="lbfgs", random_state=0)
    )
    share = partial(DistilledClassifier, net, FrozenEstimator(forest), random_state=0)
    given = forest.predict_proba(X_TEST)

    def distance(model):
        return -(given * model.predict_log_proba(X_TEST)).sum(axis=1).mean()

    soft = share(label_share=0).fit(X, Y)
    assert distance(soft) < distance(share(label_share=1).fit(X, Y))
    again = share(label_share=0).fit(X, Y)
    assert np.array_equal(soft.predict_proba(X_TEST), again.predict_proba(X_TEST))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_frozen_net_is_trained_on(teacher):
    net = MLPClassifier((8,), max_iter=5, random_state=0).fit(X, Y)
    before = pickle.dumps(net)
    for share in (0.0, 1.0):
        model = DistilledClassifier(
            FrozenEstimator(net), FrozenEstimator(teacher), label_share=share, random_state=0
        ).fit(X, Y)
        start, end = (log_loss(Y, m.predict_proba(X)) for m in (net, model))
        assert end < start
    assert pickle.dumps(net) == before


def test_rows_without_labels(teacher):
    frozen = FrozenEstimator(teacher)
    student = DistilledClassifier(WIDE, frozen, label_share=0)
    without = student.fit(X).predict_proba(X_TEST)
    assert np.abs(without - clone(student).fit(X, Y).predict_proba(X_TEST)).max() < 0.01
    both = clone(student).fit(X[:80], X_unlabeled=X[80:]).predict_proba(X_TEST)
    assert np.array_equal(both, without)
    labelled = clone(student).set_params(label_share=0.5, cv=3)
    some = labelled.fit(X[:80], Y[:80], X_unlabeled=X[80:])
    assert np.abs(some.predict_proba(X_TEST) - without).max() < 0.2
    weighted = clone(student).fit(X, sample_weight=np.r_[np.ones(80), np.zeros(80)])
    assert np.array_equal(
        weighted.predict_proba(X_TEST), clone(student).fit(X[:80]).predict_proba(X_TEST)
    )


def test_held_out_predictions_for_a_calibrator(teacher):
    student = DistilledClassifier(
        DecisionTreeClassifier(min_samples_leaf=2, random_state=0), GaussianNB(), cv=3
    )
    held = clone(student).fit_held_out(X, Y)
    assert np.array_equal(np.sort(held.rows), np.arange(len(X)))
    report = clone(student).fit(X, Y).report_
    codes = np.searchsorted(np.unique(Y), Y)[held.rows]
    loss = -held.log_proba[np.arange(len(X)), codes].mean()
    assert loss == pytest.approx(report.student_loss)
    calibrated = TemperatureCalibrator(student).fit(X, Y)
    assert calibrated.temperature_ > 1.2  # a tree of leaves of two copies is too confident
    fixed = TemperatureCalibrator(clone(student).set_params(label_share=0.5)).fit(X, Y)
    assert fixed.temperature_ > 1.2


def test_a_pool_as_the_teacher_cross_fits_by_itself():
    pool = MergedClassifier([("bayes", GaussianNB()), ("lda", LinearDiscriminantAnalysis())], cv=2)
    model = DistilledClassifier(TREE, pool, cv=3).fit(X, Y)
    assert isinstance(model.teacher_, MergedClassifier)
    assert model.report_.teacher_loss < model.report_.labels_loss
    with joblib.parallel_config("threading", n_jobs=2):
        again = DistilledClassifier(TREE, pool, cv=3).fit(X, Y)
    assert np.allclose(model.predict_proba(X), again.predict_proba(X), atol=1e-12)


def test_groups_stay_together_in_all_folds():
    groups = np.arange(len(X)) // 4

    class Watching(GaussianNB):
        def fit(self, X, y, sample_weight=None):
            seen.append(len(X))
            return super().fit(X, y, sample_weight)

    seen: list[int] = []
    model = DistilledClassifier(TREE, Watching(), cv=GroupKFold(4))
    model.fit(X, Y, groups=groups)
    assert seen[0] % 4 == 0
    assert all(size % 4 == 0 for size in seen)


def test_containers(teacher):
    frame = pd.DataFrame(X, columns=list("abcdef"))
    names = LogisticRegression(C=0.1).fit(frame, Y)
    model = DistilledClassifier(WIDE, FrozenEstimator(names), cv=2).fit(frame, pd.Series(Y))
    assert model.feature_names_in_.tolist() == list("abcdef")
    own = DistilledClassifier(WIDE, FrozenEstimator(LogisticRegression(C=0.1).fit(X, Y)), cv=2)
    assert np.allclose(model.predict_proba(frame), own.fit(X, Y).predict_proba(X), atol=1e-10)
    thin = DistilledClassifier(WIDE, FrozenEstimator(teacher), cv=2).fit(sparse.csr_array(X), Y)
    assert thin.predict_proba(sparse.csr_array(X)).shape == (160, 3)
    with pytest.raises(ValueError, match="features"):
        own.predict_proba(X[:, :3])


def test_a_teacher_that_knows_more_classes_than_the_rows(teacher):
    rows = np.flatnonzero(Y != "poor")
    for share in (0, 0.5, 1, "auto"):
        model = DistilledClassifier(TREE, FrozenEstimator(teacher), label_share=share, cv=2)
        p = model.fit(X[rows], Y[rows]).predict_proba(X_TEST)
        assert p.shape == (80, 3)
        assert np.isfinite(model.predict_log_proba(X_TEST)).all()
        assert np.allclose(p.sum(axis=1), 1)


def test_parameters_of_fit_reach_teacher_and_student_by_routing():
    class Noting(GaussianNB):
        def fit(self, X, y, sample_weight=None, note=None):
            noted.append((type(self).__name__, len(X), None if note is None else len(note)))
            return super().fit(X, y, sample_weight)

    class Student(Noting):
        pass

    noted: list[tuple] = []
    with sklearn.config_context(enable_metadata_routing=True):
        student = Student().set_fit_request(note=True, sample_weight=True)
        teacher = Noting().set_fit_request(note=False, sample_weight=True)
        model = DistilledClassifier(student, teacher, label_share=0.5, cv=2)
        model.fit(X, Y, sample_weight=np.ones(len(X)), note=np.arange(len(X)))
    assert all(found is None for name, _, found in noted if name == "Noting")
    (copied,) = [(rows, found) for name, rows, found in noted if name == "Student"]
    assert copied[0] == copied[1] > len(X)


def test_label_share_of_a_net_that_learns_from_members():
    net = MLPClassifier((4,), solver="lbfgs", max_iter=2000, random_state=0, alpha=3.0).fit(
        X_TEST, Y_TEST
    )
    wrong = FrozenEstimator(wrong_teacher())
    tune = partial(
        FineTunedClassifier, FrozenEstimator(net), target="members", teacher=wrong, random_state=0
    )
    today = tune().fit(X, Y).predict_proba(X)
    assert np.array_equal(today, tune(label_share=0.0).fit(X, Y).predict_proba(X))
    losses = [
        log_loss(Y, tune(label_share=s, epochs=20).fit(X, Y).predict_proba(X)) for s in (0, 0.5, 1)
    ]
    assert losses == sorted(losses, reverse=True)
    more = tune(label_share=1.0).fit(X, Y, X_unlabeled=X_TEST)
    assert not np.array_equal(
        more.predict_proba(X), tune(label_share=1.0).fit(X, Y).predict_proba(X)
    )
    with pytest.raises(ValueError, match="label_share is for target='members'"):
        FineTunedClassifier(FrozenEstimator(net), label_share=0.5).fit(X, Y)


def test_linear_students_can_be_merged_into_one(teacher):
    frozen = FrozenEstimator(teacher)
    students = [
        DistilledClassifier(WIDE, frozen, label_share=share).fit(X, Y) for share in (0, 0.5)
    ]
    merged = MergedClassifier.from_fitted(students, X, Y, method="parameters", weights=None)
    pooled = MergedClassifier.from_fitted(students, X, Y, method="logits", weights=None)
    assert np.allclose(merged.predict_proba(X), pooled.predict_proba(X), atol=1e-10)


def test_a_net_learns_its_share_of_the_labels_beside_synthetic_rows():
    net = MLPClassifier((8,), max_iter=20, early_stopping=True, random_state=0)
    wrong = FrozenEstimator(wrong_teacher())
    losses = []
    for share in (0.0, 0.5, 0.9):
        model = DistilledClassifier(net, wrong, label_share=share, random_state=0).fit(X, Y)
        losses.append(log_loss(Y_TEST, model.predict_proba(X_TEST)))
    assert losses[0] > losses[1] + 0.2
    assert losses[1] > losses[2]
