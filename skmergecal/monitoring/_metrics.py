"""Numbers of a monitor under names that stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["collect_metrics"]

_OF_BATCH = ("log_loss", "brier_score", "expected_log_loss")


def collect_metrics(monitor: Any, records: Sequence[dict[str, Any]]) -> dict[str, float]:
    """What is known now of a monitor, as floats."""
    found: dict[str, float] = {
        "n_rows": float(monitor.n_rows_),
        "log_e_value": monitor.log_e_value_,
        "alarm": float(monitor.alarm_),
    }
    if monitor.alarm == "ever":
        found["p_value"] = monitor.p_value_
    if monitor.alarm_:
        found.update(alarm_row=float(monitor.alarm_row_), onset=float(monitor.onset_))
    if records:
        found.update({f"batch_{name}": float(records[-1][name]) for name in _OF_BATCH})
    if monitor.window is not None and monitor.n_rows_:
        low, high = monitor.temperature_interval_
        found.update(
            log_loss=monitor.log_loss_,
            recalibration_gain=monitor.recalibration_gain_,
            temperature=monitor.temperature_,
            temperature_low=low,
            temperature_high=high,
        )
        shifts = enumerate(monitor.class_shift_.tolist())
        found.update({f"class_shift_{column}": shift for column, shift in shifts})
    if hasattr(monitor, "unlabelled_"):
        seen = monitor.unlabelled_
        found.update(
            unlabelled_log_e_value=seen.log_e_value,
            unlabelled_alarm=float(seen.alarm),
            unlabelled_expected_log_loss=seen.expected_log_loss,
        )
    return found
