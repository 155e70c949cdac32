"""Exact merges: one plain estimator says what the pool of its members says."""

from __future__ import annotations

import pickle
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import merge_logits, merge_probabilities
from skmergecal.parameters.exact import tree_with_values
from tests.strategies import at_most, seeds

LOGITS = {
    "logistic": lambda i: LogisticRegression(C=10.0**-i, max_iter=2000),
    "lda": lambda i: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2 + 0.3 * i),
    "multinomial": lambda i: MultinomialNB(alpha=1.0 + i),
    "bernoulli": lambda i: BernoulliNB(alpha=1.0 + i, binarize=3.0),
    "complement": lambda i: ComplementNB(alpha=1.0 + i, norm=bool(i)),
    "scaled multinomial": lambda i: make_pipeline(
        MinMaxScaler((0, 1 + i)), MultinomialNB(alpha=1.0 + i)
    ),
    "boosting": lambda i: HistGradientBoostingClassifier(
        max_iter=3 + i, learning_rate=0.1 + 0.2 * i, random_state=i
    ),
    "boosting after the same steps": lambda i: make_pipeline(
        PolynomialFeatures(), HistGradientBoostingClassifier(max_iter=4 + i, max_depth=2 + i)
    ),
    "calibrated boosting": lambda i: TemperatureCalibrator(
        HistGradientBoostingClassifier(max_iter=3 + i), cv=2
    ),
    "calibrated bayes": lambda i: TemperatureCalibrator(MultinomialNB(alpha=1.0 + i), cv=2),
}
FORESTS = {
    "forest": lambda i: RandomForestClassifier(6 + i, random_state=i, max_depth=4),
    "forests of one size": lambda i: RandomForestClassifier(6, random_state=i),
    "extra trees": lambda i: ExtraTreesClassifier(4 + 3 * i, random_state=i),
    "forest after the same steps": lambda i: make_pipeline(
        StandardScaler(), RandomForestClassifier(3 + i, random_state=i)
    ),
}


def positive(data):
    """Rows of non-negative numbers, as naive Bayes of counts wants them."""
    lowest = np.concatenate([data.X, data.X_held, data.X_test]).min(axis=0)
    return data.X - lowest, data.X_held - lowest, data.X_test - lowest


@pytest.fixture(params=["two classes", "three classes"])
def problem(request, blobs, binary):
    return binary if request.param == "two classes" else blobs


@pytest.fixture(scope="module")
def fitted():
    """Two members of a family for some data, fitted once."""

    @cache
    def fit(data, family):
        X = positive(data)[0] if family in LOGITS else data.X
        return [(LOGITS | FORESTS)[family](i).fit(X, data.y) for i in range(2)]

    return fit


SETTINGS = [{}, {"calibrate": "both"}, {"weights": [1, 3]}]


@pytest.mark.parametrize("family", LOGITS)
def test_the_logit_pool_as_one_estimator(problem, fitted, family):
    X, X_held, X_test = positive(problem)
    turn = list(LOGITS).index(family) + len(np.unique(problem.y))
    settings = SETTINGS[turn % 3]  # each with several families, and with two and three classes
    members = fitted(problem, family)
    before = pickle.dumps(members)
    merged = MergedClassifier.from_fitted(
        members, X_held, problem.y_held, method="logits", **settings
    )
    for plain in (merged.to_estimator(), merged.to_estimator(X_held)):
        np.testing.assert_allclose(
            plain.predict_proba(X_test), merged.predict_proba(X_test), rtol=0, atol=1e-10
        )
        np.testing.assert_array_equal(plain.predict(X_test), merged.predict(X_test))
        assert type(plain).__module__.startswith("sklearn.")
        assert plain.n_features_in_ == X.shape[1]
    assert pickle.dumps(members) == before


def test_binary_sgd_as_one_estimator(binary):
    members = [SGDClassifier(loss="log_loss", random_state=i) for i in range(3)]
    merged = MergedClassifier(
        [(f"sgd{i}", m) for i, m in enumerate(members)], method="logits", cv=2
    )
    merged.fit(binary.X, binary.y)
    np.testing.assert_allclose(
        merged.to_estimator().predict_proba(binary.X_test),
        merged.predict_proba(binary.X_test),
        atol=1e-10,
    )


