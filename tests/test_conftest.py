"""Which cases of a test the oldest versions run, and what its file is marked with."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import beyond_few, marks_of_file, pytest_ignore_collect


def cases(name, together=(), **lists):
    """As pytest makes them from `parametrize`, one list after another or those of `together`."""
    names = list(lists)
    kept = []
    for indices in product(*(range(len(lists[key])) for key in names)):
        index = dict(zip(names, indices, strict=True))
        if len({index[key] for key in together}) < 2:
            params = {key: lists[key][i] for key, i in index.items()}
            call = SimpleNamespace(params=params, indices=index)
            kept.append(SimpleNamespace(originalname=name, callspec=call))
    return kept


def few(of_one_test):
    left_out = beyond_few(of_one_test)
    assert len(left_out) == len({id(case) for case in left_out})
    return [case.callspec.params for case in of_one_test if case not in left_out]


@pytest.mark.parametrize(("n", "kept"), [(1, 1), (2, 2), (3, 2), (9, 3), (64, 8)])
def test_of_a_list_about_the_root_is_run(n, kept):
    assert len(few(cases("test_a", number=range(n)))) == kept
    pairs = cases("test_a", ["number", "answer"], number=range(n), answer=range(n))
    assert len(few(pairs)) == kept


def test_of_a_product_each_value_is_run():
    values = {"kind": list("abcdefgh"), "method": [["x"], ["y"], ["z"]], "sparse": [False, True]}
    kept = few(cases("test_a", **values))
    assert 8 <= len(kept) <= 11 < 8 * 3 * 2
    for name, own in values.items():
        assert all(any(case[name] is value for case in kept) for value in own)


def test_a_test_draws_the_same_cases_in_each_run_and_another_test_others():
    def numbers(name):
        return [case["number"] for case in few(cases(name, number=range(64)))]

    assert numbers("test_a") == numbers("test_a") != numbers("test_b")


@pytest.mark.parametrize(
    ("path", "marks"),
    [
        ("docs/guide/merging.rst", (True, True)),
        ("tests/merging/test_identities.py", (True, True)),
        ("tests/test_common.py", (True, False)),
        ("tests/_networks/test_align.py", (False, True)),
        ("tests/field/test_remedies_for_rows.py", (False, True)),
        ("skmergecal/_networks/_align.py", (False, False)),
        ("tests/test_contract.py", (False, False)),
    ],
)
def test_marks_of_a_file(path, marks):
    assert marks_of_file(Path(path).absolute()) == marks


@pytest.mark.parametrize(
    ("marks", "name", "ignored"),
    [
        ("not once and (not gallery or cheap)", "test_packaging.py", True),
        ("not once and (not gallery or cheap)", "test_search.py", None),
        ("not thorough and not gallery", "test_search.py", True),
        ("not thorough and not gallery", "test_import.py", None),
        ("thorough and not gallery", "test_search.py", None),
        ("thorough and not gallery", "field/test_threads.py", True),
        ("thorough and not gallery", "metrics/test_identities.py", None),  # with sweeps
        ("thorough and not gallery", "distributed/test_cluster.py", None),  # with the mark
        ("thorough or not thorough", "field/test_threads.py", None),
        ("not (thorough or gallery)", "test_search.py", True),
        ("not thorough or once", "test_packaging.py", None),
        ("another", "test_packaging.py", None),
        ("not another", "test_packaging.py", None),
        ("", "test_packaging.py", None),
    ],
)
def test_files_whose_tests_are_all_left_out_are_not_imported(marks, name, ignored):
    config = SimpleNamespace(option=SimpleNamespace(markexpr=marks))
    assert pytest_ignore_collect(Path(__file__).parent / name, config) is ignored
