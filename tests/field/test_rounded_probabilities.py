"""Probabilities that do not quite add up to 1, and numbers that are none at all."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.display import ReliabilityDisplay
from skmergecal.metrics import expected_calibration_error, smooth_calibration_error

ROUNDED = "the rows from estimator 'odd' add up to 1 only within 0.02; each is divided by its sum"


class Changed(LogisticRegression):
    """Its probabilities are changed on their way out."""

    change = staticmethod(lambda p: p)

    def predict_proba(self, X):
        return self.change(super().predict_proba(X))


def fitted(change, data):
    model = Changed(max_iter=1000)
    model.change = change
    return model.fit(*data)


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y  # solvers need fewer steps


CHANGES = {
    "two decimals": lambda p: np.round(p, 2),
    "three decimals": lambda p: np.round(p, 3) + np.array([0.002, 0, 0]),
    "an accelerated forest": lambda p: p * np.linspace(0.985, 1.015, len(p))[:, None],
    "cut off below": lambda p: np.where(p < 0.01, 0.0, p),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("method", ["logits", "probabilities"])
def test_rounded_probabilities_are_divided_by_their_sums(iris, change, method):
    X, y = iris
    odd = fitted(CHANGES[change], iris)
    members = {"odd": odd, "weak": LogisticRegression(C=0.01).fit(X, y)}
    with pytest.warns(UserWarning, match=ROUNDED):
        merged = MergedClassifier.from_fitted(
            members, X, y, method=method, weights=[3, 1], calibrate="merged"
        )
    with pytest.warns(UserWarning, match=ROUNDED):
        p = merged.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-12)
    assert log_loss(y, p) < 0.5


def test_rows_that_half_precision_rounds_are_divided_without_a_word(iris):
    X, _ = iris
    odd = fitted(lambda p: (p * 1.0009).astype(np.float32), iris)
    merged = MergedClassifier.from_fitted([odd], weights=None, method="probabilities")
    np.testing.assert_allclose(merged.predict_proba(X).sum(axis=1), 1.0, atol=1e-12)
    single = fitted(lambda p: p.astype(np.float32), iris)
    merged = MergedClassifier.from_fitted([single], weights=None, method="probabilities")
    np.testing.assert_array_equal(merged.predict_proba(X), single.predict_proba(X))


def test_a_row_alone_is_divided_as_in_its_batch(iris):
    X, _ = iris
    odd = fitted(CHANGES["two decimals"], iris)
    merged = MergedClassifier.from_fitted([odd], weights=None, method="probabilities")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        whole = merged.predict_proba(X)
        alone = np.vstack([merged.predict_proba(row[None]) for row in X])
    np.testing.assert_array_equal(whole, alone)


def test_a_fit_warns_once_of_all_members(iris):
    X, y = iris
    odd = {name: fitted(CHANGES["two decimals"], iris) for name in ("odd", "queer")}
    with pytest.warns(UserWarning, match="from estimator 'odd' and estimator 'queer'") as caught:
        MergedClassifier.from_fitted(odd, X, y)
    assert len(caught) == 1


def test_the_warning_is_the_same_for_all_rows(iris):
    X, _ = iris
    odd = fitted(CHANGES["an accelerated forest"], iris)
    merged = MergedClassifier.from_fitted({"odd": odd}, weights=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for part in np.array_split(X, 5):
            merged.predict_proba(part)
    assert len({str(w.message) for w in caught}) == 1


WRONG = {
    "percent": (lambda p: 100 * p, "sum 100: divide percentages by 100, in the predict_proba"),
    "rounded percent": (lambda p: np.round(100 * p, 1), "divide percentages by 100"),
    "doubled": (lambda p: 2 * p, "with sum 2: correct its predict_proba"),
    "logits": (np.log, "name the method decision_function instead"),
    "negative": (lambda p: p - [0.1, 0, -0.1], "correct its predict_proba"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_probability_is_refused_with_the_remedy_of_its_kind(iris, kind):
    X, y = iris
    change, message = WRONG[kind]
    odd = FrozenEstimator(fitted(change, iris))
    with pytest.raises(ValueError, match=f"'estimator' gives outputs that are no.*{message}") as e:
        TemperatureCalibrator(odd).fit(X, y)
    assert "skorch" not in str(e.value)


def test_the_remedies_for_members(iris):
    """Divided by 100 in a derived class; logits under the name decision_function."""
    X, y = iris

    class Percent(LogisticRegression):
        def predict_proba(self, X):
            return 100 * super().predict_proba(X)

    class Divided(Percent):
        def predict_proba(self, X):
            return super().predict_proba(X) / 100

    class Scores(ClassifierMixin, BaseEstimator):
        def __init__(self, max_iter=100):
            self.max_iter = max_iter

        def fit(self, X, y):
            self.inner_ = LogisticRegression(max_iter=self.max_iter).fit(X, y)
            self.classes_ = self.inner_.classes_
            return self

        def decision_function(self, X):
            return self.inner_.predict_log_proba(X) + 5

    plain = LogisticRegression(max_iter=1000).fit(X, y)
    for cls in (Divided, Scores):
        model = cls(max_iter=1000).fit(X, y)
        merged = MergedClassifier.from_fitted([model], weights=None, method="probabilities")
        np.testing.assert_allclose(merged.predict_proba(X), plain.predict_proba(X), atol=1e-9)


def test_nets_hear_of_their_criterion(iris):
    torch = pytest.importorskip("torch")
    skorch = pytest.importorskip("skorch")
    X, y = iris[0].astype(np.float32), iris[1]

    def net(criterion):
        module = torch.nn.Linear(4, 3)
        net = skorch.NeuralNetClassifier(module, criterion=criterion, max_epochs=1, verbose=0)
        return net.set_params(train_split=None).fit(X, y)

    with pytest.raises(ValueError, match="needs criterion=torch"):
        MergedClassifier.from_fitted([net(torch.nn.NLLLoss)], X, y)
    MergedClassifier.from_fitted([net(torch.nn.CrossEntropyLoss)], X, y)


def test_scores_and_plots_of_rounded_probabilities(iris):
    X, y = iris
    p = LogisticRegression(max_iter=1000).fit(X, y).predict_proba(X)
    rounded = np.round(p, 2)
    rounded[:, 0] += 0.004
    exact = rounded / rounded.sum(axis=1, keepdims=True)
    for score in (smooth_calibration_error, expected_calibration_error):
        with pytest.warns(UserWarning, match="the rows from proba add up to 1 only within 0.02"):
            assert score(y, rounded) == score(y, exact)
        with pytest.raises(ValueError, match="divide percentages by 100"):
            score(y, 100 * p)
        assert score(y, 100 * p / 100) == pytest.approx(score(y, p))
    with pytest.warns(UserWarning, match="only within 0.02"):
        ReliabilityDisplay.from_predictions(y, rounded, plot=False)
