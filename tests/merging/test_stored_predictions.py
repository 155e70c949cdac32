"""Stored predictions: from_predictions merges what members said, without the members."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from skmergecal import (
    MergedClassifier,
)
from skmergecal.merging import Predictions

LABELS = {2: np.array(["no", "yes"]), 3: np.array(["c", "a", "b"])}
CHOICES = [
    (method, weights, calibrate)
    for method in ("auto", "logits", "probabilities")
    for weights in ("log_loss", "classwise", "greedy", None, (3, 0, 1))
    for calibrate in (None, "members", "merged", "both")
    if weights != "classwise" or method != "probabilities"
]


class Told(ClassifierMixin, BaseEstimator):
    """A classifier read by its probabilities, whatever it is."""

    def __init__(self, model):
        self.model = model
        self.classes_ = model.classes_

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return self.model.predict_proba(X)


def made(n_classes, seed=0):
    """Rows with labels, and three fitted models."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(n_classes, size=150)
    X = rng.normal(size=(150, 3)) + codes[:, None] * [1.0, 0.5, -0.5]
    y = np.sort(LABELS[n_classes])[codes]
    models = {
        "bayes": GaussianNB(),
        "tree": DecisionTreeClassifier(max_depth=3, random_state=0),
        "logistic": LogisticRegression(),
    }
    for model in models.values():
        model.fit(X[:50], y[:50])
    return X[50:], y[50:], models


@pytest.fixture(scope="module")
def three():
    return made(3)


@pytest.fixture(scope="module")
def two():
    return made(2)


def said(models, X):
    return {name: model.predict_proba(X) for name, model in models.items()}


def assert_same(one, other, X_one, X_other, atol=1e-12):
    for read in ("predict_proba", "transform"):
        np.testing.assert_allclose(
            getattr(one, read)(X_one), getattr(other, read)(X_other), rtol=1e-12, atol=atol
        )
    np.testing.assert_array_equal(one.predict(X_one), other.predict(X_other))
    np.testing.assert_allclose(one.weights_, other.weights_, atol=atol)


@pytest.mark.filterwarnings("ignore:the log loss falls")
@pytest.mark.parametrize(("method", "weights", "calibrate"), CHOICES)
def test_from_predictions_is_from_fitted_on_the_same_members(three, method, weights, calibrate):
    X, y, models = three
    params = {"method": method, "weights": weights, "calibrate": calibrate}
    told = {name: Told(model) for name, model in models.items()}
    fitted = MergedClassifier.from_fitted(told, X[:70], y[:70], **params)
    stored = MergedClassifier.from_predictions(said(models, X[:70]), y[:70], **params)
    assert_same(stored, fitted, said(models, X[70:]), X[70:])
    if weights != "greedy":  # which takes long
        assert stored.loss_estimate_.loss == pytest.approx(fitted.loss_estimate_.loss, abs=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("method", ["auto", "logits", "probabilities"])
def test_logits_are_read_as_logits_never_through_probabilities(n_classes, method):
    X, y, _ = made(n_classes)
    steep = LogisticRegression().fit(X[:20], y[:20])
    steep.coef_ *= 200
    assert (steep.predict_proba(X) == 0).any()
    linear = {"steep": steep, "shrinkage": LinearDiscriminantAnalysis().fit(X[:30], y[:30])}
    scores = Predictions({name: model.decision_function(X) + 0.0 for name, model in linear.items()})
    fitted = MergedClassifier.from_fitted(linear, X[30:70], y[30:70], method=method)
    stored = MergedClassifier.from_predictions(
        scores[30:70], y[30:70], method=method, logarithmic=True
    )
    assert_same(stored, fitted, scores[70:], X[70:])


@pytest.mark.parametrize("logarithmic", [False, True])
def test_two_classes_may_have_the_values_of_the_second_one_alone(two, logarithmic):
    X, y, models = two
    both = said(models, X)
    second = {name: p[:, 1] for name, p in both.items()}
    if logarithmic:
        both = {name: np.log(np.clip(p, 1e-9, None)) for name, p in both.items()}
        second = {name: z[:, 1] - z[:, 0] for name, z in both.items()}
    expected = MergedClassifier.from_predictions(both, y, logarithmic=logarithmic)
    for other in (second, {name: p[:, None] for name, p in second.items()}):
        merged = MergedClassifier.from_predictions(other, y, logarithmic=logarithmic)
        assert_same(merged, expected, second, both, atol=1e-10)


def test_lists_of_logarithms_are_means_of_these(three):
    X, y, models = three
    z = LogisticRegression(C=0.01).fit(X, y).decision_function(X)
    steep = models["logistic"].decision_function(X)
    noise = np.random.default_rng(0).normal(size=(len(X), 1))  # a constant per row is nothing
    listed = {"a": [z, 3 * steep + noise]}
    mean = {"a": (z + 3 * steep) / 2}
    one, other = (
        MergedClassifier.from_predictions(s, y, logarithmic=True, method="logits")
        for s in (listed, mean)
    )
    np.testing.assert_allclose(one.predict_proba(listed), other.predict_proba(mean), rtol=1e-9)


def test_a_search_scores_stored_predictions_as_it_scores_fitted_members(three):
    X, y, models = three
    told = {name: Told(model) for name, model in models.items()}
    grid = {"method": ["logits", "probabilities"], "weights": ["log_loss", None]}
    searches = []
    for merged, rows in (
        (MergedClassifier.from_fitted(told, X, y), X),
        (MergedClassifier.from_predictions(said(models, X), y), Predictions(said(models, X))),
    ):
        search = GridSearchCV(merged, grid, cv=2, scoring="neg_log_loss", error_score="raise")
        searches.append(search.fit(rows, y))
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    np.testing.assert_allclose(*scores, rtol=1e-12)
    assert_same(*(search.best_estimator_ for search in searches), X, said(models, X))


def test_columns_are_in_the_order_of_classes(three):
    X, y, models = three
    expected = MergedClassifier.from_predictions(said(models, X), y)
    order = [2, 0, 1]
    turned = {name: p[:, order] for name, p in said(models, X).items()}
    merged = MergedClassifier.from_predictions(turned, y, classes=expected.classes_[order])
    assert_same(merged, expected, turned, said(models, X))


def test_lists_are_means_of_folds_that_skip_rows_with_nan(three):
    X, y, models = three
    expected = said(models, X)
    rng = np.random.default_rng(0)
    noise = rng.uniform(-0.01, 0.01, size=(len(X), 1)) * [1, -1, 0]
    p = expected["bayes"] * 0.9 + 1 / 30
    first, second = p + noise, p - noise
    first[:40], second[:40] = p[:40], np.nan
    expected["bayes"] = p
    with_list = {**expected, "bayes": [first, second]}
    merged = MergedClassifier.from_predictions(expected, y)
    listed = MergedClassifier.from_predictions(with_list, y)
    assert_same(listed, merged, with_list, expected)
    second[40, 1] = np.nan  # one value is enough
    means = Predictions({"bayes": [first, second]})["bayes"]
    np.testing.assert_array_equal(means[40], first[40])
    first[3] = np.nan
    assert np.isnan(Predictions({"bayes": [first, second]})["bayes"][3]).all()
