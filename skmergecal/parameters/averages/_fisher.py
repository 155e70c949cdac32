"""Fisher-weighted averages of parameters, and the diagonal of the Fisher information."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from scipy.special import expit
from scipy.special import softmax as softmax_of

from skmergecal._compat import Interval
from skmergecal._networks import ACTIVATIONS
from skmergecal._optional import is_instance_of
from skmergecal._typing import Array, Estimator
from skmergecal._validation import check_matrix, check_member_weights, check_names, check_parameters
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters._architecture import check_same_architecture
from skmergecal.parameters._average import largest
from skmergecal.parameters._parameters import Parameters
from skmergecal.parameters._registry import check_estimators, read_parameters, write_parameters
from skmergecal.parameters._same_input import on_same_columns
from skmergecal.parameters._wrappers import last_classifier
from skmergecal.parameters.families import steps_in_front

__all__ = ["diagonal_fisher", "fisher_average"]


@check_parameters(floor=[Interval(Real, 0, None, closed="neither")])
def fisher_average(
    estimators: Sequence[Estimator], X: Any, *, weights: Any = None, floor: float = 1e-6
) -> Estimator:
    """Average the parameters of estimators, weighted by their Fisher information.

    The more the member's predictions on X depend on a parameter, the more weight it gets:
    theta = sum_k w_k F_k theta_k / sum_k w_k F_k, with F_k the diagonal of the Fisher information.

    Parameters
    ----------
    estimators : sequence of fitted estimators
        Linear models with a softmax, MLPClassifiers, or skorch nets with a cross-entropy
        criterion, of one architecture; nets have to be trained from the same start. They are not
        changed.
    X : array-like of shape (n_samples, n_features)
        Rows; labels are not needed.
    weights : array-like of shape (n_estimators,), default=None
        Non-negative; scaled to sum to 1. None: equal weights.
    floor : float, default=1e-6
        Lower bound of the Fisher information, per row, in squared nats per squared unit: with it,
        parameters that no member's predictions depend on get the plain average.

    Returns
    -------
    estimator
        A new one, of the type of the first.

    Raises
    ------
    IncompatibleEstimatorsError
        If the architectures differ, or the type of the estimators is not supported.

    See Also
    --------
    skmergecal.parameters.diagonal_fisher : The weights.
    skmergecal.parameters.average_parameters : The same weight for all parameters of a member.

    References
    ----------
    Matena and Raffel, "Merging Models with Fisher-Weighted Averaging", NeurIPS 2022,
    https://doi.org/10.48550/arXiv.2111.09832.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmergecal.parameters import fisher_average
    >>> X, y = load_iris(return_X_y=True)
    >>> sites = [LogisticRegression(max_iter=500).fit(X[i::2], y[i::2]) for i in range(2)]
    >>> merged = fisher_average(sites, X)
    >>> [round(float(model.coef_[0, 2]), 2) for model in (*sites, merged)]
    [-2.01, -2.12, -2.06]
    """
    estimators = check_estimators(estimators)
    names = check_names(None, len(estimators))
    given = check_member_weights(np.ones(len(names)) if weights is None else weights, names)
    parameters = on_same_columns([read_parameters(estimator) for estimator in estimators])
    check_same_architecture(parameters, names)
    importance = [
        {name: weight * np.maximum(f, floor) for name, f in _diagonal_fisher(e, p, X).items()}
        for weight, e, p in zip(given, estimators, parameters, strict=True)
    ]
    first = parameters[0]
    arrays = {
        name: _weighted_mean([p.arrays[name] for p in parameters], [f[name] for f in importance])
        if name in importance[0]
        else _weighted_mean([p.arrays[name] for p in parameters], list(given))
        for name in first.arrays
    }
    return write_parameters(estimators[0], replace(first, arrays=arrays))


def _weighted_mean(arrays: Sequence[np.ndarray], importance: Sequence[Any]) -> np.ndarray:
    if not np.issubdtype(arrays[0].dtype, np.inexact):
        return largest(importance, arrays).copy()
    wide = np.result_type(arrays[0].dtype, np.float64)
    total = sum(f * array.astype(wide) for f, array in zip(importance, arrays, strict=True))
    return np.asarray(total / sum(importance)).astype(arrays[0].dtype)


@check_parameters(X=["array-like", "sparse matrix"])
def diagonal_fisher(estimator: Estimator, X: Any) -> dict[str, Array]:
    """Diagonal of the Fisher information of the parameters, averaged over the rows of X.

    The expectation over labels is exact, under the estimator's own probabilities:
    F = mean_x sum_c p(c | x) (d log p(c | x) / d theta)^2.

    Parameters
    ----------
    estimator : fitted estimator
        As for `fisher_average`. Layers include the preprocessing that `read_parameters` folds into
        them.
    X : array-like of shape (n_samples, n_features)
        Rows; labels are not needed.

    Returns
    -------
    dict of str to ndarray
        One array per trained parameter, under the names that `read_parameters` gives.

    Raises
    ------
    IncompatibleEstimatorsError
        If the type of the estimator is not supported.

    See Also
    --------
    skmergecal.parameters.fisher_average : Averages with it as weights.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skmergecal.parameters import diagonal_fisher
    >>> X, y = load_iris(return_X_y=True)
    >>> fisher = diagonal_fisher(LogisticRegression(max_iter=500).fit(X, y), X)
    >>> {name: array.shape for name, array in fisher.items()}
    {'coef_': (3, 4), 'intercept_': (3,)}
    >>> fisher["intercept_"].round(3)  # the mean of p (1 - p), for each class
    array([0.015, 0.075, 0.06 ])
    """
    check_estimators([estimator], "estimator")
    return _diagonal_fisher(estimator, read_parameters(estimator), X)


def _diagonal_fisher(estimator: Estimator, parameters: Parameters, X: Any) -> dict[str, Array]:
    for _, step in steps_in_front(parameters):
        X = step.transform(X)
    if is_instance_of(last_classifier(estimator), "skorch", "NeuralNet"):
        from skmergecal.parameters.averages._fisher_torch import fisher_of_net

        net = last_classifier(write_parameters(estimator, parameters))
        return fisher_of_net(net, X)
    layers, activation = _layers_of(parameters, type(last_classifier(estimator)).__name__)
    rows = check_matrix(X.toarray() if hasattr(X, "toarray") else X, "X", "(n_rows, n_features)")
    weight, _, transposed = layers[0]
    n_features = parameters.arrays[weight].shape[1 if transposed else 0]
    if rows.shape[1] != n_features:
        msg = f"X should have {n_features} columns, as the first layer has; got {rows.shape[1]}"
        raise ValueError(msg)
    return _fisher_of_layers(parameters.arrays, layers, activation, rows)


#: A layer: names of its weight and bias, and whether the weight has shape (outputs, inputs).
_Layer = tuple[str, str, bool]


def _layers_of(parameters: Parameters, family: str) -> tuple[list[_Layer], str]:
    names = list(parameters.arrays)
    if "coefs_[0]" in names:
        depth = len(names) // 2
        layers = [(f"coefs_[{i}]", f"intercepts_[{i}]", False) for i in range(depth)]
        return layers, str(parameters.architecture["activation"])
    first = parameters.first
    if parameters.gives_linear_logits and first is not None:
        return [(first.weight, first.bias, first.feature_axis == 1)], "identity"
    msg = (
        f"the Fisher information of {family} is not known: fisher_average supports linear models "
        "with a softmax, MLPClassifier and skorch nets; use average_parameters"
    )
    raise IncompatibleEstimatorsError(msg)


def _fisher_of_layers(
    arrays: Mapping[str, np.ndarray], layers: Sequence[_Layer], activation: str, X: Array
) -> dict[str, Array]:
    """One forward pass, then a backward pass per class, in which gradients are squared per row."""
    shape = ACTIVATIONS[activation]
    weights = [arrays[w].T if transposed else arrays[w] for w, _, transposed in layers]
    inputs, sums = [X], []
    for matrix, (_, name, _) in zip(weights, layers, strict=True):
        sums.append(inputs[-1] @ matrix + arrays[name])
        inputs.append(shape.value(sums[-1], 0.0))
    logits = sums[-1]
    fisher = {name: np.zeros(arrays[name].shape) for layer in layers for name in layer[:2]}
    for share, error in _errors_of_labels(logits):
        for i in reversed(range(len(layers))):
            weight, bias, transposed = layers[i]
            squares = share[:, None] * error**2
            found = (inputs[i] ** 2).T @ squares / len(X)
            fisher[weight] += found.T if transposed else found
            fisher[bias] += squares.sum(axis=0) / len(X)
            if i > 0:
                error = (error @ weights[i].T) * shape.slope(sums[i - 1], inputs[i], 0.0)
    return fisher


def _errors_of_labels(logits: Array) -> Iterator[tuple[Array, Array]]:
    """For each label, its probability and the gradient of log p with respect to the logits."""
    if logits.shape[1] == 1:
        p = expit(logits[:, 0])
        yield p, 1 - p[:, None]
        yield 1 - p, -p[:, None]
        return
    p = softmax_of(logits, axis=1)
    for label in range(p.shape[1]):
        yield p[:, label], np.eye(p.shape[1])[label] - p
