"""Merge and calibrate classifiers into one whose probabilities can be trusted."""

from typing import TYPE_CHECKING

from skmergecal._version import __version__

if TYPE_CHECKING:
    from skmergecal import (
        boosters,
        calibration,
        display,
        exceptions,
        merging,
        metrics,
        orders,
        parameters,
        pooling,
        report,
        tuning,
    )
    from skmergecal.boosters import EarlyStopped
    from skmergecal.calibration import TemperatureCalibrator
    from skmergecal.display import (
        FitOrderDisplay,
        MergePathDisplay,
        ReliabilityDisplay,
        RiskCoverageDisplay,
        WeightsDisplay,
    )
    from skmergecal.merging import MergedClassifier, merge_path
    from skmergecal.orders import compare_fit_orders, fit_orders
    from skmergecal.report import calibration_report
    from skmergecal.tuning import FineTunedClassifier
else:  # hidden from type checkers, which would take every name for one that __getattr__ gives
    # Where each name is found on its first use; a subpackage is found in the package itself.
    _SOURCES = {
        "EarlyStopped": "boosters",
        "FineTunedClassifier": "tuning",
        "FitOrderDisplay": "display",
        "MergePathDisplay": "display",
        "MergedClassifier": "merging",
        "ReliabilityDisplay": "display",
        "RiskCoverageDisplay": "display",
        "TemperatureCalibrator": "calibration",
        "WeightsDisplay": "display",
        "boosters": "",
        "calibration": "",
        "calibration_report": "report",
        "compare_fit_orders": "orders",
        "display": "",
        "exceptions": "",
        "fit_orders": "orders",
        "merge_path": "merging",
        "merging": "",
        "metrics": "",
        "orders": "",
        "parameters": "",
        "pooling": "",
        "report": "",
        "tuning": "",
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
    "EarlyStopped",
    "FineTunedClassifier",
    "FitOrderDisplay",
    "MergePathDisplay",
    "MergedClassifier",
    "ReliabilityDisplay",
    "RiskCoverageDisplay",
    "TemperatureCalibrator",
    "WeightsDisplay",
    "__version__",
    "boosters",
    "calibration",
    "calibration_report",
    "compare_fit_orders",
    "display",
    "exceptions",
    "fit_orders",
    "merge_path",
    "merging",
    "metrics",
    "orders",
    "parameters",
    "pooling",
    "report",
    "tuning",
]
