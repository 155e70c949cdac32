"""Copies of rows that carry probabilities: their weights, their classes, what is fitted on them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.naive_bayes import GaussianNB

from skmergecal._numerics import softmax
from skmergecal.tuning._soft_rows import copy_rows, mix_labels


@st.composite
def lessons(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, k = draw(st.integers(1, 30)), draw(st.integers(2, 8))
    proba = softmax(draw(st.sampled_from([0.3, 3.0, 30.0])) * rng.normal(size=(n, k)))
    codes = rng.integers(-1, k, n)
    weight = draw(st.sampled_from([None, rng.integers(1, 5, n).astype(float)]))
    return proba, codes, weight, draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))


@given(lessons())
def test_copies_of_a_row_add_up_to_its_weight_and_cover_its_classes(lesson):
    proba, codes, weight, share = lesson
    n, k = proba.shape
    copies = copy_rows(proba, codes, weight, share)
    found = np.zeros((n, k))
    np.add.at(found, (copies.rows, copies.codes), copies.weight)
    assert len(set(zip(copies.rows, copies.codes, strict=True))) == len(copies.rows)
    assert (copies.weight > 0).all()
    assert set(copies.codes) == set(range(k))
    # at most one row per class is there only because no other row has the class
    own = np.ones(n) if weight is None else weight
    assert (np.abs(found.sum(axis=1) - own) > 1e-9 * own).sum() <= k
    mixed = mix_labels(proba, codes, share) * own[:, None]
    kept = np.where(found > 0, mixed, 0.0).sum(axis=1)
    assert (kept >= 0.99 * (1 - share) * own - 1e-9).all()
    labelled = np.flatnonzero(codes >= 0)
    if share > 0:
        assert (found[labelled, codes[labelled]] > 0).all()


def test_no_more_classes_are_copied_than_hold_99_percent():
    proba = np.array([[0.5, 0.3, 0.19, 0.006, 0.004], [0.2, 0.2, 0.2, 0.2, 0.2]])
    copies = copy_rows(proba, np.array([4, -1]), None, 0.0)
    assert copies.codes[copies.rows == 0].tolist() == [0, 1, 2, 4]  # the last one as its label
    assert copies.codes[copies.rows == 1].tolist() == [0, 1, 2, 3, 4]
    assert np.isclose(copies.weight[copies.rows == 0][0], 0.5 / 0.994)


def test_a_class_without_a_copy_gets_its_most_probable_row():
    proba = np.array([[0.997, 0.002, 0.001], [0.9945, 0.0005, 0.005]])
    copies = copy_rows(proba, np.array([0, 0]), np.array([2.0, 3.0]), 0.5)
    pairs = list(zip(copies.rows.tolist(), copies.codes.tolist(), strict=True))
    assert pairs == [(0, 0), (0, 1), (1, 0), (1, 2)]
    assert np.allclose(copies.weight, [2.0, 2 * 0.002, 3.0, 3 * 0.005])


def test_naive_bayes_on_copies_has_the_means_weighted_by_probabilities():
    rng = np.random.default_rng(0)
    X, proba = rng.normal(size=(50, 3)), softmax(rng.normal(size=(50, 2)))
    copies = copy_rows(proba, np.full(50, -1), None, 0.0)
    student = GaussianNB().fit(X[copies.rows], copies.codes, copies.weight)
    expected = proba.T @ X / proba.sum(axis=0)[:, None]
    assert np.allclose(student.theta_, expected, atol=1e-12)
    assert np.allclose(student.class_prior_, proba.mean(axis=0), atol=1e-12)
