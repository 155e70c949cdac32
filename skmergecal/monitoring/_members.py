"""Which member: each one watched against its own opinion, recalibrated on the first rows."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from skmergecal._numerics import log_softmax, mean_loss, row_losses
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal.members import (
    SOFTENING_WITHOUT_ROWS,
    FoldAverage,
    LabelledEstimator,
    Member,
    unfrozen,
    with_last_step,
)
from skmergecal.merging import MergedClassifier, fitted_merge
from skmergecal.monitoring._inputs import LOWEST
from skmergecal.monitoring._null import Tolerance
from skmergecal.monitoring._tolerance import LEAST, inner_estimators
from skmergecal.monitoring._watch import Watch
from skmergecal.monitoring._window import Window, recalibrate
from skmergecal.pooling import PoolFit, fit_logarithmic_pool

__all__ = ["MemberWatches", "find_members", "learn_pool", "member_table", "pool_of"]

_HALF_WIDTHS, _ERRORS, _MOST = 1.5, 3.0, 1.0


def find_members(estimator: Estimator, classes: np.ndarray) -> list[Member]:
    """The members of a merged classifier, also inside of calibrators; none of other models.

    They are those of the fitted merge, with the labels and the softening that they have there.

    Parameters
    ----------
    estimator : classifier
        With the labels that its columns stand for.
    classes : ndarray of shape (n_classes,)
        These labels, sorted.
    """
    column = {label: i for i, label in enumerate(classes.tolist())}
    for inner, labels, around in inner_estimators(estimator):
        one_model = hasattr(inner, "merged_estimator_")
        if isinstance(inner, MergedClassifier) and not one_model and set(labels) == set(column):
            columns = np.array([column[label] for label in labels])
            members = [_moved(m, columns, classes) for m in fitted_merge(inner).members]
            return [_behind(around, _with_logits(member)) for member in members]
    return []


def _moved(member: Member, columns: IntArray, classes: np.ndarray) -> Member:
    """A member whose merged classes are called otherwise, and have other columns."""
    own = columns[member.columns]
    parts = tuple(_moved(part, columns, classes) for part in member.parts)
    return replace(member, classes=classes[own], columns=own, parts=parts)


def _behind(around: tuple[Estimator, ...], member: Member) -> Member:
    """A member that takes the estimator's rows, where Pipelines transform these for the merge."""

    def moved(inner: Estimator) -> Estimator:
        if isinstance(inner, LabelledEstimator):
            return LabelledEstimator(moved(inner.estimator), inner.classes)
        if isinstance(unfrozen(inner), FoldAverage):
            average = copy.copy(unfrozen(inner))
            average.estimators = [moved(model) for model in average.estimators]
            return average
        found = unfrozen(inner)
        for estimator in reversed(around):
            found = with_last_step(estimator, found)
        return found

    if all(with_last_step(estimator, None) is None for estimator in around):
        return member  # there are no Pipelines
    parts = tuple(_behind(around, part) for part in member.parts)
    return replace(member, estimator=moved(member.estimator), parts=parts)


def _with_logits(member: Member) -> Member:
    """A member of a linear pool, too, gives classes that it lacks what softening gives them."""
    if not len(member.lacks) and not len(member.lost):
        return member
    amount = member.softening or SOFTENING_WITHOUT_ROWS
    return member.softened(amount).filled(amount / member.n_classes)


