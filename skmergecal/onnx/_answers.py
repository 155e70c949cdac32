"""Labels and probabilities of classifiers inside a graph, this package's own among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from skmergecal._typing import Estimator
from skmergecal.boosters import EarlyStopped
from skmergecal.calibration import (
    ClassShift,
    TemperatureCalibrator,
    calibrated_member,
    shifted_member,
)
from skmergecal.members import (
    READERS,
    FoldAverage,
    PredictionColumn,
    as_member,
    choose_reader,
    classes_of,
    has_held_out,
)
from skmergecal.merging import MergedClassifier, fitted_merge
from skmergecal.onnx._graph import Graph, need
from skmergecal.onnx._pools import (
    member_scores,
    merged_proba,
    merged_scaled,
    merged_scores,
    read_member,
)
from skmergecal.onnx._read import open_last_step, read_source, registers
from skmergecal.onnx._rows import InputRows
from skmergecal.tuning import (
    DistilledClassifier,
    FineTunedClassifier,
    student_member,
    tuned_member,
)

__all__ = ["Answer", "answer", "label_of"]


class Answer(NamedTuple):
    """What a classifier gives for rows: names of tensors, or functions that add them.

    Attributes
    ----------
    scores : str
        The largest one is the prediction.
    scaled : callable
        Logits after the temperature.
    proba : callable
        Probabilities.
    """

    scores: str
    scaled: Callable[[], str]
    proba: Callable[[], str]


def answer(graph: Graph, estimator: Estimator, rows: InputRows) -> Answer:
    """The answer of any fitted classifier."""
    final, rows = open_last_step(graph, estimator, rows)
    if has_held_out(final):
        return _own(graph, final, rows)
    source = "proba"
    if not isinstance(final, FoldAverage):
        source = choose_reader("model", final)
    if READERS[source].logarithmic and hasattr(final, "predict_proba"):
        raw = read_source(graph, final, source, rows)
        return _of_logits(graph, raw, given=True)  # those of its decision_function
    proba = read_source(graph, final, "proba", rows)
    return Answer(proba, lambda: graph.add("Log", proba), lambda: proba)


def label_of(graph: Graph, estimator: Estimator, scores: str) -> tuple[str, np.ndarray]:
    """The labels of the largest scores; and all labels, of a type that the format has."""
    classes = classes_of("model", estimator)
    if classes.dtype.kind in "iu":
        classes = classes.astype(np.int64)
    elif classes.dtype.kind not in "fb":
        classes = np.array([str(label) for label in classes.tolist()], dtype=object)
    graph.label_kind = need("onnx.helper").np_dtype_to_tensor_dtype(classes.dtype)
    best = graph.add("ArgMax", scores, axis=1, keepdims=0)
    return graph.add("Gather", classes, best, axis=0), classes


def _of_logits(graph: Graph, z: str, temperature: float = 1.0, *, given: bool = False) -> Answer:
    """The answer of logits; ``given`` ones are not normalised."""

    def scaled() -> str:
        return graph.over_temperature(z if given else graph.log_softmax(z), temperature)

    return Answer(z, scaled, lambda: graph.softmax(graph.over_temperature(z, temperature)))


def _own(graph: Graph, model: Estimator, rows: InputRows) -> Answer:
    if isinstance(model, MergedClassifier):
        merge = fitted_merge(model)
        scores = merged_scores(graph, merge, rows)
        return Answer(
            scores,
            lambda: merged_scaled(graph, merge, scores),
            lambda: merged_proba(graph, merge, scores),
        )
    if isinstance(model, TemperatureCalibrator):
        member = calibrated_member(model)
        if member is not None:
            return _of_logits(graph, member_scores(graph, member, rows), model.temperature_)
        return _of_logits(graph, _given_logits(graph, rows), model.temperature_, given=True)
    if isinstance(model, ClassShift):
        member = shifted_member(model)
        if member is None:
            z = _given_logits(graph, rows)
        else:
            z = graph.log_softmax(member_scores(graph, member, rows))
        return _of_logits(graph, graph.shifted(z, model.shift_), given=True)
    if isinstance(model, FineTunedClassifier):
        return _of_logits(graph, member_scores(graph, tuned_member(model), rows))
    if isinstance(model, DistilledClassifier):
        return _of_logits(graph, member_scores(graph, student_member(model), rows))
    msg = "this class of skmergecal has no ONNX form"
    raise TypeError(msg)


def _given_logits(graph: Graph, rows: InputRows) -> str:
    """Logits that X has; a column, d, means (0, d)."""
    given = rows.matrix(graph)
    if given.width == 1:
        return graph.matmul(given.name, np.array([[0.0, 1.0]]))
    return given.name


@registers("log_proba", has_held_out)
def _own_logits(graph: Graph, model: Estimator, rows: InputRows) -> str:
    return _own(graph, model, rows).scaled()


@registers("proba", has_held_out)
def _own_proba(graph: Graph, model: Estimator, rows: InputRows) -> str:
    return _own(graph, model, rows).proba()


@registers("proba", lambda model: isinstance(model, EarlyStopped))
def _early_stopped(graph: Graph, model: EarlyStopped, rows: InputRows) -> str:
    return read_source(graph, model.estimator_, "proba", rows)


@registers("proba", lambda model: isinstance(model, FoldAverage))
def _average(graph: Graph, average: FoldAverage, rows: InputRows) -> str:
    member = as_member(average)
    if average.average == "probabilities":
        return read_member(graph, member, rows).proba()
    return graph.softmax(member_scores(graph, member, rows))


@registers("log_proba", lambda model: isinstance(model, PredictionColumn))
@registers("proba", lambda model: isinstance(model, PredictionColumn))
def _stored(graph: Graph, model: PredictionColumn, rows: InputRows) -> str:
    msg = "its predictions are stored, and there is no model to convert"
    raise TypeError(msg)
