"""Softening: which probabilities stand for 0, decided once from the held-out rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skmergecal._numerics import holds_zeros, softening_of, softmax
from tests.strategies import seeds

FLOORS = [1e-300, 1e-15, float(np.finfo(np.float32).eps), 1e-7]


def votes(rng, n, k):
    """Shares of the votes of some trees or neighbours: two rows at least have a zero."""
    n_voters = int(rng.integers(1, 100))
    p = rng.multinomial(n_voters, rng.dirichlet(np.full(k, 0.5)), size=n) / n_voters
    p[:2] = np.eye(k)[0]
    return p


@given(seeds, st.integers(20, 60), st.integers(2, 6), st.sampled_from(FLOORS), st.booleans())
def test_clipped_zeros_are_zeros(seed, n, k, floor, divided):
    p = votes(np.random.default_rng(seed), n, k)
    clipped = np.clip(p, floor, 1)
    if divided:
        clipped /= clipped.sum(axis=1, keepdims=True)
    assert softening_of(clipped) == softening_of(p) == 1 / (n + 1)


@given(seeds, st.integers(20, 60), st.integers(2, 6), st.floats(0.1, 15), st.integers(1, 3))
def test_small_probabilities_of_smooth_members_are_none(seed, n, k, scale, times):
    """However small, and however often a row comes."""
    p = softmax(scale * np.random.default_rng(seed).normal(size=(n, k)))
    assert (p > 0).all()
    assert softening_of(np.repeat(p, times, axis=0)) == 0
    assert softening_of(p, np.full(n, float(times))) == 0


@given(
    seeds,
    st.integers(40, 150),
    st.integers(2, 6),
    st.sampled_from([3, 4]),
    st.sampled_from([np.float32, np.float64]),
)
def test_rounded_members_without_zeros_may_have_them_elsewhere(seed, n, k, decimals, kind):
    rng = np.random.default_rng(seed)
    p = np.maximum(np.round(softmax(rng.normal(size=(n, k))), decimals), 10.0**-decimals)
    rows = p.astype(kind).astype(float)
    rows /= rows.sum(axis=1, keepdims=True)
    amount = softening_of(rows)
    assert 0 < amount <= 1 / (n + 1)
    shuffled = rng.permutation(rows)[:, rng.permutation(k)]
    assert softening_of(np.asfortranarray(shuffled)) == amount
    twice = softening_of(np.repeat(rows, 2, axis=0))
    assert softening_of(rows, np.full(n, 2.0)) == twice <= 1 / (2 * n + 1)
    rows[-9:] = softmax(rng.normal(size=(9, k)))
    assert softening_of(rows) == 0


@pytest.mark.parametrize("decimals", [3, 4])
@pytest.mark.parametrize("power", [0.05, 0.2, 0.5])
def test_zeros_of_rounded_members_become_their_mean(decimals, power):
    # As many probabilities below p as p ** power says.
    p = np.linspace(0, 1, 1500)[:, None] ** (1 / power) / 2
    whole = np.hstack([p, 1 - p])
    rounded = np.round(whole, decimals)
    softening = softening_of(rounded)
    assert softening / 2 == pytest.approx(whole[rounded == 0].mean(), rel=0.2)
    assert softening_of(rounded[::5]) < 10.0**-decimals  # fewer rows do not make more of them
    # Votes that were rounded have zeros, and nothing near them.
    votes = np.round(np.rint(300 * p) / 300, 3)
    assert softening_of(np.hstack([votes, 1 - votes])) == 1 / 1501


def test_rows_are_read_on_where_zeros_may_come_from_rounding():
    rng = np.random.default_rng(1)
    assert holds_zeros(votes(rng, 40, 3))
    smooth = np.round(softmax(4 * rng.normal(size=(40, 3))), 3)
    assert (smooth == 0).any()
    assert not holds_zeros(smooth)
    assert not holds_zeros(np.eye(3))
    assert not holds_zeros(np.full((4, 2), 0.5))


@pytest.mark.parametrize("n_voters", [5, 64, 100, 200, 500])
def test_shares_of_votes_and_repeated_values_are_not_rounded(n_voters):
    rng = np.random.default_rng(0)
    votes = rng.multinomial(n_voters, [0.3, 0.3, 0.4], size=150) + 1
    assert softening_of(votes / votes.sum(axis=1, keepdims=True)) in (0, 1 / 151)
    exact = rng.integers(1, n_voters, size=(150, 1)) / n_voters
    assert softening_of(np.hstack([exact, 1 - exact])) == 0
    assert softening_of(np.tile([0.371, 0.629], (150, 1))) == 0


@given(seeds, st.integers(2, 6), st.sampled_from([0.0, *FLOORS]))
def test_weights_are_repetitions_and_no_order_counts(seed, k, floor):
    rng = np.random.default_rng(seed)
    p = np.clip(votes(rng, 30, k), floor, 1)
    few = rng.permutation(np.concatenate([p[:1], np.full((29, k), 1 / k)]))
    for rows in (p, few):
        weight = rng.integers(0, 3, size=30).astype(float)
        weight[-1] = 1.0
        repeated = np.repeat(rows, weight.astype(int), axis=0)
        expected = softening_of(rows, weight)
        assert expected == softening_of(repeated)
        shuffled = rng.permutation(repeated)[:, rng.permutation(k)]
        assert expected == softening_of(np.asfortranarray(shuffled))


@pytest.mark.parametrize(
    ("lowest", "others", "softened"),
    [
        ([1e-9, 1e-9], [0.3], True),
        ([1e-9, 1.08e-9], [0.3], True),  # divided by sums
        ([1e-9], [0.3], False),  # seen once: an odd row
        ([1e-9, 1.2e-9], [0.3], False),  # two odd rows
        ([1e-5, 1e-5], [6e-4, 0.3], False),  # no gap above it
        ([1e-9, 1e-9], [2e-6, 0.3], False),  # others that softening would spoil
        ([1e-9, 1e-9], [2e-3, 0.3], True),
        ([2e-3, 2e-3], [0.3], False),  # softening would not raise it much
        ([1e-9, 1e-9, 0.0], [2e-6, 0.3], True),
        ([1e-9], [0.0], True),  # one exact zero is enough
    ],
)
def test_a_smallest_value_stands_for_zero(lowest, others, softened):
    first = np.array(lowest + others + [0.4] * (99 - len(lowest) - len(others)))
    p = np.column_stack([first, 1 - first])
    assert softening_of(p) == (1 / 100 if softened else 0)


def test_no_rows_and_no_weight_soften_nothing():
    assert softening_of(np.empty((0, 3))) == 0
    zeros = np.array([[0.0, 1.0], [0.5, 0.5]])
    assert softening_of(zeros, np.array([0.0, 2.0])) == 0
    assert softening_of(zeros, np.array([1.0, 2.0])) == 1 / 4
