"""The gate: an ONNX model runs on rows, and has to give what the classifier gives."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skmergecal._numerics import softmax
from skmergecal._typing import Array
from skmergecal.exceptions import ConversionError
from skmergecal.members import READERS
from skmergecal.onnx._graph import Graph, Probe, load_model
from skmergecal.onnx._rows import Input, InputRows

__all__ = ["Answers", "check_answers", "run_model"]

_REMEDY = "pass a larger tolerance= if that is good enough, or leave {which} out of the merge"


class Answers(NamedTuple):
    """Labels and probabilities of some rows."""

    labels: np.ndarray
    proba: Array


def run_model(model: Any, inputs: list[Input]) -> list[np.ndarray]:
    """The outputs of an ONNX model for the rows of its inputs."""
    try:
        session = load_model(model)
        return list(session.run(None, {i.name: i.values for i in inputs}))
    except Exception as error:
        msg = (
            f"onnxruntime cannot run the ONNX model: {str(error).strip()} If it is too old for "
            "these versions of operators, pass an older target_opset="
        )
        raise ConversionError(msg) from error


def check_answers(
    graph: Graph,
    rows: InputRows,
    inputs: list[Input],
    pair: tuple[Answers, Answers],
    tolerance: float,
) -> None:
    """Compare what the classifier and the ONNX model give.

    Labels may differ where their probabilities differ by less than twice the tolerance.

    Raises
    ------
    ConversionError
        If they differ by more; the message names the member that differs most.
    """
    expected, found = pair
    row, away = _largest(found.proba, expected.proba)
    if away <= tolerance:
        other = found.labels != expected.labels
        top = np.sort(expected.proba, axis=1)
        clear = top[:, -1] - top[:, -2:][:, 0] > 2 * tolerance
        if not (other & clear).any():
            return
        row, away = int(np.flatnonzero(other & clear)[0]), np.nan
    who, what = _worst(graph, rows, inputs, tolerance)
    differ = "labels" if np.isnan(away) else f"probabilities, by up to {away:.2g},"
    msg = (
        f"the ONNX model gives other {differ} than the classifier (first or most in row {row} of "
        f"X; tolerance={tolerance:g}): {what}; {_REMEDY.format(which=who)}"
    )
    raise ConversionError(msg)


def _largest(found: Array, expected: Array) -> tuple[int, float]:
    """The row with the largest difference, and the difference; infinite for NaN."""
    if found.shape != expected.shape:
        return 0, np.inf
    away = np.abs(found - expected).max(axis=1, initial=0.0)
    away = np.where(np.isnan(away), np.inf, away)
    return int(away.argmax()), float(away.max())


def _worst(graph: Graph, rows: InputRows, inputs: list[Input], tolerance: float) -> tuple[str, str]:
    """Who differs most, and a sentence on that: a member, or the members together."""
    probes: list[Probe] = [probe for probe in graph.probes if probe.rows.X is not None]
    if probes:
        outputs = {f"probe {n}": probe.tensor for n, probe in enumerate(probes)}
        model = graph.model(rows.value_infos(), outputs)
        found = run_model(model, inputs)
        errors = [_error(probe, raw) for probe, raw in zip(probes, found, strict=True)]
        # What is inside another member comes before it: the error begins there.
        beyond = [n for n, error in enumerate(errors) if error > tolerance]
        inner = [n for n in beyond if not any(_inside(probes[m], probes[n]) for m in beyond)]
        if inner:
            worst = max(inner, key=lambda n: errors[n])
            who = f"estimator {probes[worst].path!r}"
            kind = probes[worst].kind
            return repr(probes[worst].path), f"{who} ({kind}) differs by {errors[worst]:.2g}"
    if not probes:
        return "what differs", "what skl2onnx makes of it differs"
    return "a member", "none of its members differs by more than the tolerance alone"


def _inside(probe: Probe, other: Probe) -> bool:
    return probe.path.startswith(other.path + "/")


def _error(probe: Probe, raw: np.ndarray) -> float:
    member = probe.member
    expected = member.read(probe.rows.X())
    if READERS[member.source].logarithmic:
        raw, expected = softmax(raw), softmax(expected)
    return _largest(raw, expected)[1]