@pytest.mark.parametrize(
    "family", ["multinomial", "bernoulli", "complement", "scaled multinomial", "calibrated bayes"]
)
def test_averaged_parameters_of_naive_bayes_are_the_logit_pool(blobs, family):
    X, X_held, X_test = positive(blobs)
    members = [LOGITS[family](i).fit(X, blobs.y) for i in range(2)]
    parameters, logits = (
        MergedClassifier.from_fitted(
            members, X_held, blobs.y_held, method=method, weights=[1, 2], calibrate="members"
        )
        for method in ("parameters", "logits")
    )
    np.testing.assert_allclose(
        parameters.predict_proba(X_test), logits.predict_proba(X_test), atol=1e-10
    )


@pytest.mark.parametrize("family", FORESTS)
def test_the_linear_pool_as_one_forest(problem, fitted, family):
    turn = list(FORESTS).index(family) + len(np.unique(problem.y))
    weights = [None, "log_loss", [1, 3], [0, 1]][turn % 4]
    members = fitted(problem, family)
    before = pickle.dumps(members)
    merged = MergedClassifier.from_fitted(
        members, problem.X_held, problem.y_held, method="probabilities", weights=weights
    )
    for plain in (merged.to_estimator(), merged.to_estimator(problem.X_held)):
        np.testing.assert_allclose(
            plain.predict_proba(problem.X_test),
            merged.predict_proba(problem.X_test),
            rtol=0,
            atol=1e-12,
        )
        assert type(plain) is type(members[0])
    assert pickle.dumps(members) == before


def test_uniform_weights_leave_trees_of_forests_of_one_size_as_they_are(blobs):
    forests = [FORESTS["forests of one size"](i).fit(blobs.X, blobs.y) for i in range(2)]
    merged = merge_probabilities(forests, [0.5, 0.5])
    trees = [tree for forest in forests for tree in forest.estimators_]
    for tree, original in zip(merged.estimators_, trees, strict=True):
        np.testing.assert_array_equal(
            tree.predict_proba(blobs.X_test), original.predict_proba(blobs.X_test)
        )


def test_a_forest_that_never_saw_a_class_gets_a_column_for_it(blobs):
    labels = np.array(["a", "b", "c"])[blobs.y]
    few = labels != "b"
    members = [
        RandomForestClassifier(5, random_state=0).fit(blobs.X[few], labels[few]),
        RandomForestClassifier(8, random_state=1).fit(blobs.X, labels),
    ]
    merged = MergedClassifier.from_fitted(members, method="probabilities", weights=[0.3, 0.7])
    plain = merged.to_estimator()
    np.testing.assert_array_equal(plain.classes_, ["a", "b", "c"])
    np.testing.assert_allclose(
        plain.predict_proba(blobs.X_test), merged.predict_proba(blobs.X_test), atol=1e-12
    )
    np.testing.assert_array_equal(plain.predict(blobs.X_test), merged.predict(blobs.X_test))


@at_most(12)  # each example fits up to eight models
@given(seed=seeds, n_members=st.integers(1, 4))
def test_coefficients_of_any_size_scale_the_logits(binary, seed, n_members):
    rng = np.random.default_rng(seed)
    coefficients = rng.exponential(size=n_members)
    for make in (LOGITS["boosting"], LOGITS["logistic"]):
        members = [
            make(i).fit(binary.X[rows], binary.y[rows])
            for i, rows in enumerate(rng.integers(0, 200, (n_members, 100)))
        ]
        expected = sum(
            c * m.decision_function(binary.X_test)
            for c, m in zip(coefficients, members, strict=True)
        )
        found = merge_logits(members, coefficients).decision_function(binary.X_test)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def frames(data):
    """Two numbers and a category."""
    names = ["red", "green", "blue"]

    def frame(X):
        category = pd.Categorical.from_codes((X[:, 2] > 0).astype(int) + (X[:, 2] > 1), names)
        return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "colour": category})

    return frame(data.X), frame(data.X_held), frame(data.X_test)


