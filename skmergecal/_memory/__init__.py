"""Cache of recently computed arrays, and the keys that identify estimators and rows."""

from skmergecal._memory._code import own_items
from skmergecal._memory._keys import (
    HashedRows,
    content_key,
    estimator_key,
    fingerprint,
    remember,
    settle,
)
from skmergecal._memory._recent import Memo, RecentArrays

__all__ = [
    "HashedRows",
    "Memo",
    "RecentArrays",
    "content_key",
    "estimator_key",
    "fingerprint",
    "own_items",
    "remember",
    "settle",
]
