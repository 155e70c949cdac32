"""Models in files that hold no code, with their nets."""

from skmergecal.persistence._load import load
from skmergecal.persistence._save import save
from skmergecal.persistence._trusted_types import TRUSTED_TYPES

__all__ = ["TRUSTED_TYPES", "load", "save"]
