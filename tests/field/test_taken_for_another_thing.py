"""Arguments that would have no effect, or another one than was meant."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    BaseCrossValidator,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    ShuffleSplit,
    StratifiedGroupKFold,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from skmergecal import (
    FineTunedClassifier,
    MergedClassifier,
    TemperatureCalibrator,
    compare_fit_orders,
)
from skmergecal.calibration import fit_temperature
from skmergecal.pooling import fit_classwise_pool, fit_combined_pool, fit_logarithmic_pool

MODELS = {
    "merged": lambda **cv: MergedClassifier([("m", GaussianNB())], **cv),
    "calibrator": lambda **cv: TemperatureCalibrator(GaussianNB(), **cv),
    "nested": lambda **cv: TemperatureCalibrator(MergedClassifier([("m", GaussianNB())], **cv)),
}


class OwnSplitter(BaseCrossValidator):
    """Reads groups without a request for them."""

    def split(self, X, y=None, groups=None):
        for group in (0, 1):
            yield np.flatnonzero(groups != group), np.flatnonzero(groups == group)

    def get_n_splits(self, X=None, y=None, groups=None):
        return 2


@pytest.mark.parametrize("model", list(MODELS))
@pytest.mark.parametrize("cv", [{}, {"cv": None}, {"cv": KFold(3)}, {"cv": ShuffleSplit(2)}])
def test_groups_that_the_splitter_ignores(binary, model, cv):
    groups = np.arange(200) % 10
    with pytest.warns(UserWarning, match="groups= has no effect: cv=") as caught:
        MODELS[model](**cv).fit(binary.X, binary.y, groups=groups)
    assert len(caught) == 1


@pytest.mark.parametrize("model", list(MODELS))
@pytest.mark.parametrize(
    "cv", [GroupKFold(5), StratifiedGroupKFold(5), LeaveOneGroupOut(), OwnSplitter()]
)
def test_splitters_of_groups_are_the_remedy(binary, model, cv):
    groups = np.arange(200) % 2 if isinstance(cv, OwnSplitter) else np.arange(200) % 10
    folds = list(cv.split(binary.X, binary.y, groups))
    by_groups = MODELS[model](cv=cv).fit(binary.X, binary.y, groups=groups)
    by_hand = MODELS[model](cv=folds).fit(binary.X, binary.y)
    np.testing.assert_array_equal(
        by_groups.predict_proba(binary.X_test), by_hand.predict_proba(binary.X_test)
    )
    MODELS[model](cv=folds).fit(binary.X, binary.y, groups=groups)  # folds that were given


def test_groups_elsewhere(binary):
    groups = np.arange(200) % 10
    settings = {"method": "logits", "weights": None, "calibrate": False, "random_state": 0}
    members = [("m", GaussianNB())]
    with pytest.warns(UserWarning, match="groups= has no effect"):
        compare_fit_orders(members, binary.X, binary.y, groups=groups, cv=2, **settings)
    compare_fit_orders(members, binary.X, binary.y, groups=groups, cv=GroupKFold(2), **settings)
    folds = list(GroupKFold(2).split(binary.X, binary.y, groups))  # folds that were given
    compare_fit_orders(members, binary.X, binary.y, groups=groups, cv=folds, **settings)
    net = MLPClassifier((3,), solver="lbfgs", max_iter=5000, random_state=0)
    tuned = FineTunedClassifier(net, epochs=1, cv=2)
    with pytest.warns(UserWarning, match="groups= has no effect"):
        tuned.fit_transform(binary.X, binary.y, groups=groups)


def pool_of_one(fit):
    return lambda z, y: fit([z], y)


FITS = {
    "fit_temperature": fit_temperature,
    "calibrator": lambda z, y: TemperatureCalibrator().fit(z, y),
    "stream": lambda z, y: TemperatureCalibrator(classes=[0, 1, 2]).partial_fit(z, y),
    "logarithmic pool": pool_of_one(fit_logarithmic_pool),
    "class-wise pool": pool_of_one(fit_classwise_pool),
    "combined pool": pool_of_one(fit_combined_pool),
}


@pytest.mark.parametrize("fit", list(FITS))
@pytest.mark.parametrize("kind", ["float64", "float32", "three decimals"])
def test_probabilities_that_are_taken_for_logits(blobs, members, fit, kind):
    p = members["logistic"].predict_proba(blobs.X_held)
    p = p.astype(kind) if kind != "three decimals" else np.round(p, 3)
    with pytest.warns(UserWarning, match="look like probabilities: none is negative") as caught:
        FITS[fit](p, blobs.y_held)
    assert len(caught) == 1
    # The remedy, and logits of other kinds.
    logits = np.log(np.clip(p, 1e-15, None))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for z in (logits, logits - logits.max(axis=1, keepdims=True), logits + 5):
            FITS[fit](z, blobs.y_held)


def test_margins_and_steps_are_no_probabilities(binary):
    """(0, d) of margins that are all 1 adds up to 1, too."""
    y = np.array([0, 1, 1, 1, 0, 1])
    TemperatureCalibrator().fit(np.ones(6), y)
    TemperatureCalibrator().fit(np.ones((6, 1)), y)
    step = make_pipeline(MergedClassifier([("m", LogisticRegression())]), TemperatureCalibrator())
    step.fit(binary.X, binary.y)


def test_weights_in_a_series_are_those_of_its_names(blobs):
    weights = {"second": 3.0, "first": 1.0}
    members = {"first": GaussianNB(), "second": GaussianNB(var_smoothing=1.0)}
    for given in (
        weights,
        pd.Series(weights),
        pd.Series([1.0, 3.0]),
        pd.Series([1.0, 3.0], [8, 5]),
    ):
        merged = MergedClassifier(members, weights=given)
        np.testing.assert_array_equal(merged.fit(blobs.X, blobs.y).weights_, [0.25, 0.75])
    with pytest.raises(ValueError, match=r"unknown names \['third'\], missing names \['first'\]"):
        MergedClassifier(members, weights=pd.Series({"second": 3.0, "third": 1.0})).fit(
            blobs.X, blobs.y
        )
