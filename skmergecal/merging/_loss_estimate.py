"""LossEstimate: the log loss that a merged classifier can be expected to have on new rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from skmergecal._numerics import error_of_mean, mean_and_error, sum_by_weight
from skmergecal._partitions import Partitions
from skmergecal._typing import Array
from skmergecal._validation import check_sample_weight
from skmergecal.merging.fitted import LossesOfRows, RowLosses

__all__ = ["NO_ROWS", "LossEstimate", "find_estimate", "summarise"]

#: A difference of no more than this is none: a merge that is its best member differs by rounding.
_ROUNDING = 1e-12
#: Why there is no estimate.
NO_ROWS = (
    "it needs rows that members have not seen. Pass frozen members and rows to fit (or X and y to "
    "from_fitted); members that are fitted here give such rows where weights or temperatures are "
    "learned, with weights='log_loss' for instance"
)


@dataclass(frozen=True, repr=False)
class LossEstimate:
    """Mean log loss to expect on new rows, in nats, from the rows that a merge learned from.

    Each row counts with a prediction that was learned without it: see ``loss_estimate_`` of
    `MergedClassifier`. ``print(estimate)`` gives a table.

    Attributes
    ----------
    loss : float
        Of the merged classifier. Infinite where a linear pool gives the true class of a row
        probability 0.
    standard_error : float
        Of ``loss``, if rows are independent; NaN for fewer than two rows. Sample weights count as
        repetitions. It is at least .7 log(n + 1) / n, which comes from half a row (as in the prior
        of Jeffreys for a share) of loss log(n + 1): where there are few errors, their spread leaves
        out those that could have happened. `compare` compares the loss of other rows with this
        estimate.
    by_pool : dict of str to float
        With ``method="auto"``: the loss of each pool that is part of it. Else empty.
    by_member : dict of str to float
        Each member's loss, after its temperature; probabilities of 0 are softened.
    best_member : str
        Name of the member of lowest loss. It was chosen on these rows, so that ``gain`` is
        slightly pessimistic.
    gain : float
        By how much ``loss`` is lower than that of the best member: the mean of the differences of
        the rows.
    gain_standard_error : float
        Its standard error.

    See Also
    --------
    skmergecal.MergedClassifier : Has one as ``loss_estimate_``.
    skmergecal.calibration_report : Compares it with the loss of other rows.

    Examples
    --------
    >>> from skmergecal.merging import LossEstimate
    >>> LossEstimate(0.21, 0.02, {}, {"a": 0.25, "b": 0.22}, "b", 0.01, 0.015)
    LossEstimate(loss=0.21 +- 0.02, gain=0.01 +- 0.015 over 'b': merging is not shown to help here)
    """

    loss: float
    standard_error: float
    by_pool: Mapping[str, float]
    by_member: Mapping[str, float]
    best_member: str
    gain: float
    gain_standard_error: float

    @property
    def merging_helps(self) -> bool:
        """Whether the gain over the best member is above its standard error."""
        return self.gain > max(self.gain_standard_error, _ROUNDING)

    def compare(self, losses: Any, sample_weight: Any = None) -> float:
        """How far the mean loss of other rows is from ``loss``, in standard errors.

        Parameters
        ----------
        losses : array-like of shape (n_samples,)
            Log loss of each row, in nats.
        sample_weight : array-like of shape (n_samples,), default=None
            Frequency weights.

        Returns
        -------
        float
            ``(mean - loss) / hypot(standard_error, standard error of the mean)``: about standard
            normal if the rows are like those of ``fit``. NaN where that is not defined.

        Raises
        ------
        ValueError
            If ``losses`` is not one number for each row.
        """
        values = np.asarray(losses)
        if values.ndim != 1 or values.dtype.kind not in "fiu" or np.isnan(values).any():
            msg = (
                "losses should hold one number for each row, its log loss: "
                "-predict_log_proba(X)[range(len(X)), column of the true class], for instance; got "
                f"an array of shape {values.shape} and type {values.dtype}"
                + (" with NaN" if values.dtype.kind == "f" and np.isnan(values).any() else "")
            )
            raise ValueError(msg)
        weight = check_sample_weight(sample_weight, len(values))
        mean, error = mean_and_error(values, weight)
        both = math.hypot(self.standard_error, error)
        return (mean - self.loss) / both if 0 < both < math.inf else math.nan

    def as_dict(self) -> dict[str, Any]:
        """All values as a dict of types that ``json`` can serialise.

        Returns
        -------
        dict
            By the names of the attributes.
        """
        return asdict(self)

    @property
    def verdict(self) -> str:
        """The conclusion about the gain, in words."""
        gain = f"{_with_error(self.gain, self.gain_standard_error)} over {self.best_member!r}"
        return gain if self.merging_helps else f"{gain}: merging is not shown to help here"

    @property
    def summary(self) -> str:
        """Loss and gain in one line."""
        loss = _with_error(self.loss, self.standard_error)
        return f"log loss of new rows {loss}, gain {self.verdict}"

    def __repr__(self) -> str:
        loss = _with_error(self.loss, self.standard_error)
        return f"{type(self).__name__}(loss={loss}, gain={self.verdict})"

    def __str__(self) -> str:
        rows = [("merged", _with_error(self.loss, self.standard_error))]
        rows += [(f"pool {name}", f"{loss:.4g}") for name, loss in self.by_pool.items()]
        rows += [(f"member {name}", f"{loss:.4g}") for name, loss in self.by_member.items()]
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:{width}s}  {loss}" for name, loss in rows]
        return "\n".join([f"{'':{width}s}  log loss of new rows", *lines, f"gain: {self.verdict}"])


def _with_error(value: float, error: float) -> str:
    return f"{value:.4g} +- {error:.2g}"


def _sums(losses: RowLosses) -> tuple[float, Array]:
    """The weights, and the losses of the merge, of the members and of the pools."""
    weight = losses.weight
    total = float(len(losses.merged) if weight is None else weight.sum())
    values = [losses.merged, *losses.members, *losses.pools.values()]
    return total, np.array([sum_by_weight(own, weight) for own in values])


def _gains(losses: RowLosses, best: int) -> Array:
    gains = losses.members[best] - losses.merged
    gains[np.abs(gains) <= _ROUNDING] = 0.0
    return gains


class _Spread(NamedTuple):
    """Sum of some numbers, and of their squared distances from their mean."""

    total: float
    sum: float
    squares: float

    @classmethod
    def of(cls, values: Array, weight: Array | None, total: float) -> _Spread:
        found = sum_by_weight(values, weight)
        with np.errstate(invalid="ignore"):  # of infinite losses
            return cls(total, found, sum_by_weight((values - found / total) ** 2, weight))

    @classmethod
    def joined(cls, parts: Sequence[_Spread]) -> _Spread:
        """Those of all parts; of one part its own."""
        total, sums, squares = np.array(parts).T
        with np.errstate(invalid="ignore"):
            away = sums / total - sums.sum() / total.sum()
            return cls(total.sum(), sums.sum(), squares.sum() + float(total @ away**2))


def _facts(losses: RowLosses) -> list[_Facts]:
    """What the estimate needs of a partition, found in one round: none keeps the losses."""
    total, sums = _sums(losses)
    merged = _Spread.of(losses.merged, losses.weight, total)
    gains = [
        _Spread.of(_gains(losses, k), losses.weight, total) for k in range(len(losses.members))
    ]
    return [_Facts(sums, merged, gains, list(losses.pools))]


class _Facts(NamedTuple):
    sums: Array
    merged: _Spread
    gains: list[_Spread]
    """Over each member."""
    pools: list[str]


def find_estimate(names: Sequence[str], losses: LossesOfRows) -> LossEstimate | str:
    """The estimate, or why there is none, where members are selected again for parts of the rows.

    Parameters
    ----------
    names : sequence of str
        As for `summarise`.
    losses : callable
    """
    try:
        found = losses()
    except Exception as error:  # whatever a scorer raises on a part of the rows
        return (
            "a selection is repeated without each fifth of the held-out rows, and there it fails: "
            f"{error}. Pass more rows, or scoring=None"
        )
    return summarise(names, found)


def summarise(names: Sequence[str], losses: Partitions[RowLosses]) -> LossEstimate:
    """The estimate that losses of rows give.

    Parameters
    ----------
    names : sequence of str
        Of the members.
    losses : Partitions of RowLosses
        Their weights are positive.
    """
    facts: list[_Facts] = losses.reduce(_facts, how="join", what="mean losses")
    merged = _Spread.joined([own.merged for own in facts])
    total = merged.total
    means = (np.sum([own.sums for own in facts], axis=0) / total).tolist()
    by_member = dict(zip(names, means[1:], strict=False))
    best = min(by_member, key=by_member.__getitem__)
    loss, which = means[0], names.index(best)
    gains = _Spread.joined([own.gains[which] for own in facts])
    gain = float(gains.sum / total)
    error = error_of_mean(loss, total, merged.squares)
    error = max(error, math.sqrt(0.5) * math.log(total + 1) / total)  # NaN stays NaN
    gain_error = error_of_mean(gain, total, gains.squares)
    by_pool = dict(zip(facts[0].pools, means[1 + len(names) :], strict=True))
    return LossEstimate(loss, error, by_pool, by_member, best, gain, gain_error)
