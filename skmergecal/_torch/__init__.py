"""Helpers for torch: copies of any module, and random numbers for one thread."""

from skmergecal._torch._modules import (
    all_parts,
    copy_module,
    copy_to_read,
    copy_value,
    with_plain_weights,
)
from skmergecal._torch._pickling import check_picklable
from skmergecal._torch._random_numbers import RandomNumbers

__all__ = [
    "RandomNumbers",
    "all_parts",
    "check_picklable",
    "copy_module",
    "copy_to_read",
    "copy_value",
    "with_plain_weights",
]
