"""Memory: recent arrays, and keys of what identifies estimators and rows."""

from skmergecal._memory._code import own_code
from skmergecal._memory._recent import NOTHING, Memo, joined

__all__ = ["NOTHING", "Memo", "joined", "own_code"]
