"""Names for the types that pass between the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Estimator", "HeldOutLogProba", "IntArray", "NamedEstimators"]

Array: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.intp]
#: scikit-learn's estimators are used through their methods, not through a class.
Estimator: TypeAlias = Any


class HeldOutLogProba(NamedTuple):
    """What ``fit_held_out`` hands over: log-probabilities of rows that did not train the model."""

    log_proba: Array
    """Shape (n_held_out, n_classes), columns in the order of ``classes_``."""
    rows: IntArray
    """Shape (n_held_out,): the row of the data of ``fit`` that each line belongs to."""


NamedEstimators = Sequence[tuple[str, Estimator]]
