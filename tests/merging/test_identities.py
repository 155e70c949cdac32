"""The identities of merging, on fitted members (weights fixed, calibrate=None)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal._numerics import log_softmax, softmax
from tests.stand_ins import Told
from tests.strategies import at_most, problems, seeds

METHODS = ["logits", "probabilities"]
# A few random rows may be separable, or tell nothing: T then stands at its bound, with a warning.
at_bound_too = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def told(log_proba):
    return Told(softmax(log_proba))


def rows(n):
    return np.arange(n)[:, None]


def random_members(seed, n_members=3, n=12, k=4):
    rng = np.random.default_rng(seed)
    z = 3 * rng.normal(size=(n_members, n, k))
    y = (z.mean(axis=0) + rng.gumbel(size=(n, k))).argmax(axis=1)
    return [told(m) for m in z], rows(n), y, rng


def fixed(members, X, y, weights, method):
    return MergedClassifier.from_fitted(members, X, y, weights=weights, method=method)


@pytest.mark.parametrize("method", METHODS)
@given(seed=seeds, which=st.integers(0, 2))
def test_one_hot_weights_are_that_member(method, seed, which):
    members, X, y, _ = random_members(seed)
    merged = fixed(members, X, y, np.eye(3)[which], method)
    np.testing.assert_allclose(
        merged.predict_proba(X), members[which].predict_proba(X), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("method", METHODS)
@given(seed=seeds)
def test_identical_members_are_the_member(method, seed):
    members, X, y, rng = random_members(seed, 1)
    merged = fixed(members * 3, X, y, rng.random(3) + 0.1, method)
    np.testing.assert_allclose(
        merged.predict_proba(X), members[0].predict_proba(X), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("method", METHODS)
@given(seed=seeds, scale=st.floats(1e-6, 1e6))
def test_order_of_members_and_scale_of_weights_do_not_matter(method, seed, scale):
    members, X, y, rng = random_members(seed)
    w, order = rng.random(3) + 0.01, rng.permutation(3)
    first = fixed(members, X, y, w, method).predict_proba(X)
    permuted = fixed([members[i] for i in order], X, y, scale * w[order], method)
    np.testing.assert_allclose(permuted.predict_proba(X), first, rtol=1e-12, atol=1e-15)


@at_bound_too
@pytest.mark.parametrize("weights", ["log_loss", "greedy"])
@pytest.mark.parametrize("method", METHODS)
@at_most(15)  # for each of four
@given(seed=seeds)
def test_learned_weights_follow_the_members(method, weights, seed):
    members, X, y, rng = random_members(seed, n=60)
    order = rng.permutation(3)
    a = fixed(members, X, y, weights, method)
    b = fixed([members[i] for i in order], X, y, weights, method)
    np.testing.assert_allclose(b.predict_proba(X), a.predict_proba(X), atol=1e-6)


@at_bound_too
@pytest.mark.parametrize("method", METHODS)
@at_most(15)  # each asks 16 times
@given(seed=seeds)
def test_one_row_alone_equals_the_batch_to_the_bit(method, seed):
    members, X, y, rng = random_members(seed, n=9, k=11)
    merged = MergedClassifier.from_fitted(
        members, X, y, weights=rng.random(3) + 0.01, method=method, calibrate="merged"
    )
    for function in ("predict_proba", "predict_log_proba", "transform", "decision_function"):
        batch = getattr(merged, function)(X)
        for i in rng.choice(9, 3, replace=False):
            np.testing.assert_array_equal(getattr(merged, function)(X[i : i + 1])[0], batch[i])


@given(problems(max_members=3, max_classes=5), st.floats(0.2, 5))
def test_a_shared_temperature_commutes_with_logit_averaging(problem, t):
    z, y, _ = problem
    X = rows(len(y))
    scaled = [TemperatureCalibrator(FrozenEstimator(told(m)), temperature=t).fit(X, y) for m in z]
    each = fixed(scaled, X, y, None, "logits")
    merged = fixed([told(m) for m in z], X, y, None, "logits")
    after = TemperatureCalibrator(FrozenEstimator(merged), temperature=t).fit(X, y)
    np.testing.assert_allclose(each.predict_proba(X), after.predict_proba(X), atol=1e-12)


@given(problems(max_members=3, max_classes=5), seeds)
def test_member_temperatures_are_pool_weights(problem, seed):
    z, y, _ = problem
    X = rows(len(y))
    rng = np.random.default_rng(seed)
    t, w = np.exp(rng.normal(size=len(z))), rng.dirichlet(np.ones(len(z)))
    scaled = [
        TemperatureCalibrator(FrozenEstimator(told(m)), temperature=s).fit(X, y)
        for m, s in zip(z, t, strict=True)
    ]
    merged = fixed(scaled, X, y, w, "logits")
    pooled = log_softmax(sum(a / s * log_softmax(m) for a, s, m in zip(w, t, z, strict=True)))
    np.testing.assert_allclose(merged.transform(X), pooled, atol=1e-9)


@pytest.fixture(scope="module")
def frozen(members):
    return [(name, FrozenEstimator(model)) for name, model in members.items()]


@pytest.mark.parametrize("weights", ["log_loss", "greedy", None])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weighted", [False, True])
def test_three_ways_to_calibrate_the_merged_classifier_agree(
    frozen, blobs, method, weights, weighted
):
    rng = np.random.default_rng(0)
    sw = rng.integers(0, 3, len(blobs.y_held)) if weighted else None
    settings = {"method": method, "weights": weights}
    inside = MergedClassifier(frozen, calibrate="merged", **settings)
    inside.fit(blobs.X_held, blobs.y_held, sample_weight=sw)
    around = TemperatureCalibrator(MergedClassifier(frozen, **settings))
    around.fit(blobs.X_held, blobs.y_held, sample_weight=sw)
    steps = make_pipeline(MergedClassifier(frozen, **settings), TemperatureCalibrator())
    steps.fit(
        blobs.X_held,
        blobs.y_held,
        mergedclassifier__sample_weight=sw,
        temperaturecalibrator__sample_weight=sw,
    )
    expected = inside.predict_proba(blobs.X_test)
    np.testing.assert_allclose(around.predict_proba(blobs.X_test), expected, atol=1e-10)
    np.testing.assert_allclose(steps.predict_proba(blobs.X_test), expected, atol=1e-10)


def test_three_ways_agree_where_members_are_fitted_here(blobs):
    members = [("weak", LogisticRegression(C=0.01)), ("strong", LogisticRegression())]
    inside = MergedClassifier(members, calibrate="merged").fit(blobs.X, blobs.y)
    around = TemperatureCalibrator(MergedClassifier(members)).fit(blobs.X, blobs.y)
    steps = make_pipeline(MergedClassifier(members), TemperatureCalibrator()).fit(blobs.X, blobs.y)
    expected = inside.predict_proba(blobs.X_test)
    assert inside.temperature_ != MergedClassifier(members).fit(blobs.X, blobs.y).temperature_
    np.testing.assert_allclose(around.predict_proba(blobs.X_test), expected, atol=1e-10)
    np.testing.assert_allclose(steps.predict_proba(blobs.X_test), expected, atol=1e-10)


@pytest.mark.parametrize("seed", range(12))
def test_three_ways_agree_where_the_better_greedy_pool_is_chosen(seed):
    """With a temperature of its own, the other pool is the better one in some of these."""
    X, y = make_classification(
        200, 6, n_informative=4, n_redundant=0, flip_y=0.25, random_state=seed
    )
    fitted = [
        m.fit(X[:100], y[:100])
        for m in (
            GaussianNB(),
            RandomForestClassifier(8, random_state=seed),
            LogisticRegression(),
        )
    ]
    members = [(str(i), FrozenEstimator(m)) for i, m in enumerate(fitted)]
    inside = MergedClassifier(members, weights="greedy", calibrate="merged").fit(X[100:], y[100:])
    around = TemperatureCalibrator(MergedClassifier(members, weights="greedy"))
    around.fit(X[100:], y[100:])
    np.testing.assert_allclose(around.predict_proba(X), inside.predict_proba(X), atol=1e-10)


def test_three_ways_agree_for_parameters(blobs):
    members = [
        (f"C={c}", FrozenEstimator(LogisticRegression(C=c).fit(blobs.X, blobs.y)))
        for c in (0.01, 1.0)
    ]
    inside = MergedClassifier(members, method="parameters", calibrate="merged")
    around = TemperatureCalibrator(MergedClassifier(members, method="parameters"))
    steps = make_pipeline(MergedClassifier(members, method="parameters"), TemperatureCalibrator())
    proba = [
        m.fit(blobs.X_held, blobs.y_held).predict_proba(blobs.X_test)
        for m in (inside, around, steps)
    ]
    np.testing.assert_allclose(proba[1], proba[0], atol=1e-10)
    np.testing.assert_allclose(proba[2], proba[0], atol=1e-10)


@pytest.mark.parametrize("weights", ["log_loss", "greedy", None])
@pytest.mark.parametrize("method", METHODS)
def test_calibrated_members_are_calibrate_members(frozen, blobs, method, weights):
    calibrated = [
        (name, FrozenEstimator(TemperatureCalibrator(e).fit(blobs.X_held, blobs.y_held)))
        for name, e in frozen
    ]
    nested = MergedClassifier(calibrated, method=method, weights=weights)
    inside = MergedClassifier(frozen, method=method, weights=weights, calibrate="members")
    proba = [
        m.fit(blobs.X_held, blobs.y_held).predict_proba(blobs.X_test) for m in (nested, inside)
    ]
    np.testing.assert_allclose(proba[0], proba[1], atol=1e-10)


def test_merged_classifiers_nest(frozen, blobs):
    pairs = [
        (n, FrozenEstimator(MergedClassifier(part, weights=None).fit(blobs.X_held, blobs.y_held)))
        for n, part in (("first", frozen[:2]), ("second", frozen[2:4]))
    ]
    nested = MergedClassifier(pairs, weights=None).fit(blobs.X_held, blobs.y_held)
    flat = MergedClassifier(frozen[:4], weights=None).fit(blobs.X_held, blobs.y_held)
    np.testing.assert_allclose(
        nested.predict_proba(blobs.X_test), flat.predict_proba(blobs.X_test), atol=1e-12
    )


def test_learned_pool_is_no_worse_than_what_it_contains(frozen, blobs):
    """With no ridge, learned weights minimise over uniform, calibrated and greedy ones."""

    def loss(**params):
        model = MergedClassifier(frozen, **params)
        held = model.fit_held_out(blobs.X_held, blobs.y_held)
        return -held.log_proba[np.arange(len(held.rows)), blobs.y_held[held.rows]].mean()

    best = loss(alpha=0.0)
    for params in (
        {"weights": None},
        {"weights": None, "calibrate": "merged"},
        {"weights": None, "calibrate": "both"},
        {"weights": "greedy", "calibrate": "merged"},
    ):
        assert best <= loss(**params) + 1e-9
