"""Statistics from which a temperature can be fitted without the rows; those of sites add up."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from scipy.interpolate import BPoly

from skmergecal._temperature import (
    Limits,
    Point,
    ScalingLoss,
    SlopeModel,
    TemperatureFit,
    profile_interval,
)
from skmergecal._typing import Array, IntArray
from skmergecal._validation import NON_NEGATIVE, check_parameters

__all__ = ["TemperatureStatistics"]

#: Values of log(1 / T) at which the loss and its derivatives are summed.
GRID = np.linspace(-10.0, 10.0, 128)
_FORMAT = "skmergecal.TemperatureStatistics 1"
REACH = float(GRID[0]), float(GRID[-1])


@dataclass(frozen=True)
class TemperatureStatistics:
    """Sums over rows that determine a temperature; a few kilobytes, whatever the number of rows.

    Between the grid points the loss is the quintic that has its value, slope and curvature at
    both ends. Add the statistics of several sites with ``+``.

    Attributes
    ----------
    classes : tuple
        Labels, in the order of the columns of the logits.
    limits : Limits
        Sums that show whether a finite temperature is best.
    sums : ndarray of shape (3, 128)
        Sums of the loss and of its first two derivatives with respect to 1 / T.

    See Also
    --------
    skmergecal.TemperatureCalibrator : Makes them in ``partial_fit``, as ``statistics_``.
    skmergecal.calibration.fit_temperature : The fit where all rows are in one place.

    Examples
    --------
    Two sites with the same forecasts, of which 75 % and 90 % are right:

    >>> from skmergecal import TemperatureCalibrator
    >>> one = TemperatureCalibrator().partial_fit([[3, 0]] * 40, [0] * 30 + [1] * 10)
    >>> other = TemperatureCalibrator().partial_fit([[3, 0]] * 40, [0] * 36 + [1] * 4)
    >>> both = one.statistics_ + other.statistics_
    >>> both.total, round(both.fit().temperature, 2)
    (80.0, 1.93)
    """

    classes: tuple
    limits: Limits
    sums: Array

    @classmethod
    def of(
        cls, logits: np.ndarray, y: IntArray, sample_weight: Array | None, classes: np.ndarray
    ) -> TemperatureStatistics:
        """Statistics of some rows.

        Parameters
        ----------
        logits : ndarray of shape (n_samples, n_classes)
            Logits or log-probabilities.
        y : ndarray of shape (n_samples,)
            Column numbers of the labels.
        sample_weight : ndarray of shape (n_samples,) or None
            Frequency weights.
        classes : ndarray of shape (n_classes,)
            Labels, in the order of the columns.

        Returns
        -------
        TemperatureStatistics
            The sums over these rows.
        """
        loss = ScalingLoss(logits, y, sample_weight)
        sums = np.array([loss(float(beta)) for beta in np.exp(GRID)]).T * loss.total
        return cls(tuple(classes.tolist()), loss.limits, sums)

    def __add__(self, other: TemperatureStatistics) -> TemperatureStatistics:
        if not isinstance(other, TemperatureStatistics):
            return NotImplemented
        if self.classes != other.classes:
            msg = (
                "statistics add up only for the same classes in the same order; got "
                f"{list(self.classes)} and {list(other.classes)}: pass classes= at every site"
            )
            raise ValueError(msg)
        return TemperatureStatistics(
            self.classes, self.limits + other.limits, self.sums + other.sums
        )

    def __radd__(self, other: object) -> TemperatureStatistics:
        return self if other == 0 else NotImplemented  # so that sum() works

    def to_json(self) -> str:
        """The statistics as text, which sites can exchange: reading it runs nothing.

        Returns
        -------
        str
            JSON; `from_json` gives the same numbers to the last bit.

        Raises
        ------
        TypeError
            If labels are other things than strings, numbers and bools.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.frozen import FrozenEstimator
        >>> from sklearn.naive_bayes import GaussianNB
        >>> from skmergecal import TemperatureCalibrator
        >>> from skmergecal.calibration import TemperatureStatistics
        >>> X, y = load_iris(return_X_y=True)
        >>> model = FrozenEstimator(GaussianNB().fit(X[::2], y[::2]))
        >>> site = TemperatureCalibrator(model).partial_fit(X[1::2], y[1::2])
        >>> text = site.statistics_.to_json()
        >>> again = TemperatureStatistics.from_json(text)
        >>> again.fit().temperature == site.statistics_.fit().temperature
        True
        """
        for label in self.classes:
            if not isinstance(label, str | int | float):
                msg = (
                    f"JSON has no {type(label).__name__} such as the label {label!r}: encode "
                    "labels as strings or numbers"
                )
                raise TypeError(msg)
        limits = {name: _as_text(value) for name, value in asdict(self.limits).items()}
        content = {
            "format": _FORMAT,
            "classes": list(self.classes),
            "limits": limits,
            "sums": [[_as_text(value) for value in row] for row in self.sums.tolist()],
        }
        return json.dumps(content, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> TemperatureStatistics:
        """Statistics from the text of `to_json`.

        Parameters
        ----------
        text : str
            What `to_json` gave.

        Returns
        -------
        TemperatureStatistics
            With the same numbers, to the last bit.

        Raises
        ------
        ValueError
            If it is not such a text.
        """
        try:
            content = json.loads(text)
            if content["format"] != _FORMAT or set(content) != {"format", *_fields(cls)}:
                raise KeyError
            classes = tuple(content["classes"])
            plain = all(isinstance(label, str | int | float) for label in classes)
            if not plain or len(set(classes)) < len(classes) or len(classes) < 2:
                raise ValueError
            if set(content["limits"]) != set(_fields(Limits)):
                raise KeyError
            limits = Limits(**{n: _as_number(v) for n, v in content["limits"].items()})
            sums = np.array([[_as_number(v) for v in row] for row in content["sums"]])
            finite = [v for n, v in asdict(limits).items() if n not in ("smallest", "largest")]
            well = np.isfinite([*finite, *sums.ravel()]).all() and limits.total > 0
            if sums.shape != (3, len(GRID)) or not well:
                raise ValueError
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            msg = (
                "this is not the text of TemperatureStatistics.to_json: pass it as it was written "
                "by this version of skmergecal"
            )
            raise ValueError(msg) from error
        return cls(classes, limits, sums)

    @property
    def total(self) -> float:
        """Sum of the sample weights."""
        return self.limits.total

    def _objective(self, alpha: float) -> BPoly:
        """Mean loss plus penalty as a piecewise quintic in t = log(1 / T)."""
        beta = np.exp(GRID)
        value, g, h = self.sums / self.total
        penalty = alpha / self.total
        slope = beta * g + penalty * GRID
        curvature = beta * g + beta**2 * h + penalty
        value = value + penalty / 2 * GRID**2
        return BPoly.from_derivatives(GRID, np.column_stack([value, slope, curvature]))

    def ends_before(self, fit: TemperatureFit) -> bool:
        """Whether a fit stopped only because the grid ends: its optimum is out of reach.

        Parameters
        ----------
        fit : TemperatureFit
            That of these statistics.

        Returns
        -------
        bool
            True where the optimum of the rows is beyond the grid.
        """
        reached = fit.bound is not None and abs(abs(np.log(fit.temperature)) - GRID[-1]) < 1e-9
        return bool(reached)

    @check_parameters(alpha=[NON_NEGATIVE])
    def fit(self, alpha: float = 0.0) -> TemperatureFit:
        """The temperature that minimises the summed loss, with the penalty of `fit_temperature`.

        It agrees with that of the rows themselves to 1e-6, between 4.6e-5 and 2.2e4.

        Parameters
        ----------
        alpha : float, default=0.0
            Strength of the penalty that pulls T towards 1.

        Returns
        -------
        TemperatureFit
            With the temperature of all rows that were added up.
        """
        objective = self._objective(alpha)
        slope = objective.derivative()
        curvature = slope.derivative()
        bend = curvature.derivative()

        def point(t: float) -> Point:
            second = float(curvature(t))
            return Point(t, value(t), float(slope(t)), second, float(bend(t)), second)

        def value(t: float) -> float:
            return float(objective(t))

        start = float(GRID[np.argmin(objective(GRID))])
        temperature, bound = self.limits.temperature(alpha, point, start, REACH)
        t = float(np.clip(-np.log(temperature), *REACH))
        model = SlopeModel.of(None, point(t))
        return TemperatureFit(
            temperature=temperature,
            loss=value(t) - alpha / self.total / 2 * t * t,
            bound=bound,
            find_interval=lambda: profile_interval(point, value, self.total, t, model, REACH),
            find_loss_before=lambda: float(self._objective(0.0)(0.0)),
        )


def _fields(record: Any) -> list[str]:
    return [field.name for field in fields(record)]


def _as_text(value: float) -> float | str:
    """A number as JSON has it: without rows, extremes are infinite."""
    return value if math.isfinite(value) else str(value)


def _as_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        if value not in ("inf", "-inf"):
            raise TypeError
        return float(value)
    return float(value)
