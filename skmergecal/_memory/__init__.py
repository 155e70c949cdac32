"""Memory: recent arrays, and keys of what identifies estimators and rows."""

from skmergecal._memory._code import own_code
from skmergecal._memory._recent import Memo

__all__ = ["Memo", "own_code"]
