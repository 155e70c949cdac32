"""What other packages get wrong: each test fails once it is corrected, and our own way can go."""

from __future__ import annotations

import onnxruntime
import pytest
import skl2onnx
from sklearn.datasets import make_classification
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from skmergecal import TemperatureCalibrator
from tests.onnx.sessions import same


class Discriminant(LinearDiscriminantAnalysis):
    """The same under a name that only skl2onnx's own converter has."""


class Boosting(HistGradientBoostingClassifier):
    """The same."""


@pytest.fixture(scope="module")
def rows():
    return make_classification(200, 5, n_informative=4, n_redundant=0, random_state=0)


@pytest.fixture
def upstream(monkeypatch):
    """Probabilities of a model by skl2onnx alone."""
    own = skl2onnx._supported_operators.sklearn_operator_name_map
    monkeypatch.setitem(own, Discriminant, "SklearnLinearClassifier")
    monkeypatch.setitem(own, Boosting, "SklearnHistGradientBoostingClassifier")
    for cls in (Discriminant, Boosting):
        parsers = skl2onnx._parse.sklearn_parsers_map
        monkeypatch.setitem(parsers, cls, parsers[LogisticRegression])

    def convert(model, X):
        options = {"zipmap": False}
        plain = skl2onnx.to_onnx(model, X[:1], target_opset=18, options=options)
        session = onnxruntime.InferenceSession(plain.SerializeToString())
        return session.run(None, {"X": X})[1]

    return convert


def test_linear_discriminant_analysis_of_two_classes_has_wrong_probabilities(upstream, rows):
    X, y = rows
    model = Discriminant().fit(X, y)
    assert abs(upstream(model, X) - model.predict_proba(X)).max() > 0.1
    same(LinearDiscriminantAnalysis().fit(X, y), X)


def test_histogram_boosting_gives_a_bool_for_an_int(upstream, rows):
    X, y = rows
    with pytest.raises(ValueError, match="Unable to create node 'TreeEnsembleClassifier'"):
        upstream(Boosting(max_iter=2).fit(X, y), X)
    same(HistGradientBoostingClassifier(max_iter=2).fit(X, y), X)


def test_forests_of_two_classes_lose_their_zeros(upstream, rows):
    X, y = rows
    model = RandomForestClassifier(7, random_state=0).fit(X, y)
    expected = model.predict_proba(X)
    assert ((upstream(model, X) == 0) != (expected == 0)).any()
    calibrated = TemperatureCalibrator(FrozenEstimator(model), temperature=3.0).fit(X, y)
    assert ((same(model, X) == 0) == (expected == 0)).all()
    same(calibrated, X)


def test_voting_needs_a_setting_of_its_transform(upstream, rows):
    X, y = rows
    model = VotingClassifier([("a", LogisticRegression())], voting="soft").fit(X, y)
    with pytest.raises(NotImplementedError, match="flatten_transform"):
        upstream(model, X)
    same(model, X)


def test_boosted_stumps_know_single_precision_only(upstream, rows):
    X, y = rows
    model = AdaBoostClassifier(n_estimators=3).fit(X, y)
    with pytest.raises(Exception, match="Type parameter"):
        upstream(model, X)
    same(model, X)
