"""ModelComparison: whether a challenger is better than the deployed model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from skmergecal._typing import Array, IntArray
from skmergecal._validation import check_columns, check_proba, check_sample_weight
from skmergecal.metrics import check_share
from skmergecal.monitoring._bets import Bets, half_brier_difference

__all__ = ["ModelComparison"]

#: Probabilities below this count as so much in log losses.
_LOWEST = 1e-12


class ModelComparison:
    """Whether a challenger is better than the deployed model, row after row.

    Bets on half the difference of both Brier scores. The null: on no row is the challenger better
    in conditional mean, given all earlier rows. A likelihood ratio of the two would be no test: of
    two wrong models of equal loss, it prefers one with certainty in the long run.

    Parameters
    ----------
    alpha : float, default=0.01
        Probability of an alarm, at any time, if the null is true.

    Attributes
    ----------
    e_value_, log_e_value_, p_value_ : float
        The evidence that the challenger is better on some rows; p is 1 / its largest value so far.
    alarm_ : bool
        Whether it ever reached 1 / alpha.
    n_rows_ : int
    brier_difference_, log_loss_difference_ : float
        Mean score of the deployed model minus that of the challenger: above 0, the challenger is
        better. They come without a guarantee.

    See Also
    --------
    skmergecal.monitoring.CalibrationMonitor : ``compare`` makes one for the monitored model.

    References
    ----------
    Waudby-Smith and Ramdas, "Estimating Means of Bounded Random Variables by Betting", Journal of
    the Royal Statistical Society B 2024, https://doi.org/10.1093/jrsssb/qkad009.

    Examples
    --------
    >>> import numpy as np
    >>> from skmergecal.monitoring import ModelComparison
    >>> rng = np.random.default_rng(0)
    >>> p = rng.uniform(0.1, 0.9, 3000)
    >>> y = (rng.random(3000) < p).astype(int)
    >>> flat = np.full((3000, 2), 0.5)
    >>> comparison = ModelComparison().update(flat, np.column_stack([1 - p, p]), y)
    >>> comparison.alarm_, round(comparison.brier_difference_, 2)
    (True, 0.09)
    """

    def __init__(self, alpha: float = 0.01) -> None:
        check_share("alpha", alpha)
        self.alpha = alpha
        self._bets = Bets()
        self._sums = np.zeros(3)  # weights, differences of log losses, rows

    def update(
        self, deployed: Any, challenger: Any, y: Any, sample_weight: Any = None
    ) -> ModelComparison:
        """Take in the probabilities of both models of complete cohorts.

        Parameters
        ----------
        deployed, challenger : array-like of shape (n_samples, n_classes)
            Probabilities.
        y : array-like of shape (n_samples,)
            Column numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            In [0, 1].

        Returns
        -------
        ModelComparison
            This comparison.
        """
        one, other = check_proba(deployed, "deployed"), check_proba(challenger, "challenger")
        if one.shape != other.shape:
            msg = (
                "deployed and challenger should have one shape (n_samples, n_classes); got "
                f"{one.shape} and {other.shape}: pass both models' probabilities of the same rows "
                "and classes"
            )
            raise ValueError(msg)
        labels = check_columns(y, *one.shape)
        weight = check_sample_weight(sample_weight, len(labels))
        if weight is not None and weight.max() > 1:
            msg = "sample_weight should be at most 1: divide it by the largest weight that can come"
            raise ValueError(msg)
        return self._take(one, other, labels, np.ones(len(labels)) if weight is None else weight)

    def _take(self, one: Array, other: Array, y: IntArray, weight: Array) -> ModelComparison:
        self._bets = self._bets.after(weight * half_brier_difference(one, other, y))
        rows = np.arange(len(y))
        logs = [np.log(np.maximum(p[rows, y], _LOWEST)) for p in (other, one)]
        self._sums = self._sums + np.array([weight.sum(), weight @ (logs[0] - logs[1]), len(y)])
        return self

    @property
    def n_rows_(self) -> int:
        """Rows so far."""
        return int(self._sums[2])

    @property
    def log_e_value_(self) -> float:
        """Log of the evidence."""
        return self._bets.log_wealth

    @property
    def e_value_(self) -> float:
        """The evidence."""
        return math.exp(self.log_e_value_) if self.log_e_value_ < 709 else math.inf

    @property
    def p_value_(self) -> float:
        """1 / largest evidence so far."""
        return math.exp(-self._bets.largest)

    @property
    def alarm_(self) -> bool:
        """Whether the evidence ever reached 1 / alpha."""
        return self._bets.largest >= math.log(1 / self.alpha)

    @property
    def brier_difference_(self) -> float:
        """Mean Brier score of the deployed model minus that of the challenger."""
        return float(2 * self._bets.total / self._sums[0]) if self._sums[0] else math.nan

    @property
    def log_loss_difference_(self) -> float:
        """Mean log loss of the deployed model minus that of the challenger."""
        return float(self._sums[1] / self._sums[0]) if self._sums[0] else math.nan

    def __repr__(self) -> str:
        better = "the challenger is better" if self.alarm_ else "no alarm"
        return (
            f"{type(self).__name__}({better} after {self.n_rows_} rows, Brier difference "
            f"{self.brier_difference_:.4g})"
        )