def test_boosting_on_categories(blobs):
    X, X_held, X_test = frames(blobs)
    make = HistGradientBoostingClassifier
    members = [
        make(max_iter=5, random_state=i, learning_rate=0.1 + i).fit(X, blobs.y) for i in range(2)
    ]
    merged = MergedClassifier.from_fitted(members, X_held, blobs.y_held, method="logits")
    with pytest.raises(ValueError, match="pass some rows to compare as X"):
        merged.to_estimator()
    plain = merged.to_estimator(X_held)
    np.testing.assert_allclose(
        plain.predict_proba(X_test), merged.predict_proba(X_test), atol=1e-10
    )
    np.testing.assert_array_equal(plain.feature_names_in_, ["a", "b", "colour"])
    part = (X["colour"] != "red").to_numpy()
    seen = X[part].assign(colour=X["colour"][part].cat.remove_unused_categories())
    other = make(max_iter=5).fit(seen, blobs.y[part])
    with pytest.raises(IncompatibleEstimatorsError, match="their categories"):
        merge_logits([members[0], other], [1, 1])


def test_names_of_features_are_kept_and_rows_are_drawn_with_them(blobs):
    X = pd.DataFrame(blobs.X, columns=list("abcdefgh"))
    forests = [RandomForestClassifier(5, random_state=i).fit(X, blobs.y) for i in range(2)]
    merged = MergedClassifier.from_fitted(forests, method="probabilities", weights=None)
    np.testing.assert_array_equal(merged.to_estimator().feature_names_in_, list("abcdefgh"))


@pytest.mark.parametrize("labels", [["b", "a", "c"], [3, 13, -7], [True, False, True]], ids=str)
def test_labels_of_any_kind(blobs, labels):
    y, y_held = np.array(labels)[blobs.y], np.array(labels)[blobs.y_held]
    for make in (LOGITS["logistic"], LOGITS["boosting"]):
        members = [make(i).fit(blobs.X, y) for i in range(2)]
        merged = MergedClassifier.from_fitted(members, blobs.X_held, y_held, method="logits")
        plain = merged.to_estimator()
        np.testing.assert_array_equal(plain.classes_, merged.classes_)
        found = plain.predict(blobs.X_test)
        np.testing.assert_array_equal(found, merged.predict(blobs.X_test))
        assert found.dtype == y.dtype


def test_pools_within_pools_become_one(blobs):
    for method, make in [("logits", LOGITS["boosting"]), ("probabilities", FORESTS["forest"])]:
        members = [make(i).fit(blobs.X, blobs.y) for i in range(3)]
        settings = {"X": blobs.X_held, "y": blobs.y_held, "method": method}
        inner = MergedClassifier.from_fitted(members[:2], **settings)
        outer = MergedClassifier.from_fitted([inner, members[2]], **settings)
        np.testing.assert_allclose(
            outer.to_estimator().predict_proba(blobs.X_test),
            outer.predict_proba(blobs.X_test),
            atol=1e-10,
        )


def test_merged_parameters_as_one_estimator(digits):
    start = MLPClassifier((16,), max_iter=5, random_state=0)
    with pytest.warns(UserWarning, match="iterations"):
        start.fit(digits.X, digits.y)
    nets = [pickle.loads(pickle.dumps(start)) for _ in range(2)]
    for net, rows in zip(nets, np.array_split(np.arange(len(digits.y)), 2), strict=True):
        net.partial_fit(digits.X[rows], digits.y[rows])
    for calibrate in (None, "both"):
        merged = MergedClassifier.from_fitted(
            nets, digits.X_held, digits.y_held, method="parameters", calibrate=calibrate
        )
        plain = merged.to_estimator()
        assert type(plain) is MLPClassifier
        np.testing.assert_allclose(
            plain.predict_proba(digits.X_test), merged.predict_proba(digits.X_test), atol=1e-10
        )
        assert plain is not merged.merged_estimator_


def refused(blobs, members, match, method="logits", **settings):
    members = [m.fit(blobs.X, blobs.y) for m in members]
    merged = MergedClassifier.from_fitted(
        members, blobs.X_held, blobs.y_held, method=method, **settings
    )
    with pytest.raises(IncompatibleEstimatorsError, match=match):
        merged.to_estimator(blobs.X_test)


