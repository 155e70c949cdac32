"""FoldAverage: read as log-probabilities in one pool, as probabilities in the other."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.naive_bayes import GaussianNB

from skmergecal import MergedClassifier
from skmergecal.exceptions import RefitWarning
from skmergecal.merging import FoldAverage
from skmergecal.pooling import fit_logarithmic_pool
from tests.folds import FOLDS, fitted_on_folds, softened


def test_frozen_averages_beside_members_that_are_fitted_here(blobs, fold_models):
    average = FoldAverage(fold_models["logistic"])
    members = [("average", FrozenEstimator(average)), ("bayes", GaussianNB())]
    merged = MergedClassifier(members, method="logits", cv=FOLDS).fit(blobs.X_held, blobs.y_held)
    held = cross_val_predict(
        GaussianNB(), blobs.X_held, blobs.y_held, cv=FOLDS, method="predict_log_proba"
    )
    fit = fit_logarithmic_pool(
        [average.predict_log_proba(blobs.X_held), held], blobs.y_held, alpha="auto"
    )
    np.testing.assert_allclose(merged.weights_, fit.weights, atol=1e-6)


@pytest.mark.parametrize("with_rows", [True, False])
def test_zeros_of_averages_are_softened_where_nothing_is_learned(blobs, with_rows):
    models = [ExtraTreesClassifier(3, random_state=s).fit(blobs.X, blobs.y) for s in (0, 1)]
    rows = (blobs.X_held, blobs.y_held) if with_rows else ()
    merged = MergedClassifier.from_fitted(
        {"trees": FoldAverage(models)}, *rows, method="logits", weights=None
    )
    amount = 1 / (len(blobs.y_held) + 1) if with_rows else 1e-4
    z = np.mean([softened(m.predict_proba(blobs.X_test), amount) for m in models], axis=0)
    expected = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(merged.predict_proba(blobs.X_test), expected, atol=1e-12)


@pytest.mark.filterwarnings("ignore:in some folds of cv the training rows miss classes")
@pytest.mark.parametrize("lacking", [False, True])
def test_averages_are_softened_alike_beside_members_that_are_fitted_here(blobs, lacking):
    """With fixed weights, members are read only as far as their softening takes."""
    X, y = blobs.X_held, blobs.y_held
    smooth = VotingClassifier([("bayes", GaussianNB())], voting="soft").fit(blobs.X, blobs.y)
    if lacking:
        known = blobs.y != 2
        other = clone(smooth).fit(blobs.X[known], blobs.y[known])
    else:
        other = ExtraTreesClassifier(3, random_state=0).fit(blobs.X, blobs.y)
    average = FrozenEstimator(FoldAverage([smooth, other], average="probabilities"))
    assert (average.predict_proba(X) > 0).all()  # of all of them together
    merged = MergedClassifier([("average", average), ("own", GaussianNB())], weights=None).fit(X, y)
    assert merged._merge.members[0].softening == 1 / (len(y) + 1)


def test_a_class_that_a_model_lacks_is_softened_whatever_the_rows_show(blobs, splits):
    X, y = blobs.X, blobs.y
    (train, test), *others = splits
    lacking = [(train[y[train] != 2], test), *others]
    bayes, logistic = (
        fitted_on_folds(X, y, folds, [("m", model)])["m"]
        for folds, model in ((lacking, GaussianNB()), (others, LogisticRegression()))
    )
    with pytest.warns(UserWarning, match=r"miss classes: \{'bayes': \[2\]"):
        merged = MergedClassifier.from_cv(
            {"bayes": bayes, "logistic": logistic},
            X,
            y,
            {"bayes": lacking, "logistic": others},  # no common row is one that it was read on
            method="logits",
            weights=None,
        )
    assert np.isfinite(merged.predict_log_proba(blobs.X_test)).all()
    alone = MergedClassifier.from_fitted(
        {"bayes": FoldAverage(bayes)}, method="logits", weights=None
    )
    assert np.isfinite(alone.predict_log_proba(blobs.X_test)).all()


def test_a_clone_needs_new_rows(blobs, fold_models):
    merged = MergedClassifier.from_cv(fold_models, blobs.X, blobs.y, FOLDS)
    new = clone(merged).fit(blobs.X_held, blobs.y_held)
    averages = MergedClassifier.from_fitted(
        dict(merged.named_estimators_), blobs.X_held, blobs.y_held
    )
    p = new.predict_proba(blobs.X_test)
    np.testing.assert_array_equal(averages.predict_proba(blobs.X_test), p)
    assert new.named_estimators_["bayes"] is merged.named_estimators_["bayes"]
    # On its own rows, every model but one has seen each row: trees look better than they are.
    deep = [("trees", ExtraTreesClassifier(10, random_state=0)), ("bayes", GaussianNB())]
    models = fitted_on_folds(blobs.X, blobs.y, list(FOLDS.split(blobs.X, blobs.y)), deep)
    honest = MergedClassifier.from_cv(models, blobs.X, blobs.y, FOLDS, method="logits")
    with pytest.warns(UserWarning, match=r"\['trees'\] are almost always right"):
        seen = clone(honest).fit(blobs.X, blobs.y)
    losses = [
        -np.log(m.predict_proba(blobs.X_test)[np.arange(len(blobs.y_test)), blobs.y_test]).mean()
        for m in (honest, seen)
    ]
    assert losses[0] < 0.9 * losses[1]
    assert "new ones" in MergedClassifier.from_cv.__doc__


def test_averages_of_what_cannot_be_averaged(blobs):
    fitted = GaussianNB().fit(blobs.X, blobs.y)
    average = FoldAverage([fitted, GaussianNB()])
    with pytest.raises(NotFittedError, match="'average' is not fitted"):
        average.predict_proba(blobs.X_test)
    with pytest.raises(ValueError, match="'logits' or 'probabilities'; got 'magic'"):
        FoldAverage([fitted], average="magic").predict_proba(blobs.X_test)
    whole = FoldAverage([fitted, fitted])
    with (
        pytest.warns(RefitWarning, match="freeze it"),
        pytest.raises(TypeError, match=r"cannot be fitted: .*FrozenEstimator\(average\)"),
    ):
        MergedClassifier([("a", whole)]).fit(blobs.X_held, blobs.y_held)
    merged = MergedClassifier([("a", FrozenEstimator(whole))]).fit(blobs.X_held, blobs.y_held)
    assert clone(whole) is whole
    vote = VotingClassifier([("a", FrozenEstimator(whole))], voting="soft")
    vote.fit(blobs.X_held, blobs.y_held)
    np.testing.assert_allclose(
        vote.predict_proba(blobs.X_test), fitted.predict_proba(blobs.X_test), atol=1e-9
    )
    expected = MergedClassifier.from_fitted({"a": fitted}, blobs.X_held, blobs.y_held)
    np.testing.assert_allclose(
        merged.predict_proba(blobs.X_test), expected.predict_proba(blobs.X_test), atol=1e-9
    )


def test_a_class_that_a_model_lacks_is_softened_beside_a_member_that_is_fitted_here(blobs):
    few = blobs.y != 2
    lacking, whole = (GaussianNB().fit(blobs.X[r], blobs.y[r]) for r in (few, few | True))
    average = FrozenEstimator(FoldAverage([lacking, whole]))
    model = MergedClassifier([("average", average), ("here", GaussianNB())], weights=None)
    with pytest.warns(UserWarning, match=r"miss classes: \{'average': \[2\]"):
        model.fit(blobs.X_held, blobs.y_held)
    assert np.isfinite(model.predict_log_proba(blobs.X_test)).all()
