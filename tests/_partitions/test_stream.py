"""Pools and temperatures from blocks of rows: the numbers of all rows at once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from skmergecal._numerics import log_softmax
from skmergecal.calibration import fit_temperature
from skmergecal.pooling import fit_linear_pool, fit_logarithmic_pool


def opinions(seed=0, n=90, k=3, n_members=3, weighted=False):
    rng = np.random.default_rng(seed)
    y = rng.integers(k, size=n)
    z = [log_softmax(s * np.eye(k)[y] + rng.normal(size=(n, k))) for s in rng.random(n_members) + 1]
    weight = rng.integers(0, 3, n).astype(float) if weighted else None
    return z, y, weight


def in_blocks(z, y, weight, ends):
    """A function that gives the rows in blocks with these ends; opinions are one matrix or many."""
    ends = [0, *sorted(ends), len(y)]

    def blocks():
        for a, b in pairwise(ends):
            own = z[a:b] if isinstance(z, np.ndarray) else [m[a:b] for m in z]
            yield (own, y[a:b]) if weight is None else (own, y[a:b], weight[a:b])

    return blocks


def check_same(parts, whole, rtol):
    for name in ("weights", "temperature", "loss", "loss_before"):
        own, expected = (getattr(fit, name, 0.0) for fit in (parts, whole))
        np.testing.assert_allclose(own, expected, rtol=rtol, atol=1e-12)
    # Ends that a model of the loss gives are known to a share of 1e-5.
    np.testing.assert_allclose(*(getattr(fit, "interval", 0.0) for fit in (parts, whole)), 1e-4)


FITS = {
    "logarithmic": lambda z, *more: fit_logarithmic_pool(z, *more),
    "ridge of 0": lambda z, *more: fit_logarithmic_pool(z, *more, alpha=0.0),
    "several ridges": lambda z, *more: fit_logarithmic_pool(z, *more, alpha="auto"),
    "linear": fit_linear_pool,
    "temperature": lambda z, *more: fit_temperature(z, *more),
    "penalised": lambda z, *more: fit_temperature(z, *more, alpha=1.0),
}


def input_of(name, z):
    if name == "linear":
        return [np.exp(m) for m in z]
    return z if name in ("logarithmic", "ridge of 0", "several ridges") else z[0]


@pytest.mark.parametrize("name", FITS)
@given(
    seed=st.integers(0, 10**6),
    k=st.sampled_from([2, 3, 40]),
    ends=st.lists(st.integers(0, 90), max_size=4),
    weighted=st.booleans(),
)
def test_blocks_give_the_numbers_of_all_rows(name, seed, k, ends, weighted):
    """Uneven blocks, empty ones, and blocks whose weights are all 0."""
    z, y, weight = opinions(seed, k=k, weighted=weighted)
    if weighted and ends:
        weight[: min(ends)] = 0.0
        weight[-1] = 1.0
    own = input_of(name, z)
    whole = FITS[name](own, y, weight)
    parts = FITS[name](in_blocks(own, y, weight, ends))
    check_same(parts, whole, 1e-9)


@pytest.mark.parametrize("most", [1 << 21, 5_000])
@pytest.mark.parametrize(("name", "passes"), [("logarithmic", 8), ("temperature", 8)])
def test_many_rows_start_from_a_share_that_is_in_memory(name, passes, most, monkeypatch):
    """The search begins near its end, and takes few passes over all rows."""
    monkeypatch.setattr("skmergecal._partitions._rows._MOST_GATHERED", most)
    z, y, _ = opinions(n=40_000, k=2)
    own, seen = input_of(name, z), []
    blocks = in_blocks(own, y, None, [5, 7, 20_000])

    def counted():
        seen.append(None)
        return blocks()

    check_same(FITS[name](counted), FITS[name](own, y), 1e-11)
    assert len(seen) <= passes


def test_many_rows_of_a_linear_pool():
    z, y, _ = opinions(n=40_000, k=2)
    own = input_of("linear", z)
    parts = fit_linear_pool(in_blocks(own, y, None, [5, 7, 20_000]))
    check_same(parts, fit_linear_pool(own, y), 1e-11)


def test_limits_of_the_temperature_are_those_of_all_rows():
    """A block may be separable, or tell nothing, where the others do."""
    z = np.array([[2.0, 0.0]] * 6 + [[0.0, 0.0]] * 4)
    y = np.zeros(10, dtype=int)
    for labels in (y, 1 - y):
        with pytest.warns(ConvergenceWarning, match="no finite temperature is best"):
            whole = fit_temperature(z, labels)
        with pytest.warns(ConvergenceWarning, match="no finite temperature is best"):
            parts = fit_temperature(in_blocks(z, labels, None, [3, 6]))
        check_same(parts, whole, 1e-12)
        assert parts.bound == whole.bound


def once(make):
    iterator = iter(make())
    return lambda: iterator


def changing(z, y, what):
    """Blocks that are others in the second pass."""
    passes = []

    def blocks():
        passes.append(None)
        again = len(passes) > 1
        own, labels = [m.copy() for m in z], y.copy()
        if again and what == "labels":
            labels[5] = (labels[5] + 1) % 3
        if again and what == "opinions":
            own = [m[::-1] + 0.5 for m in own]
        if again and what == "length":
            own, labels = [m[:-1] for m in own], labels[:-1]
        return in_blocks(own, labels, None, [30])()

    return blocks


@pytest.mark.parametrize("what", ["labels", "opinions", "length"])
def test_blocks_that_come_back_different_are_an_error_that_names_the_block(what):
    z, y, _ = opinions()
    number = {"length": 1}.get(what, 0)
    with pytest.raises(ValueError, match=f"block {number} came back different.*a seed"):
        fit_logarithmic_pool(changing(z, y, what))


def test_a_source_that_draws_at_random_needs_a_seed():
    shared, y = np.random.default_rng(0), np.arange(60) % 3

    def blocks(draw):
        return lambda: iter([(draw(number).normal(size=(1, 60, 3)), y) for number in range(2)])

    with pytest.raises(ValueError, match=r"block 0 came back different.*or store its rows"):
        fit_logarithmic_pool(blocks(lambda _: shared))
    assert fit_logarithmic_pool(blocks(np.random.default_rng)).weights == [1.0]
    stored = list(blocks(lambda _: shared)())
    assert fit_logarithmic_pool(lambda: iter(stored)).weights == [1.0]


def test_an_iterator_that_is_used_up_is_an_error_and_a_function_is_the_remedy():
    z, y, _ = opinions()
    blocks = in_blocks(z, y, None, [30])
    with pytest.raises(ValueError, match=r"0 blocks, and 2 at first.*new iterator"):
        fit_logarithmic_pool(once(blocks))
    assert fit_logarithmic_pool(lambda: iter(blocks())).loss < np.log(3)


WRONG = {
    "a list of blocks": (
        lambda z, y: ([(z, y)],),
        "y is None: pass the labels, or as log_proba a f",
    ),
    "labels beside": (lambda z, y: (in_blocks(z, y, None, []), y), "hold y: pass y=None"),
    "no labels": (lambda z, y: (z,), "y is None: pass the labels"),
    "no tuple": (lambda z, y: (lambda: [np.array(z)],), "block 0 is a ndarray"),
    "labels of floats": (lambda z, y: (lambda: [(z, y + 0.5)],), "block 0: y should hold 90"),
    "NaN": (lambda z, y: (lambda: [(z, y), ([m * np.nan for m in z], y)],), "block 1: .*NaN"),
    "other members": (lambda z, y: (lambda: [(z, y), (z[:2], y)],), "block 1: opinions of 2 mem"),
    "other classes": (
        lambda z, y: (lambda: [(z, y), ([m[:, :2] for m in z], y % 2)],),
        "block 1: opinions of 3 members of 2 classes; the first block has 3 of 3",
    ),
    "negative weights": (lambda z, y: (lambda: [(z, y, -1.0 - y)],), "block 0: sample_weight"),
    "huge weights": (lambda z, y: (lambda: [(z, y, 1e200 + y)],), "scale the weights of all rows"),
    "nothing": (lambda z, y: (lambda: [],), "no rows of positive weight"),
    "no weight": (lambda z, y: (lambda: [(z, y, 0.0 * y)],), "no rows of positive weight"),
}


def test_remedies_for_blocks():
    z, y, _ = opinions()
    blocks = in_blocks(z, y, None, [])
    expected = fit_logarithmic_pool(z, y).weights
    for how in ((blocks,), (lambda: [(z, y)],), (lambda: [(z, y, (1e200 + y) / 1e200)],)):
        np.testing.assert_allclose(fit_logarithmic_pool(*how).weights, expected, atol=1e-6)


@pytest.mark.parametrize("case", WRONG)
def test_wrong_blocks_are_errors_that_name_the_block(case):
    make, match = WRONG[case]
    z, y, _ = opinions()
    with pytest.raises((ValueError, TypeError), match=match):
        fit_logarithmic_pool(*make(z, y))


def test_probabilities_in_blocks_are_warned_about_once():
    z, y, _ = opinions()
    p = [np.exp(m) for m in z]
    with pytest.warns(UserWarning, match="look like probabilities") as caught:
        fit_logarithmic_pool(in_blocks(p, y, None, [30, 60]))
    assert len(caught) == len(p)
