"""Advice: what to do about an alarm, each answer with its evidence in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from skmergecal._numerics import row_losses
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal.monitoring._members import held_out_pool_losses
from skmergecal.monitoring._tolerance import inner_estimators
from skmergecal.monitoring._watch import Watch
from skmergecal.monitoring._window import Window, cross_validated_losses

__all__ = ["Advice", "Reference", "advise", "estimated_loss"]

#: Nats by which one answer has to be better than the other.
_CLEAR = 2.0
#: Standard errors, and share, by which the loss has to be above the reference.
_ERRORS, _MUCH = 3.0, 0.05
#: Rows of the window that it takes to compare what is learned on parts of it.
_FEWEST = 50


@dataclass(frozen=True)
class Reference:
    """Loss of the deployed model on the first rows, as many as the window has.

    Attributes
    ----------
    counts : ndarray of shape (n_classes,)
        Weight of each class.
    loss, square : float
        Weighted sums of the losses, and of their squares.
    n_rows : int
    """

    counts: Array
    loss: float = 0.0
    square: float = 0.0
    n_rows: int = 0

    def after(self, log_proba: Array, y: IntArray, weight: Array, size: int) -> Reference:
        """With more rows, as long as there are fewer than ``size``."""
        n = max(0, min(len(y), size - self.n_rows))
        y, weight = y[:n], weight[:n]
        losses = row_losses(log_proba[:n], y)
        return replace(
            self,
            counts=self.counts + np.bincount(y, weights=weight, minlength=len(self.counts)),
            loss=self.loss + float(weight @ losses),
            square=self.square + float(weight @ losses**2),
            n_rows=self.n_rows + n,
        )

    def mean_and_error(self) -> tuple[float, float]:
        """Mean loss and its standard error."""
        total = float(self.counts.sum())
        mean = self.loss / total
        return mean, math.sqrt(max(self.square / total - mean**2, 0.0) / total)


class Advice(NamedTuple):
    """What to do, and the evidence for each answer."""

    action: str
    reasons: dict[str, str]


def estimated_loss(estimator: Estimator | None) -> tuple[float, float] | None:
    """The loss that a merged classifier was expected to have, and its standard error."""
    for inner, _, _ in inner_estimators(estimator):
        estimate = getattr(inner, "loss_estimate_", None)
        if estimate is not None and math.isfinite(estimate.loss):
            return float(estimate.loss), float(estimate.standard_error)
    return None


def advise(
    watch: Watch,
    alarm: bool,
    window: Window | None,
    reference: Reference | None,
    estimated: tuple[float, float] | None,
    names: Sequence[str] = (),
) -> Advice:
    """The recommendation.

    Parameters
    ----------
    watch : Watch
    alarm : bool
    window : Window or None
    reference : Reference or None
        None before as many rows have come twice as the window has.
    estimated : tuple of float or None
        The loss that was expected, and its error, where the model says so.
    names : sequence of str
        Those of the members.
    """
    if not alarm:
        log_e = watch.evidence.log_e
        text = (
            f"no alarm: the log of the evidence is {log_e:.2f} after {watch.evidence.n_rows} rows"
        )
        return Advice("keep", {"keep": text})
    action, reasons = _of_gains(watch.recent_gains)
    if window is None or len(window) < _FEWEST:
        return Advice(action, reasons)
    z, y, w = window.logits, window.y, window.weight
    losses = [
        cross_validated_losses(z, y, w, shift=shift)
        for shift in ((True,) if action == "shift" else (False, True))
    ]
    best = min(losses, key=lambda loss: float(w @ loss))
    reasons["deployed"] = (
        f"on the last {len(window)} rows the log loss is {_mean(row_losses(z, y), w):.4f}, and "
        f"{_mean(best, w):.4f} if recalibrated on other rows of them"
    )
    learned = best
    if window.members.shape[1]:
        learned = held_out_pool_losses(window.member_logits(), window)
        reasons["members"] = _about_members(names, learned, window)
        won, error = _sum_and_error(best - learned, w)
        reasons["remerge"] = (
            f"weights learned on one half of these rows win {won:.1f} +- {error:.1f} nats on the "
            "other half, beyond recalibration"
        )
        if won > max(_CLEAR, 2 * error):
            action = "remerge"
        else:
            learned = best
    why = _above_reference(learned, window, reference, estimated)
    if why is not None:
        entropy = _mean(-(np.exp(z) * z).sum(axis=1), w)
        reasons["investigate"] = f"{why}; mean entropy of the probabilities {entropy:.4f}"
        action = action if action == "remerge" else "investigate"
    return Advice(action, reasons)


def _about_members(names: Sequence[str], pooled: Array, window: Window) -> str:
    """The loss of each member, and what the pool loses without it."""
    opinions, told = window.member_logits(), []
    for i, (name, z) in enumerate(zip(names, opinions, strict=True)):
        text = f"{name!r} has a log loss of {_mean(row_losses(z, window.y), window.weight):.4f}"
        if len(opinions) > 1:
            others = held_out_pool_losses(opinions[:i] + opinions[i + 1 :], window)
            text += f", the pool loses {_mean(others - pooled, window.weight):.4f} without it"
        told.append(text)
    return "; ".join(told)


def _of_gains(gains: dict[str, float]) -> tuple[str, dict[str, str]]:
    """Temperature or class shifts: what won more on rows after those that it was learned on."""
    reasons = {
        "recalibrate": f"a temperature alone won {gains['temperature']:.1f} nats on rows that came "
        "after those that it was learned on",
        "shift": f"class shifts alone won {gains['shift']:.1f} nats, and both together "
        f"{gains['both']:.1f}",
    }
    one, other = gains["temperature"], gains["shift"]
    if gains["both"] > max(one, other) + _CLEAR or other > one + _CLEAR:
        return "shift", reasons
    if one > other + _CLEAR:
        return "recalibrate", reasons
    reasons["unclear"] = f"they are less than {_CLEAR:g} nats apart"
    return "unclear", reasons


def _above_reference(
    losses: Array,
    window: Window,
    reference: Reference | None,
    estimated: tuple[float, float] | None,
) -> str | None:
    """Why the loss is too high for what recalibration can do; None if it is not."""
    if reference is None:
        return None
    mean, error = estimated or reference.mean_and_error()
    now: Array = np.bincount(window.y, window.weight, len(reference.counts)).astype(np.float64)
    # Other class shares have another entropy: what features tell should be the same share of it.
    scale = _entropy(now) / max(_entropy(reference.counts), 1e-12)
    mean, error = mean * scale, error * scale
    total, own_error = _sum_and_error(losses, window.weight)
    n = float(window.weight.sum())
    found, own_error = total / n, own_error / n
    if found <= mean * (1 + _MUCH) + _ERRORS * math.hypot(error, own_error):
        return None
    return (
        f"recalibrated, the loss on the last {len(window)} rows is {found:.4f}, above the "
        f"{mean:.4f} that are expected at these class shares: harder rows, or a feature that is "
        "lost"
    )


def _entropy(counts: Array) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _mean(values: Array, weight: Array) -> float:
    return float(np.average(values, weights=weight))


def _sum_and_error(values: Array, weight: Array) -> tuple[float, float]:
    """Weighted sum, and its standard error if rows are independent."""
    n = float(weight.sum())
    mean = float(weight @ values) / n
    variance = float(weight @ (values - mean) ** 2) / max(n - 1, 1.0)
    return mean * n, math.sqrt(n * variance)