def test_where_there_is_no_plain_estimator_the_reason_is_named(blobs):
    trees = [RandomForestClassifier(4, random_state=i) for i in range(2)]
    lines = [LogisticRegression(C=c) for c in (0.1, 1)]
    nets = [
        MLPClassifier((4,), solver="lbfgs", alpha=1.0, tol=0.1, random_state=i) for i in range(2)
    ]
    refused(blobs, trees, "only with method='probabilities'")
    refused(
        blobs, [lines[0], GaussianNB()], "is a LogisticRegression and .* a GaussianNB", weights=None
    )
    refused(blobs, [lines[0], LinearDiscriminantAnalysis()], "members of one type", weights=None)
    refused(blobs, nets, "not linear in its parameters", weights=None)
    refused(blobs, [GaussianNB(), GaussianNB()], "GaussianNB cannot be averaged", weights=None)
    refused(blobs, lines, "only forests can be merged", "probabilities", weights=None)
    refused(blobs, trees, "a temperature works on logits", "probabilities", calibrate="merged")
    warm = [TemperatureCalibrator(clone(t), temperature=2.0) for t in trees]
    refused(blobs, warm, "a forest with a temperature", "probabilities", weights=None)
    sgd = [SGDClassifier(loss="log_loss", random_state=i) for i in range(2)]
    refused(blobs, sgd, "a one-vs-rest model per class", weights=None)
    scaled = [
        make_pipeline(StandardScaler(with_mean=bool(i)), clone(t)) for i, t in enumerate(trees)
    ]
    scaled.append(clone(trees[0]))
    for some in (scaled[:2], scaled[1:], scaled[:0:-1]):
        refused(blobs, some, "the same fitted preprocessing", "probabilities", weights=None)


def test_binary_nets_that_call_the_classes_0_and_1(binary):
    torch = pytest.importorskip("torch")
    skorch = pytest.importorskip("skorch")
    net = skorch.NeuralNetBinaryClassifier(
        torch.nn.Sequential(torch.nn.Linear(6, 1), torch.nn.Flatten(0)), max_epochs=1, verbose=0
    )
    X = binary.X.astype(np.float32)
    merged = MergedClassifier([("net", net)], weights=None, cv=2).fit(X, np.array([3, 7])[binary.y])
    with pytest.raises(IncompatibleEstimatorsError, match=r"classes \[0, 1\], not \[3, 7\]"):
        merged.to_estimator(X)


def test_trees_that_keep_no_values_are_an_error(blobs):
    class Odd:
        def __reduce__(self):
            return (Odd, (), None)

    forest = FORESTS["forest"](0).fit(blobs.X, blobs.y)
    with pytest.raises(IncompatibleEstimatorsError, match="trees of scikit-learn 1"):
        tree_with_values(Odd(), forest.estimators_[0].tree_.value)


def test_a_structure_that_is_not_known_is_an_error(blobs):
    models = [LOGITS["boosting"](i).fit(blobs.X, blobs.y) for i in range(2)]
    del models[1]._baseline_prediction
    with pytest.raises(IncompatibleEstimatorsError, match=r"histogram gradient .* scikit-learn 1"):
        merge_logits(models, [1, 1])


class Timid(LogisticRegression):
    """Not the softmax of its decision function."""

    def predict_proba(self, X):
        p = super().predict_proba(X)
        return (p + 1 / p.shape[1]) / 2


def test_a_plain_estimator_that_says_something_else_is_not_returned(blobs):
    refused(
        blobs, [Timid(C=1e-3), Timid(C=1.0)], "differs by 0.* from the merged one", weights=None
    )


@pytest.mark.once  # older scikit-learn looks its own steps up by their names
def test_models_with_a_structure_of_a_later_version_stay_in_their_pool(blobs):
    """Its name for the encoder is another one."""
    X, y = np.column_stack([blobs.X[:, :2], blobs.X[:, 2] > 0]), blobs.y
    boost = HistGradientBoostingClassifier(max_iter=2, categorical_features=[2])
    members = [boost.fit(X, y), clone(boost).set_params(max_iter=3).fit(X, y)]
    for member in members:
        steps = member._preprocessor.transformers_
        steps[:] = [("codes", *step[1:]) if step[0] == "encoder" else step for step in steps]
    with pytest.raises(IncompatibleEstimatorsError, match=r"not support.*: keep the MergedCl"):
        merge_logits(members, [0.5, 0.5])
    merged = MergedClassifier.from_fitted(members, X, y, method="logits")
    with pytest.raises(IncompatibleEstimatorsError, match="keep the merged classifier, joblib"):
        merged.to_estimator()
    assert pickle.loads(pickle.dumps(merged)).score(X, y) == merged.score(X, y)
