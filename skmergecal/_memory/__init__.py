"""Cache of recently computed arrays, and the keys that identify estimators and rows."""

from skmergecal._memory._code import makes_key, own_items
from skmergecal._memory._keys import (
    HashedRows,
    content_key,
    estimator_key,
    fingerprint,
    remember,
    settle,
)
from skmergecal._memory._outputs import outputs_of_rows
from skmergecal._memory._recent import Memo, RecentArrays
from skmergecal._memory._rows import find_rows
from skmergecal._memory._store import Store
from skmergecal._memory._values import RowValues, row_values

__all__ = [
    "HashedRows",
    "Memo",
    "RecentArrays",
    "RowValues",
    "Store",
    "content_key",
    "estimator_key",
    "find_rows",
    "fingerprint",
    "makes_key",
    "outputs_of_rows",
    "own_items",
    "remember",
    "row_values",
    "settle",
]