@dataclass(frozen=True)
class MemberWatches:
    """Evidence against each member.

    Attributes
    ----------
    names : list of str
    temperatures : ndarray of shape (n_members,)
    shifts : ndarray of shape (n_members, n_classes)
        How each was recalibrated on the first rows; without entries until these have come.
    watches : list of Watch
    """

    names: list[str]
    temperatures: Array = field(default_factory=lambda: np.empty(0))
    shifts: Array = field(default_factory=lambda: np.empty((0, 0)))
    watches: list[Watch] = field(default_factory=list)

    def threshold(self, alpha: float) -> float:
        """Of the log of the evidence: several members are looked at."""
        return math.log(len(self.names) / alpha)

    def evidence(self) -> dict[str, float]:
        """Log of the evidence against each, for records."""
        watched: list[Watch | None] = [*self.watches] or [None] * len(self.names)
        found = zip(self.names, watched, strict=True)
        return {f"log_e_value_{n}": w.evidence.log_e if w else 0.0 for n, w in found}

    def calibrated(self, window: Window) -> MemberWatches:
        """Each recalibrated on the window, from which on they are watched."""
        fits, watches = [], []
        counts = np.bincount(window.y, weights=window.weight, minlength=window.log_proba.shape[1])
        shifts = np.maximum(LEAST, _ERRORS / np.sqrt(np.maximum(counts, 1.0)))
        for z in window.member_logits():
            fit = recalibrate(z, window.y, window.weight, shift=True)
            low, high = fit.interval
            bounded = low > 0 and high < math.inf
            half = math.log(high / low) / 2 if bounded else math.inf
            fits.append(fit)
            null = Tolerance(min(_MOST, max(LEAST, _HALF_WIDTHS * half)), np.minimum(shifts, _MOST))
            watches.append(Watch.start(null))
        temperatures = np.array([fit.temperature for fit in fits])
        return MemberWatches(
            self.names, temperatures, np.array([fit.shift for fit in fits]), watches
        )

    def after(self, opinions: Array, y: IntArray, weight: Array, alpha: float) -> MemberWatches:
        """Evidence after more rows; opinions have shape (n_samples, n_members, n_classes)."""
        if not self.watches:
            return self
        threshold = self.threshold(alpha)
        watches = []
        for i, watch in enumerate(self.watches):
            z = log_softmax((opinions[:, i] + self.shifts[i]) / self.temperatures[i])
            watches.append(watch.after(np.maximum(z, LOWEST), y, weight, threshold))
        return replace(self, watches=watches)


def learn_pool(opinions: list[Array], window: Window, rows: Any = slice(None)) -> PoolFit:
    """Weights and temperature of the logarithmic pool on rows of the window."""
    z = [opinion[rows] for opinion in opinions]
    return fit_logarithmic_pool(z, window.y[rows], window.weight[rows])


def pool_of(opinions: list[Array], fit: PoolFit) -> Array:
    """Log-probabilities of the pool."""
    total = sum(w * z for w, z in zip(fit.weights, opinions, strict=True))
    return log_softmax(total / fit.temperature)


def held_out_pool_losses(opinions: list[Array], window: Window) -> Array:
    """Losses of the rows of the window, each half pooled by weights of the other half."""
    n = len(window)
    halves = np.arange(n) < n // 2
    out = np.empty(n)
    for rows in (halves, ~halves):
        fit = learn_pool(opinions, window, ~rows)
        out[rows] = row_losses(pool_of([z[rows] for z in opinions], fit), window.y[rows])
    return out


def member_table(members: MemberWatches, window: Window, alpha: float) -> dict[str, Any]:
    """One line per member: its evidence, temperature and loss, and the pool without it."""
    opinions = window.member_logits()
    enough = len(window) >= 4
    all_in = _mean(held_out_pool_losses(opinions, window), window) if enough else math.nan
    columns: dict[str, list[Any]] = {"member": members.names}
    watched: list[Watch | None] = [*members.watches] or [None] * len(members.names)
    limit = members.threshold(alpha)
    columns["log_e_value"] = [w.evidence.log_e if w else 0.0 for w in watched]
    columns["p_value"] = [
        min(1.0, len(watched) * math.exp(-w.evidence.largest)) if w else 1.0 for w in watched
    ]
    columns["alarm"] = [bool(w and w.evidence.largest >= limit) for w in watched]
    columns["temperature"] = [
        recalibrate(z, window.y, window.weight, shift=False).temperature if enough else math.nan
        for z in opinions
    ]
    columns["log_loss"] = [
        mean_loss(z, window.y, window.weight) if enough else math.nan for z in opinions
    ]
    columns["gain"] = [
        _gain(opinions, i, window, all_in) if enough else math.nan for i in range(len(opinions))
    ]
    return {name: np.asarray(values) for name, values in columns.items()}


def _gain(opinions: list[Array], i: int, window: Window, all_in: float) -> float:
    """By how much the loss rises without a member, where the others are pooled again."""
    others = [z for j, z in enumerate(opinions) if j != i]
    if not others:
        return math.nan
    return _mean(held_out_pool_losses(others, window), window) - all_in


def _mean(losses: Array, window: Window) -> float:
    return float(np.average(losses, weights=window.weight))
