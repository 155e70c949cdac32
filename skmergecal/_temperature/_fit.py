"""Fit of one temperature T to logits, by the log loss of softmax(logits / T)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skmergecal._numerics import SMALLEST
from skmergecal._partitions import InMemory, Partitions, Rows, Sizes, rows_in_blocks, share_of
from skmergecal._temperature._blocks import Sums
from skmergecal._temperature._interval import profile_interval
from skmergecal._temperature._limits import Bound
from skmergecal._temperature._loss import ScalingLoss
from skmergecal._temperature._search import UNKNOWN, Point, SlopeModel, minimise
from skmergecal._typing import Array
from skmergecal._validation import (
    NON_NEGATIVE,
    check_columns,
    check_logits,
    check_parameters,
    check_sample_weight,
    warn_if_probabilities,
)
from skmergecal._warnings import warn_user

__all__ = [
    "TEMPERATURE_ALPHA",
    "Minimum",
    "TemperatureFit",
    "fit_temperature",
    "minimise_partitions",
    "minimise_temperature",
    "warn_at_bound",
]

#: Strength of the penalty on log(T) wherever an estimator fits a temperature. On few rows with
#: hardly an error the likelihood alone takes T far down; on many rows this changes nothing.
TEMPERATURE_ALPHA = 1.0

#: The fit to logits with at least this many numbers starts from the temperature of every STRIDE-th
#: row, if these are at least FEW_ROWS.
MANY_NUMBERS = 1 << 16
STRIDE = 16
FEW_ROWS = 128
#: Error of log T up to which the search uses float32; one evaluation in float64 then suffices.
ROUGH = 1e-5
#: Logits whose largest mean gap is below this are searched in larger units: 1 / T would overflow.
TINY = 1e-200


class TemperatureObjective:
    """The loss plus alpha * log(T)^2 / (2 n), as a function of t = log beta.

    Points are cached.
    """

    def __init__(self, loss: ScalingLoss, alpha: float) -> None:
        self.loss = loss
        self.penalty = alpha / loss.total if loss.total else 0.0
        self.given_up = False
        self._met: dict[float, Point] = {}

    def hopeless(self) -> bool:
        """Whether the loss falls for ever as T grows; a search for its minimum is given up then."""
        self.given_up = self.penalty == 0 and self.loss.limits.uninformative
        return self.given_up

    def __call__(self, t: float) -> Point:
        """Value at t and derivatives in t."""
        if t not in self._met:
            self._met[t] = self._point(t, self.loss.sums(_beta(t)))
        return self._met[t]

    def rough(self, t: float) -> Point:
        """Derivatives in t from exponentials in float32, without the value."""
        return self._point(t, self.loss.rough_sums(_beta(t)))

    def _point(self, t: float, sums: Sums) -> Point:
        value, slope, convex, third = sums
        # With k-th derivatives F_k in beta = exp(t), the sums are beta F_1, beta^2 F_2, beta^3 F_3;
        # differentiation of beta F_1 in t gives
        #     curvature = beta^2 F_2 + beta F_1,    bend = beta^3 F_3 + 3 beta^2 F_2 + beta F_1.
        # The loss is convex in beta, not in t: where the curvature in t is small or negative, the
        # Newton step of the convex problem is the safe one.
        bend = third + 3 * convex + slope
        curvature = convex + slope
        a = self.penalty
        return Point(t, value + a / 2 * t * t, slope + a * t, curvature + a, bend, convex + a)

    def value(self, t: float) -> float:
        """Value at t, without derivatives."""
        return self.loss.value(_beta(t)) + self.penalty / 2 * t * t


def _beta(t: float) -> float:
    """1 / T at t = log(1 / T), within the range of floats."""
    return math.exp(min(max(t, -700.0), 700.0))


class Minimum(NamedTuple):
    """Minimum of the loss over the temperature.

    Attributes
    ----------
    temperature : float
    bound : {None, "lower", "upper"}
    objective : TemperatureObjective
    model : SlopeModel
        The slope around the minimum, in t = log(1 / T).
    exponent : int
        The objective is that of the logits times 2 to this power, and of T times it.
    """

    temperature: float
    bound: Bound
    objective: TemperatureObjective
    model: SlopeModel
    exponent: int = 0

    @property
    def t(self) -> float:
        """Log(1 / T) in the units of the objective."""
        return -math.log(math.ldexp(self.temperature, self.exponent))

    def loss(self) -> float:
        """The loss at the minimum, without the penalty."""
        return self.model.value(self.t) - self.objective.penalty / 2 * self.t * self.t

    def loss_before(self) -> float:
        """The loss at T = 1."""
        return self.objective.loss.value(math.ldexp(1.0, -self.exponent))

    def interval(self) -> tuple[float, float]:
        """95 % interval of T from the profile likelihood."""
        f = self.objective
        ends = profile_interval(f, f.value, f.loss.total, self.t, self.model)
        low, high = (math.ldexp(end, -self.exponent) for end in ends)
        return low, high


def minimise_temperature(
    logits: np.ndarray,
    y: np.ndarray,
    sample_weight: Array | None = None,
    alpha: float = 0.0,
) -> Minimum:
    """The temperature with the lowest loss; no checks, no interval."""
    return minimise_partitions(InMemory(Rows([logits], y, sample_weight)), alpha)


def minimise_partitions(rows: Partitions[Rows], alpha: float = 0.0) -> Minimum:
    """The same for rows in partitions, whose opinions are logits."""
    objective = TemperatureObjective(ScalingLoss.of(rows), alpha)
    near = _approach(objective, rows, alpha)
    start = 0.0
    if near is not None:
        start, rough = near
        found = minimise(objective, start, rough.at, (rough.twist, rough.spread))
    else:
        found = None
    if found is not None and alpha > 0:
        found = _lower_of_two(objective, found, rows)
    if found is not None:
        return Minimum(math.exp(-found[0]), None, objective, found[1])
    largest = objective.loss.limits.largest
    if alpha == 0 and 0 < largest < TINY:
        exponent = -math.frexp(largest)[1]
        minimum = minimise_partitions(rows.map(_times_power_of_two, exponent))
        temperature = max(math.ldexp(minimum.temperature, -exponent), SMALLEST)
        return minimum._replace(temperature=temperature, exponent=exponent)
    temperature, bound = objective.loss.limits.temperature(alpha, objective, start)
    model = SlopeModel.of(None, objective(-math.log(temperature)))
    return Minimum(temperature, bound, objective, model)


def _times_power_of_two(rows: Rows, exponent: int) -> Rows:
    (logits,), y, weight = rows
    return Rows([np.ldexp(np.asarray(logits, dtype=np.float64), exponent)], y, weight)


def _lower_of_two(
    objective: TemperatureObjective, found: tuple[float, SlopeModel], rows: Partitions[Rows]
) -> tuple[float, SlopeModel]:
    """A minimum, or the lower one near the minimum of the loss alone, if there is one.

    Logits that are far too small change the loss of T = 1 so little that the penalty has a minimum
    there. It is above T = 1 / beta of the other, where the loss is concave in log(beta).
    """
    t, model = found
    if t <= 0 or model.at.curvature >= objective.penalty:
        return found
    alone = minimise_partitions(rows)
    other = minimise(objective, -math.log(alone.temperature))
    return other if other is not None and objective(other[0]).value < model.value(t) else found


def _approach(
    objective: TemperatureObjective, rows: Partitions[Rows], alpha: float
) -> tuple[float, SlopeModel] | None:
    """The minimiser to about `ROUGH`, and the rough model around it; None if it is not found.

    If there are many rows, the search starts from the minimiser for a share of them, which is found
    in the same way, so that each size needs about one evaluation.
    """
    start, twist, near = 0.0, UNKNOWN, None
    n_rows, _, n_classes = Sizes.of(rows)
    if n_rows * n_classes >= MANY_NUMBERS and n_rows >= STRIDE * FEW_ROWS:
        share, stride = share_of(rows, n_rows, n_classes, STRIDE)
        less = TemperatureObjective(ScalingLoss.of(share), alpha / stride)
        if less.loss.total > 0:
            near = _approach(less, share, alpha / stride)
            if near is not None:
                start, twist = near[0], (near[1].twist, near[1].spread)
    if near is None and alpha == 0 and objective.loss.true_gap == 0:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        return minimise(objective.rough, start, None, twist, ROUGH, objective.hopeless)


def warn_at_bound(bound: Bound, who: str = "") -> None:
    """Warn that no finite temperature is best, with the reason, but no number: it would differ.

    Python shows warnings of the same text once.
    """
    if bound is None:
        return
    why = {
        "lower": "the largest logit is the true class in (nearly) every row, so that the loss "
        "falls as T goes to 0",
        "upper": "the logits carry no information about the classes, so that the loss falls as T "
        "goes to infinity",
    }[bound]
    warn_user(
        f"no finite temperature is best for {{who}}: {why}. T was stopped at its {bound} bound. "
        "Calibrate on more rows, on rows that the model has not seen, or with alpha=1.",
        ConvergenceWarning,
        who=who,
    )


class TemperatureFit:
    """A fitted temperature.

    Attributes
    ----------
    temperature : float
        T, the divisor of the logits.
    interval : tuple of float
        95 % interval of T from the profile likelihood, if rows are independent. An end that the
        data do not bound is 0 or infinity.
    loss : float
        Mean log loss at T, in nats.
    loss_before : float
        Mean log loss at T = 1.
    bound : {None, "lower", "upper"}
        The bound at which T was stopped where no finite optimum exists.

    See Also
    --------
    skmergecal.calibration.fit_temperature : Makes one.

    Notes
    -----
    ``interval`` and ``loss_before`` are computed on first access. Until then the fit keeps a
    reference to the logits and weights, which should not be modified; a pickled or copied fit
    holds the numbers instead.

    Examples
    --------
    >>> from skmergecal.calibration import fit_temperature
    >>> fit = fit_temperature([[3, 0]] * 40, [0] * 30 + [1] * 10)  # 95 % forecast, 75 % right
    >>> round(fit.temperature, 2), round(fit.loss_before, 3), round(fit.loss, 3)
    (2.73, 0.799, 0.562)
    >>> [round(end, 2) for end in fit.interval]
    [1.61, 7.18]
    """

    def __init__(
        self,
        temperature: float,
        loss: float,
        bound: Bound,
        find_interval: Callable[[], tuple[float, float]],
        find_loss_before: Callable[[], float],
    ) -> None:
        self.temperature, self.loss, self.bound = temperature, loss, bound
        self._find_interval, self._find_loss_before = find_interval, find_loss_before
        self._lock = Lock()  # both use the same scratch arrays

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % interval of T."""
        with self._lock:
            return self._find_interval()

    @cached_property
    def loss_before(self) -> float:
        """Mean log loss at T = 1."""
        with self._lock:
            return self._find_loss_before()

    def __getstate__(self) -> dict[str, Any]:
        names = ["temperature", "interval", "loss", "loss_before", "bound"]
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name}={value!r}" for name, value in self.__getstate__().items())
        return f"{type(self).__name__}({numbers})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TemperatureFit):
            return NotImplemented
        return self.__getstate__() == other.__getstate__()

    def __hash__(self) -> int:
        return hash(tuple(self.__getstate__().values()))


