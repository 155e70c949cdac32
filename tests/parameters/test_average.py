"""Averaged parameters: exact cases, folding, families, and that nobody is changed."""

from __future__ import annotations

import pickle
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.exceptions import IncompatibleEstimatorsError
from skmergecal.parameters import (
    Parameters,
    average_parameters,
    fold_temperature,
    read_parameters,
    write_parameters,
)
from tests.strategies import at_most, seeds

FEW = at_most(12)


def both_merges(members, X, y, **params):
    """The parameter merge and the logit merge of the same members with the same weights."""
    parameters = MergedClassifier.from_fitted(members, X, y, method="parameters", **params)
    calibrate = params.get("calibrate")
    logits = MergedClassifier.from_fitted(
        members, X, y, weights=parameters.weights_, calibrate=calibrate
    )
    return parameters, logits


def linear_cases(two):
    cases = {
        "logistic": [LogisticRegression(C=c) for c in (0.01, 1.0)],
        "lda": [LinearDiscriminantAnalysis(solver="lsqr", shrinkage=s) for s in (0.1, 0.9)],
        "scaled": [make_pipeline(StandardScaler(), LogisticRegression(C=c)) for c in (0.01, 1.0)],
        "scaled twice": [
            make_pipeline(MinMaxScaler(), RobustScaler(), LogisticRegression(C=c)) for c in (0.1, 1)
        ],
        "different scaling": [
            make_pipeline(StandardScaler(with_mean=False), LogisticRegression()),
            make_pipeline("passthrough", MaxAbsScaler(), StandardScaler(), LogisticRegression()),
            make_pipeline(RobustScaler(with_scaling=False), LogisticRegression()),
        ],
        "calibrated": [TemperatureCalibrator(LogisticRegression(C=c), cv=3) for c in (0.01, 1.0)],
        "calibrated after scaling": [
            TemperatureCalibrator(make_pipeline(StandardScaler(), LogisticRegression(C=c)), cv=3)
            for c in (0.01, 1.0)
        ],
        "searched": [LogisticRegressionCV(Cs=[c], cv=2, **new_defaults()) for c in (0.01, 1)],
    }
    if two:
        cases["sgd"] = [SGDClassifier(loss="log_loss", random_state=s) for s in range(2)]
    return cases


def new_defaults():
    """Values that scikit-learn is about to make its defaults, and warns about until then."""
    known = LogisticRegressionCV().get_params()
    wanted = {"use_legacy_attributes": False, "l1_ratios": (0,), "scoring": "neg_log_loss"}
    legacy = "use_legacy_attributes" in known
    return wanted if legacy else {"scoring": "neg_log_loss"}


CASES = [(n, case) for n in (2, 3) for case in linear_cases(n == 2)]


@pytest.fixture(scope="module")
def fitted(blobs, binary):
    """Data and fitted members of a case, fitted once."""

    @cache
    def fit(n_classes, case):
        data = {2: binary, 3: blobs}[n_classes]
        return data, [m.fit(data.X, data.y) for m in linear_cases(n_classes == 2)[case]]

    return fit


@pytest.mark.parametrize(("weights", "calibrate"), [([3, 1], None), ("log_loss", "both")])
@pytest.mark.parametrize(("n_classes", "case"), CASES)
def test_linear_parameter_merge_is_the_logit_merge(fitted, case, n_classes, weights, calibrate):
    data, members = fitted(n_classes, case)
    if isinstance(weights, list):
        weights = weights[:1] + [1] * (len(members) - 1)
    parameters, logits = both_merges(
        members, data.X_held, data.y_held, weights=weights, calibrate=calibrate
    )
    assert parameters.barrier_ < 1e-12  # a convex loss of an average
    if calibrate is None:
        np.testing.assert_allclose(
            softmaxed(parameters.merged_estimator_, data.X_test),
            logits.predict_proba(data.X_test),
            atol=1e-10,
        )
    np.testing.assert_allclose(
        parameters.predict_proba(data.X_test), logits.predict_proba(data.X_test), atol=1e-10
    )


def softmaxed(model, X):
    return model.predict_proba(X)


