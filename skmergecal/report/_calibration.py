"""calibration_report: whether a classifier is calibrated, and what a temperature would change."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import KFold

from skmergecal._numerics import log_softmax
from skmergecal._temperature import TEMPERATURE_ALPHA, minimise_temperature
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal._validation import check_parameters, encode_labels
from skmergecal.calibration import TemperatureCalibrator
from skmergecal.members import (
    Cache,
    FitRows,
    Member,
    Opinion,
    fitted_last_step,
    freeze,
    frozen_members,
    has_held_out,
    unfrozen,
    warn_of_names,
)
from skmergecal.merging import LossEstimate
from skmergecal.metrics import check_level
from skmergecal.report._assessment import assess, mean_interval, row_scores
from skmergecal.report._flags import find_flags
from skmergecal.report._report import CalibrationReport

__all__ = ["calibration_report"]


@check_parameters(cv=["cv_object"], random_state=["random_state"])
def calibration_report(
    estimator: Estimator,
    X: Any = None,
    y: Any = None,
    *,
    cv: Any = 5,
    sample_weight: Any = None,
    confidence_level: float = 0.95,
    n_resamples: int = 99,
    random_state: Any = 0,
) -> CalibrationReport:
    """Report whether a classifier is calibrated, and what a temperature changes.

    `~skmergecal.report.CalibrationReport` explains "before" and "after".

    Parameters
    ----------
    estimator : classifier or CalibrationMonitor
        Fitted; it is not changed. Of a monitor, the deployed model on the rows of its window.
    X, y : array-like
        Rows **that the estimator has not seen**, neither in training nor in calibration; None for
        a monitor, which keeps its rows.
    cv : int, splitter or iterable, default=5
        Folds for "after", a partition of the rows; with an int, the rows are shuffled with a fixed
        seed.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.
    confidence_level : float, default=0.95
        Level of the intervals of the scores.
    n_resamples : int, default=99
        Bootstrap samples for the intervals of the calibration errors.
    random_state : int, RandomState instance or None, default=0
        Draws the bootstrap samples.

    Returns
    -------
    CalibrationReport
        ``print`` it, or show it in a notebook.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If y has a label that is not among its classes, or ``cv`` does not hold out each row
        exactly once.

    See Also
    --------
    skmergecal.report.CalibrationReport : What it returns.
    skmergecal.monitoring.CalibrationMonitor : Watches a deployed model, row after row.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skmergecal import calibration_report
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = GaussianNB().fit(X[::2], y[::2])
    >>> report = calibration_report(model, X[1::2], y[1::2], n_resamples=9)  # ``print`` it
    >>> report.before.verdict
    'over-confident'
    """
    check_level(confidence_level)
    resampling = {"n_resamples": n_resamples, "random_state": random_state}
    if hasattr(estimator, "window_rows"):
        _refuse_rows(X, y, sample_weight)
        return _of_monitor(estimator, cv, confidence_level=confidence_level, **resampling)
    freeze("estimator", estimator)  # it is checked before the rows are
    rows = FitRows.check(X, y, sample_weight)
    return _measure(estimator, rows, cv, confidence_level=confidence_level, **resampling)


def _refuse_rows(*given: Any) -> None:
    """Raise ValueError if rows come with a monitor, which has its own."""
    if any(values is not None for values in given):
        msg = (
            "a monitor is reported on the rows of its window: pass it without X, y and "
            "sample_weight, or pass the estimator that it monitors"
        )
        raise ValueError(msg)


def _of_monitor(monitor: Any, cv: Any, **settings: Any) -> CalibrationReport:
    """The report on the deployed model from what it predicted for the rows of the window."""
    log_proba, labels, weight = monitor.window_rows()
    exact, _, _ = monitor.window_rows(softened=False)
    known = TemperatureCalibrator(temperature=1.0, classes=monitor.classes_).fit(log_proba, labels)
    rows = FitRows.check(log_proba, labels, weight)
    report = _measure(known, rows, cv, exact=exact, **settings)
    deployed = monitor.estimator
    return report if deployed is None else replace(report, name=type(unfrozen(deployed)).__name__)


def _measure(
    estimator: Estimator, rows: FitRows, cv: Any, *, exact: Array | None = None, **settings: Any
) -> CalibrationReport:
    """The report; ``exact`` are log-probabilities where the estimator gives them softened."""
    estimators = [("estimator", freeze("estimator", estimator))]
    (member,), classes = frozen_members(estimators, Cache(None), rows.labels[rows.kept])
    codes = encode_labels(
        rows.labels[rows.kept], classes, remedy="Leave these rows out: they cannot be scored."
    )
    weight = np.ones(len(codes)) if rows.sample_weight is None else rows.sample_weight[rows.kept]
    own, before, after = _before_and_after(estimator, member, rows, codes, weight, cv)
    before = before if exact is None else (exact[rows.kept], before[1])
    assessed = [
        assess(log_proba, codes, weight, classes, logits=logits, **settings)
        for log_proba, logits in (before, after)
    ]
    losses = [row_scores(log_proba, codes)["log loss"] for log_proba, _ in (before, after)]
    finite = np.isfinite(losses[0])  # an infinite loss before makes the change -inf
    change = np.subtract(losses[1], losses[0], out=np.full(len(codes), -np.inf), where=finite)
    level = settings["confidence_level"]
    expected = getattr(fitted_last_step(estimator)[0], "loss_estimate_", None)
    expected = expected if isinstance(expected, LossEstimate) else None
    given = losses[0 if own is None else 1]  # of the probabilities that it gives
    return CalibrationReport(
        name=type(unfrozen(estimator)).__name__,
        classes=classes,
        n_samples=float(weight.sum()),
        before=assessed[0],
        after=assessed[1],
        own_temperature=own,
        change=mean_interval(change, weight, level),
        flags=tuple(find_flags(codes, weight, *before, classes, assessed[0], assessed[1])),
        confidence_level=level,
        expected=expected,
        surprise=math.nan if expected is None else expected.compare(given, weight),
        _y=codes,
        _proba={"before": np.exp(before[0]), "after": np.exp(after[0])},
        _weight=weight,
    )


#: Exact log-probabilities, and softened (finite) ones to fit a temperature to.
_Opinion = tuple[Array, Array]


def _before_and_after(
    estimator: Estimator,
    member: Member,
    rows: FitRows,
    codes: IntArray,
    weight: Array,
    cv: Any,
) -> tuple[float | None, _Opinion, _Opinion]:
    """The estimator's own temperature, and its log-probabilities without and with one."""
    final, _ = fitted_last_step(estimator)
    if not has_held_out(final):
        warn_of_names([(member.name, estimator)], rows.X)
    if has_held_out(final) or member.parts:  # its own, including those of exact zeros
        opinion = Opinion(estimator.predict_log_proba(rows.kept_X), logarithmic=True)
        exact = opinion.values
    else:
        opinion = member.opinion(rows.kept_X)
        exact = _log(opinion.proba())
    z = opinion.log_proba(opinion.softening(weight))
    own = float(getattr(final, "temperature_", 1.0)) if has_held_out(final) else 1.0
    if own != 1:
        unscaled = log_softmax(own * z)
        return own, (unscaled, unscaled), (exact, z)
    scaled = np.empty_like(z)
    for train, test in _splits(rows, len(codes), cv):
        part = z[train], codes[train], weight[train]
        temperature = minimise_temperature(*part, TEMPERATURE_ALPHA).temperature
        scaled[test] = log_softmax(z[test] / temperature)
    return None, (exact, z), (scaled, scaled)


def _log(p: Array) -> Array:
    return np.log(p, out=np.full(p.shape, -np.inf), where=p > 0)


def _splits(rows: FitRows, n_kept: int, cv: Any) -> Iterator[tuple[IntArray, IntArray]]:
    """Folds, as indices of the kept rows.

    A temperature is one number for all classes, so folds need not be stratified, and a class may
    be missing from a fold.
    """
    if isinstance(cv, Integral):
        yield from KFold(int(cv), shuffle=True, random_state=0).split(np.empty((n_kept, 1)))
        return
    place = np.full(rows.n_samples, -1)
    place[rows.kept] = np.arange(n_kept)
    found = [(place[train], place[test]) for train, test in rows.splits(cv, {})]
    held_out = np.bincount(np.concatenate([test for _, test in found]), minlength=n_kept)
    if (held_out != 1).any():
        msg = (
            f"cv={cv!r} should hold out each row exactly once; it leaves out "
            f"{int((held_out == 0).sum())} rows and repeats {int((held_out > 1).sum())}"
        )
        raise ValueError(msg)
    yield from found
