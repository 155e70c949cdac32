"""CalibrationReport: the result of calibration_report, as text and as HTML."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skmergecal._typing import Array, IntArray
from skmergecal.display import ReliabilityDisplay
from skmergecal.merging import LossEstimate
from skmergecal.report._assessment import Assessment, Interval

__all__ = ["CalibrationReport", "as_html", "as_text"]


@dataclass(frozen=True)
class CalibrationReport:
    """Scores before and after calibration; ``print`` it, or show it in a notebook.

    "Before" refers to the estimator's probabilities, "after" to those with a temperature that is
    cross-fitted: for each row, it is fitted on the other folds. An estimator that applies a
    temperature of its own (`TemperatureCalibrator`, a `MergedClassifier` whose ``temperature_`` is
    not 1, a Pipeline that ends in one) is assessed as it is: "after" are its probabilities,
    "before" are what they would be with a temperature of 1.

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
        Mean over rows of log loss after minus log loss before; negative if calibration helped.
    flags : tuple of str
        Sentences about what makes these numbers unreliable.
    confidence_level : float
        Level of all intervals except those of the temperatures, which are 95 % intervals.
    expected : LossEstimate or None
        ``loss_estimate_`` of a `MergedClassifier`: the log loss that its own rows led to expect,
        of the probabilities that it gives. None for other classifiers.
    surprise : float
        Log loss of those probabilities on these rows minus the expected one, over the standard
        error of the difference: about standard normal if these rows are like those of ``fit``.
        NaN where nothing was expected.

    See Also
    --------
    skmergecal.calibration_report : Makes one.
    skmergecal.ReliabilityDisplay : Draws the gap.

    Notes
    -----
    Intervals of log loss, Brier score, accuracy and mean probabilities use the normal
    approximation. Those of calibration errors are basic bootstrap intervals
    (`skmergecal.metrics.calibration_test`): sampling noise biases these errors upwards, and the
    interval, which corrects for that, mostly lies below the value, which it holds. Those of
    temperatures come from the profile likelihood, of softened log-probabilities if a classifier
    gives zeros. Rows are assumed to be independent: with groups or time series, intervals are too
    narrow. Verdicts do not depend on ``confidence_level``.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skmergecal import calibration_report
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = GaussianNB().fit(X[::2], y[::2])
    >>> report = calibration_report(model, X[1::2], y[1::2], n_resamples=9)
    >>> report.n_samples, report.verdict
    (284.0, 'over-confident')
    >>> print(report.change)  # of the log loss, by a temperature
    -0.4691 (-0.7698 to -0.1684)
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
    expected: LossEstimate | None = field(repr=False)
    surprise: float
    _y: IntArray = field(repr=False)
    _proba: dict[str, Array] = field(repr=False)
    _weight: Array = field(repr=False)

    @property
    def verdict(self) -> str:
        """Whether the probabilities before calibration are over- or under-confident, in words."""
        return self.before.verdict

    def as_dict(self) -> dict[str, Any]:
        """All values as a dict of types that ``json`` can serialise.

        Returns
        -------
        dict
            By the names of the attributes.
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
            "expected": None if self.expected is None else self.expected.as_dict(),
            "surprise": self.surprise,
        }

    def __str__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


#: With more classes, only the mean probabilities that miss a share are in the table.
_MOST_CLASSES = 10
_CELL = "padding:2px 10px;text-align:left"


def _how(report: CalibrationReport) -> str:
    if report.own_temperature is None:
        return "After: one temperature, fitted on the other folds of these rows."
    return (
        f"After: the estimator as it is, with its own temperature {report.own_temperature:.4g}. "
        "Before: without it."
    )


def _rows(report: CalibrationReport) -> list[tuple[str, str, str]]:
    before, after = report.before, report.after
    rows = [(name, str(score), str(after.scores[name])) for name, score in before.scores.items()]
    share = np.bincount(report._y, report._weight, len(report.classes)) / report.n_samples
    few = len(report.classes) <= _MOST_CLASSES
    for label, part in zip(report.classes.tolist(), share, strict=True):
        if few or label in before.missed or label in after.missed:
            name = f"mean probability of {label} (share {part:.4g})"
            rows.append((name, str(before.mean_proba[label]), str(after.mean_proba[label])))
    rows.append(("best temperature", str(before.temperature), str(after.temperature)))
    rows.append(("p-value of calibration", f"{before.p_value:.4g}", f"{after.p_value:.4g}"))
    return rows


def _expected(report: CalibrationReport) -> list[str]:
    if report.expected is None:
        return []
    return [
        f"Expected from the rows of fit: {report.expected.summary}. These rows differ from that by "
        f"z = {report.surprise:.2g}; beyond 2 or -2 they are hardly like those."
    ]


def _sentences(report: CalibrationReport) -> list[str]:
    return [
        f"{report.name} on {report.n_samples:.6g} rows of {len(report.classes)} classes",
        f"Before: {report.before.verdict}. After: {report.after.verdict}.",
        f"Change of the log loss: {report.change}.",
        _how(report),
        *_expected(report),
        f"In brackets: {100 * report.confidence_level:.4g} % intervals; of temperatures 95 %. "
        "Those of calibration errors are corrected for the bias due to sampling noise.",
    ]


def as_text(report: CalibrationReport) -> str:
    """The report as text: a heading, a table of scores, and notes on it."""
    title, *sentences = _sentences(report)
    table = [("", "before", "after"), *_rows(report)]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    flags = [f"! {flag}" for flag in report.flags]
    return "\n".join([title, "", *lines, "", *sentences, *flags])


def as_html(report: CalibrationReport) -> str:
    """The report as HTML, with the reliability diagram if matplotlib is installed."""
    title, *sentences = (html.escape(sentence) for sentence in _sentences(report))
    head = "".join(f'<th style="{_CELL}">{name}</th>' for name in ("", "before", "after"))
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{html.escape(cell)}</td>' for cell in row) + "</tr>"
        for row in _rows(report)
    )
    notes = "".join(f"<p>{sentence}</p>" for sentence in sentences)
    flags = "".join(f"<li>{html.escape(flag)}</li>" for flag in report.flags)
    return (
        f"<div><h4>{title}</h4><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"{notes}{f'<ul>{flags}</ul>' if flags else ''}{_picture(report)}</div>"
    )


def _picture(report: CalibrationReport) -> str:
    """The reliability diagram as an ``img`` element; empty without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return ""
    figure = Figure(figsize=(7.5, 5.0), layout="constrained")
    ReliabilityDisplay.from_predictions(
        report._y,
        report._proba,
        classes=range(len(report.classes)),
        sample_weight=report._weight,
        ax=figure.subplots(),
    )
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    encoded = base64.b64encode(drawn.getvalue()).decode("ascii")
    alt = "Reliability diagram before and after calibration"
    return f'<img alt="{alt}" src="data:image/png;base64,{encoded}" style="max-width:100%">'