def test_naive_averaging_of_scaled_members_would_be_wrong(blobs):
    scaled = [make_pipeline(StandardScaler(), LogisticRegression()) for _ in range(2)]
    members = [m.fit(x * blobs.X, blobs.y) for m, x in zip(scaled, (1.0, 30.0), strict=True)]
    parameters, logits = both_merges(members, blobs.X_held, blobs.y_held, weights=None)
    expected = logits.predict_proba(blobs.X_test)
    np.testing.assert_allclose(parameters.predict_proba(blobs.X_test), expected, atol=1e-10)
    naive = clone(members[0][-1]).fit(blobs.X, blobs.y)
    naive.coef_ = (members[0][-1].coef_ + members[1][-1].coef_) / 2
    naive.intercept_ = (members[0][-1].intercept_ + members[1][-1].intercept_) / 2
    wrong = naive.predict_proba(members[0][0].transform(blobs.X_test))
    assert np.abs(wrong - expected).max() > 0.1


@FEW  # each example merges nets several times
@given(
    seed=seeds, depth=st.integers(1, 3), activation=st.sampled_from(["relu", "tanh", "logistic"])
)
def test_average_of_copies_of_a_network_is_the_network(blobs, seed, depth, activation):
    network = make_network(blobs, seed, depth, activation)
    merged = MergedClassifier.from_fitted(
        [network] * 3, blobs.X_held, blobs.y_held, method="parameters", weights=[1, 2, 3]
    )
    np.testing.assert_allclose(
        merged.predict_proba(blobs.X_test), network.predict_proba(blobs.X_test), atol=1e-12
    )
    assert abs(merged.barrier_) < 1e-9


def make_network(data, seed, depth=1, activation="relu"):
    """A network of random weights: one step of training, then noise."""
    network = MLPClassifier((5,) * depth, activation=activation, random_state=seed % 2**31)
    network.partial_fit(data.X, data.y, classes=np.unique(data.y))
    return network


@given(seed=seeds, temperature=st.floats(0.1, 10))
def test_temperature_folded_into_the_last_layer_is_the_calibrated_model(
    blobs, fitted, seed, temperature
):
    linear = [fitted(3, case)[1][1] for case in ("logistic", "scaled")]
    for model in (make_network(blobs, seed), *linear):
        calibrated = TemperatureCalibrator(FrozenEstimator(model), temperature=temperature)
        calibrated.fit(blobs.X_held, blobs.y_held)
        folded = write_parameters(model, fold_temperature(read_parameters(model), temperature))
        np.testing.assert_allclose(
            folded.predict_proba(blobs.X_test), calibrated.predict_proba(blobs.X_test), atol=1e-10
        )


@FEW  # each example merges nets several times
@given(seed=seeds)
def test_one_hot_weights_are_that_network(blobs, seed):
    members = [make_network(blobs, seed + i) for i in range(3)]
    for i in range(3):
        merged = MergedClassifier.from_fitted(
            members,
            blobs.X_held,
            blobs.y_held,
            method="parameters",
            weights=np.eye(3)[i],
            barrier_tolerance=1e9,
        )
        np.testing.assert_allclose(
            merged.predict_proba(blobs.X_test), members[i].predict_proba(blobs.X_test), atol=1e-12
        )


@FEW  # each example merges nets several times
@given(seed=seeds)
def test_order_of_networks_does_not_matter(blobs, seed):
    members = [make_network(blobs, seed + i) for i in range(3)]
    settings = {"method": "parameters", "barrier_tolerance": 1e9}
    X, y = blobs.X_held, blobs.y_held
    a = MergedClassifier.from_fitted(members, X, y, weights=[1, 2, 3], **settings)
    b = MergedClassifier.from_fitted(members[::-1], X, y, weights=[3, 2, 1], **settings)
    np.testing.assert_allclose(
        a.predict_proba(blobs.X_test), b.predict_proba(blobs.X_test), atol=1e-12
    )


