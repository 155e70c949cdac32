"""Rows found among others by their hashes."""

from __future__ import annotations

import numpy as np

from skmergecal._memory import find_rows, row_values


def hashes(X):
    return row_values(X).hashes


def test_copies_are_found_in_their_order_and_begin_again():
    values = np.array([4.0, 1.0, 4.0, 2.0, 1.0, 4.0])[:, None]
    known = hashes(values)
    np.testing.assert_array_equal(find_rows(known, known), np.arange(6))
    asked = np.array([1.0, 3.0, 4.0, 1.0, 4.0, 4.0, 1.0, 4.0])[:, None]
    found = find_rows(known, hashes(asked))
    np.testing.assert_array_equal(found, [1, -1, 0, 4, 2, 5, 1, 0])
    assert find_rows(known, known[:0]).shape == (0,)
    np.testing.assert_array_equal(find_rows(known[:0], known[:2]), [-1, -1])


def test_copies_are_told_apart_by_as_many_marks_as_possible():
    known, rows = hashes(np.zeros((4, 1))), hashes(np.zeros((5, 1)))
    labels = np.array([0, 1, 1, 1]), np.array([1, 1, 0, 2, 1])
    index = np.array([7, 5, 6, 8]), np.array([8, 6, 7, 8, 5])
    np.testing.assert_array_equal(find_rows(known, rows, [labels]), [1, 2, 0, 3, 3])
    np.testing.assert_array_equal(find_rows(known, rows, [labels, index]), [3, 2, 0, 3, 1])
