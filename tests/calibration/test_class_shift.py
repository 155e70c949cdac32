"""ClassShift and adjust_prior."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmergecal import MergedClassifier, TemperatureCalibrator
from skmergecal.calibration import ClassShift, adjust_prior


def rows(n=300, k=4, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, k)) * 2
    return z, rng.integers(k, size=n), rng.integers(0, 3, size=n).astype(float)


@pytest.mark.parametrize("alpha", [1.0, 30.0])
def test_learned_shifts_minimise_the_penalised_loss(alpha):
    z, y, w = rows()
    shift = ClassShift(alpha=alpha).fit(z, y, w)

    def loss(s):
        log_p = log_softmax(z + s, axis=1)
        return -w @ log_p[np.arange(len(y)), y] + alpha / 2 * s @ s

    best = minimize(loss, np.zeros(4), tol=1e-12).x
    np.testing.assert_allclose(shift.shift_, best, atol=1e-5)
    assert shift.shift_.sum() == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(shift.class_counts_, np.bincount(y, weights=w))
    low, high = shift.shift_interval_.T
    assert (low < shift.shift_).all()
    assert (shift.shift_ < high).all()


def test_shifts_that_were_planted_are_found():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(20_000, 3))
    true = np.array([0.6, -0.2, -0.4])
    p = np.exp(log_softmax(z + true, axis=1))
    y = (rng.random((20_000, 1)) > p.cumsum(axis=1)).sum(axis=1)
    fit = ClassShift().fit(z, y)
    np.testing.assert_allclose(fit.shift_, true, atol=0.06)
    low, high = fit.shift_interval_.T
    assert ((low < true) & (true < high)).all()


@pytest.mark.parametrize("labels", [[3, 13, 23, 33], ["a", "b", "c", "d"]], ids=str)
def test_labels_weights_pickles_and_clones(labels):
    z, y, w = rows()
    named = np.array(labels)[y]
    model = ClassShift().fit(z, named, w)
    index = np.repeat(np.arange(len(y)), w.astype(int))
    repeated = ClassShift().fit(z[index], named[index])
    np.testing.assert_allclose(model.shift_, repeated.shift_, atol=1e-9)
    same = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(same.predict_proba(z), model.predict_proba(z))
    np.testing.assert_array_equal(model.predict_proba(z[:1]), model.predict_proba(z)[:1])
    assert clone(model).get_params() == model.get_params()
    given = ClassShift(shift=dict(zip(labels, model.shift_, strict=True))).fit(z, named)
    np.testing.assert_allclose(given.predict_proba(z), model.predict_proba(z), atol=1e-12)
    assert given.shift_interval_ is None
    assert set(model.predict(z)) <= set(labels)


def test_wrapped_frozen_and_within_others(blobs, members):
    X, y = blobs.X_held, blobs.y_held
    frozen = FrozenEstimator(members["lda"])
    before = members["lda"].predict_proba(X)
    shifted = ClassShift(frozen).fit(X, y)
    by_hand = log_softmax(np.log(before) + shifted.shift_, axis=1)
    np.testing.assert_allclose(shifted.predict_log_proba(X), by_hand, atol=1e-8)
    np.testing.assert_array_equal(members["lda"].predict_proba(X), before)
    cross_fitted = ClassShift(LinearDiscriminantAnalysis(), cv=3).fit(X, y)
    assert cross_fitted.class_counts_.sum() == len(y)
    for outer in (
        TemperatureCalibrator(FrozenEstimator(shifted)).fit(X, y),
        MergedClassifier.from_fitted([shifted, members["lda"]], X, y),
        make_pipeline(StandardScaler(), ClassShift(LogisticRegression(), cv=2)).fit(X, y),
    ):
        assert outer.predict_proba(X).shape == (len(y), 3)
    scaled = TemperatureCalibrator(FrozenEstimator(shifted), temperature=2.0).fit(X, y)
    np.testing.assert_allclose(
        scaled.predict_log_proba(X), log_softmax(by_hand / 2, axis=1), atol=1e-8
    )
    assert "class shift" in shifted._repr_html_()


def test_known_priors_are_those_of_a_model_with_other_priors(blobs):
    X, y = blobs.X, blobs.y
    new = np.array([0.7, 0.2, 0.1])
    for cls, known in ((GaussianNB, "priors"), (LinearDiscriminantAnalysis, "priors")):
        model = cls().fit(X, y)
        adjusted = adjust_prior(model, new)
        expected = cls(**{known: new}).fit(X, y)
        if cls is GaussianNB:
            np.testing.assert_allclose(
                adjusted.predict_proba(X), expected.predict_proba(X), atol=1e-9
            )
        else:  # priors of discriminant analysis enter its covariance, too
            more = adjusted.predict_proba(X)[:, 0] - model.predict_proba(X)[:, 0]
            assert more.mean() > 0.05
    pipeline = make_pipeline(StandardScaler(), GaussianNB()).fit(X, y)
    assert adjust_prior(pipeline, dict(enumerate(new))).predict_proba(X).shape == (len(y), 3)


@pytest.mark.parametrize("cls", [MultinomialNB, BernoulliNB, CategoricalNB])
@pytest.mark.parametrize("how", [{}, {"fit_prior": False}, {"class_prior": [0.1, 0.1, 0.8]}])
def test_known_priors_are_those_that_the_probabilities_have(blobs, cls, how):
    X, new = np.abs(np.round(blobs.X)), [0.7, 0.2, 0.1]
    adjusted = adjust_prior(cls(**how).fit(X, blobs.y), new)
    expected = cls(class_prior=new).fit(X, blobs.y)
    np.testing.assert_allclose(adjusted.predict_proba(X), expected.predict_proba(X), atol=1e-9)


def test_shares_in_a_series_are_read_by_label():
    """``value_counts`` sorts by frequency; an index that only counts is none of labels."""
    labels = np.array(["a", "b", "b", "c", "c", "c"] * 5)
    model = GaussianNB().fit(np.random.default_rng(0).normal(size=(30, 2)), labels)
    shares = pd.Series(labels).value_counts(normalize=True)
    assert list(shares.index) == ["c", "b", "a"]
    given = {"dict": shares.to_dict(), "series": shares, "counted": pd.Series([1 / 6, 1 / 3, 0.5])}
    picked = pd.Series([1 / 6, 1 / 3, 0.5], index=[7, 5, 9])
    for values in (*given.values(), picked):
        np.testing.assert_allclose(adjust_prior(model, values).shift_, 0, atol=1e-12)
    other = ClassShift.from_shift(pd.Series({"c": 1.0, "a": 0.0, "b": 2.0}), FrozenEstimator(model))
    np.testing.assert_array_equal(other.shift_, [0.0, 2.0, 1.0])
    with pytest.raises(ValueError, match="prior should have one number for each class"):
        adjust_prior(model, shares.rename({"a": "x"}))


def test_bayes_by_hand():
    z = log_softmax(np.random.default_rng(0).normal(size=(5, 2)), axis=1)
    bare = ClassShift.from_shift([0.0, 1.0], classes=["no", "yes"])
    expected = z + np.array([0.0, 1.0])
    expected -= logsumexp(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(bare.predict_log_proba(z), expected, atol=1e-12)
    model = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1])
    adjusted = adjust_prior(model, [0.9, 0.1], old_prior=[0.5, 0.5])
    z4, y4 = np.tile(z[:4], (3, 1)), [0, 1, 0, 0] * 3
    known = adjust_prior(TemperatureCalibrator().fit(z4, y4), [0.25, 0.75])
    np.testing.assert_allclose(known.shift_, np.log([1 / 3, 3]), atol=1e-12)
    p = model.predict_proba([[1.5]])[0] * [0.9, 0.1]
    np.testing.assert_allclose(adjusted.predict_proba([[1.5]])[0], p / p.sum(), atol=1e-12)


def test_errors_name_the_remedy():
    model = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"LogisticRegression does not say.*pass old_prior="):
        adjust_prior(model, [0.9, 0.1])
    unused = ComplementNB().fit([[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"ComplementNB does not say.*pass old_prior="):
        adjust_prior(unused, [0.9, 0.1])
    with pytest.raises(ValueError, match="prior should be positive"):
        adjust_prior(model, [1.0, 0.0], old_prior=[0.5, 0.5])
    with pytest.raises(ValueError, match="old_prior should hold one finite number for each"):
        adjust_prior(model, [0.5, 0.5], old_prior=[1.0])
    with pytest.raises(ValueError, match="need classes="):
        ClassShift.from_shift([0.0, 1.0])
    with pytest.raises(ValueError, match="shift should have one number for each class"):
        ClassShift(shift={"x": 1.0}).fit([[0.0, 1.0]] * 2, [0, 1])
    with pytest.raises(ValueError, match="shift should hold one finite number"):
        ClassShift(shift=[np.nan, 1.0]).fit([[0.0, 1.0]] * 2, [0, 1])