@FEW  # each example merges nets several times
@given(seed=seeds)
def test_hidden_units_permuted_alike_in_all_networks_change_nothing(blobs, seed):
    order = np.random.default_rng(seed).permutation(5)
    members = [make_network(blobs, seed + i) for i in range(2)]
    permuted = [pickle.loads(pickle.dumps(m)) for m in members]
    for network in permuted:
        network.coefs_ = [network.coefs_[0][:, order], network.coefs_[1][order]]
        network.intercepts_ = [network.intercepts_[0][order], network.intercepts_[1]]
    settings = {"weights": [1, 2], "barrier_tolerance": 1e9}
    for method in ("logits", "probabilities", "parameters"):
        a, b = (
            MergedClassifier.from_fitted(m, blobs.X_held, blobs.y_held, method=method, **settings)
            for m in (members, permuted)
        )
        np.testing.assert_allclose(
            a.predict_proba(blobs.X_test), b.predict_proba(blobs.X_test), atol=1e-12
        )


@pytest.fixture(scope="module")
def siblings(digits):
    """Networks tuned from one start on different halves."""
    start = MLPClassifier((32,), max_iter=30, random_state=0, learning_rate_init=0.01)
    with pytest.warns(UserWarning, match="iterations"):
        start.fit(digits.X, digits.y)
    halves = np.array_split(np.arange(len(digits.y)), 2)
    nets = {}
    for name, half in zip("ab", halves, strict=True):
        net = pickle.loads(pickle.dumps(start))
        for _ in range(10):
            net.partial_fit(digits.X[half], digits.y[half])
        nets[name] = net
    return nets


@pytest.mark.parametrize(
    ("weights", "calibrate"),
    [("log_loss", None), ("greedy", "members"), (None, "merged"), ("log_loss", "both")],
)
def test_networks_of_one_start_merge_without_a_barrier(digits, siblings, weights, calibrate):
    before = pickle.dumps(siblings)
    merged = MergedClassifier.from_fitted(
        siblings,
        digits.X_held,
        digits.y_held,
        method="parameters",
        weights=weights,
        calibrate=calibrate,
    )
    assert pickle.dumps(siblings) == before
    assert merged.barrier_ < 0.01
    assert merged.score(digits.X_test, digits.y_test) > 0.9
    assert isinstance(merged.merged_estimator_, MLPClassifier)
    z = np.log(merged.merged_estimator_.predict_proba(digits.X_test)) / merged.temperature_
    expected = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(merged.predict_proba(digits.X_test), expected, atol=1e-9)


def test_greedy_soup_leaves_out_what_harms(digits, siblings):
    bad = MLPClassifier((32,), random_state=9).partial_fit(
        digits.X, digits.y, classes=np.unique(digits.y)
    )
    merged = MergedClassifier.from_fitted(
        {**siblings, "bad": bad},
        digits.X_held,
        digits.y_held,
        method="parameters",
        weights="greedy",
    )
    assert merged.weights_[2] == 0
    assert merged.weights_.sum() == 1


def test_networks_fitted_here_are_merged_within_each_fold(blobs):
    start = {"random_state": 0, "tol": 0.01, "alpha": 1.0}
    members = [
        (f"lr={r}", MLPClassifier((6,), learning_rate_init=r, **start)) for r in (0.01, 0.02)
    ]
    model = MergedClassifier(members, method="parameters", weights=None, cv=3, barrier_tolerance=9)
    held = model.fit_held_out(blobs.X, blobs.y)
    folds = [np.flatnonzero(held.rows == r)[0] for r in range(3)]
    assert len(folds) == 3
    assert held.log_proba.shape == (200, 3)
    assert np.isfinite(model.barrier_)
    again = MergedClassifier(
        [(n, FrozenEstimator(m)) for n, m in model.named_estimators_.items()],
        method="parameters",
        weights=None,
        barrier_tolerance=9,
    ).fit(blobs.X, blobs.y)
    np.testing.assert_array_equal(
        again.predict_proba(blobs.X_test), model.predict_proba(blobs.X_test)
    )


def test_the_merged_model_stands_alone(digits, siblings):
    merged = MergedClassifier.from_fitted(
        siblings, digits.X_held, digits.y_held, method="parameters"
    )
    plain = pickle.loads(pickle.dumps(merged.merged_estimator_))
    assert type(plain).__module__.startswith("sklearn.")
    assert not hasattr(plain, "_optimizer")
    assert plain.loss_curve_ == []  # where a further training begins
    np.testing.assert_array_equal(plain.predict(digits.X_test), merged.predict(digits.X_test))


