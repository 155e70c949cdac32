"""Temperature of logits: its fit, its limits and its confidence interval."""

from skmergecal._temperature._fit import (
    TEMPERATURE_ALPHA,
    TemperatureFit,
    fit_temperature,
    minimise_partitions,
    minimise_temperature,
    warn_at_bound,
)
from skmergecal._temperature._interval import profile_interval
from skmergecal._temperature._leave_one_out import (
    FitsWithoutRows,
    SlopesOfRows,
    loo_temperatures,
    slope_of_change,
)
from skmergecal._temperature._limits import LIMIT, Bound, Limits
from skmergecal._temperature._loss import ScalingLoss
from skmergecal._temperature._search import Point, SlopeModel

__all__ = [
    "LIMIT",
    "TEMPERATURE_ALPHA",
    "Bound",
    "FitsWithoutRows",
    "Limits",
    "Point",
    "ScalingLoss",
    "SlopeModel",
    "SlopesOfRows",
    "TemperatureFit",
    "fit_temperature",
    "loo_temperatures",
    "minimise_partitions",
    "minimise_temperature",
    "profile_interval",
    "slope_of_change",
    "warn_at_bound",
]
