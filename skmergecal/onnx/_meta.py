"""scikit-learn's VotingClassifier and CalibratedClassifierCV, around members of any kind."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmergecal._typing import Estimator
from skmergecal.members import fitted_last_step, has_held_out
from skmergecal.onnx._answers import answer
from skmergecal.onnx._graph import Graph
from skmergecal.onnx._read import kind, knows, open_last_step, read_source, registers
from skmergecal.onnx._rows import InputRows

__all__: list[str] = []

#: What scikit-learn adds to probabilities before it takes the log of them for a temperature.
_ADDED = 1e-12


@registers("proba", lambda e: kind("VotingClassifier")(e) and e.voting == "soft")
def _voting(graph: Graph, voting: Estimator, rows: InputRows) -> str:
    parts = [answer(graph, estimator, rows).proba() for estimator in voting.estimators_]
    kept = [e != "drop" for _, e in voting.estimators]
    weights = np.ones(len(parts)) if voting.weights is None else np.array(voting.weights)[kept]
    scaled = [graph.scaled(p, w) for p, w in zip(parts, weights / weights.sum(), strict=True)]
    return graph.add("Sum", *scaled)


def _scores_are_known(calibrated: Estimator) -> bool:
    """Whether the scores that it calibrates can be read without skl2onnx."""
    if not kind("CalibratedClassifierCV")(calibrated):
        return False
    bases = [fitted_last_step(c.estimator)[0] for c in calibrated.calibrated_classifiers_]
    return all(
        not hasattr(base, "decision_function")
        or has_held_out(base)
        or knows(base, "decision_function")
        for base in bases
    )


@registers("proba", _scores_are_known)
def _calibrated(graph: Graph, calibrated: Estimator, rows: InputRows) -> str:
    parts = [_one_calibrated(graph, part, rows) for part in calibrated.calibrated_classifiers_]
    return graph.scaled(graph.add("Sum", *parts), 1 / len(parts))


def _one_calibrated(graph: Graph, part: Any, rows: InputRows) -> str:
    scores, binary = _scores(graph, part.estimator, rows)
    if part.method == "temperature":
        if not hasattr(part.estimator, "decision_function"):
            scores = graph.add("Log", graph.shifted(scores, _ADDED))
        slope = float(part.calibrators[0].beta_)
        return graph.softmax(graph.scaled(scores, slope))
    columns = [
        _calibrate(graph, graph.column(scores, place + binary), calibrator)
        for place, calibrator in enumerate(part.calibrators)
    ]
    if binary:
        return graph.matmul(columns[0], np.array([[-1.0, 1.0]]), np.array([1.0, 0.0]))
    p = graph.add("Concat", *columns, axis=1)
    if not np.array_equal(part.estimator.classes_, part.classes):
        msg = "a fold of its cross-validation lacks a class"
        raise TypeError(msg)
    none = graph.add("Equal", graph.total(p), np.float64(0))
    p = graph.add("Where", none, np.float64(1), p)
    return graph.normalised(p)


def _scores(graph: Graph, base: Estimator, rows: InputRows) -> tuple[str, bool]:
    """What is calibrated, and whether it is the second of two columns."""
    binary = len(base.classes_) == 2
    if not hasattr(base, "decision_function"):
        return answer(graph, base, rows).proba(), binary
    final, rows = open_last_step(graph, base, rows)
    source = "log_proba" if has_held_out(final) else "decision_function"
    z = read_source(graph, final, source, rows)
    if binary:  # the margin, and its negative
        z = graph.matmul(z, np.array([[1.0, -1.0], [-1.0, 1.0]]))
    return z, binary


def _calibrate(graph: Graph, x: str, calibrator: Any) -> str:
    if hasattr(calibrator, "a_"):
        return graph.add("Sigmoid", graph.matmul(x, [[-calibrator.a_]], [-calibrator.b_]))
    # Isotonic: what each piece between two points adds.
    at = np.asarray(calibrator.X_thresholds_, dtype=np.float64)
    values = np.asarray(calibrator.y_thresholds_, dtype=np.float64)
    if len(at) == 1:
        return graph.matmul(x, [[0.0]], values)
    part = graph.add("Div", graph.add("Sub", x, at[:-1]), np.diff(at))
    part = graph.add("Clip", part, np.float64(0), np.float64(1))
    return graph.matmul(part, np.diff(values)[:, None], values[:1])
