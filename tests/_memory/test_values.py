"""Values of rows, recognised in any container."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csc_array, csr_array

from skmergecal._memory import row_values
from skmergecal._memory._rows import row_hashes

FRAME = pd.DataFrame(
    {
        "number": [1.5, np.nan, 3.0, -4.25],
        "whole": [1, 2, 3, 4],
        "text": ["a", None, "ä", "a"],
        "flag": [True, False, True, True],
        "day": pd.to_datetime(["2020-01-01", "2021-02-03", None, "2020-01-01"]),
    }
)
PLAIN = FRAME.drop(columns="day")


def same(one, other):
    return np.array_equal(row_values(one).hashes, row_values(other).hashes)


def in_polars(frame):
    columns = {name: list(column.astype(object)) for name, column in frame.items()}
    columns["text"] = [text if isinstance(text, str) else None for text in columns["text"]]
    return pytest.importorskip("polars").DataFrame(columns)


class Table:
    """Of columns by name, without an index, as in polars."""

    def __init__(self, frame):
        self._frame, self.columns = frame, list(frame.columns)

    def __getitem__(self, name):
        return self._frame[name].to_numpy()


def in_arrow(frame):
    pytest.importorskip("pyarrow")
    return frame.convert_dtypes(dtype_backend="pyarrow")


@pytest.mark.parametrize(
    "convert",
    [
        in_polars,
        Table,
        in_arrow,
        pd.DataFrame.convert_dtypes,
        pd.DataFrame.to_numpy,
        lambda frame: frame.to_numpy().tolist(),
        lambda frame: list(map(tuple, frame.to_numpy())),
        lambda frame: frame.astype({"text": "category", "whole": "uint8", "flag": float}),
        lambda frame: frame.set_axis(frame.index + 7).set_axis(list("pqrs"), axis=1),
        lambda frame: {name: column.to_numpy() for name, column in frame.items()},
    ],
)
def test_values_decide_whatever_the_container(convert):
    assert same(PLAIN, convert(PLAIN))
    some = convert(PLAIN.iloc[[2, 0]])
    np.testing.assert_array_equal(row_values(some).hashes, row_values(PLAIN).hashes[[2, 0]])


def test_columns_of_one_type_and_times():
    day = FRAME[["day"]]
    assert same(day, day.astype("datetime64[s]"))
    assert not same(day, day + datetime.timedelta(days=1))
    numbers = np.arange(12.0).reshape(6, 2)
    for other in (numbers.astype(np.int8), np.asfortranarray(numbers), numbers.tolist()):
        assert same(numbers, other)
    assert same(numbers, [row.astype(object) for row in numbers])
    assert same(numbers, [[Decimal(int(a)), np.float32(b)] for a, b in numbers])
    assert same(-np.full((2, 1), np.nan), [[None], [pd.NA]])
    images = np.arange(24.0).reshape(2, 3, 4)
    assert same(images, list(images))
    assert same(images, images.reshape(2, 12).tolist())


def test_texts():
    texts = ["a b", "c", "ü"]
    for other in (
        pd.Series(texts, index=[5, 6, 7]),
        np.array(texts),
        np.array(texts, dtype=object),
    ):
        assert same(texts, other)
    assert same(texts[:1], np.array(texts)[:1])
    assert not same(["\ud800"], ["\ud801"])
    assert same(pytest.importorskip("polars").Series(texts[:2]), texts[:2])


def test_what_differs():
    assert not same([["1"]], [[1]])
    assert not same([[0.1]], np.array([[0.1]], dtype=np.float32))
    assert not same([[10**400]], [[10**400 + 1]])
    assert same([[10**400, 1]], np.array([[10**400, 1.0]], dtype=object))
    assert row_values([{"a": 1}, [1, 2]]).hashes.shape == (2, 2)
    assert row_values([[1], [2, 3]]).hashes.shape == (2, 2)
    assert row_values(np.ma.array([[1.0]], mask=True)) is None
    assert row_values([lambda: None]) is None


def test_sparse_rows_are_compared_with_sparse_rows():
    dense = np.array([[0.0, 2, 1], [3, 0, 0], [0, 0, 0]])
    rows = csr_array(dense)
    odd = csr_array(([1.0, 2, 0, 1, 2], [2, 1, 0, 0, 0], [0, 3, 5, 5]), shape=(3, 3))
    for other in (csc_array(dense), odd, rows.astype(np.int32), rows.tocoo()):
        assert same(rows, other)
    assert odd.nnz == 5
    assert not same(rows, dense)


def test_the_index_tells_copies_apart_and_types_tell_outputs_apart():
    frame = pd.DataFrame({"a": [1.0, 1.0]})
    hashes, names = row_values(frame)
    assert (hashes[0] == hashes[1]).all()
    assert names[0] != names[1]
    assert not np.array_equal(row_hashes(frame), row_hashes(frame.astype(int)))
