"""Members that scikit-learn does not know as classifiers: accepted once fitted, or what to do."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import (
    FineTunedClassifier,
    MergedClassifier,
    TemperatureCalibrator,
    calibration_report,
    merge_path,
)


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)  # solvers need fewer steps
    return X, np.array(["se", "ve", "vi"])[y]


class Session:
    """What serves a model elsewhere: no fit, no parameters, no attribute of a fitted estimator."""

    def __init__(self, model):
        self.model = model

    @property
    def classes_(self):
        return self.model.classes_

    def predict_proba(self, X):
        return self.model.predict_proba(X)


class SessionOfAMixin(ClassifierMixin, Session):
    """It derives from the mixin alone, which has no tags without BaseEstimator."""


class Foreign:
    """A classifier that derives from nothing."""

    def __init__(self, C=1.0):
        self.C = C

    def fit(self, X, y):
        self.model_ = LogisticRegression(C=self.C, max_iter=1000).fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X):
        return self.model_.predict_proba(X)


class Untold(Foreign, BaseEstimator):
    """As TabNetClassifier: an estimator, but it does not say of what kind."""


class Misordered(Foreign, BaseEstimator, ClassifierMixin):
    """ClassifierMixin comes too late for its tag."""


class Network(BaseEstimator):
    """Fitted elsewhere, with predict only."""

    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.zeros((len(X), 3))


def sessions(iris):
    X, y = iris
    return [Session(LogisticRegression(C=C, max_iter=1000).fit(X, y)) for C in (0.1, 1.0)]


@pytest.mark.parametrize("method", ["auto", "logits", "probabilities"])
def test_any_fitted_object_with_classes_and_probabilities_is_a_member(iris, method):
    X, y = iris
    own = [
        *sessions(iris),
        SessionOfAMixin(sessions(iris)[0].model),
        Foreign().fit(X, y),
        Untold().fit(X, y),
        Misordered().fit(X, y),
    ]
    merged = MergedClassifier.from_fitted([*own, GaussianNB().fit(X, y)], X, y, method=method)
    assert merged.score(X, y) > 0.9
    assert "session-1" in repr(merged)
    assert "session-1" in merged._repr_html_()
    again = clone(merged).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), merged.predict_proba(X))
    copied = pickle.loads(pickle.dumps(merged))
    np.testing.assert_array_equal(copied.predict_proba(X), merged.predict_proba(X))


def test_such_an_object_is_calibrated_reported_cached_and_taught_from(iris, tmp_path):
    X, y = iris
    session = sessions(iris)[1]
    direct = TemperatureCalibrator(FrozenEstimator(session.model)).fit(X, y)
    served = TemperatureCalibrator(FrozenEstimator(session)).fit(X, y)
    assert served.temperature_ == pytest.approx(direct.temperature_, rel=1e-6)
    assert "log loss" in str(calibration_report(session, X, y, n_resamples=9))
    cached = MergedClassifier.from_fitted([session], X, y, memory=tmp_path)
    np.testing.assert_allclose(cached.predict_proba(X).sum(axis=1), 1.0)
    from sklearn.neural_network import MLPClassifier

    net = MLPClassifier((3,), solver="lbfgs", alpha=1.0, max_iter=500, random_state=0)
    tuned = FineTunedClassifier(
        net, teacher=FrozenEstimator(session), target="members", epochs=1, random_state=0
    )
    assert tuned.fit(X, y).score(X, y) > 0.5


def test_a_pipeline_around_a_foreign_classifier(iris):
    X, y = iris
    model = make_pipeline(StandardScaler(), Foreign()).fit(X, y)
    merged = MergedClassifier.from_fitted([model], X, y)
    assert merged.score(X, y) > 0.9


WHAT = {
    "a function": (np.log, TypeError, "'m' .*instance; got a ufunc.*write a class that calls it"),
    "an array": (np.zeros((3, 3)), TypeError, "got a ndarray.*from_predictions"),
    "a text": ("dropped", TypeError, "got a str, which has no fit"),
    "rows": ([[0.5, 0.5]], TypeError, "got a list.*stored are merged by"),
    "a class": (LogisticRegression, TypeError, r"as in LogisticRegression\(\)"),
    "a regressor": (LinearRegression(), ValueError, "LinearRegression is not one: regressors"),
    "a transformer": (PCA(), ValueError, "PCA is not one: regressors and transformers"),
    "clusters": (KMeans(2), ValueError, "KMeans is not one"),
    "a network": (Network(), ValueError, "Network is not one"),
    "no tag": (Untold(), ValueError, r"class Named\(ClassifierMixin, Untold\): pass"),
    "no base": (Foreign(), ValueError, r"\(ClassifierMixin, BaseEstimator, Foreign\): pass"),
    "a late mixin": (Misordered(), ValueError, "ClassifierMixin before BaseEstimator"),
}


@pytest.mark.parametrize("kind", WHAT)
@pytest.mark.parametrize("frozen", [False, True])
def test_what_is_no_classifier_is_named_with_a_remedy(iris, kind, frozen):
    X, y = iris
    what, error, message = WHAT[kind]
    member = FrozenEstimator(what) if frozen else what
    with pytest.raises(error, match=message):
        MergedClassifier([("m", member)]).fit(X, y)
    message = message.replace("'m'", "'estimator'")
    if frozen or hasattr(what, "fit"):  # scikit-learn refuses what has no fit
        with pytest.raises(error, match=message):
            TemperatureCalibrator(member).fit(X, y)
    if frozen:
        with pytest.raises(error, match=message.replace("'estimator'", "'m'")):
            MergedClassifier.from_fitted({"m": what}, X, y)
        with pytest.raises(error, match=message.replace("'estimator'", "'a'")):
            merge_path(what, what, X, y)
        with pytest.raises(error, match=message):
            calibration_report(what, X, y)


def test_the_remedies_for_classes(iris):
    X, y = iris

    class Named(ClassifierMixin, Untold):
        pass

    class NamedToo(ClassifierMixin, BaseEstimator, Foreign):
        pass

    class Ordered(Foreign, ClassifierMixin, BaseEstimator):
        pass

    members = [(cls.__name__, cls(C=0.5)) for cls in (Named, NamedToo, Ordered)]
    merged = MergedClassifier([*members, ("called", LogisticRegression(max_iter=1000))], cv=2)
    assert merged.fit(X, y).score(X, y) > 0.9
    assert merged.get_params()["NamedToo__C"] == 0.5


def test_the_remedy_for_functions_and_boosters(iris):
    """A class that calls it in predict_proba, and has classes_."""
    X, y = iris
    asked = LogisticRegression(max_iter=1000).fit(X, y).predict_proba

    class Asked:
        classes_ = np.unique(y)

        def predict_proba(self, X):
            return asked(X)

    merged = MergedClassifier.from_fitted([Asked()], weights=None, method="probabilities")
    np.testing.assert_array_equal(merged.predict_proba(X), asked(X))


def test_a_booster_of_xgboost_is_told_how_to_come_back(iris):
    booster = type("Booster", (), {"__module__": "xgboost.core"})()
    with pytest.raises(TypeError, match=r"'b' .* a Booster.*load_model\(path\) of an xgboost"):
        MergedClassifier.from_fitted({"b": booster}, *iris)
    other = type("Booster", (), {"__module__": "lightgbm.basic"})()
    with pytest.raises(TypeError, match=r"'b' .* a Booster.*write a class that calls it"):
        MergedClassifier.from_fitted({"b": other}, *iris)


def test_the_remedies_for_stored_predictions(iris):
    X, y = iris
    stored = {f"{i}": s.predict_proba(X) for i, s in enumerate(sessions(iris))}
    pooled = MergedClassifier.from_predictions(stored, y, weights=None).transform(stored)
    assert TemperatureCalibrator().fit(pooled, y).temperature_ > 0


WAYS = {
    "from_fitted": lambda m, X, y: MergedClassifier.from_fitted({"lazy": m}, X, y),
    "merge_path": lambda m, X, y: merge_path(m, m, X, y),
    "report": lambda m, X, y: calibration_report(m, X, y),
    "frozen": lambda m, X, y: MergedClassifier([("lazy", FrozenEstimator(m))]).fit(X, y),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_unfitted_member_is_not_called_frozen_unless_it_is(iris, way):
    X, y = iris
    lazy = LogisticRegression(max_iter=1000)
    with pytest.raises(NotFittedError) as found:
        WAYS[way](lazy, X, y)
    assert ("frozen" in str(found.value)) is (way == "frozen")


def test_an_unfitted_member_is_fitted_by_the_user_or_here(iris):
    X, y = iris
    lazy = LogisticRegression()
    fitted = clone(lazy).fit(X, y)
    for ready in (
        MergedClassifier.from_fitted({"lazy": fitted}, X, y),
        MergedClassifier([("lazy", clone(lazy))]).fit(X, y),
        TemperatureCalibrator(clone(lazy)).fit(X, y),
    ):
        assert ready.score(X, y) > 0.9


class Forgetful(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict_proba(self, X):
        return np.full((len(X), 3), 1 / 3)


def test_a_classifier_without_classes_hears_nothing_of_skorch(iris):
    X, y = iris
    with pytest.raises(ValueError, match=r"'f' has no classes_.*should set classes_") as found:
        MergedClassifier.from_fitted({"f": Forgetful().fit(X, y)}, X, y)
    assert "skorch" not in str(found.value)
    named = Forgetful().fit(X, y)
    named.classes_ = np.unique(y)
    assert MergedClassifier.from_fitted([named], X, y).predict_proba(X).shape == (150, 3)


def test_a_derived_pipeline_may_say_which_classes_its_last_step_knows(iris):
    X, y = iris

    class Says(Pipeline):
        classes_ = np.unique(y)

    around = Says([("scale", StandardScaler()), ("f", Forgetful())]).fit(X, y)
    assert MergedClassifier.from_fitted([around], X, y).classes_.tolist() == ["se", "ve", "vi"]
