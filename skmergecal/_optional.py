"""Optional dependencies: imported when needed; errors name the extra to install."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["as_frame", "is_dask", "is_instance_of", "optional_import", "refuse_dask"]


def optional_import(name: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a module of an optional dependency.

    Raises
    ------
    ImportError
        If it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        msg = f"{purpose} needs {package}: pip install 'skmergecal[{extra}]'"
        raise ImportError(msg) from error


def is_instance_of(obj: object, module: str, name: str) -> bool:
    """Whether obj is an instance of a class of a module, without importing the module."""
    loaded = sys.modules.get(module)
    cls = getattr(loaded, name, None)
    return isinstance(cls, type) and isinstance(obj, cls)


def is_dask(obj: object) -> bool:
    """Whether obj is a collection of Dask's, without importing it."""
    return hasattr(type(obj), "__dask_graph__")


def refuse_dask(name: str, values: Any) -> Any:
    """The values; TypeError for a Dask collection, which NumPy would read without a word."""
    if is_dask(values):
        msg = (
            f"{name} is a Dask {type(values).__name__}, where rows in memory are needed: pass "
            f"{name}.compute(). Dask collections can be X, y and sample_weight of "
            "MergedClassifier.fit, from_fitted, from_predictions and TemperatureCalibrator.fit "
            "with frozen members, and X of predictions; binned calibration errors, decompositions "
            "by temperature and ReliabilityDisplay take them, too"
        )
        raise TypeError(msg)
    return values


def as_frame(columns: Mapping[str, Any], index: str | None = None) -> Any:
    """A pandas DataFrame, with a column as index if named; without pandas, a dict of arrays."""
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        return arrays
    frame = pandas.DataFrame(arrays)
    return frame if index is None else frame.set_index(index)
