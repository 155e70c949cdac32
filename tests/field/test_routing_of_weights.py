"""Sample weights with metadata routing: who gets them, and who is named because it does not."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmergecal import FineTunedClassifier, MergedClassifier, TemperatureCalibrator


class WithoutRouting(ClassifierMixin, BaseEstimator):
    """Takes weights but knows nothing of metadata routing, as CatBoostClassifier."""

    @property
    def get_metadata_routing(self):
        raise AttributeError

    def fit(self, X, y, sample_weight=None):
        self.weighted_ = sample_weight is not None
        self.model_ = GaussianNB().fit(X, y, sample_weight)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X):
        return self.model_.predict(X)

    def predict_proba(self, X):
        return self.model_.predict_proba(X)


class WithWeights:
    """A class of its own, which takes weights."""

    def fit(self, X, y, sample_weight=None):
        return self


class NamesAClass(GaussianNB):
    """Has a class as a parameter, not an object of it."""

    def __init__(self, kind=None, priors=None, var_smoothing=1e-9):
        super().__init__(priors=priors, var_smoothing=var_smoothing)
        self.kind = kind


def requested(model):
    routing = sklearn.get_config()["enable_metadata_routing"]
    return model.set_fit_request(sample_weight=True) if routing else model


MODELS = {
    "merged": lambda member: MergedClassifier([("m", member)], cv=2),
    "calibrator": lambda member: TemperatureCalibrator(member, cv=2),
    "calibrator of a merge": lambda member: TemperatureCalibrator(
        requested(MergedClassifier([("m", member)], cv=2))
    ),
}


def fitted(model, data):
    weight = np.where(data.y == 1, 5.0, 1.0)
    model.fit(data.X, data.y, sample_weight=weight / weight.mean())
    inner = model.estimator_ if isinstance(model, TemperatureCalibrator) else model
    return inner.estimators_[0] if isinstance(inner, MergedClassifier) else inner


@pytest.mark.parametrize("model", list(MODELS))
@pytest.mark.parametrize("routing", [False, True])
def test_a_member_without_routing_gets_its_weights(binary, model, routing):
    with sklearn.config_context(enable_metadata_routing=routing):
        assert fitted(MODELS[model](WithoutRouting()), binary).weighted_


@pytest.mark.parametrize(
    ("member", "named"),
    [
        (KNeighborsClassifier(), r"'m' \(KNeighborsClassifier\) does not take sample_weight"),
        (make_pipeline(FunctionTransformer(), KNeighborsClassifier()), r"\(Pipeline\) does not ta"),
        (make_pipeline(FunctionTransformer(), WithoutRouting()), "has a WithoutRouting inside"),
        (BaggingClassifier(WithoutRouting(), n_estimators=2), "has a WithoutRouting inside"),
        (VotingClassifier([("m", WithoutRouting())], voting="soft"), "has a WithoutRouting inside"),
    ],
)
def test_a_member_that_gets_none_is_named(binary, member, named):
    routing = sklearn.config_context(enable_metadata_routing=True)
    with routing, pytest.warns(UserWarning, match=named) as caught:
        fitted(MODELS["merged"](member), binary)
    assert len(caught) == 1


@pytest.mark.parametrize("build", [make_pipeline, lambda m: BaggingClassifier(m, n_estimators=2)])
def test_without_routing_weights_reach_the_inside(binary, build):
    """What the warning advises."""
    member = fitted(MODELS["merged"](build(WithoutRouting())), binary)
    inner = member[-1] if hasattr(member, "steps") else member.estimators_[0]
    assert inner.weighted_


def test_a_member_that_declines_weights_is_left_alone(binary):
    with sklearn.config_context(enable_metadata_routing=True), warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = GaussianNB().fit(binary.X, binary.y)
        asked = LogisticRegression().set_fit_request(sample_weight=True)
        declined = GaussianNB().set_fit_request(sample_weight=False)
        inside = make_pipeline(FunctionTransformer(), declined)
        names = NamesAClass(WithWeights).set_fit_request(sample_weight=False)
        for member in (declined, inside, names):
            got = fitted(MODELS["merged"](member), binary)
            np.testing.assert_array_equal(
                got.predict_proba(binary.X_test), plain.predict_proba(binary.X_test)
            )
        assert fitted(MODELS["merged"](asked), binary).intercept_[0] > 0
        frozen = FrozenEstimator(KNeighborsClassifier().fit(binary.X, binary.y))
        fitted(MODELS["calibrator"](frozen), binary)


def test_tuning_a_member_without_routing(binary):
    class Incremental(WithoutRouting):
        def partial_fit(self, X, y, sample_weight=None):
            self.model_.partial_fit(X, y, sample_weight=sample_weight)
            return self

    with sklearn.config_context(enable_metadata_routing=True):
        model = FineTunedClassifier(Incremental(), epochs=0)
        model.fit(binary.X, binary.y, sample_weight=np.full(len(binary.y), 2.0))
    assert model.estimator_.weighted_
