"""Merge and calibrate classifiers into one whose probabilities can be trusted."""

from typing import TYPE_CHECKING

from skmergecal._version import __version__

if TYPE_CHECKING:
    from skmergecal import (
        boosters,
        calibration,
        candidates,
        display,
        exceptions,
        merging,
        metrics,
        monitoring,
        onnx,
        orders,
        parameters,
        persistence,
        pooling,
        report,
        tuning,
    )
    from skmergecal.boosters import EarlyStopped
    from skmergecal.calibration import TemperatureCalibrator
    from skmergecal.candidates import (
        members_from_search,
        members_from_study,
        suggest_weights,
        valid_grid,
        weight_distribution,
    )
    from skmergecal.display import (
        FitOrderDisplay,
        MergePathDisplay,
        MonitorDisplay,
        ReliabilityDisplay,
        RiskCoverageDisplay,
        WeightsDisplay,
    )
    from skmergecal.merging import MergedClassifier, merge_path
    from skmergecal.orders import compare_fit_orders, fit_orders
    from skmergecal.report import calibration_report
    from skmergecal.tuning import DistilledClassifier, FineTunedClassifier
else:  # hidden from type checkers, which would take every name for one that __getattr__ gives
    # Where each name is found on its first use; a subpackage is found in the package itself.
    _SOURCES = {
        "DistilledClassifier": "tuning",
        "EarlyStopped": "boosters",
        "FineTunedClassifier": "tuning",
        "FitOrderDisplay": "display",
        "MergePathDisplay": "display",
        "MergedClassifier": "merging",
        "MonitorDisplay": "display",
        "ReliabilityDisplay": "display",
        "RiskCoverageDisplay": "display",
        "TemperatureCalibrator": "calibration",
        "WeightsDisplay": "display",
        "boosters": "",
        "calibration": "",
        "calibration_report": "report",
        "candidates": "",
        "compare_fit_orders": "orders",
        "display": "",
        "exceptions": "",
        "fit_orders": "orders",
        "members_from_search": "candidates",
        "members_from_study": "candidates",
        "merge_path": "merging",
        "merging": "",
        "metrics": "",
        "monitoring": "",
        "onnx": "",
        "orders": "",
        "parameters": "",
        "persistence": "",
        "pooling": "",
        "report": "",
        "suggest_weights": "candidates",
        "tuning": "",
        "valid_grid": "candidates",
        "weight_distribution": "candidates",
    }

    def __getattr__(name):
        """Load a public name on its first use."""
        if name not in _SOURCES:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        from importlib import import_module

        source = _SOURCES[name]
        module = import_module(f"{__name__}.{source or name}")
        found = getattr(module, name) if source else module
        globals()[name] = found
        return found

    def __dir__():
        """The public names, loaded or not."""
        return sorted(__all__)


__all__ = [
    "DistilledClassifier",
    "EarlyStopped",
    "FineTunedClassifier",
    "FitOrderDisplay",
    "MergePathDisplay",
    "MergedClassifier",
    "MonitorDisplay",
    "ReliabilityDisplay",
    "RiskCoverageDisplay",
    "TemperatureCalibrator",
    "WeightsDisplay",
    "__version__",
    "boosters",
    "calibration",
    "calibration_report",
    "candidates",
    "compare_fit_orders",
    "display",
    "exceptions",
    "fit_orders",
    "members_from_search",
    "members_from_study",
    "merge_path",
    "merging",
    "metrics",
    "monitoring",
    "onnx",
    "orders",
    "parameters",
    "persistence",
    "pooling",
    "report",
    "suggest_weights",
    "tuning",
    "valid_grid",
    "weight_distribution",
]
