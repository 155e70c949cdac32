"""Problems that do not depend on each other share passes over the rows."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

from skmergecal._partitions import InMemory, Rows, Stream, remembered, together


def count_passes():
    """Rows in two blocks, and a list that gets an entry for each pass over them."""
    passes = []

    def blocks():
        passes.append(None)
        yield from (np.arange(5), np.arange(5, 12))

    def read(numbers, _):
        return Rows([numbers[:, None].astype(float)], np.zeros(len(numbers), dtype=np.intp), None)

    return Stream(blocks, read), passes


def power_sum(rows, power):
    return float((rows.opinions[0] ** power).sum())


def climb(rows, powers):
    """One sum after the other."""
    return [rows.reduce(power_sum, power) for power in powers]


def expected(powers):
    return [float((np.arange(12.0) ** power).sum()) for power in powers]


PLANS = [[1, 2, 3], [2], [0, 1, 2, 3, 4], []]


def test_passes_are_those_of_the_longest_problem():
    rows, passes = count_passes()
    found = together(rows, [lambda own=plan: climb(rows, own) for plan in PLANS])
    assert found == [expected(plan) for plan in PLANS]
    assert len(passes) == max(map(len, PLANS))


def test_problems_inside_of_problems_take_part_in_the_same_passes():
    rows, passes = count_passes()

    def both(powers):
        return together(rows, [lambda: climb(rows, powers), lambda: climb(rows, powers[:1])])

    found = together(rows, [lambda: both([1, 2]), lambda: climb(rows, [3, 4, 5])])
    assert found == [[expected([1, 2]), expected([1])], expected([3, 4, 5])]
    assert len(passes) == 3


class Facts:
    def __init__(self, rows):
        self.rows = rows

    @remembered
    def total(self):
        """A sum of all rows."""
        return self.rows.reduce(power_sum, 1)


def test_properties_that_are_found_once_do_not_stop_other_problems():
    rows, passes = count_passes()
    each = [Facts(rows), Facts(rows)]
    found = together(rows, [lambda own=own: own.total for own in each])
    assert found == [66.0, 66.0]
    assert (each[0].total, len(passes)) == (66.0, 1)


def test_in_memory_nothing_has_a_thread():
    rows = InMemory(Rows([np.arange(3.0)[:, None]], np.zeros(3, dtype=np.intp), None))
    found = together(rows, [threading.current_thread, lambda: climb(rows, [1])])
    assert found == [threading.current_thread(), [3.0]]


@pytest.mark.parametrize("where", ["problem", "sum", "interrupt"])
def test_what_is_raised_comes_out_and_no_thread_stays(where):
    rows, _ = count_passes()
    before = threading.active_count()

    def breaks(_):
        raise KeyboardInterrupt if where == "interrupt" else ValueError("out of order")

    def problem():
        if where == "problem":
            breaks(None)
        return rows.reduce(breaks)

    with pytest.raises((ValueError, KeyboardInterrupt)):
        together(rows, [lambda: climb(rows, [1, 2]), problem])
    assert threading.active_count() == before
    assert climb(rows, [2]) == expected([2])


def test_what_is_made_of_a_block_is_gone_before_the_next_one_is_read():
    """Without a garbage collection: on a worker it comes late, and many blocks are in memory."""
    made, alive = [], []

    def blocks():
        for numbers in (np.arange(5), np.arange(5, 12)):
            alive.append(sum(one() is not None for one in made))
            yield numbers

    def read(numbers, _):
        return Rows([numbers[:, None].astype(float)], np.zeros(len(numbers), dtype=np.intp), None)

    def doubled(rows):
        found = rows.opinions[0] * 2
        made.append(weakref.ref(found))
        return Rows([found], rows.y, rows.weight)

    twice = Stream(blocks, read).map(doubled)
    gc.disable()
    try:
        assert climb(twice.map(doubled), [1, 2]) == [4 * 66.0, 16 * expected([2])[0]]
    finally:
        gc.enable()
    assert len(made) == 8
    assert max(alive) <= 2  # those of the block that was read last
