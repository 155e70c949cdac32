"""A calibration report as text and as HTML."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

from skmergecal.display import ReliabilityDisplay

if TYPE_CHECKING:
    from skmergecal.report._calibration import CalibrationReport

__all__ = ["as_html", "as_text"]

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
    rows.append(("temperature wanted", str(before.temperature), str(after.temperature)))
    tests = (f"{side.p_value:.4g}" for side in (before, after))
    rows.append(("p-value of calibration", *tests))  # type: ignore[arg-type]
    return rows


def _sentences(report: CalibrationReport) -> list[str]:
    return [
        f"{report.name} on {report.n_samples:.6g} rows of {len(report.classes)} classes",
        f"Before: {report.before.verdict}. After: {report.after.verdict}.",
        f"Change of the log loss: {report.change}.",
        _how(report),
        f"In brackets: {100 * report.confidence_level:.4g} % intervals; of temperatures 95 %. "
        "Those of calibration errors leave out what noise adds to the errors.",
    ]


def as_text(report: CalibrationReport) -> str:
    """A table between a heading and what to know of it."""
    title, verdict, change, how, brackets = _sentences(report)
    table = [("", "before", "after"), *_rows(report)]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    flags = [f"! {flag}" for flag in report.flags]
    return "\n".join([title, "", *lines, "", verdict, change, how, brackets, *flags])


def as_html(report: CalibrationReport) -> str:
    """The same with the reliability diagram, if matplotlib is installed."""
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
    """The reliability diagram inside an ``img``; nothing without matplotlib."""
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