def test_merged_models_merge_again(blobs):
    lrs = [LogisticRegression(C=c).fit(blobs.X, blobs.y) for c in (0.01, 0.1, 1, 10)]
    X, y = blobs.X_held, blobs.y_held
    pairs = [
        MergedClassifier.from_fitted(p, X, y, method="parameters", weights=None, calibrate="merged")
        for p in (lrs[:2], lrs[2:])
    ]
    nested, logits = both_merges(pairs, X, y, weights=None)
    np.testing.assert_allclose(
        nested.predict_proba(blobs.X_test), logits.predict_proba(blobs.X_test), atol=1e-10
    )
    pools = [MergedClassifier.from_fitted(p, X, y, method="logits") for p in (lrs[:2], lrs[2:])]
    nested, logits = both_merges(pools, X, y, weights=None)
    np.testing.assert_allclose(
        nested.predict_proba(blobs.X_test), logits.predict_proba(blobs.X_test), atol=1e-10
    )
    bayes = [GaussianNB().fit(blobs.X[i::2], blobs.y[i::2]) for i in range(2)]
    pooled = MergedClassifier.from_fitted(bayes, X, y, method="logits")
    with pytest.raises(
        IncompatibleEstimatorsError, match="the logits of several GaussianNB cannot be averaged"
    ):
        MergedClassifier.from_fitted([pooled], X, y, method="parameters")


def test_feature_names_of_the_pipeline_belong_to_the_merged_model(blobs):
    X, X_held = (pd.DataFrame(x, columns=list("abcdefgh")) for x in (blobs.X, blobs.X_held))
    members = [
        make_pipeline(StandardScaler(), LogisticRegression(C=c)).fit(X, blobs.y) for c in (0.1, 1)
    ]
    merged = MergedClassifier.from_fitted(members, X_held, blobs.y_held, method="parameters")
    np.testing.assert_array_equal(merged.merged_estimator_.feature_names_in_, list("abcdefgh"))
    merged.predict(X_held)


def test_integers_are_copied_and_types_are_kept():
    parts = [
        Parameters({"w": np.float32([i, 2 * i]), "count": np.array([7 + i])}, {}) for i in range(3)
    ]
    mean = average_parameters(parts, [0.5, 0.25, 0.25])
    assert mean.arrays["w"].dtype == np.float32
    np.testing.assert_array_equal(mean.arrays["w"], [0.75, 1.5])
    np.testing.assert_array_equal(mean.arrays["count"], [7])
    with pytest.raises(
        IncompatibleEstimatorsError, match="does not end in an affine layer and a softmax"
    ):
        fold_temperature(parts[0], 2.0)


class Prototype(ClassifierMixin, BaseEstimator):
    """A user's own linear classifier."""

    def fit(self, X, y):
        self.classes_, self.n_features_in_ = np.unique(y), X.shape[1]
        self.means_ = np.stack([X[y == c].mean(axis=0) for c in self.classes_])
        return self

    def decision_function(self, X):
        return X @ self.means_.T


def test_a_users_own_family_in_ten_lines(blobs):
    @read_parameters.register(Prototype)
    def _(estimator):
        return Parameters(
            arrays={"means": estimator.means_},
            architecture={"type": "Prototype", "n_features": estimator.n_features_in_},
        )

    @write_parameters.register(Prototype)
    def _(estimator, parameters):
        merged = clone(estimator)
        merged.means_, merged.classes_ = parameters.arrays["means"], estimator.classes_
        return merged

    halves = [slice(None, 100), slice(100, None)]
    members = [Prototype().fit(blobs.X[h], blobs.y[h]) for h in halves]
    parameters, logits = both_merges(members, blobs.X_held, blobs.y_held, weights=[1, 3])
    np.testing.assert_allclose(
        parameters.predict_proba(blobs.X_test), logits.predict_proba(blobs.X_test), atol=1e-10
    )
    with pytest.raises(
        IncompatibleEstimatorsError, match="does not end in an affine layer and a softmax"
    ):
        MergedClassifier.from_fitted(
            members, blobs.X_held, blobs.y_held, method="parameters", calibrate="members"
        )
