"""Linear models, discriminant analysis, naive Bayes and MLPClassifier: logits in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmergecal._numerics import SMALLEST
from skmergecal._typing import Estimator
from skmergecal.onnx._graph import DOUBLE, INT64, Graph
from skmergecal.onnx._read import kind, registers
from skmergecal.onnx._rows import InputRows

__all__: list[str] = []


def _is_linear(estimator: Estimator) -> bool:
    """Whether the decision function is linear, as in scikit-learn's linear classifiers and LDA."""
    return kind("LinearClassifierMixin")(estimator) and hasattr(estimator, "coef_")


def _affine(graph: Graph, x: str, weights: Any, bias: Any) -> str:
    """Logits of weights (n_features, n_outputs); of one output, d, they are (0, d)."""
    weights = np.asarray(weights, dtype=np.float64)
    bias = np.broadcast_to(np.asarray(bias, dtype=np.float64), weights.shape[1:])
    if weights.shape[1] == 1:
        weights = np.hstack([np.zeros_like(weights), weights])
        bias = np.array([0.0, bias[0]])
    return graph.matmul(x, weights, bias)


@registers("decision_function", _is_linear)
def _linear(graph: Graph, estimator: Estimator, rows: InputRows) -> str:
    # LDA among them, whose probabilities skl2onnx 1.20 converts wrongly for two classes.
    x = rows.matrix(graph).name
    return _affine(graph, x, np.atleast_2d(estimator.coef_).T, estimator.intercept_)


@registers("proba", lambda estimator: _is_linear(estimator) and _softmax_of_scores(estimator))
def _linear_proba(graph: Graph, estimator: Estimator, rows: InputRows) -> str:
    return graph.softmax(_linear(graph, estimator, rows))


def _softmax_of_scores(estimator: Estimator) -> bool:
    """Whether probabilities are the softmax of scores, where the model is not read as logits."""
    if kind("LinearDiscriminantAnalysis")(estimator):
        return True
    if len(estimator.classes_) == 2:
        return kind("LogisticRegression")(estimator) or _is_log_loss(estimator)
    return kind("LogisticRegression")(estimator) and estimator.solver != "liblinear"


def _is_log_loss(estimator: Estimator) -> bool:
    return kind("SGDClassifier")(estimator) and estimator.loss == "log_loss"


@registers("decision_function", kind("QuadraticDiscriminantAnalysis"))
def _quadratic(graph: Graph, estimator: Estimator, rows: InputRows) -> str:
    x, columns = rows.matrix(graph).name, []
    parts = (estimator.means_, estimator.rotations_, estimator.scalings_, estimator.priors_)
    for mean, rotation, scaling, prior in zip(*parts, strict=True):
        away = graph.matmul(graph.shifted(x, -np.asarray(mean)), rotation * scaling**-0.5)
        distance = graph.total(graph.add("Mul", away, away))
        own = np.log(prior) - np.log(scaling).sum() / 2
        columns.append(graph.shifted(graph.scaled(distance, -0.5), own))
    return graph.add("Concat", *columns, axis=1)


_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}


@registers("network", lambda estimator: True)
def _network(graph: Graph, estimator: Estimator, rows: InputRows) -> str:
    x = rows.matrix(graph).name
    *hidden, last = zip(estimator.coefs_, estimator.intercepts_, strict=True)
    for weights, bias in hidden:
        x = graph.matmul(x, weights, bias)
        if estimator.activation != "identity":
            x = graph.add(_ACTIVATIONS[estimator.activation], x)
    if len(estimator.classes_) == 1:
        return graph.matmul(x, np.zeros_like(last[0][:, :1]), np.zeros(1))
    return _affine(graph, x, *last)


@registers("proba", kind("MLPClassifier"))
def _network_proba(graph: Graph, estimator: Estimator, rows: InputRows) -> str:
    return graph.softmax(_network(graph, estimator, rows))


def _floored(graph: Graph, joint: str) -> str:
    """Joint log-probabilities, normalised, down to the log of the smallest positive float."""
    return graph.add("Max", graph.log_softmax(joint), np.log(np.float64(SMALLEST)))


@registers("joint_log_proba", kind("GaussianNB"))
def _gaussian(graph: Graph, estimator: Estimator, rows: InputRows) -> str:
    # Differences are taken before they are squared: what the squares have in common is large.
    x = graph.add("Unsqueeze", rows.matrix(graph).name, np.array([1]))
    variances = np.asarray(estimator.var_, dtype=np.float64)
    away = graph.add("Sub", x, np.asarray(estimator.theta_, dtype=np.float64))
    squares = graph.add("Div", graph.add("Mul", away, away), variances)
    distance = graph.total(squares, axis=2, keep=False)
    constant = np.log(estimator.class_prior_) - np.log(2 * np.pi * variances).sum(axis=1) / 2
    return _floored(graph, graph.shifted(graph.scaled(distance, -0.5), constant))


@registers("joint_log_proba", kind("MultinomialNB"))
def _multinomial(graph: Graph, estimator: Estimator, rows: InputRows) -> str:
    x = rows.matrix(graph).name
    joint = graph.matmul(x, estimator.feature_log_prob_.T, estimator.class_log_prior_)
    return _floored(graph, joint)


@registers("joint_log_proba", kind("ComplementNB"))
def _complement(graph: Graph, estimator: Estimator, rows: InputRows) -> str:
    one = len(estimator.classes_) == 1
    prior = estimator.class_log_prior_ if one else np.zeros(len(estimator.classes_))
    return _floored(
        graph, graph.matmul(rows.matrix(graph).name, estimator.feature_log_prob_.T, prior)
    )


@registers("joint_log_proba", kind("BernoulliNB"))
def _bernoulli(graph: Graph, estimator: Estimator, rows: InputRows) -> str:
    x = rows.matrix(graph).name
    if estimator.binarize is not None:
        yes = graph.add("Greater", x, np.float64(estimator.binarize))
        x = graph.add("Cast", yes, to=DOUBLE)
    present = estimator.feature_log_prob_
    absent = np.log(1 - np.exp(present))
    constant = estimator.class_log_prior_ + absent.sum(axis=1)
    return _floored(graph, graph.matmul(x, (present - absent).T, constant))


@registers("joint_log_proba", kind("CategoricalNB"))
def _categorical(graph: Graph, estimator: Estimator, rows: InputRows) -> str:
    x = rows.matrix(graph, INT64).name
    parts = []
    for place, table in enumerate(estimator.feature_log_prob_):
        column = graph.add("Gather", x, np.int64(place), axis=1)
        parts.append(
            graph.add("Gather", np.ascontiguousarray(table.T, dtype=np.float64), column, axis=0)
        )
    return _floored(graph, graph.shifted(graph.add("Sum", *parts), estimator.class_log_prior_))


@registers("proba", kind("GaussianNB", "MultinomialNB", "ComplementNB", "BernoulliNB"))
def _bayes_proba(graph: Graph, estimator: Estimator, rows: InputRows) -> str:
    kinds = {
        "GaussianNB": _gaussian,
        "MultinomialNB": _multinomial,
        "ComplementNB": _complement,
        "BernoulliNB": _bernoulli,
    }
    (emit,) = (emit for name, emit in kinds.items() if kind(name)(estimator))
    return graph.softmax(emit(graph, estimator, rows))
