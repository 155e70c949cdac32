"""Held-out rows that trained the frozen members after all."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from skmergecal import MergedClassifier, TemperatureCalibrator

ASKS = "were these rows used to train them"


@pytest.fixture(scope="module")
def fold_models(binary):
    """Some of 30 forests that were trained on all rows but one fold."""
    splits = list(KFold(30, shuffle=True, random_state=0).split(binary.X))[:4]
    return {
        f"fold-{k}": RandomForestClassifier(50, random_state=k).fit(binary.X[rows], binary.y[rows])
        for k, (rows, _) in enumerate(splits)
    }


@pytest.mark.parametrize("method", ["auto", "logits", "probabilities"])
def test_fold_models_with_all_rows_are_named(binary, fold_models, method):
    with pytest.warns(UserWarning, match=ASKS) as caught:
        MergedClassifier.from_fitted(fold_models, binary.X, binary.y, method=method)
    assert len(caught) == 1
    assert all(name in str(caught[0].message) for name in fold_models)
    # The remedies: rows that they have not seen, or members that are fitted here.
    MergedClassifier.from_fitted(fold_models, binary.X_held, binary.y_held, method=method)
    unfitted = [(name, RandomForestClassifier(5, random_state=0)) for name in ("a", "b")]
    MergedClassifier(unfitted, method=method, cv=2).fit(binary.X, binary.y)


def test_only_the_member_that_saw_the_rows_is_named(blobs, tmp_path):
    boosted = HistGradientBoostingClassifier(max_iter=40, random_state=0)
    members = {
        "honest": RandomForestClassifier(15, random_state=0).fit(blobs.X_test, blobs.y_test),
        "forest": RandomForestClassifier(15, random_state=0).fit(blobs.X, blobs.y),
        "boosted": boosted.fit(blobs.X, blobs.y),
        "logistic": LogisticRegression().fit(blobs.X, blobs.y),  # saw them, but learned little
    }
    for memory in (None, tmp_path, tmp_path):
        with pytest.warns(UserWarning, match=ASKS) as caught:
            MergedClassifier.from_fitted(members, blobs.X, blobs.y, memory=memory)
        assert str(caught[0].message).startswith("['forest', 'boosted'] are almost always right")


def test_a_calibrator_asks_too(binary):
    forest = RandomForestClassifier(15, random_state=0)
    frozen = FrozenEstimator(forest.fit(binary.X, binary.y))
    with pytest.warns(UserWarning, match=ASKS):
        TemperatureCalibrator(frozen, alpha=1.0).fit(binary.X, binary.y)
    TemperatureCalibrator(frozen).fit(binary.X_held, binary.y_held)
    TemperatureCalibrator(RandomForestClassifier(5, random_state=0), cv=2).fit(binary.X, binary.y)


def test_nothing_is_asked_where_nothing_is_learned_or_rows_are_few(binary, fold_models):
    MergedClassifier.from_fitted(fold_models, binary.X, binary.y, weights=None)
    MergedClassifier.from_fitted(
        fold_models, binary.X, binary.y, method="probabilities", weights=None
    )
    MergedClassifier.from_fitted(fold_models, binary.X[:60], binary.y[:60])
    weight = np.full(200, 0.3)
    MergedClassifier.from_fitted(fold_models, binary.X, binary.y, weight)


def test_good_members_that_find_the_same_rows_hard_are_not_asked(digits):
    kinds = (RandomForestClassifier, ExtraTreesClassifier)
    forests = [kind(30, random_state=0).fit(digits.X, digits.y) for kind in kinds]
    merged = MergedClassifier.from_fitted(
        forests, digits.X_held, digits.y_held, method="logits", calibrate="members"
    )
    assert (merged.member_temperatures_ < 0.5).all()
    assert min(forest.score(digits.X_held, digits.y_held) for forest in forests) > 0.95
