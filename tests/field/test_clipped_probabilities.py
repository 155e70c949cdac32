"""Members whose zeros were clipped or rounded away on their way to the merge."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import MLPClassifier

from skmergecal import FineTunedClassifier, MergedClassifier, TemperatureCalibrator
from skmergecal.display import WeightsDisplay
from skmergecal.report import calibration_report

K, HELD = 3, 400


class Says(ClassifierMixin, BaseEstimator):
    """Gives the row of a table that the first feature names."""

    def __init__(self, table):
        self.table = table
        self.classes_ = np.arange(table.shape[1])

    def fit(self, X, y):
        return self

    def partial_fit(self, X, y, classes=None):
        return self

    def predict_proba(self, X):
        return self.table[np.asarray(X)[:, 0].astype(int)]


def shares_of_votes(n_voters, seed):
    """Shares of votes, most of them right; a class without votes is the true one now and then."""
    rng = np.random.default_rng(seed)
    y = np.random.default_rng(0).integers(0, K, 3 * HELD)
    q = 0.12 * rng.dirichlet(np.full(K, 0.3), size=len(y))
    q[np.arange(len(y)), y] += 0.88 * rng.beta(1, 0.3, len(y))
    q += (1 - q.sum(axis=1, keepdims=True)) / K
    return rng.multinomial(n_voters, q / q.sum(axis=1, keepdims=True)) / n_voters, y


TABLES = {"forest": shares_of_votes(100, 1)[0], "neighbours": shares_of_votes(5, 2)[0]}
Y = shares_of_votes(1, 1)[1]
X = np.arange(len(Y), dtype=float)[:, None]
X_HELD, Y_HELD, X_NEW, Y_NEW = X[:HELD], Y[:HELD], X[HELD:], Y[HELD:]


def divided(p):
    return p / p.sum(axis=1, keepdims=True)


CHANGES = {
    "1e-15": lambda p: np.clip(p, 1e-15, 1),
    "both ends": lambda p: np.clip(p, 1e-15, 1 - 1e-15),
    "1e-7": lambda p: np.clip(p, 1e-7, 1),
    "1e-7, divided": lambda p: divided(np.clip(p, 1e-7, 1)),
    "single precision": lambda p: np.clip(p.astype(np.float32), np.finfo(np.float32).eps, 1),
    "three decimals": lambda p: np.round(p, 3),
    "clipped, three decimals": lambda p: np.clip(np.round(p, 3), 1e-7, 1),
}


def members(change):
    return {name: Says(change(table)) for name, table in TABLES.items()}


def loss(model):
    log_proba = model.predict_log_proba(X_NEW)
    return -log_proba[np.arange(len(Y_NEW)), Y_NEW].mean()


WAYS = {
    "default": {},
    "logits": {"method": "logits"},
    "class-wise": {"method": "logits", "weights": "classwise"},
    "given weights": {"method": "logits", "weights": None},
    "calibrated members": {"method": "logits", "weights": None, "calibrate": "both"},
    "linear": {"method": "probabilities", "calibrate": "merged"},
    "linear, calibrated members": {"method": "probabilities", "calibrate": "both"},
}


@pytest.fixture(scope="module")
def plain():
    """The losses of the members with their exact zeros."""
    return {
        way: loss(MergedClassifier.from_fitted(members(np.array), X_HELD, Y_HELD, **how))
        for way, how in WAYS.items()
    }


@pytest.mark.parametrize("way", WAYS)
def test_clipping_and_rounding_change_the_loss_by_one_per_cent_at_most(plain, way):
    for name, change in CHANGES.items():
        merged = MergedClassifier.from_fitted(members(change), X_HELD, Y_HELD, **WAYS[way])
        assert loss(merged) == pytest.approx(plain[way], rel=0.01), name


@pytest.mark.parametrize("change", ["1e-15", "1e-7, divided"])
def test_one_clipped_member_has_the_temperature_and_the_report_of_its_zeros(change):
    found = []
    for p in (TABLES["neighbours"], CHANGES[change](TABLES["neighbours"])):
        model = FrozenEstimator(Says(p))
        calibrator = TemperatureCalibrator(model).fit(X_HELD, Y_HELD)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            report = calibration_report(model, X_HELD, Y_HELD, n_resamples=9)
        tuned = FineTunedClassifier(model, epochs=1).fit(X_HELD, Y_HELD)
        proba = {"forest": TABLES["forest"][:HELD], "m": p[:HELD]}
        display = WeightsDisplay.from_predictions(Y_HELD, proba, n_resamples=0, plot=False)
        linear = MergedClassifier.from_fitted(
            [model], X_HELD, Y_HELD, method="probabilities", calibrate="merged"
        )
        losses = [loss(calibrator), report.after.scores["log loss"].value, loss(tuned)]
        temperatures = [calibrator.temperature_, linear.temperature_]
        found.append([*temperatures, *losses, *display.weights])
    np.testing.assert_allclose(found[1], found[0], rtol=0.01)


class Cut(MLPClassifier):
    """A net that says nothing below 1 in 20."""

    lowest = 0.0

    def predict_proba(self, X):
        p = super().predict_proba(X)
        return divided(np.where(p < 0.05, self.lowest, p))


class Clipped(Cut):
    lowest = 1e-15


def test_one_model_of_clipped_members_is_that_of_their_zeros():
    X, y = load_iris(return_X_y=True)
    y = np.where(np.arange(150) % 11 == 0, 2 - y, y)  # some errors among the zeros
    losses = []
    for kind in (Cut, Clipped):
        models = [kind((4,), solver="lbfgs", max_iter=30, random_state=0) for _ in "ab"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = [model.fit(X[i::4], y[i::4]) for i, model in enumerate(models)]
        how = {"method": "parameters", "alignment": None, "barrier_tolerance": 9}
        merged = MergedClassifier.from_fitted(
            fitted, X[2::4], y[2::4], weights=None, calibrate="merged", **how
        )
        new = merged.predict_log_proba(X[3::4])
        losses.append([merged.barrier_, -new[np.arange(len(new)), y[3::4]].mean()])
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.01)


def smooth(scale, seed=3, right=1.0):
    z = scale * np.random.default_rng(seed).normal(size=(len(Y), K))
    z[np.arange(len(Y)), Y] += right * scale
    return divided(np.exp(z - z.max(axis=1, keepdims=True)))


def late(table, first):
    """A table whose first rows are others."""
    return np.concatenate([np.full((first, K), 1 / K), table[first:]])


def odd_rows():
    p = late(smooth(1.0), 1)
    p[0] = [1e-12, 0.5, 0.5 - 1e-12]
    return p


@pytest.mark.parametrize(
    "table",
    [smooth(1.0), smooth(12.0), np.clip(smooth(12.0), 1e-15, 1), odd_rows()],
    ids=["smooth", "saturated", "saturated and clipped", "one odd row"],
)
def test_small_probabilities_that_members_mean_are_taken_as_they_are(table):
    rows = np.repeat(X_HELD[:200], 2, axis=0)[1:]  # most rows twice; the odd one once
    labels = np.repeat(Y_HELD[:200], 2)[1:]
    merged = MergedClassifier.from_fitted([Says(table)], rows, labels, weights=None)
    p = merged.predict_log_proba(X_NEW)
    np.testing.assert_allclose(p, np.log(divided(table[HELD:])), atol=1e-9)


@pytest.mark.parametrize("way", ["default", "logits"])
def test_rounding_of_smooth_members_changes_the_loss_of_few_rows_by_one_per_cent_at_most(way):
    tables = smooth(3.0, right=2.0), smooth(2.0, 4, right=2.0)
    exact, rounded = (
        MergedClassifier.from_fitted(
            [Says(change(table)) for table in tables], X_HELD[:200], Y_HELD[:200], **WAYS[way]
        )
        for change in (np.array, lambda p: divided(np.round(p, 3)))
    )
    assert loss(rounded) == pytest.approx(loss(exact), rel=0.01)


@pytest.mark.parametrize("decimals", [3, 4])
def test_a_rounded_zero_that_comes_after_the_fit_is_no_certainty(decimals):
    table = np.round(smooth(1.0), decimals)
    table[HELD:][np.arange(200), Y_NEW[:200]] = 0.0
    table = divided(table)
    assert (table[:HELD] > 0).all()
    merged = MergedClassifier.from_fitted([Says(table)], X_HELD, Y_HELD, weights=None)
    assert loss(merged) < np.log(K * (HELD + 1))


@pytest.mark.parametrize("change", ["1e-15", "three decimals"])
@pytest.mark.parametrize("first", [0, 150])
def test_given_weights_soften_as_learned_ones_with_a_cache_and_without(tmp_path, change, first):
    """However late the zeros come; rows of weight 0 are as good as absent."""
    member = FrozenEstimator(Says(late(CHANGES[change](TABLES["neighbours"]), first)))
    weight = np.tile([1.0, 2.0, 0.0, 1.0], HELD // 4)
    expected = None
    for weights in (None, "log_loss"):
        for memory in (None, tmp_path):
            for _ in range(2):
                model = MergedClassifier([("m", member)], weights=weights, memory=memory)
                model.fit(X_HELD, Y_HELD, sample_weight=weight)
                p = model.set_params(weights=None).predict_proba(X_NEW[:5])
                if weights is None:
                    expected = p if expected is None else expected
                    np.testing.assert_array_equal(p, expected)
                softening = model._merge.members[0].softening
                assert softening == 1 / (HELD + 1)
    other = MergedClassifier([("m", member)], weights=None, memory=tmp_path)
    heavy = other.fit(X_HELD, Y_HELD, sample_weight=3 * weight)
    assert heavy._merge.members[0].softening == 1 / (3 * HELD + 1)
