"""Weights to search: distributions, real random searches, and trials of Optuna."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import RandomizedSearchCV

from skmergecal import MergedClassifier, suggest_weights, weight_distribution


class Trial:
    """A stand-in for a trial of Optuna: numbers for each name, drawn once."""

    def __init__(self, values):
        self.values = iter(values)
        self.params = {}

    def suggest_float(self, name, low, high):
        assert (low, high) == (0.0, 1.0)
        self.params[name] = next(self.values)
        return self.params[name]


@pytest.mark.parametrize("concentration", [0.3, 1.0, 5.0])
def test_draws_are_dirichlet(concentration):
    """Each weight is beta distributed, and the mean square is that of the closed form."""
    drawn = weight_distribution(4, concentration).rvs(2000, random_state=0)
    np.testing.assert_allclose(drawn.sum(axis=1), 1, rtol=1e-12)
    beta = ("beta", (concentration, 3 * concentration))
    assert kstest(drawn[:, 1], beta[0], beta[1]).pvalue > 0.01
    variance = 0.25 * 0.75 / (4 * concentration + 1)
    np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.15)


@pytest.mark.parametrize("concentration", [1e-8, 1e-3, 1e8])
def test_extreme_concentrations_give_weights(concentration):
    drawn = weight_distribution(50, concentration).rvs(100, random_state=0)
    np.testing.assert_allclose(drawn.sum(axis=1), 1, rtol=1e-12)
    assert (drawn.max() > 0.99) == (concentration < 1)


def test_names_give_a_dict_and_a_number_an_array():
    named, numbered = weight_distribution(["a", "b"]), weight_distribution(2)
    once = named.rvs(random_state=3)
    assert list(once) == ["a", "b"]
    np.testing.assert_array_equal(list(once.values()), numbered.rvs(random_state=3))
    assert [list(w) for w in named.rvs(2, random_state=0)] == [["a", "b"]] * 2
    assert (len(named.rvs(0)), numbered.rvs(0).shape) == (0, (0, 2))
    for seed in (np.random.RandomState(0), np.random.default_rng(0), None):
        assert sum(named.rvs(random_state=seed).values()) == pytest.approx(1)
    again = pickle.loads(pickle.dumps(named))
    assert again == named == clone(named, safe=False)
    assert again.rvs(random_state=3) == once


@pytest.mark.parametrize("by_name", [True, False])
def test_a_random_search_over_weights(binary, binary_members, by_name):
    frozen = [(n, FrozenEstimator(m)) for n, m in list(binary_members.items())[:3]]
    space = {"weights": weight_distribution([n for n, _ in frozen] if by_name else 3)}
    merged = MergedClassifier(frozen, method="logits")
    settings = {"n_iter": 4, "cv": 2, "scoring": "neg_log_loss", "random_state": 0}
    search = RandomizedSearchCV(merged, space, **settings).fit(binary.X_held, binary.y_held)
    best = search.best_params_["weights"]
    best = list(best.values()) if by_name else best
    np.testing.assert_allclose(search.best_estimator_.weights_, best)
    spread = np.ptp(search.cv_results_["mean_test_score"])
    assert spread > 0


def test_suggested_weights_are_uniform_on_the_simplex():
    rng = np.random.default_rng(0)
    drawn = np.array([suggest_weights(Trial(rng.random(3)), 3) for _ in range(2000)])
    np.testing.assert_allclose(drawn.sum(axis=1), 1, rtol=1e-12)
    assert kstest(drawn[:, 0], "beta", (1, 2)).pvalue > 0.01


@pytest.mark.parametrize("ends", [(0.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
def test_a_sampler_may_suggest_the_ends(ends):
    trial = Trial(ends)
    weights = suggest_weights(trial, ["a", "b"])
    assert list(trial.params) == ["weight a", "weight b"]
    assert sum(weights.values()) == pytest.approx(1)
    assert (weights["a"] == pytest.approx(0.5)) == (ends[0] == ends[1])


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ([("a", 1), ("b", 2)], r"pass \[name for name, _ in members\]"),
        (["a", "a"], "different names"),
        ("ab", "names"),
        (0, "at least 1"),
        ([], "at least one name"),
        (2.5, "names"),
    ],
)
def test_what_is_no_list_of_names(wrong, match):
    with pytest.raises(ValueError, match=match):
        weight_distribution(wrong)
    with pytest.raises(ValueError, match=match):
        suggest_weights(Trial([0.5] * 9), wrong)


def test_sizes_are_numbers():
    for size in (-1, 2.5, (2, 2), "x"):
        with pytest.raises(ValueError, match="size should be"):
            weight_distribution(2).rvs(size)
