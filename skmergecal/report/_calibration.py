"""Whether a classifier is calibrated, and what a temperature would change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import KFold
from sklearn.utils.validation import check_is_fitted

from skmergecal._numerics import log_softmax
from skmergecal._temperature import minimise_temperature
from skmergecal._typing import Array, Estimator, IntArray
from skmergecal._validation import encode_labels
from skmergecal.members import Cache, Member, Rows, freeze, frozen_members, has_held_out, inside
from skmergecal.members._sources import transform_to_final
from skmergecal.metrics._checks import check_level
from skmergecal.report._assessment import Assessment, Interval, assess, mean_interval, row_scores
from skmergecal.report._flags import find_flags
from skmergecal.report._text import as_html, as_text

__all__ = ["CalibrationReport", "calibration_report"]


@dataclass(frozen=True)
class CalibrationReport:
    """Scores before and after calibration; ``print`` it, or show it in a notebook.

    "Before" are the estimator's own probabilities. "After" are those of a temperature fitted on
    other folds of the rows, so that no row is measured with a temperature that it helped to fit.
    An estimator that applies a temperature of its own (`TemperatureCalibrator`, a
    `MergedClassifier` whose ``temperature_`` is not 1, a Pipeline that ends in one) is measured
    as it is: "after" are its probabilities, "before" what they would be with a temperature of 1.

    Attributes
    ----------
    name : str
        Class of the estimator.
    classes : ndarray of shape (n_classes,)
    n_samples : float
        Number of rows, or total of their weights.
    before, after : Assessment
    own_temperature : float or None
        The temperature that the estimator itself applies; None if it has none, in which case
        "after" is cross-fitted.
    change : Interval
        Log loss after minus log loss before, row by row: below 0 where calibration helped.
    flags : tuple of str
        What makes these numbers doubtful, in sentences.
    confidence_level : float
        Of all intervals but those of the temperatures, which are 95 % ones.

    Notes
    -----
    Intervals of log loss, Brier score and accuracy are normal ones. Those of calibration errors
    are basic bootstrap intervals (`skmergecal.metrics.calibration_test`): noise makes such an
    error too large, and the interval, which corrects for that, may lie below it. Those of
    temperatures come from the profile likelihood, of softened log-probabilities where a classifier
    gives zeros. Rows count as independent: with groups or series, intervals are too narrow.
    """

    name: str
    classes: np.ndarray
    n_samples: float
    before: Assessment
    after: Assessment
    own_temperature: float | None
    change: Interval
    flags: tuple[str, ...]
    confidence_level: float
    _y: IntArray = field(repr=False)
    _proba: dict[str, Array] = field(repr=False)
    _weight: Array = field(repr=False)

    @property
    def verdict(self) -> str:
        """What the probabilities are before calibration, in words."""
        return self.before.verdict

    def as_dict(self) -> dict[str, Any]:
        """All numbers and words, in types that ``json`` knows.

        Returns
        -------
        dict
        """
        return {
            "name": self.name,
            "classes": self.classes.tolist(),
            "n_samples": self.n_samples,
            "before": self.before.as_dict(),
            "after": self.after.as_dict(),
            "own_temperature": self.own_temperature,
            "change": self.change._asdict(),
            "flags": list(self.flags),
            "confidence_level": self.confidence_level,
        }

    def __str__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


def calibration_report(
    estimator: Estimator,
    X: Any,
    y: Any,
    *,
    cv: Any = 5,
    sample_weight: Any = None,
    confidence_level: float = 0.95,
    n_resamples: int = 99,
    random_state: Any = 0,
) -> CalibrationReport:
    """Report whether a classifier is calibrated, and what a temperature changes.

    `~skmergecal.report.CalibrationReport` says what "before" and "after" are.

    Parameters
    ----------
    estimator : classifier
        Fitted; it is not changed.
    X, y : array-like
        Rows **that the estimator has not seen**, neither in training nor in calibration.
    cv : int, splitter or iterable, default=5
        Folds for "after", a partition; a number shuffles the rows, always in the same way.
    sample_weight : array-like of shape (n_samples,), default=None
        Frequency weights.
    confidence_level : float, default=0.95
        Of the intervals of the scores.
    n_resamples : int, default=99
        Bootstrap samples for the intervals of the calibration errors.
    random_state : int, RandomState instance or None, default=0
        Draws them.

    Returns
    -------
    CalibrationReport

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If it does not know a label of y, or ``cv`` does not hold out each row exactly once.

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
    check_is_fitted(estimator)
    rows = Rows.check(X, y, sample_weight)
    resampling = {"n_resamples": n_resamples, "random_state": random_state}
    return _measure(estimator, rows, cv, confidence_level=confidence_level, **resampling)


