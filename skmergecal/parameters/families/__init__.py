"""Families of estimators whose parameters can be read and written: each registers itself.

The family of skorch nets, which needs torch, is imported when the first net is read.
"""

from skmergecal._optional import optional_import
from skmergecal.parameters._registry import add_loader
from skmergecal.parameters.families import _linear, _mlp, _naive_bayes
from skmergecal.parameters.families._affine_steps import column_numbers, is_identity, read_affine
from skmergecal.parameters.families._identical import are_identical
from skmergecal.parameters.families._pipeline import Steps, only_drops_columns, steps_in_front

__all__ = [
    "Steps",
    "are_identical",
    "column_numbers",
    "is_identity",
    "only_drops_columns",
    "read_affine",
    "steps_in_front",
]


def _load_skorch() -> None:
    optional_import("torch", extra="neural", purpose="merging skorch members")
    from skmergecal.parameters.families._skorch import register

    register()


add_loader("skorch", "NeuralNet", _load_skorch)

del _linear, _mlp, _naive_bayes
