"""Greedy soups, with and without replacement."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neural_network import MLPClassifier

from skmergecal import MergedClassifier
from skmergecal.pooling import greedy_selection, greedy_soup, greedy_soup_with_replacement
from tests.strategies import seeds


def problem(seed, n_members):
    """Members as points; the loss of a mixture is its distance from another point."""
    rng = np.random.default_rng(seed)
    points, goal = rng.normal(size=(n_members, 3)), 0.3 * rng.normal(size=3)

    def loss_of(weights):
        assert weights.sum() == pytest.approx(1)
        return float(((weights @ points - goal) ** 2).sum())

    return [loss_of(one) for one in np.eye(n_members)], loss_of


@given(seed=seeds, n_members=st.integers(1, 5))
def test_no_soup_is_worse_than_the_best_member(seed, n_members):
    losses, loss_of = problem(seed, n_members)
    for soup in (greedy_soup, greedy_soup_with_replacement):
        weights = soup(losses, loss_of)
        assert weights.sum() == pytest.approx(1)
        assert loss_of(weights) <= min(losses) + 1e-12


@given(seed=seeds, n_members=st.integers(2, 5))
def test_with_replacement_nothing_that_is_added_helps_any_more(seed, n_members):
    losses, loss_of = problem(seed, n_members)
    weights = greedy_soup_with_replacement(losses, loss_of)
    smallest = weights[weights > 0].min()
    counts = next(
        c for n in range(1, 26) if np.allclose(c := weights / smallest * n, np.round(c), atol=1e-6)
    )
    # The counts may be a multiple of these: of all that they can be, one is where it stopped.
    stopped = []
    for factor in range(1, int(25 / counts.sum()) + 1):
        trials = factor * np.round(counts) + np.eye(n_members)
        stopped.append(min(loss_of(t / t.sum()) for t in trials) >= loss_of(weights) - 1e-12)
    assert any(stopped) or factor * counts.sum() >= 24


def test_weights_with_replacement_by_hand():
    points = np.array([0.0, 1.0])
    losses = [abs(p - 0.3) for p in points]
    weights = greedy_soup_with_replacement(losses, lambda w: abs(w @ points - 0.3))
    # 1/2 is .2 away, nearer than 0; then 1/3, and with 1/4 and 2/4 nothing is gained
    np.testing.assert_allclose(weights, [2 / 3, 1 / 3])
    np.testing.assert_allclose(greedy_soup(losses, lambda w: abs(w @ points - 0.3)), [0.5, 0.5])


ENDS = [np.array([[0.0]]), np.array([[1.0]])]


def test_selection_takes_a_member_already_in_where_losses_tie():
    def loss(mean):
        return {0.0: 2.0, 0.5: 1 - 1e-14, 1 / 3: 0.5}.get(float(mean[0, 0]), 1.0)

    np.testing.assert_array_equal(greedy_selection(ENDS, loss), [0, 1])


def test_selection_goes_back_to_its_best_step():
    weights = greedy_selection(ENDS, lambda mean: abs(float(mean[0, 0]) - 0.5), n_steps=5)
    np.testing.assert_array_equal(weights, [0.5, 0.5])


def test_soup_keeps_what_does_not_harm_and_replacement_adds_only_what_helps():
    np.testing.assert_array_equal(greedy_soup([1.0, 1.0], lambda w: 1.0), [0.5, 0.5])
    weights = greedy_soup_with_replacement([1.0, 1.0], lambda w: 1.0 if w[1] else 1.1)
    np.testing.assert_array_equal(weights, [1, 0])


def test_soup_of_one_member_needs_no_merge():
    def never(weights):
        raise AssertionError

    for soup in (greedy_soup, greedy_soup_with_replacement):
        np.testing.assert_array_equal(soup([1.0], never), [1])


@pytest.mark.parametrize("weights", ["greedy", "greedy_replacement"])
def test_soups_of_nets_leave_out_what_harms(digits, weights):
    start = MLPClassifier((16,), random_state=0)
    labels = np.unique(digits.y)
    for _ in range(5):
        start.partial_fit(digits.X, digits.y, classes=labels)
    members = {f"half {i}": pickle.loads(pickle.dumps(start)) for i in range(2)}
    for i, member in enumerate(members.values()):
        for _ in range(5):
            member.partial_fit(digits.X[i::2], digits.y[i::2])
    members["bad"] = MLPClassifier((16,), random_state=9).partial_fit(
        digits.X, digits.y, classes=labels
    )
    merged = MergedClassifier.from_fitted(
        members,
        digits.X_held,
        digits.y_held,
        method="parameters",
        weights=weights,
        alignment=None,
        repair=None,
    )
    assert merged.weights_[2] == 0
    assert merged.weights_.sum() == pytest.approx(1)
    assert merged.merge_report_.merged <= min(merged.merge_report_.members.values())


def test_pools_select_with_replacement_anyway(blobs):
    member = MLPClassifier((4,), random_state=0).partial_fit(blobs.X, blobs.y, classes=[0, 1, 2])
    settings = {"method": "logits", "weights": "greedy_replacement"}
    with pytest.raises(ValueError, match="use weights='greedy'"):
        MergedClassifier.from_fitted([member], blobs.X_held, blobs.y_held, **settings)