@check_parameters(alpha=[NON_NEGATIVE])
def fit_temperature(
    logits: Any, y: Any = None, sample_weight: Any = None, *, alpha: float = 0.0
) -> TemperatureFit:
    """Fit the temperature that minimises the log loss of softmax(logits / T).

    This is maximum likelihood, unless ``alpha`` is given. `TemperatureCalibrator`, which has
    alpha=1 by default, is better on few rows.

    Newton's method in log(1 / T) inside a bracket, with exact derivatives. Exponentials are in
    float32 until log(T) is known to about 1e-5; the last steps, and the losses, are in float64.

    Parameters
    ----------
    logits : array-like of shape (n_samples, n_classes) or (n_samples,), or callable
        Logits or log-probabilities; a 1-D array holds binary margins. Finite; clipped to
        +-1e150. Float32 is converted to float64 block by block. A function without arguments gives
        all rows in blocks, a new iterator each time it is called: tuples ``(logits, y)`` or
        ``(logits, y, weight)``. They are read once for each step of the search.
    y : array-like of shape (n_samples,), default=None
        Labels, encoded as 0..n_classes-1. None for blocks, which have their own.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights: 2 means that the row counts twice, 0 that it is absent.
    alpha : float, default=0.0
        Strength of the penalty alpha * log(T)^2 / (2 n) that pulls T towards 1.

    Returns
    -------
    TemperatureFit
        The temperature, its 95 % interval, the losses and the bound at which it stopped, if any.

    Warns
    -----
    ConvergenceWarning
        If no finite temperature is best, with alpha=0. If every row is predicted correctly, so that
        T would fall to 0, T stops where the summed loss, less that of tied largest logits at any T,
        is log(2), the loss of one undecided row (or at 1, if the loss is less there). If the logits
        carry no information about the classes, so that T would grow without bound, T stops at 1,000
        times their scale (the geometric mean of the rows' mean gaps).

    See Also
    --------
    skmergecal.TemperatureCalibrator : The same as an estimator.
    skmergecal.calibration.TemperatureStatistics : Sums that several sites can add up.

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2,
    https://doi.org/10.48550/arXiv.1706.04599.

    Examples
    --------
    >>> from skmergecal.calibration import fit_temperature
    >>> fit = fit_temperature([[3, 0], [3, 0], [0, 3], [3, 0]], [0, 0, 1, 1])
    >>> round(fit.temperature, 4)  # three of four are right: 3 / T = log(3)
    2.7307
    """
    minimum = minimise_partitions(_checked_rows(logits, y, sample_weight), alpha)
    warn_at_bound(minimum.bound)
    return TemperatureFit(
        temperature=minimum.temperature,
        loss=minimum.loss(),
        bound=minimum.bound,
        find_interval=minimum.interval,
        find_loss_before=minimum.loss_before,
    )


def _checked_rows(logits: Any, y: Any, sample_weight: Any) -> Partitions[Rows]:
    """Logits as rows for a fit: in one part, or in the blocks that a function gives."""

    def checked(values: Any, first: bool) -> list[np.ndarray]:
        z = check_logits(values)
        if first:
            warn_if_probabilities(z)
        return [z]

    if callable(logits):
        return rows_in_blocks("logits", logits, y, sample_weight, checked)
    if y is None:
        msg = "y is None: pass the labels, or as logits a function that gives blocks"
        raise ValueError(msg)
    (z,) = checked(logits, True)
    labels = check_columns(y, *z.shape)
    return InMemory(Rows([z], labels, check_sample_weight(sample_weight, len(z))))
