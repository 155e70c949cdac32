"""PooledEvidence: the sum of monitors of disjoint rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from skmergecal._typing import Array
from skmergecal.monitoring._evidence import Grid

__all__ = ["PooledEvidence", "pool_evidence"]


@dataclass(frozen=True, repr=False)
class PooledEvidence:
    """Evidence of several monitors of one model on disjoint rows, those of sites for example.

    Only the alternatives on the grid take part, each from the first row on: their log wealths add
    up. Evidence for alternatives that start later, or are learned, cannot be added, nor can
    estimates and windows.

    Attributes
    ----------
    n_rows_ : int
        Rows of all.
    alpha : float
        The smallest of the monitors.

    See Also
    --------
    skmergecal.monitoring.CalibrationMonitor : ``a + b`` makes one.

    Examples
    --------
    Two sites where 40 % have the outcome and 30 % were forecast, which neither can tell alone:

    >>> import numpy as np
    >>> from skmergecal.monitoring import CalibrationMonitor
    >>> proba = np.tile([0.7, 0.3], (200, 1))
    >>> sites = [CalibrationMonitor().update(proba, [0, 1, 0, 1, 0] * 40) for _ in range(2)]
    >>> [site.alarm_ for site in sites], sum(sites).alarm_
    ([False, False], True)
    >>> sum(sites).n_rows_
    400
    """

    grid: Grid
    classes: tuple
    log_wealth: Array
    n_rows_: int
    alpha: float

    @property
    def log_e_value_(self) -> float:
        """Log of the evidence: the mean over the alternatives."""
        return float(np.logaddexp.reduce(self.log_wealth + np.log(self.grid.mass)))

    @property
    def e_value_(self) -> float:
        """The evidence."""
        return math.exp(self.log_e_value_) if self.log_e_value_ < 709 else math.inf

    @property
    def p_value_(self) -> float:
        """1 / evidence now: the largest so far is not known."""
        return math.exp(-max(0.0, self.log_e_value_))

    @property
    def alarm_(self) -> bool:
        """Whether the evidence now is at least 1 / alpha."""
        return self.log_e_value_ >= math.log(1 / self.alpha)

    def __add__(self, other: Any) -> PooledEvidence:
        return pool_evidence(self, other)

    def __radd__(self, other: Any) -> Any:
        return self if other == 0 else NotImplemented

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.n_rows_} rows, log e-value {self.log_e_value_:.2f}, "
            f"{'alarm' if self.alarm_ else 'no alarm'})"
        )

    def __getattr__(self, name: str) -> NoReturn:
        msg = (
            f"a sum of monitors has no {name}: it is not known of rows that are not here in order. "
            "Ask the monitor of each site"
        )
        raise AttributeError(msg)


def pool_evidence(one: Any, other: Any = None) -> Any:
    """The sum of monitors, or of sums of these.

    Raises
    ------
    ValueError
        If their alternatives differ, or one has ``alarm="run_length"``.
    """
    parts = []
    for given in (one, other):
        part = None if given is None else _pooled(given)
        if part is not None:
            parts.append(part)
        elif given is not None:
            return NotImplemented
    first = parts[0]
    for part in parts[1:]:
        same = first.classes == part.classes and all(
            np.array_equal(getattr(first.grid, name), getattr(part.grid, name))
            for name in ("log_temperatures", "columns", "shifts")
        )
        if not same:
            msg = (
                "monitors add up only for the same classes and the same tolerance; got classes "
                f"{list(first.classes)} and {list(part.classes)}: pass the same estimator, or the "
                "same classes= and tolerance=, at every site"
            )
            raise ValueError(msg)
    return PooledEvidence(
        first.grid,
        first.classes,
        np.sum([part.log_wealth for part in parts], axis=0),
        sum(part.n_rows_ for part in parts),
        min(part.alpha for part in parts),
    )


def _pooled(part: Any) -> PooledEvidence | None:
    if isinstance(part, PooledEvidence):
        return part
    if not hasattr(part, "_streams"):
        return None
    if part.alarm == "run_length":
        msg = (
            "monitors with alarm='run_length' do not add up: it counts on each row in order. Pass "
            "alarm='ever'"
        )
        raise ValueError(msg)
    if not part.n_rows_:
        msg = "a monitor without rows has nothing to add: call its update first"
        raise ValueError(msg)
    watch = part._streams.watch
    return PooledEvidence(
        watch.grid,
        tuple(part.classes_.tolist()),
        watch.evidence.log_from_first[:-1],
        watch.evidence.n_rows,
        part.alpha,
    )
