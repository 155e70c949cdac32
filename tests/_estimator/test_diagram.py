"""What a notebook shows of the estimators: members, weights, temperature, link."""

from __future__ import annotations

import importlib.metadata

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr

from skmergecal import FineTunedClassifier, MergedClassifier, TemperatureCalibrator
from skmergecal._estimator import _diagram

X, Y = make_classification(300, 5, random_state=0)
MEMBERS = [("straight", LogisticRegression()), ("naive", GaussianNB())]


@pytest.fixture
def address(monkeypatch):
    """Gives the package an address of its documentation, as its metadata would."""

    def set_address(lines):
        monkeypatch.setattr(
            importlib.metadata, "metadata", lambda name: type("M", (), {"get_all": lines})
        )
        _diagram.documentation.cache_clear()

    yield set_address
    _diagram.documentation.cache_clear()


def test_merged_classifier_shows_members_weights_and_temperatures():
    model = MergedClassifier(MEMBERS, method="logits", weights=[0.25, 0.75], calibrate="both")
    before = estimator_html_repr(model)
    assert "merged by logits" in before
    assert "weight 0" not in before
    page = estimator_html_repr(model.fit(X, Y))
    for name, weight, temperature in zip(
        ("straight", "naive"), ("0.25", "0.75"), model.member_temperatures_, strict=True
    ):
        assert f">{name}<" in page
        assert f"weight {weight}, temperature {temperature:.3g}" in page
    assert "LogisticRegression" in page
    assert "GaussianNB" in page
    assert f"merged by logits, temperature {model.temperature_:.3g}" in page


def test_merged_classifier_shows_the_loss_that_it_expects():
    model = MergedClassifier(MEMBERS, method="logits")
    assert "log loss of new rows" not in estimator_html_repr(model)
    estimate = model.fit(X, Y).loss_estimate_
    page = estimator_html_repr(model)
    assert f"log loss of new rows {estimate.loss:.4g}" in page
    assert ("not shown to help" in page) != estimate.merging_helps


def test_dropped_members_are_shown_before_fit_and_gone_after():
    model = MergedClassifier([*MEMBERS, ("none", "drop")], weights=None)
    assert ">none<" in estimator_html_repr(model)
    assert ">none<" not in estimator_html_repr(model.fit(X, Y))


def test_calibrator_shows_estimator_and_interval():
    model = TemperatureCalibrator(GaussianNB())
    assert "temperature 2.5" in estimator_html_repr(TemperatureCalibrator(temperature=2.5))
    assert "GaussianNB" in estimator_html_repr(model)
    page = estimator_html_repr(model.fit(X, Y))
    low, high = model.temperature_interval_
    assert f"temperature {model.temperature_:.3g} ({low:.3g} to {high:.3g})" in page


def test_calibrator_on_logits_and_nested_in_a_pipeline():
    z = np.random.default_rng(0).normal(size=(300, 2))
    bare = TemperatureCalibrator(temperature=3).fit(z, Y)
    assert "TemperatureCalibrator, temperature 3" in estimator_html_repr(bare)
    members = [(name, FrozenEstimator(m.fit(X, Y))) for name, m in MEMBERS]
    page = estimator_html_repr(make_pipeline(MergedClassifier(members), TemperatureCalibrator()))
    assert "FrozenEstimator" in page
    assert "merged by auto" in page


@pytest.mark.parametrize("model", [MergedClassifier(MEMBERS), TemperatureCalibrator()])
def test_link_to_the_documentation_if_the_package_has_an_address(model, address):
    address(lambda key: ["Source, https://s.example", "Documentation, https://d.example/"])
    name = type(model).__name__
    assert f'href="https://d.example/generated/skmergecal.{name}.html"' in estimator_html_repr(
        model
    )
    for lines in (lambda key: None, lambda key: ["Source, https://s.example"]):
        address(lines)
        assert "sk-estimator-doc-link" in estimator_html_repr(model)  # the sign "fitted or not"
        assert f"skmergecal.{name}.html" not in estimator_html_repr(model)
        assert "https://scikit-learn.org" not in model._get_doc_link()


def test_no_address_where_the_package_is_not_installed(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "metadata", absent)
    _diagram.documentation.cache_clear()
    assert _diagram.documentation() == ""
    _diagram.documentation.cache_clear()


def test_fitted_models_show_what_they_were_fitted_with():
    fresh = [("naive", GaussianNB()), ("other", GaussianNB(var_smoothing=1e-3))]
    merged = MergedClassifier(fresh, method="logits", weights=None).fit(X, Y)
    assert "merged by logits" in estimator_html_repr(merged.set_params(method="parameters"))
    net = SGDClassifier(loss="log_loss", random_state=0)
    tuned = FineTunedClassifier(net, epochs=1, random_state=0).fit(X, Y)
    assert "tuned on labels" in estimator_html_repr(tuned.set_params(target="members"))
