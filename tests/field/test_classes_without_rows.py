"""Held-out rows that lack a class which the members know."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB

from skmergecal import MergedClassifier
from skmergecal.pooling import fit_classwise_pool, fit_combined_pool

DEFAULT = {"method": "auto"}
CLASSWISE = {"method": "logits", "weights": "classwise"}


@pytest.fixture
def pair(blobs):
    return [m.fit(blobs.X, blobs.y) for m in (LogisticRegression(), GaussianNB())]


@pytest.mark.parametrize("lost", [0, 1, 2])
@pytest.mark.parametrize("settings", [DEFAULT, CLASSWISE, {**CLASSWISE, "alpha": 10.0}])
def test_a_class_without_rows_is_named_and_keeps_its_probability(blobs, pair, lost, settings):
    kept = blobs.y_held != lost
    rows = blobs.X_held[kept], blobs.y_held[kept]
    with pytest.warns(UserWarning, match=rf"no held-out row has the classes \[{lost}\]"):
        merged = MergedClassifier.from_fitted(pair, *rows, **settings)
    assert merged.pool_.classwise.intercept[lost] == 0
    p = merged.predict_proba(blobs.X_test)
    own = [member.predict_proba(blobs.X_test) for member in pair]
    share = np.mean(blobs.y_test == lost)
    assert p[:, lost].mean() == pytest.approx(share, abs=0.1)
    assert log_loss(blobs.y_test, p) < min(log_loss(blobs.y_test, q) for q in own) + 0.03
    # The remedies: a method that learns nothing per class, or rows of the class.
    MergedClassifier.from_fitted(pair, *rows, method="logits", weights="log_loss")
    MergedClassifier.from_fitted(pair, blobs.X_held, blobs.y_held, **settings)


@pytest.mark.parametrize("settings", [DEFAULT, CLASSWISE])
def test_rows_of_weight_0_are_no_rows(blobs, pair, settings):
    weight = (blobs.y_held != 1).astype(float)
    kept = weight > 0
    with pytest.warns(UserWarning, match=r"no held-out row has the classes \[1\]"):
        weighted = MergedClassifier.from_fitted(
            pair, blobs.X_held, blobs.y_held, weight, **settings
        )
    with pytest.warns(UserWarning, match=r"no held-out row has the classes \[1\]"):
        merged = MergedClassifier.from_fitted(
            pair, blobs.X_held[kept], blobs.y_held[kept], **settings
        )
    np.testing.assert_allclose(
        weighted.predict_proba(blobs.X_test), merged.predict_proba(blobs.X_test), rtol=1e-9
    )


@pytest.mark.parametrize("settings", [DEFAULT, CLASSWISE])
def test_rows_of_one_class_only(blobs, pair, settings):
    kept = blobs.y_held == 2
    with pytest.warns(UserWarning, match=r"no held-out row has the classes \[0, 1\]"):
        merged = MergedClassifier.from_fitted(
            pair, blobs.X_held[kept], blobs.y_held[kept], **settings
        )
    p = merged.predict_proba(blobs.X_test)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert p[:, 2].mean() < 0.6


def test_a_report_on_members_says_it_once(blobs, pair):
    """Folds and bootstrap samples lack classes more often; these are not the user's rows."""
    y = blobs.y_held.copy()
    y[y == 2] = 1
    y[:2] = 2
    merged = MergedClassifier.from_fitted(pair, blobs.X_held, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = merged.member_report(blobs.X_held, y, level=0.9, n_resamples=5, random_state=0)
    assert len(report) == 2


def test_pools_of_arrays_do_the_same(blobs, pair):
    logs = [member.predict_log_proba(blobs.X_held) for member in pair]
    kept = blobs.y_held != 0
    some = [z[kept] for z in logs]
    y = blobs.y_held[kept]
    classwise = fit_classwise_pool(some, y)
    narrow = fit_classwise_pool([z[:, 1:] for z in some], y - 1)
    np.testing.assert_array_equal(classwise.weights[:, 1:], narrow.weights)
    np.testing.assert_array_equal(classwise.weights[:, 0], narrow.weights.mean(axis=1))
    combined = fit_combined_pool(some, y, proba=[np.exp(z) for z in some])
    assert combined.classwise.intercept[0] == 0
    assert combined.classwise.intercept[1:].sum() == pytest.approx(0, abs=1e-6)
