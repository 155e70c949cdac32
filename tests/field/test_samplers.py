"""Pipelines with samplers, as imbalanced-learn has them: small stand-ins for its classes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler
from sklearn.utils.metaestimators import available_if

from skmergecal import (
    FineTunedClassifier,
    MergedClassifier,
    TemperatureCalibrator,
    calibration_report,
)


class Balanced(BaseEstimator):
    """A sampler: repeats rows until all classes are as frequent as the largest."""

    def fit_resample(self, X, y):
        labels, counts = np.unique(y, return_counts=True)
        rows = [np.resize(np.flatnonzero(y == label), counts.max()) for label in labels]
        self.sample_indices_ = np.concatenate(rows)
        return X[self.sample_indices_], y[self.sample_indices_]


class SamplingPipeline(Pipeline):
    """Transformers and samplers before a classifier; samplers do nothing in predictions."""

    def _before(self):
        return [s for _, s in self.steps[:-1] if s != "passthrough"]

    def fit(self, X, y=None, **params):
        for step in self._before():
            if hasattr(step, "fit_resample"):
                X, y = step.fit_resample(X, y)
            else:
                X = step.fit_transform(X, y)
        own = {name.rpartition("__")[2]: value for name, value in params.items()}
        self.steps[-1][1].fit(X, y, **own)
        return self

    def _after_steps(self, X):
        for step in self._before():
            X = X if hasattr(step, "fit_resample") else step.transform(X)
        return X

    def predict(self, X):
        return self.steps[-1][1].predict(self._after_steps(X))

    @available_if(lambda self: hasattr(self.steps[-1][1], "predict_proba"))
    def predict_proba(self, X):
        return self.steps[-1][1].predict_proba(self._after_steps(X))


def balanced(model, *before):
    steps = [*before, StandardScaler(), Balanced(), "passthrough", model]
    return SamplingPipeline([(f"s{i}", step) for i, step in enumerate(steps)])


@pytest.fixture(scope="module")
def rare():
    X, y = make_classification(240, 5, flip_y=0.1, weights=[0.85], random_state=0)
    return X, np.where(y == 1, "sick", "well")


def models():
    return [("a", balanced(LogisticRegression(C=0.01))), ("b", balanced(LogisticRegression()))]


def test_a_temperature_around_a_sampled_merge_is_fitted_on_rows_that_exist(rare):
    X, y = rare
    merge = MergedClassifier(
        [("one", LogisticRegression()), ("two", LogisticRegression(C=0.01))], cv=2
    )
    model = TemperatureCalibrator(balanced(merge), cv=2).fit(X, y)
    inner = model.estimator_
    assert len(inner[-2 - 1].sample_indices_) > len(y)
    p = inner.predict_proba(X)
    np.testing.assert_allclose(
        model.predict_log_proba(X)[:, 0] - model.predict_log_proba(X)[:, 1],
        (np.log(p[:, 0]) - np.log(p[:, 1])) / model.temperature_,
        atol=1e-6,
    )
    by_hand = TemperatureCalibrator(FrozenEstimator(balanced(clone(merge)).fit(X, y))).fit(X, y)
    assert model.temperature_ == pytest.approx(by_hand.temperature_, rel=0.3)


@pytest.mark.parametrize("method", ["auto", "logits", "probabilities", "parameters"])
def test_sampled_members_are_merged_whether_frozen_or_fitted_here(rare, method):
    X, y = rare
    here = MergedClassifier(models(), method=method, cv=2).fit(X, y)
    frozen = MergedClassifier.from_fitted(
        {name: model.fit(X, y) for name, model in models()}, X, y, method=method
    )
    for merged in (here, frozen):
        assert log_loss(y, merged.predict_proba(X)) < 0.7
    np.testing.assert_array_equal(
        here.estimators_[1].predict_proba(X), frozen.estimators_[1].predict_proba(X)
    )
    if method in ("logits", "parameters"):
        plain = here.to_estimator(X)
        assert type(plain) is LogisticRegression
        np.testing.assert_allclose(plain.predict_proba(X), here.predict_proba(X), atol=1e-9)


def test_steps_that_stay_before_one_model_are_those_of_a_plain_pipeline(rare):
    X, y = rare
    for method, model in (
        ("parameters", LogisticRegression(max_iter=2000)),
        ("probabilities", RandomForestClassifier(3, random_state=0)),
    ):
        members = [balanced(clone(model), PolynomialFeatures()).fit(X, y) for _ in range(2)]
        merged = MergedClassifier.from_fitted(members, X, y, method=method)
        plain = merged.to_estimator(X)
        assert type(plain) is Pipeline
        assert not any(hasattr(step, "fit_resample") for _, step in plain.steps)
        np.testing.assert_allclose(plain.predict_proba(X), merged.predict_proba(X), atol=1e-9)


def test_weights_stop_at_a_sampler_with_a_warning(rare):
    X, y = rare
    weight = np.arange(len(y)) % 3 + 1.0
    with pytest.warns(UserWarning, match="'b'.*has a sampler, whose rows have no sample_weight"):
        weighted = MergedClassifier([("plain", LogisticRegression()), models()[1]], cv=2).fit(
            X, y, weight
        )
    plain = LogisticRegression().fit(X, y, weight)
    np.testing.assert_array_equal(
        weighted.named_estimators_["plain"].predict_proba(X), plain.predict_proba(X)
    )
    with pytest.warns(UserWarning, match="has a sampler"):
        TemperatureCalibrator(models()[0][1], cv=2).fit(X, y, sample_weight=weight)


def test_nets_behind_samplers_take_any_floats_and_labels(rare):
    pytest.importorskip("torch")
    pytest.importorskip("skorch")
    from tests.nets import layers, net

    X, y = rare
    members = [(f"net{i}", balanced(net(layers(5, 2)))) for i in range(2)]
    for method in ("logits", "parameters"):
        merged = MergedClassifier(members, method=method, cv=2, barrier_tolerance=99.0)
        merged.fit(X, y)
        assert list(merged.classes_) == ["sick", "well"]
        assert np.isfinite(merged.predict_log_proba(X)).all()


def test_further_training_of_a_sampled_net(rare):
    X, y = rare
    net = MLPClassifier((4,), solver="lbfgs", alpha=1.0, random_state=0, max_iter=500)
    fitted = balanced(clone(net)).fit(X, y)
    for estimator in (balanced(net), FrozenEstimator(fitted)):
        tuned = FineTunedClassifier(estimator, epochs=2, random_state=0).fit(X, y)
        assert type(tuned.estimator_) is Pipeline
        np.testing.assert_allclose(
            tuned.predict_proba(X), tuned.estimator_.predict_proba(X), atol=1e-12
        )
    merged = FrozenEstimator(MergedClassifier.from_fitted([fitted] * 2, X, y, method="parameters"))
    taught = FineTunedClassifier(merged, epochs=1, target="members", random_state=0)
    assert taught.fit(X, y).predict_proba(X).shape == (240, 2)


def test_searches_and_reports_over_sampled_members(rare):
    X, y = rare
    grid = [{"a__s0__with_mean": [False]}, {"method": ["probabilities"]}]
    search = GridSearchCV(MergedClassifier(models(), cv=2), grid, cv=2).fit(X, y)
    assert search.best_score_ > 0.5
    frozen = FrozenEstimator(models()[0][1].fit(X, y))
    report = calibration_report(frozen, X, y, n_resamples=9, random_state=0)
    assert "log loss" in str(report)


class Corrected(SamplingPipeline):
    """Gives other probabilities than its last step."""

    def predict_proba(self, X):
        p = super().predict_proba(X) * [0.1, 0.9]
        return p / p.sum(axis=1, keepdims=True)


def test_a_derived_pipeline_with_probabilities_of_its_own_is_taken_at_its_word(rare):
    X, y = rare
    model = Corrected(models()[0][1].steps).fit(X, y)
    merged = MergedClassifier.from_fitted([model], X, y, weights=None, method="probabilities")
    np.testing.assert_allclose(merged.predict_proba(X), model.predict_proba(X), atol=1e-12)


def test_a_sampler_in_front_of_other_steps(rare):
    X, y = rare
    steps = [Balanced(), FunctionTransformer(np.tanh), LogisticRegression()]
    model = SamplingPipeline([(str(i), step) for i, step in enumerate(steps)]).fit(X, y)
    merged = MergedClassifier.from_fitted([model], weights=None)
    np.testing.assert_allclose(merged.predict_proba(X), model.predict_proba(X), atol=1e-12)
