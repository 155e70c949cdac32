"""Names of features and of members that cannot be meant."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

import skmergecal

RNG = np.random.default_rng(0)
N, K = 30, 3
Z = RNG.normal(size=(N, K))
Y = (Z + RNG.gumbel(size=Z.shape)).argmax(axis=1)
X = RNG.normal(size=(N, 4))
NAMED = [("a", LogisticRegression()), ("b", LogisticRegression(C=0.1))]


def make_estimators():
    yield skmergecal.TemperatureCalibrator(LogisticRegression()), X
    yield skmergecal.TemperatureCalibrator(), Z
    yield skmergecal.MergedClassifier(NAMED, weights=None), X
    yield skmergecal.FineTunedClassifier(MLPClassifier((3,), max_iter=2), epochs=1), X


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize(
    ("estimator", "rows"), list(make_estimators()), ids=["wrapper", "logits", "merge", "tuned"]
)
def test_names_of_features_are_as_many_as_features(estimator, rows):
    fitted = estimator.fit(rows, Y)
    names = [f"f{i}" for i in range(rows.shape[1])]
    expected = fitted.get_feature_names_out().tolist()
    assert fitted.get_feature_names_out(names).tolist() == expected
    for wrong in (names[:-1], [*names, "more"], [], "names", 5):
        with pytest.raises(ValueError, match="input_features should"):
            fitted.get_feature_names_out(wrong)
    assert sklearn.base.clone(estimator).fit(rows, Y).transform(rows).shape[1] == len(expected)


def test_names_of_features_are_those_of_a_frame():
    frame = pd.DataFrame(X, columns=list("abcd"))
    fitted = skmergecal.MergedClassifier(NAMED, weights=None).fit(frame, Y)
    assert len(fitted.get_feature_names_out(list("abcd"))) == K
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        fitted.get_feature_names_out(list("abce"))


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("name", ["self", "method_mapping", "splitter"])
def test_names_that_no_member_can_have(name, routing):
    members = [(name, LogisticRegression()), ("b", LogisticRegression())]
    with (
        sklearn.config_context(enable_metadata_routing=routing),
        pytest.raises(ValueError, match=f"the name '{name}' is taken.*choose"),
    ):
        skmergecal.MergedClassifier(members, weights=None).fit(X, Y)
    other = [("other", LogisticRegression()), ("b", LogisticRegression())]
    assert skmergecal.MergedClassifier(other, weights=None).fit(X, Y).weights_.sum() == 1