def _measure(estimator: Estimator, rows: Rows, cv: Any, **settings: Any) -> CalibrationReport:
    (member,), classes = frozen_members([("estimator", freeze(estimator))], Cache(None))
    codes = encode_labels(
        rows.labels[rows.kept], classes, remedy="Leave these rows out: nothing can be said of them."
    )
    weight = np.ones(len(codes)) if rows.sample_weight is None else rows.sample_weight[rows.kept]
    own, before, after = _before_and_after(estimator, member, rows, codes, weight, cv)
    assessed = [
        assess(log_proba, codes, weight, logits=logits, **settings)
        for log_proba, logits in (before, after)
    ]
    losses = [row_scores(log_proba, codes)["log loss"] for log_proba, _ in (before, after)]
    finite = np.isfinite(losses[0])  # where it is not, calibrating gains without bound
    change = np.subtract(losses[1], losses[0], out=np.full(len(codes), -np.inf), where=finite)
    level = settings["confidence_level"]
    rejected = assessed[1].p_value < 1 - level
    return CalibrationReport(
        name=type(inside(estimator)).__name__,
        classes=classes,
        n_samples=float(weight.sum()),
        before=assessed[0],
        after=assessed[1],
        own_temperature=own,
        change=mean_interval(change, weight, level),
        flags=tuple(find_flags(codes, weight, *before, classes, rejected=rejected)),
        confidence_level=level,
        _y=codes,
        _proba={"before": np.exp(before[0]), "after": np.exp(after[0])},
        _weight=weight,
    )


#: Log-probabilities as they are, and finite ones to fit a temperature to.
_Opinion = tuple[Array, Array]


def _before_and_after(
    estimator: Estimator,
    member: Member,
    rows: Rows,
    codes: IntArray,
    weight: Array,
    cv: Any,
) -> tuple[float | None, _Opinion, _Opinion]:
    """The estimator's own temperature, and its opinions without and with one."""
    opinion = member.align(member.read(rows.kept_X))
    softening = 1 / (float(weight.sum()) + 1) if opinion.has_zeros else 0.0
    z = opinion.log_proba(softening)
    final, _ = transform_to_final(estimator)
    exact = _log(opinion.proba())
    if has_held_out(final):  # its log-probabilities, zeros included, in the columns of the classes
        exact = member.align(estimator.predict_log_proba(rows.kept_X)).values
        if final.temperature_ != 1:
            unscaled = log_softmax(final.temperature_ * z)
            return float(final.temperature_), (unscaled, unscaled), (exact, z)
    scaled = np.empty_like(z)
    for train, test in _splits(rows, len(codes), cv):
        temperature = minimise_temperature(z[train], codes[train], weight[train]).temperature
        scaled[test] = log_softmax(z[test] / temperature)
    return None, (exact, z), (scaled, scaled)


def _log(p: Array) -> Array:
    return np.log(p, out=np.full(p.shape, -np.inf), where=p > 0)


def _splits(rows: Rows, n_kept: int, cv: Any) -> Iterator[tuple[IntArray, IntArray]]:
    """Folds as numbers of the rows that count.

    A temperature is one number for all classes, so that folds need not be stratified, and rare
    classes are no obstacle.
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
