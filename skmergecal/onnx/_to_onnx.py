"""to_onnx: an ONNX model of a classifier, tried on rows before it is handed out."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from skmergecal._compat import Interval
from skmergecal._typing import Estimator
from skmergecal._validation import check_parameters
from skmergecal.onnx._answers import answer, label_of
from skmergecal.onnx._gate import Answers, check_answers, run_model
from skmergecal.onnx._graph import ML, Graph, GraphTensor, need
from skmergecal.onnx._read import named
from skmergecal.onnx._register import register
from skmergecal.onnx._rows import InputRows, inputs_of

__all__ = ["to_onnx"]

_OPSET, _ML_OPSET, _LEAST = 18, 3, 13


@check_parameters(tolerance=[Interval(Real, 0, None, closed="neither")])
def to_onnx(model: Estimator, X: Any, *, tolerance: float = 1e-5, target_opset: Any = None) -> Any:
    """Convert a fitted classifier to ONNX, and try the result on rows.

    onnxruntime runs the ONNX model on X, and its answers have to be those of ``predict_proba`` and
    ``predict``: what a converter gets wrong is found here, not in production.

    Parameters
    ----------
    model : classifier
        Fitted: a `MergedClassifier`, `TemperatureCalibrator` or `FineTunedClassifier`, a Pipeline
        that has one of them as a step, or another classifier that skl2onnx knows.
    X : array-like or DataFrame of shape (n_samples, n_features)
        Rows like those that will be predicted, with the same types: some hundred, with rare
        categories and missing values among them. An array makes one input, ``X``; a DataFrame one
        for each column, of its name and with shape (n_samples, 1). Missing text is the empty
        string.
    tolerance : float, default=1e-5
        How far a probability may be from that of ``predict_proba``.
    target_opset : int or dict of str to int, default=None
        Version of the ONNX operators, at least 13, or versions by domain. None: 18, and 3 of
        ``"ai.onnx.ml"``.

    Returns
    -------
    onnx.ModelProto
        With the outputs ``label``, of shape (n_samples,), and ``probabilities``, of shape
        (n_samples, n_classes), in double precision and in the order of ``classes_``.
        ``SerializeToString()`` gives the bytes of the file.

    Raises
    ------
    ConversionError
        If a member cannot be converted, or probabilities differ; the message names the member.
    TypeError
        If the model has no ``predict_proba``; if X is sparse or a Dask collection, or has columns
        of dates.

    See Also
    --------
    skmergecal.onnx.register : For ``skl2onnx.to_onnx`` and models around ours.
    skmergecal.persistence.save : A file from which the model itself can be read.

    Notes
    -----
    ONNX is for latency. One row takes a small part of the time that it takes here; thousands of
    rows at once may take longer. Members of scikit-learn's own linear models, discriminant
    analyses, naive Bayes, networks, trees, forests and boosting, of LightGBM and XGBoost, and nets
    of skorch are written as graphs of their own; others go through skl2onnx.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skmergecal import MergedClassifier
    >>> from skmergecal.onnx import to_onnx
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> members = [("linear", LinearDiscriminantAnalysis()), ("bayes", GaussianNB())]
    >>> model = MergedClassifier(members, method="logits").fit(X, y)
    >>> import onnxruntime
    >>> session = onnxruntime.InferenceSession(to_onnx(model, X).SerializeToString())
    >>> label, probabilities = session.run(None, {"X": X[:3]})
    >>> bool(abs(probabilities - model.predict_proba(X[:3])).max() < 1e-6)
    True
    """
    for module in ("onnx", "skl2onnx", "onnxruntime"):
        need(module)
    opsets = _opsets(target_opset)
    _refuse_without_probabilities(model)
    inputs = inputs_of(X)
    expected = Answers(np.asarray(model.predict(X)), np.asarray(model.predict_proba(X)))
    register()
    graph = Graph.empty(opsets, [i.name for i in inputs])
    tensors = [GraphTensor(i.name, i.kind, i.values.shape[1], i.values.shape[2:]) for i in inputs]
    names = [i.name for i in inputs] if hasattr(X, "columns") else None
    rows = InputRows(tensors, names, lambda: X)
    with named(graph, "", model):
        answered = answer(graph, model, rows)
        label, classes = label_of(graph, model, answered.scores)
        outputs = {"label": label, "probabilities": answered.proba()}
    converted = graph.model(rows.value_infos(), outputs, len(classes))
    found = Answers(*run_model(converted, inputs))
    if found.labels.dtype.kind == "O":
        expected = expected._replace(labels=expected.labels.astype(str).astype(object))
    check_answers(graph, rows, inputs, (expected, found), tolerance)
    return converted


def _refuse_without_probabilities(model: Any) -> None:
    if isinstance(model, type) or not hasattr(model, "predict_proba"):
        what = f"the class {model.__name__}" if isinstance(model, type) else repr(model)[:80]
        msg = (
            f"model should be a fitted classifier with predict_proba; got {what}: regressors and "
            "clusters have no ONNX form here, and TemperatureCalibrator(FrozenEstimator(model)) "
            "gives probabilities to a classifier with decision_function"
        )
        raise TypeError(msg)


def _opsets(target: Any) -> dict[str, int]:
    """Versions of operators by domain."""
    if not isinstance(target, dict):
        target = {"": _OPSET if target is None else target}
    opsets = {"": _OPSET, ML: _ML_OPSET, **target}
    if not isinstance(opsets[""], int) or opsets[""] < _LEAST:
        msg = (
            f"target_opset should be {_LEAST} or more, or a dict of versions by domain; "
            f"got {target!r}"
        )
        raise ValueError(msg)
    return opsets
