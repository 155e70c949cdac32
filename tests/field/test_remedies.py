"""Remedies that messages of several places name, applied after the mistake."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.sparse
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import BernoulliNB, GaussianNB

from skmergecal import FineTunedClassifier, MergedClassifier
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import (
    average_parameters,
    fisher_average,
    read_parameters,
    write_parameters,
)
from skmergecal.pooling import fit_linear_pool as fit_linear
from skmergecal.pooling import fit_logarithmic_pool, linear_pool

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(60, 3))
PROBA = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
NAMES = np.array(["a", "b", "c"])[LOGITS.argmax(axis=1)]
Y = LOGITS.argmax(axis=1)


def refused(message, function, *args, **kwargs):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        function(*args, **kwargs)


def masked(values, row):
    mask = np.zeros(values.shape, dtype=bool)
    mask[row] = True
    return np.ma.masked_array(values, mask)


def test_weights_that_do_not_add_up_to_1():
    weights = np.array([3.0, 1.0])
    refused("divide them by their sum", linear_pool, [PROBA, PROBA[:, ::-1]], weights)
    pooled = linear_pool([PROBA, PROBA[:, ::-1]], weights / weights.sum())
    np.testing.assert_allclose(pooled, 0.75 * PROBA + 0.25 * PROBA[:, ::-1], rtol=1e-12)


def test_logits_for_a_linear_pool():
    refused("take the softmax of logits", fit_linear, [LOGITS, -LOGITS], Y)
    assert fit_linear([PROBA, PROBA[:, ::-1]], Y).weights[0] > 0.9


def test_names_for_functions_that_take_columns():
    refused("encode labels by their index in classes_", fit_logarithmic_pool, [LOGITS], NAMES)
    codes = np.searchsorted(np.unique(NAMES), NAMES)
    assert fit_logarithmic_pool([LOGITS], codes) == fit_logarithmic_pool([LOGITS], Y)


def test_sparse_opinions():
    sparse = scipy.sparse.csr_array(LOGITS)
    refused("pass log_proba[0].toarray()", fit_logarithmic_pool, [sparse], Y)
    assert fit_logarithmic_pool([sparse.toarray()], Y) == fit_logarithmic_pool([LOGITS], Y)


@pytest.mark.parametrize("row", [0, 59])
def test_masked_opinions_and_labels(row):
    expected = fit_logarithmic_pool([np.delete(LOGITS, row, axis=0)], np.delete(Y, row))
    opinions, labels = masked(LOGITS, row), masked(Y, row)
    refused("fill them, or drop their rows", fit_logarithmic_pool, [opinions], Y)
    refused("drop their rows", fit_logarithmic_pool, [LOGITS], labels)
    kept = ~labels.mask
    assert fit_logarithmic_pool([opinions.data[kept]], labels.data[kept]) == expected
    assert fit_logarithmic_pool([opinions.filled(0.0)], Y).temperature > 0


def test_fisher_information_that_is_not_known(blobs):
    members = [BernoulliNB(alpha=a).fit(blobs.X, blobs.y) for a in (0.1, 1.0)]
    with pytest.raises(IncompatibleEstimatorsError, match="use average_parameters"):
        fisher_average(members, blobs.X)
    given = [read_parameters(m) for m in members]
    merged = write_parameters(members[0], average_parameters(given, [0.5, 0.5]))
    logs = [m.predict_log_proba(blobs.X_test) for m in members]
    mean = np.exp(np.mean(logs, axis=0))
    mean /= mean.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(merged.predict_proba(blobs.X_test), mean, rtol=1e-8)


class Alone(GaussianNB):
    """One whose parameters the registry does not know."""


def test_parameters_that_cannot_be_averaged(blobs):
    members = [Alone(var_smoothing=v).fit(blobs.X, blobs.y) for v in (1e-9, 1e-3)]
    merge = MergedClassifier.from_fitted
    refused("use method='logits'", merge, members, blobs.X_held, blobs.y_held, method="parameters")
    merged = merge(members, blobs.X_held, blobs.y_held, method="logits")
    assert merged.score(blobs.X_test, blobs.y_test) > 0.4


def test_a_pool_that_is_to_be_trained_further(blobs):
    step = {"loss": "log_loss", "learning_rate": "constant", "eta0": 0.01}
    nets = [SGDClassifier(**step, random_state=s).fit(blobs.X, blobs.y) for s in range(2)]
    X, y = blobs.X_held, blobs.y_held
    pool = MergedClassifier.from_fitted(nets, X, y, method="probabilities")
    tuned = FineTunedClassifier(FrozenEstimator(pool))
    refused("has no single model to train further", tuned.fit, X, y)
    one = MergedClassifier.from_fitted(nets, X, y, method="parameters")
    settings = {"epochs": 1, "random_state": 0}
    members = [
        (f"m{i}", FineTunedClassifier(FrozenEstimator(n), **settings)) for i, n in enumerate(nets)
    ]
    for model in (
        FineTunedClassifier(FrozenEstimator(one), **settings),
        MergedClassifier(members, cv=2, method="probabilities"),
    ):
        assert model.fit(X, y).score(X, y) > 0.45


def test_a_function_called_with_too_many_arguments():
    """Checks of parameters leave Python's own error as it is."""
    with pytest.raises(TypeError, match=r"fit_logarithmic_pool\(\) takes"):
        fit_logarithmic_pool([LOGITS], Y, None, 1.0)
